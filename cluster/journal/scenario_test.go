package journal

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbank/cluster/journal/command"
)

var update = flag.Bool("update", false, "write the output of the scenarios into their files")

// TestScenarios runs testdata/*.txt. Each block of a file is one Raft entry: a command a line, "----", and what
// the journal answered. doc.go says how to read them; -update writes the answers anew.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	contents, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newScenario(t)
	var out bytes.Buffer
	for _, block := range strings.Split(strings.TrimRight(string(contents), "\n"), "\n\n") {
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		given, want, isEntry := strings.Cut(block, "\n----\n")
		if !isEntry {
			given, isEntry = strings.CutSuffix(block, "\n----")
		}
		out.WriteString(given + "\n")
		if !isEntry {
			continue
		}
		got := s.entry(given)
		if !*update && strings.TrimRight(got, "\n") != strings.TrimRight(want, "\n") {
			t.Errorf("%s: after\n%s\nthe journal answers\n%swant\n%s", file, given, got, want)
		}
		out.WriteString("----\n" + got)
	}
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// scenario interprets the lines of a file.
type scenario struct {
	t         *testing.T
	b         *bank
	payments  map[string]PaymentID
	entryTerm uint64
	out       strings.Builder
	batch     []*Command
	about     []string
}

func newScenario(t *testing.T) *scenario {
	b := &bank{t: t, store: NewMemoryStore(), now: morning, term: 1}
	limits := DefaultLimits()
	limits.OpenPayments, limits.Contradictions, limits.CommandIDs, limits.Keys = 4, 2, 1000, 2
	b.m = New(b.store, limits)
	return &scenario{t: t, b: b, payments: map[string]PaymentID{}, entryTerm: 1}
}

// entry runs a block: its commands make one entry, which is applied before the first question or at the end.
func (s *scenario) entry(block string) string {
	s.out.Reset()
	for _, line := range strings.Split(block, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			s.line(line)
		}
	}
	s.flush()
	return s.out.String()
}

// words are a directive's arguments: plain ones by position, others as name=value; '_' stands for a space.
type words struct {
	plain []string
	named map[string]string
}

func (w words) at(i int) string {
	if i < len(w.plain) {
		return w.plain[i]
	}
	return ""
}

func (w words) get(name, otherwise string) string {
	if v, ok := w.named[name]; ok {
		return strings.ReplaceAll(v, "_", " ")
	}
	return otherwise
}

func (w words) number(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(w.get(name, strconv.FormatInt(otherwise, 10)), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s *scenario) line(line string) {
	w := words{named: map[string]string{}}
	for _, word := range strings.Fields(line) {
		if name, value, ok := strings.Cut(word, "="); ok {
			w.named[name] = value
		} else {
			w.plain = append(w.plain, word)
		}
	}
	verb := w.plain[0]
	w.plain = w.plain[1:]
	if s.setting(verb, w) || s.question(verb, w) {
		return
	}
	body := s.body(verb, w)
	if body == nil {
		s.t.Fatalf("unknown directive: %s", line)
	}
	s.b.count++
	id := w.get("id", strconv.Itoa(s.b.count))
	s.batch = append(s.batch, wrap(named("command", id), body))
	s.about = append(s.about, strings.TrimSpace(verb+" "+w.at(0)))
}

// setting changes the world around the journal.
func (s *scenario) setting(verb string, w words) bool {
	switch verb {
	case "wait":
		d, err := time.ParseDuration(w.at(0))
		if err != nil {
			s.t.Fatal(err)
		}
		s.flush()
		s.b.now += Millis(d.Milliseconds())
	case "term": // a new leader: its gate and its entries
		s.flush()
		n, _ := strconv.ParseUint(w.at(0), 10, 64)
		s.b.term, s.entryTerm = n, n
	case "entry-term": // entries of another term than the gate's
		s.flush()
		s.entryTerm, _ = strconv.ParseUint(w.at(0), 10, 64)
	default:
		return false
	}
	return true
}

func (s *scenario) flush() {
	if len(s.batch) == 0 {
		return
	}
	batch := &Batch{Version: Version, Term: s.b.term, StampMs: int64(s.b.now), Commands: s.batch}
	results, changes, err := s.b.m.Apply(s.entryTerm, batch, nil, nil)
	if err != nil {
		fmt.Fprintf(&s.out, "error: %v\n", err)
	}
	for i, r := range results {
		fmt.Fprintf(&s.out, "%s: %v", s.about[i], r.Verdict)
		if r.Payment.ID != (PaymentID{}) {
			fmt.Fprintf(&s.out, ", %s", s.standing(r.Payment))
		}
		if r.Access.Epoch != 0 || r.Access.Lanes != [3]Lane{} {
			fmt.Fprintf(&s.out, ", %s", s.signing(r.Access))
		}
		s.out.WriteString("\n")
	}
	for _, c := range changes {
		fmt.Fprintf(&s.out, "  %s: %v -> %v (version %d)\n", s.name(c.Payment), c.From, c.To, c.Version)
	}
	s.batch, s.about = nil, nil
}

func (s *scenario) standing(p Payment) string {
	text := fmt.Sprintf("%s is %v", s.name(p.ID), p.State)
	if p.Reason != ReasonNone {
		text += fmt.Sprintf(" (%v)", p.Reason)
	}
	return text
}

func (s *scenario) signing(a Access) string {
	text := fmt.Sprintf("session %d", a.Epoch)
	if a.Ended {
		text += " ended"
	}
	for i, name := range []string{"unknown device", "known device", "codes"} {
		if n := a.Lanes[i].Failures; n > 0 {
			text += fmt.Sprintf(", %s %d", name, n)
		}
		if until := a.Lanes[i].LockedUntil(s.b.m.Now()); until != 0 {
			text += " (locked for " + (time.Duration(until-s.b.m.Now()) * time.Millisecond).String() + ")"
		}
	}
	return text
}

func (s *scenario) name(id PaymentID) string {
	for name, known := range s.payments {
		if known == id {
			return name
		}
	}
	return id.String()
}

func (s *scenario) payment(name string) []byte {
	id, ok := s.payments[name]
	if !ok {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "p"))
		if err != nil {
			s.t.Fatalf("a payment is named p1, p2 and so on, not %q", name)
		}
		id = paymentID(n, s.b.now)
		s.payments[name] = id
	}
	return id[:]
}

