package ops

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// Policy is the answer of GET /api/v1/policy: what the gate goes by.
type Policy struct {
	Version  uint64             `json:"version"`  // to be named by who sets another; 0: nothing was ever set, and the configuration counts
	Shares   map[string]float64 `json:"shares"`   // of the seats, guaranteed to each class
	Weights  map[string]float64 `json:"weights"`  // of partners, by their numbers, where it is not 1
	Seats    int                `json:"seats"`    // the most that may be inside the core at the normal level
	SeatsMax int                `json:"seatsMax"` // the most that may be set
	Closed   []string           `json:"closed"`   // classes that are kept out
	At       *time.Time         `json:"at,omitempty"`
	Reason   string             `json:"reason,omitempty"`
	Operator string             `json:"operator,omitempty"`
}

// PolicyRequest is the body of POST /api/v1/policy: the whole of what is to be.
type PolicyRequest struct {
	Fence   uint64             `json:"fence"` // Policy.Version as it was seen
	Shares  map[string]float64 `json:"shares"`
	Weights map[string]float64 `json:"weights"`
	Seats   int                `json:"seats"`
	Closed  []string           `json:"closed"`
	Reason  string             `json:"reason"`
}

// policyNow puts the policy into the words of this port.
func (p *port) policyNow() Policy {
	now := p.Levers.Policy()
	out := Policy{
		Version: now.Version, Shares: make(map[string]float64), Weights: make(map[string]float64), Seats: now.Seats, SeatsMax: p.Levers.SeatsMax(), Closed: []string{},
		At: timeOrNil(now.At), Reason: now.Reason, Operator: now.Operator,
	}
	for class := range gate.Class(gate.Classes) {
		out.Shares[class.String()] = now.Shares[class]
		if now.Closed[class] {
			out.Closed = append(out.Closed, class.String())
		}
	}
	for partner, weight := range now.Weights {
		out.Weights[strconv.FormatUint(uint64(partner), 10)] = weight
	}
	return out
}

func (p *port) policy(w http.ResponseWriter, _ *http.Request) {
	if p.levers(w) {
		answer(w, http.StatusOK, p.policyNow())
	}
}

func (p *port) setPolicy(w http.ResponseWriter, r *http.Request) {
	var in PolicyRequest
	if !body(w, r, &in) || !p.levers(w) {
		return
	}
	put, err := in.command()
	if err != nil {
		failWith(w, err)
		return
	}
	now := p.policyNow()
	changes := now.differences(&in)
	p.perform(w, r, verb{
		name: "policy", reason: in.Reason, alone: true, entered: true, attributes: []any{"changes", strings.Join(changes, "; ")},
		preview: func(m *Members) ([]string, error) { return p.previewPolicy(m, &now, &in, changes) },
		do: func(context.Context, *Change) error {
			if len(changes) == 0 {
				return nil
			}
			text := []rune(strings.Join(changes, "; "))
			put.Operator, put.Detail = caller(r), string(text[:min(len(text), ReasonRunesMax)])
			verdict, err := p.Levers.Move(&journal.Command{Body: &command.Command_PutPolicy{PutPolicy: put}})
			switch {
			case err != nil:
				return err
			case verdict == journal.NotAllowed:
				return outrun(p.Levers.Policy())
			case verdict != journal.Done:
				return fmt.Errorf("the journal did not take the policy: %s", verdict)
			}
			return nil
		},
	})
}

// outrun is told to who sets a policy after another one than he has seen.
func outrun(now cluster.Policy) error {
	return &refusal{
		ErrNotAllowed, fmt.Sprintf("somebody else has set the policy since you looked: %s, because: %s", now.Operator, now.Reason),
		"look again with `netbank policy show`, and set it again if it is still needed",
	}
}

// previewPolicy says what a policy changes, or why it is refused.
func (p *port) previewPolicy(m *Members, now *Policy, in *PolicyRequest, changes []string) ([]string, error) {
	switch {
	case in.Fence != now.Version:
		return nil, outrun(p.Levers.Policy())
	case in.Seats > now.SeatsMax:
		return nil, &bad{fmt.Sprintf("seats is %d", in.Seats), fmt.Sprintf("choose 1 to %d, the highest of the coordinators' --core-seats, --core-seats-reserve and --core-seats-emergency: their connections to the core were opened for so many", now.SeatsMax)}
	case in.Seats > now.Seats && p.Levers.Approval():
		return nil, &refusal{ErrNotAllowed, "more seats need a second operator here", "use `netbank scale level reserve`, which another operator can approve"}
	}
	effect := append(m.elsewhere(), changes...)
	if len(changes) == 0 {
		return append(effect, "Nothing changes: it is so already."), nil
	}
	for class := range gate.Class(gate.Classes) {
		if name := class.String(); slices.Contains(in.Closed, name) && !slices.Contains(now.Closed, name) {
			effect = append(effect, closes[class])
		}
	}
	return append(effect, "It stays until somebody sets another; a new leader goes by it too."), nil
}

// closes says what it means that a class is closed.
var closes = [gate.Classes]string{
	gate.Confirm: "Nobody can confirm a payment: customers who are in the middle of one are told so, uncharged, and keep it until it expires.",
	gate.Express: "Debits under a mandate are refused.",
	gate.SignIn:  "Nobody can sign in; who is signed in goes on.",
	gate.Inquiry: "Pages show no balances.",
}

