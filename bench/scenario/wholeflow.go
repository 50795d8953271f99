package scenario

import (
	"context"
	"fmt"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/report"
)

// flowSteps are the requests of the full flow, as a browser and the shop behind it make them. Style sheet and icon are left out: a browser
// keeps them for a year.
var flowSteps = []string{"create", "sign-in page", "sign in", "confirm page", "choose account", "code page", "send code", "result page"}

// steps are the latencies of a flow's requests.
type steps struct {
	names     []string
	recorders []*load.Recorder
}

func newSteps(names ...string) *steps {
	s := &steps{names: names}
	for range names {
		s.recorders = append(s.recorders, load.NewRecorder())
	}
	return s
}

// from times a flow that begins now: what it gives is called at the end of each step, by its number.
func (s *steps) from(client int) func(step int) {
	last := time.Now()
	return func(step int) {
		now := time.Now()
		s.recorders[step].Record(client, now.Sub(last))
		last = now
	}
}

func (s *steps) report() []report.Step {
	all := make([]report.Step, len(s.names))
	for i, name := range s.names {
		all[i] = report.Step{Name: name, Latency: report.QuantilesOf(s.recorders[i].Histogram(), false)}
	}
	return all
}

// flow is one customer's whole way from the shop and back. The result page's word is kept for the audit.
func (s *single) flow(c *load.Client, n int64, who person, said words, seen func(int)) load.Verdict {
	o, verdict := s.m.order(s.doors.partner.Clients[c.Index], n)
	if verdict.Outcome != load.Completed {
		return verdict
	}
	said.add(c.Index, audit.Told{Payment: o.id, Source: audit.ByAPI, Status: "RCVD", Version: 1})
	seen(0)
	v, w := visit{order: o, who: who}, window{s.m, c}
	if _, bad := w.open(o.link, &v.cookie); bad != nil {
		return *bad
	}
	seen(1)
	if verdict = w.arrive(&v, func(step int) { seen(2 + step) }); verdict.Outcome != load.Completed {
		return verdict
	}
	if _, bad := w.open(v.code, &v.cookie); bad != nil {
		return *bad
	}
	seen(5)
	if verdict = w.pay(&v); verdict.Outcome != load.Completed {
		return verdict
	}
	seen(6)
	page, bad := w.open(withStep(o.link, "result"), &v.cookie)
	if bad != nil {
		return *bad
	}
	seen(7)
	if between(page.Body, `class="state good"`, ">") == nil {
		return failed("a result page that does not say settled")
	}
	said.add(c.Index, audit.Told{Payment: o.id, Source: audit.ByPage, Status: "ACSC"})
	return load.Verdict{}
}

func (s *single) flows(ctx context.Context) error {
	people := s.people[s.next:]
	if len(people) == 0 {
		return errCustomers
	}
	said, times := newWords(s.Connections), newSteps(flowSteps...)
	from := s.number
	work := func(c *load.Client, n int64) load.Verdict {
		return s.flow(c, n, people[n-from], said, times.from(c.Index))
	}
	if err := s.doors.partner.Open(ctx); err != nil {
		return err
	}
	r, phase, err := s.profiled(ctx, report.Phase{
		Name: "flow", What: "the whole way: created by the shop, signed in, confirmed, back at the result", Server: "bank", Unit: "flows", RequestsEach: len(flowSteps),
	}, load.Run{Pool: s.doors.customer.First(signInsAtOnce), Work: work, WarmUp: s.warmUp(), Measure: s.measure(), From: from, Limit: int64(len(people))})
	if err != nil {
		return err
	}
	phase.Steps = times.report()
	s.number, s.next = r.Next, s.next+int(r.Next-from)
	s.told = append(s.told, said.all()...)
	return nil
}

// audit holds what clients were told against the journal and the core's ledger.
func (s *single) audit(ctx context.Context) error {
	auditor, err := audit.NewBank(s.target.Demo)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, auditWait)
	defer cancel()
	if err := auditor.Await(waiting, false); err != nil {
		s.fail("%v after %v", err, auditWait)
	}
	if s.result.Audit, err = auditor.Collect(ctx, s.told, false); err != nil {
		return err
	}
	s.Say("  %s", s.result.Audit)
	if !s.result.Audit.OK() {
		s.fail("the audit has %d findings: %s", s.result.Audit.FindingsCount, fmt.Sprint(s.result.Audit.FindingsByRule))
	}
	return nil
}