// body makes a command.
func (s *scenario) body(verb string, w words) any {
	number := func(i int) uint64 {
		n, _ := strconv.ParseUint(w.at(i), 10, 64)
		return n
	}
	switch verb {
	case "partner":
		p := partner(uint32(number(0)))
		p.OpenPaymentsMax, p.WebhooksDisabled = uint32(w.number("open", 0)), w.get("webhooks", "on") == "off"
		return p
	case "customer":
		return customer(number(0), w.at(1))
	case "key":
		return &command.PutKey{Id: uint32(number(0)), Sealed: []byte("sealed")}
	case "attempt":
		factor := map[string]command.Factor{"password": command.Factor_FACTOR_PASSWORD, "code": command.Factor_FACTOR_TOTP}[w.at(1)]
		return &command.Attempt{Customer: number(0), Factor: factor, KnownDevice: w.at(2) == "known"}
	case "sign-in":
		return &command.SignIn{Customer: number(0), KnownDevice: w.at(1) == "known"}
	case "end-session":
		return &command.EndSession{Customer: number(0), SessionEpoch: uint64(w.number("session", 1))}
	case "unlock":
		return &command.Unlock{Customer: number(0)}
	case "code-passed":
		return &command.FactorPassed{Customer: number(0), SessionEpoch: uint64(w.number("session", 1))}
	case "delivered":
		done := &command.OutboxDone{Partner: uint32(number(0)), Delivery: command.Delivery_DELIVERY_ACCEPTED}
		for i := 1; i < len(w.plain); i++ {
			done.Sequences = append(done.Sequences, number(i))
		}
		return done
	case "gone":
		return &command.OutboxDone{Partner: uint32(number(0)), Delivery: command.Delivery_DELIVERY_GONE}
	case "prune":
		ago := func(name string) int64 {
			d, err := time.ParseDuration(w.get(name, "876000h"))
			if err != nil {
				s.t.Fatal(err)
			}
			return int64(s.b.now) - d.Milliseconds()
		}
		return &command.Prune{FinishedBeforeMs: ago("finished"), IdempotencyBeforeMs: ago("keys"), OutboxBeforeMs: ago("outbox")}
	case "bump-epoch":
		return &command.BumpEpoch{}
	case "line":
		call, err := time.ParseDuration(w.get("call-before", "0s"))
		if err != nil {
			s.t.Fatal(err)
		}
		return &command.MoveLine{Closed: w.at(0) == "closed", WatermarkMs: int64(morning) + call.Milliseconds()}
	}
	return s.paymentBody(verb, w)
}