// differences says in sentences what of the policy another one changes.
func (now *Policy) differences(in *PolicyRequest) (all []string) {
	for class := range gate.Class(gate.Classes) {
		name := class.String()
		if was, is := now.Shares[name], in.Shares[name]; was != is {
			all = append(all, fmt.Sprintf("%s is guaranteed %.3g %% of the seats instead of %.3g %%", name, 100*is, 100*was))
		}
		switch was, is := slices.Contains(now.Closed, name), slices.Contains(in.Closed, name); {
		case is && !was:
			all = append(all, name+" is closed")
		case was && !is:
			all = append(all, name+" is open again")
		}
	}
	if in.Seats != now.Seats {
		all = append(all, fmt.Sprintf("at most %d calls are inside the core at the normal level instead of %d", in.Seats, now.Seats))
	}
	partners := maps.Clone(now.Weights)
	maps.Copy(partners, in.Weights)
	weight := func(of map[string]float64, partner string) float64 {
		if w, listed := of[partner]; listed {
			return w
		}
		return 1
	}
	for _, partner := range slices.Sorted(maps.Keys(partners)) {
		if was, is := weight(now.Weights, partner), weight(in.Weights, partner); was != is {
			all = append(all, fmt.Sprintf("partner %s has weight %.4g instead of %.4g", partner, is, was))
		}
	}
	return all
}

// command checks what was asked for, and makes the journal's command of it.
func (in *PolicyRequest) command() (*command.PutPolicy, error) {
	put := &command.PutPolicy{Fence: in.Fence, Seats: uint32(min(max(in.Seats, 0), journal.LimitMax)), Reason: in.Reason, Shares: make([]uint32, gate.Classes)}
	if in.Seats < 1 || in.Seats > journal.LimitMax {
		return nil, &bad{fmt.Sprintf("seats is %d", in.Seats), fmt.Sprintf("choose 1 to %d", journal.LimitMax)}
	}
	classes := make(map[string]gate.Class)
	for class := range gate.Class(gate.Classes) {
		classes[class.String()] = class
	}
	unknown := func(name string) error {
		return &bad{fmt.Sprintf("there is no class %.40q", name), "the classes are " + strings.Join(slices.Sorted(maps.Keys(classes)), ", ")}
	}
	sum := uint32(0)
	for name, share := range in.Shares {
		class, known := classes[name]
		if !known {
			return nil, unknown(name)
		}
		thousandths, ok := whole(share, journal.ShareWhole, 0, journal.ShareWhole)
		if !ok {
			return nil, &bad{fmt.Sprintf("the share of %s is %v", name, share), "choose 0 to 1, with three decimal places at most"}
		}
		put.Shares[class] = thousandths
		sum += thousandths
	}
	if sum > journal.SharesMax {
		return nil, &bad{fmt.Sprintf("the shares add up to %v", float64(sum)/journal.ShareWhole), "keep them at 0.9 together, or priority would mean nothing"}
	}
	for _, name := range in.Closed {
		class, known := classes[name]
		switch {
		case !known:
			return nil, unknown(name)
		case class == gate.Resolve:
			return nil, &bad{"resolve cannot be closed", "what is in doubt is always asked for; choose another class"}
		}
		put.Closed |= 1 << class
	}
	return put, in.weigh(put)
}

// weigh takes the partners' weights over, those that are 1 left out.
func (in *PolicyRequest) weigh(put *command.PutPolicy) error {
	for name, weight := range in.Weights {
		partner, err := strconv.ParseUint(name, 10, 32)
		if err != nil || partner == 0 {
			return &bad{fmt.Sprintf("there is no partner %.40q", name), "write its number, as in partners.ndjson"}
		}
		hundredths, ok := whole(weight, journal.WeightUnit, 1, journal.WeightMax)
		if !ok {
			return &bad{fmt.Sprintf("the weight of partner %s is %v", name, weight), "choose 0.01 to 100, with two decimal places at most"}
		}
		if hundredths != journal.WeightUnit {
			put.Weights = append(put.Weights, &command.Weight{Partner: uint32(partner), Hundredths: hundredths})
		}
	}
	if n := len(put.Weights); n > journal.WeightsMax {
		return &bad{fmt.Sprintf("%d partners have a weight", n), fmt.Sprintf("leave out those with weight 1; %d may have another", journal.WeightsMax)}
	}
	slices.SortFunc(put.Weights, func(a, b *command.Weight) int { return int(int64(a.Partner) - int64(b.Partner)) })
	for i := 1; i < len(put.Weights); i++ {
		if put.Weights[i].Partner == put.Weights[i-1].Partner { // 7 and 07
			return &bad{fmt.Sprintf("partner %d has two weights", put.Weights[i].Partner), "write each number once, without zeros before it"}
		}
	}
	return nil
}

// whole gives a number in parts of a unit, and whether it is a whole number of them between two bounds.
func whole(v float64, unit, least, most uint32) (uint32, bool) {
	parts := v * float64(unit)
	rounded := math.Round(parts)
	if !(math.Abs(parts-rounded) < 1e-6 && rounded >= float64(least) && rounded <= float64(most)) {
		return 0, false
	}
	return uint32(rounded), true
}
