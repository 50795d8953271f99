package scenario

import (
	"context"
	"time"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

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

func (s *oneNode) flows(ctx context.Context) error {
	left := s.people[s.next:]
	if len(left) == 0 {
		return errCustomers
	}
	said, times := people.NewWords(s.Connections), newSteps(people.FlowSteps...)
	from := s.number
	work := func(c *load.Client, n int64) load.Verdict {
		w := people.Browser{Maker: s.m, Client: c}
		return w.Whole(s.doors.partner.Clients[c.Index], n, left[n-from], said, times.from(c.Index))
	}
	if err := s.doors.partner.Open(ctx); err != nil {
		return err
	}
	r, phase, err := s.profiled(ctx, report.Phase{
		Name: "flow", What: "the whole way: created by the shop, signed in, confirmed, back at the result", Server: "bank", Unit: "flows", RequestsEach: len(people.FlowSteps),
	}, load.Run{Pool: s.doors.customer.First(signInsAtOnce), Work: work, WarmUp: s.warmUp(), Measure: s.measure(), From: from, Limit: int64(len(left))})
	if err != nil {
		return err
	}
	phase.Steps = times.report()
	s.number, s.next = r.Next, s.next+int(r.Next-from)
	s.told = append(s.told, said.All()...)
	return nil
}
