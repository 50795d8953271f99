package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
)

// Source says how a client came to know something.
type Source uint8

// The sources of what clients were told.
const (
	ByAPI     Source = iota // the partner API: create, get, status; in the order in which one client saw them
	ByWebhook               // in any order
	ByPage                  // a customer's page: it has no version
)

// Told is one thing that a client was told of a payment.
type Told struct {
	Payment string
	Source  Source
	Status  string // partner's code, such as ACSC; Refused for a customer who was told so and gave up
	Version uint32 // 0 from a page, and from a create that was in doubt
}

// Refused is the Status of a customer whose last word was "not charged, try again", and who did not.
const Refused = "REFUSED"

// Input is what is compared. The readers are read to their ends.
type Input struct {
	Payments   io.Reader // NDJSON of the operator's port, GET /api/v1/payments
	References io.Reader // NDJSON of the core's admin port, GET /ledger/references
	Ledger     io.Reader // JSON of the core's admin port, GET /ledger
	Told       []Told
	// Webhooks says that every payment has a notification address that was listening: each final state must have been told by webhook.
	Webhooks bool
}

// Rules that a finding can break.
const (
	DoubleDebit  = "AtMostOneDebit"
	Lost         = "NothingAcknowledgedIsLost"
	Unresolved   = "NothingAcknowledgedIsLost: in doubt"
	Charged      = "RefusedMeansNotCharged"
	WentBack     = "StatusNeverGoesBack"
	Untold       = "ToldOnceCommitted"
	Unbalanced   = "postings sum to zero"
	findingsKept = 100
)

// Finding is one disagreement.
type Finding struct {
	Rule    string `json:"rule"`
	Payment string `json:"payment,omitempty"`
	Detail  string `json:"detail"`
}

// Report is what an audit found.
type Report struct {
	Payments       int            `json:"payments"` // in the journal
	Settled        int            `json:"settled"`
	NotCharged     int            `json:"notCharged"` // rejected, expired, cancelled
	Received       int            `json:"received"`   // nobody has confirmed them
	Unresolved     int            `json:"unresolved"` // authorised, in doubt or reversing
	Reversed       int            `json:"reversed"`   // of those not charged: debited or not, and reversed
	References     int            `json:"references"` // at the core
	Debited        int            `json:"debited"`    // of them, standing
	Told           int            `json:"told"`
	LongestMs      int64          `json:"longestMs"` // from the grant to the last state, of all that are final, in the journal's time
	Findings       []Finding      `json:"findings"`  // the first hundred
	FindingsCount  int            `json:"findingsCount"`
	FindingsByRule map[string]int `json:"findingsByRule,omitempty"`
}

// OK reports whether everything agrees.
func (r *Report) OK() bool { return r.FindingsCount == 0 }

// String is the report in a few lines.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "audit: %d payments: %d settled, %d not charged (%d reversed), %d never confirmed, %d unresolved; %d references at the core, %d debited; %d things told; longest from grant to end %d ms; %d findings",
		r.Payments, r.Settled, r.NotCharged, r.Reversed, r.Received, r.Unresolved, r.References, r.Debited, r.Told, r.LongestMs, r.FindingsCount)
	for i := range r.Findings {
		f := &r.Findings[i]
		fmt.Fprintf(&b, "\n  %s: %s %s", f.Rule, f.Payment, f.Detail)
	}
	return b.String()
}

func (r *Report) find(rule, payment, format string, args ...any) {
	if r.FindingsByRule == nil {
		r.FindingsByRule = make(map[string]int)
	}
	r.FindingsCount++
	r.FindingsByRule[rule]++
	if len(r.Findings) < findingsKept {
		r.Findings = append(r.Findings, Finding{rule, payment, fmt.Sprintf(format, args...)})
	}
}

// payment is one line of the journal, with what the core says of it.
type payment struct {
	ID       string `json:"paymentId"`
	State    string `json:"state"`
	Status   string `json:"transactionStatus"`
	Reason   string `json:"reason"`
	Version  uint32 `json:"version"`
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
	Granted  int64  `json:"grantedMs"`
	Changed  int64  `json:"changedMs"`
	RRN      string `json:"rrn"`

	debits   int // standing
	moved    int // ever, reversed ones too
	hooked   bool
	versions []Told // what was told, a version each
	last     uint32 // version, by the API
}

func (p *payment) final() bool {
	return p.Status == "ACSC" || p.Status == "RJCT" || p.Status == "CANC"
}

type reference struct {
	Reference string `json:"reference"`
	Payment   string `json:"paymentId"`
	Minor     int64  `json:"debitedMinor"`
	Currency  string `json:"currency"`
	Status    string `json:"status"`
	Reversed  bool   `json:"reversed"`
	Debits    int    `json:"debits"`
}

type sums struct {
	References int  `json:"references"`
	Debited    int  `json:"debited"`
	Balanced   bool `json:"balanced"`
	Currencies map[string]struct {
		Clearing int64 `json:"clearingMinor"`
		Total    int64 `json:"totalMinor"`
	} `json:"currencies"`
}

