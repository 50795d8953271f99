package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// Statuses of a payment, as partners are told them.
const (
	received   = "RCVD"
	authorised = "ACSP"
	inDoubt    = "PDNG"
	settled    = "ACSC"
	rejected   = "RJCT"
	cancelled  = "CANC"
)

// payment is the state of the sequential model: one payment, as its clients can know it. What the bank does by itself (send, settle,
// give up, expire) is not an operation; it becomes known with the first answer that shows it, and each answer may show
// only what the bank could have done since the one before.
type payment struct {
	exists  bool
	id      string
	status  string // the newest that was shown
	version uint32 // of it, or a lower bound of it
	exact   bool   // version is not only a lower bound
	allowed bool   // a confirmation by a session in force has reached the bank: money may move from now on
	asked   bool   // a cancellation has reached the bank
	out     string // sessions that have ended, each as ",number,"
	shown   string // versions that were shown and their statuses, each as ",version status,"
}

// reaches tells whether the bank may move a payment from one status to another by itself.
func (p payment) reaches(to string) bool {
	switch p.status {
	case received:
		switch to {
		case authorised, inDoubt, settled:
			return p.allowed // BoundConsent
		case rejected:
			return true // it expired, at the least
		case cancelled:
			return p.asked
		}
	case authorised:
		return to == inDoubt || to == settled || to == rejected
	case inDoubt:
		return to == inDoubt || to == settled || to == rejected
	}
	return false // final, StatusNeverGoesBack
}

// show is an answer with a status and, unless it is 0, a version.
func (p payment) show(status string, version uint32) (payment, bool) {
	switch {
	case version == 0 && status == p.status:
		return p, true
	case version == 0:
		if !p.reaches(status) {
			return p, false
		}
		p.status, p.version, p.exact = status, p.version+1, false
		return p, true
	case version < p.version, version == p.version && p.exact && status != p.status:
		return p, false
	case version == p.version && !p.exact && status != p.status:
		return p, false // the lower bound counts a step that has not been taken yet
	case status != p.status || version > p.version && p.exact:
		if !p.reaches(status) {
			return p, false
		}
	}
	p.status, p.version, p.exact = status, version, true
	return p.mark(status, version), true
}

// mark notes that a version was shown as a status.
func (p payment) mark(status string, version uint32) payment {
	if mark := fmt.Sprintf(",%d %s,", version, status); !strings.Contains(p.shown, mark) {
		p.shown += mark
	}
	return p
}

// Rules says what a history is held to.
type Rules struct {
	// Stale allows reads that show an earlier version, as nodes that do not lead may. What they show must have been so.
	Stale bool
}

// model is the sequential specification of one payment, for porcupine.
func model(rules Rules) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return payment{} },
		Step: func(state, input, output any) (bool, any) {
			next, ok := step(rules, state.(payment), input.(Operation))
			return ok, next
		},
		DescribeOperation: func(input, _ any) string { return input.(Operation).String() },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state.(payment)) },
	}
}

// step takes one operation at the moment in which it takes effect.
func step(rules Rules, p payment, o Operation) (payment, bool) {
	switch o.Kind {
	case Create:
		return create(p, o)
	case Confirm:
		return confirm(p, o)
	case Cancel:
		p.asked = true
		if o.Status == cancelled {
			return p.show(cancelled, 0)
		}
		return p, true
	case Read:
		return read(rules, p, o)
	case SignOut:
		p.out += fmt.Sprintf(",%d,", o.Session)
		return p, true
	}
	return p, false
}

func create(p payment, o Operation) (payment, bool) {
	if p.exists && p.id != "" && o.Payment != "" && p.id != o.Payment {
		return p, false // one key, two payments
	}
	if !p.exists {
		p.exists, p.status = true, received
	}
	if o.Payment != "" {
		p.id = o.Payment
	}
	if o.Status == "" { // no answer
		return p, true
	}
	return p.show(o.Status, o.Version)
}

func confirm(p payment, o Operation) (payment, bool) {
	if !p.exists {
		return p, o.Status == "" // one that was told something has its link from somewhere
	}
	switch o.Status {
	case Settled:
		return p.show(settled, 0)
	case Rejected:
		return p.show(rejected, 0)
	case Cancelled:
		return p.show(cancelled, 0)
	case Refused: // RefusedMeansNotCharged: it allows nothing
	default:
		if o.Session == 0 || !strings.Contains(p.out, fmt.Sprintf(",%d,", o.Session)) { // OutMeansOut
			p.allowed = true
		}
	}
	return p, true
}

func read(rules Rules, p payment, o Operation) (payment, bool) {
	if o.Status == NotFound {
		return p, !p.exists || p.id == "" // NothingAcknowledgedIsLost; a creation without an answer may have done nothing yet
	}
	if !p.exists {
		return p, false
	}
	// A final status whose version nobody has been told is at least p.version.
	unversioned := !p.exact && (o.Status == received || o.Status == authorised || o.Status == inDoubt)
	if rules.Stale && (o.Version < p.version || unversioned) {
		p.version = max(p.version, o.Version+1)
		p = p.mark(o.Status, o.Version)
		return p, strings.Count(p.shown, fmt.Sprintf(",%d ", o.Version)) == 1 // a version means one status
	}
	return p.show(o.Status, o.Version)
}

// partition puts the operations on each payment together. The end of a session belongs to all payments that it tried to confirm.
func partition(all []Operation) [][]Operation {
	byKey := make(map[string][]Operation)
	ended := make(map[int][]Operation)
	for _, o := range all {
		if o.Kind == SignOut {
			ended[o.Session] = append(ended[o.Session], o)
		} else {
			byKey[o.Key] = append(byKey[o.Key], o)
		}
	}
	parts := make([][]Operation, 0, len(byKey))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		part, sessions := byKey[key], make(map[int]bool)
		for _, o := range byKey[key] {
			if o.Session != 0 && !sessions[o.Session] {
				sessions[o.Session] = true
				part = append(part, ended[o.Session]...)
			}
		}
		parts = append(parts, part)
	}
	return parts
}

// operations are a payment's for porcupine. A confirmation with an outcome is two: it reached the bank, and later the outcome was shown.
// Others may see the payment in between.
func operations(part []Operation) []porcupine.Operation {
	converted := make([]porcupine.Operation, 0, 2*len(part))
	for _, o := range part {
		if o.Kind == Confirm && o.Status != "" && o.Status != Refused {
			reached := o
			reached.Status = ""
			converted = append(converted, porcupine.Operation{ClientId: o.Client, Input: reached, Call: o.Call, Return: o.Return})
		}
		converted = append(converted, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.Return})
	}
	return converted
}