func (s *scenario) paymentBody(verb string, w words) any {
	id := s.payment(w.at(0))
	switch verb {
	case "create":
		c := s.b.creation(int(id[15]))
		c.PaymentId, c.Partner = id, uint32(w.number("partner", 1))
		c.IdempotencyKey, c.RequestHash = named("key", w.get("key", w.at(0))), named("request", w.get("request", w.at(0)))
		c.AmountMinor, c.DebtorAccount = w.number("amount", 12_345), w.get("from", "")
		c.ExpiresMs = int64(s.b.now) + 60_000*w.number("minutes", 15)
		return c
	case "cancel":
		return &command.CancelPayment{PaymentId: id, Partner: uint32(w.number("partner", 1))}
	case "authorise":
		c := s.b.consent(PaymentID(id), w.number("step", 1))
		c.Customer = uint64(w.number("customer", 1))
		c.Node, c.Incarnation = uint32(w.number("node", 1)), uint64(w.number("life", 7))
		c.SessionEpoch = uint64(w.number("session", 1))
		c.AmountMinor, c.CreditorName = w.number("amount", 12_345), w.get("payee", c.CreditorName)
		c.DebtorAccount = w.get("from", account(c.Customer))
		return c
	case "not-sent":
		return &command.NotSent{PaymentId: id, Node: uint32(w.number("node", 1)), Incarnation: uint64(w.number("life", 7))}
	case "settle":
		outcome := map[string]command.Outcome{
			"approved": command.Outcome_OUTCOME_APPROVED, "declined": command.Outcome_OUTCOME_DECLINED, "in-doubt": command.Outcome_OUTCOME_IN_DOUBT,
		}[w.at(1)]
		return &command.Settle{PaymentId: id, Outcome: outcome, Source: command.Source_SOURCE_EXECUTOR, ResponseCode: w.get("code", ""), ApprovalCode: w.get("approval", "")}
	case "arrive":
		return &command.Arrive{PaymentId: id}
	case "enter":
		return &command.Enter{PaymentId: id}
	case "doubt":
		return &command.MarkInDoubt{PaymentId: id}
	case "reverse":
		return &command.BeginReversal{PaymentId: id}
	case "reversed":
		return &command.Reversed{PaymentId: id, ResponseCode: w.get("code", "00")}
	case "expire":
		c := &command.Expire{}
		for _, name := range w.plain {
			c.PaymentIds = append(c.PaymentIds, s.payment(name))
		}
		return c
	}
	return nil
}

// question shows a part of the journal.
func (s *scenario) question(verb string, w words) bool {
	m := s.b.m
	switch verb {
	case "place", "places", "show", "access", "outbox", "unresolved", "expired", "reconciliation", "counts", "keys", "snapshot":
		s.flush()
	}
	number, _ := strconv.ParseUint(w.at(0), 10, 32)
	switch verb {
	case "place":
		p, ok := m.Place(PaymentID(s.payment(w.at(0))))
		fmt.Fprintf(&s.out, "%s: placed %v at %v, %d ahead, called %v\n", w.at(0), ok, time.Duration(p.At-morning)*time.Millisecond, p.Ahead, p.Called)
	case "places":
		l := m.Line()
		fmt.Fprintf(&s.out, "closed %v, %d wait, %d called, %d entered\n", l.Closed, l.Waiting, l.Called, l.Entered)
	case "show":
		if p, ok := m.Payment(PaymentID(s.payment(w.at(0)))); !ok {
			fmt.Fprintf(&s.out, "%s: none\n", w.at(0))
		} else {
			fmt.Fprintf(&s.out, "%s, %s, version %d, field 7 %s, 11 %06d, 37 %s, sent by node %d life %d\n", s.standing(p), p.State.Code(), p.Version,
				p.Wire.Transmission, p.Wire.STAN, p.Wire.RRN, p.Executor.Node, p.Executor.Incarnation)
		}
	case "access":
		a, ok := m.Access(CustomerID(number))
		fmt.Fprintf(&s.out, "%v %s, last code %d\n", ok, s.signing(a), a.TOTPStep)
	case "outbox":
		for _, n := range m.Notices(PartnerID(number), 0, 100) {
			fmt.Fprintf(&s.out, "%d: %s is %v, version %d\n", n.Sequence, s.name(n.Payment), n.State, n.Version)
		}
	case "unresolved":
		m.Unresolved(func(o Open) bool {
			fmt.Fprintf(&s.out, "%s is %v at node %d life %d\n", s.name(o.ID), o.State, o.Executor.Node, o.Executor.Incarnation)
			return true
		})
	case "expired":
		for _, id := range m.Expired(s.b.now, 100) {
			fmt.Fprintln(&s.out, s.name(id))
		}
	case "reconciliation":
		for _, c := range m.Contradictions(100) {
			fmt.Fprintf(&s.out, "%s was %v, the core said %s %s, %d times\n", s.name(c.Payment), c.State, c.Said, c.ResponseCode, c.Times)
		}
	case "keys":
		for _, k := range m.Keys() {
			fmt.Fprintf(&s.out, "key %d\n", k.ID)
		}
	case "counts":
		c := m.Counts()
		fmt.Fprintf(&s.out, "open %d, unresolved %d, outbox %d, keys kept %d, contradictions %d and %d dropped\n", c.Open, c.Unresolved, c.Outbox, c.IdempotencyKeys, c.Contradictions, c.ContradictionsDropped)
	case "snapshot":
		before := m.Digest()
		s.b.m, s.b.store = restored(s.t, m, s.b.store, m.limits)
		same := "the same"
		if after := s.b.m.Digest(); after != before {
			same = "another: " + hex.EncodeToString(after[:4])
		}
		fmt.Fprintf(&s.out, "restored, the digest is %s\n", same)
	default:
		return false
	}
	return true
}

func snapshotOf(t testing.TB, m *Machine) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.Live().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}