// Check compares. An error says that an input cannot be read; disagreements stand in the report.
func Check(in Input) (*Report, error) {
	r := &Report{Told: len(in.Told), Findings: []Finding{}}
	all := make(map[string]*payment)
	err := lines(in.Payments, func(p *payment) {
		if all[p.ID] != nil {
			r.find(WentBack, p.ID, "stands twice in the journal")
		}
		all[p.ID] = p
	})
	if err != nil {
		return nil, fmt.Errorf("audit: the journal's payments: %w", err)
	}
	standing := make(map[string]int64)
	if err := lines(in.References, func(f *reference) { r.reference(all, standing, f) }); err != nil {
		return nil, fmt.Errorf("audit: the core's references: %w", err)
	}
	var s sums
	if err := json.NewDecoder(in.Ledger).Decode(&s); err != nil {
		return nil, fmt.Errorf("audit: the core's ledger: %w", err)
	}
	r.balance(&s, standing)
	for i := range in.Told {
		r.told(all, &in.Told[i])
	}
	ids := make([]string, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	sort.Strings(ids) // so that a report is the same each time
	for _, id := range ids {
		r.payment(all[id], in.Webhooks)
	}
	return r, nil
}

// lines reads NDJSON, one value a line.
func lines[T any](from io.Reader, f func(*T)) error {
	decoder := json.NewDecoder(from)
	for n := 1; ; n++ {
		v := new(T)
		if err := decoder.Decode(v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		f(v)
	}
}

// reference takes one line of the core.
func (r *Report) reference(all map[string]*payment, standing map[string]int64, f *reference) {
	r.References++
	stands := f.Debits > 0 && !f.Reversed
	if stands {
		r.Debited++
		standing[f.Currency] += f.Minor
	}
	p := all[f.Payment]
	if p == nil {
		if stands {
			r.find(Charged, f.Payment, "the core debited %d %s under %s, and the journal does not know the payment", f.Minor, f.Currency, f.Reference)
		}
		return
	}
	p.moved += f.Debits
	if f.Debits > 1 {
		r.find(DoubleDebit, p.ID, "reference %s has %d debits", f.Reference, f.Debits)
	}
	if f.Reference != p.RRN {
		r.find(DoubleDebit, p.ID, "the core knows it as %s, the journal as %q", f.Reference, p.RRN)
	}
	if !stands {
		return
	}
	p.debits += f.Debits
	if f.Minor != p.Minor || f.Currency != p.Currency {
		r.find(DoubleDebit, p.ID, "%d %s were debited for %d %s", f.Minor, f.Currency, p.Minor, p.Currency)
	}
}

func (r *Report) balance(s *sums, standing map[string]int64) {
	if !s.Balanced {
		r.find(Unbalanced, "", "the core says that its books do not balance")
	}
	if s.References != r.References || s.Debited != r.Debited {
		r.find(Unbalanced, "", "the ledger counts %d references and %d debits, its list has %d and %d: was the core still at work?", s.References, s.Debited, r.References, r.Debited)
	}
	for currency, c := range s.Currencies {
		if c.Total != 0 {
			r.find(Unbalanced, "", "postings in %s sum to %d", currency, c.Total)
		}
		if c.Clearing != standing[currency] {
			r.find(Unbalanced, "", "the clearing account holds %d %s, the debits that stand sum to %d", c.Clearing, currency, standing[currency])
		}
	}
}

// told takes one thing that a client was told.
func (r *Report) told(all map[string]*payment, t *Told) {
	p := all[t.Payment]
	if p == nil {
		if t.Status != "PDNG" || t.Version != 0 { // a create in doubt promises no payment
			r.find(Lost, t.Payment, "a client was told %s, and the journal does not know the payment", t.Status)
		}
		return
	}
	final := t.Status == "ACSC" || t.Status == "RJCT" || t.Status == "CANC"
	switch {
	case t.Status == Refused:
		if p.Status == "ACSC" || p.debits > 0 {
			r.find(Charged, p.ID, "the customer was told that nothing was charged, and it was")
		}
	case final && t.Status != p.Status:
		r.find(WentBack, p.ID, "a client was told %s for good, the journal says %s (%s)", t.Status, p.Status, p.State)
	}
	if t.Version == 0 {
		return
	}
	if t.Version > p.Version {
		r.find(Lost, p.ID, "a client was told version %d, the journal is at %d", t.Version, p.Version)
	} else if t.Version == p.Version && t.Status != p.Status {
		r.find(WentBack, p.ID, "version %d was told as %s and is %s", t.Version, t.Status, p.Status)
	}
	if t.Source == ByAPI {
		if t.Version < p.last {
			r.find(WentBack, p.ID, "version %d was told after %d", t.Version, p.last)
		}
		p.last = max(p.last, t.Version)
	}
	if t.Source == ByWebhook && t.Version == p.Version {
		p.hooked = true
	}
	for i := range p.versions {
		if v := &p.versions[i]; v.Version == t.Version {
			if v.Status != t.Status {
				r.find(WentBack, p.ID, "version %d was told as %s and as %s", t.Version, v.Status, t.Status)
			}
			return
		}
	}
	p.versions = append(p.versions, *t)
}

// payment judges one payment when all is known of it.
func (r *Report) payment(p *payment, webhooks bool) {
	r.Payments++
	if p.debits > 1 || p.moved > 1 {
		r.find(DoubleDebit, p.ID, "%d debits stand, %d were made", p.debits, p.moved)
	}
	if p.final() && p.Granted > 0 {
		r.LongestMs = max(r.LongestMs, p.Changed-p.Granted)
	}
	switch p.State {
	case "settled":
		r.Settled++
		if p.debits == 0 {
			r.find(Lost, p.ID, "settled, and not debited at the core")
		}
	case "received":
		r.Received++
	case "rejected", "expired", "cancelled":
		r.NotCharged++
		if p.Reason == "reversed" {
			r.Reversed++
		}
	default:
		r.Unresolved++
		r.find(Unresolved, p.ID, "left %s", p.State)
	}
	if p.State != "settled" && p.debits > 0 && p.final() || p.State == "received" && p.debits > 0 {
		r.find(Charged, p.ID, "%s, and debited at the core", p.State)
	}
	if webhooks && p.final() && !p.hooked {
		r.find(Untold, p.ID, "no webhook told version %d, %s", p.Version, p.Status)
	}
}
