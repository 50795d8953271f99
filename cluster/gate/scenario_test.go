package gate

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios plays testdata/*.txt. A file is prose (lines with #), commands, a line ----, and what the gate says to
// them, up to an empty line. The commands are those of scenario.run. Read in their order, the files teach the algorithm.
// With -rewrite what the gate says now is written down: read the difference before you keep it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &scenario{t: t}
			datadriven.RunTest(t, file, func(_ *testing.T, d *datadriven.TestData) string {
				for line := range strings.Lines(d.FullCmd() + "\n" + d.Input) {
					s.run(strings.Fields(line))
				}
				defer s.said.Reset()
				return s.said.String()
			})
		})
	}
}

// scenario is one gate and its clock.
type scenario struct {
	t    *testing.T
	g    *Gate
	now  Time
	said strings.Builder
}

// run plays one command:
//
//	gate [limit=2] [seek=on] [ceiling=9] [queue=3] [core-limit=10s] [service-time=50ms] [share.express=0.1] [weight.7=2]
//	at 150ms | after 10ms                  the time of the next events
//	offer 1 confirm [weight=1] [budget=2s] [tier=0] [partner=0]      1-64 offers so many
//	answer 1 40ms [late] | unsent 1 | withdraw 1 | tick
//	occupy 1 confirm granted=-3s
//	limit 3 | ceiling 3 | breaker on | breaker off | plan inquiry sign-in | plan
//	saturate 30s servers=20                more is offered than fits, to so many servers that take 40 ms each
//	state | wait confirm | level confirm | next
func (s *scenario) run(f []string) {
	options := map[string]string{}
	for _, word := range f {
		if k, v, ok := strings.Cut(word, "="); ok {
			options[k] = v
		}
	}
	switch f[0] {
	case "gate":
		s.build(options)
	case "at":
		s.now = s.duration(f[1])
	case "after":
		s.now += s.duration(f[1])
	case "state":
		s.state()
	case "level":
		s.level(s.class(f[1]))
	case "wait":
		class, st := s.class(f[1]), s.g.Snapshot()
		fmt.Fprintf(&s.said, "%v: wait %v, slow call %v\n", class, st.Wait[class].Round(time.Millisecond), time.Duration(st.Tail*float64(st.SeatTime)).Round(time.Millisecond))
	case "next":
		next, any := s.g.Next(s.now)
		fmt.Fprintln(&s.said, "next", next, any)
	case "saturate":
		s.now = saturate(s.g, s.now, s.now+s.duration(f[1]), time.Minute, s.number(options["servers"]))
		fmt.Fprintln(&s.said, "limit", s.g.Snapshot().Limit)
	case "occupy":
		s.each(f[1], func(t Ticket) {
			if !s.g.Occupy(s.now, t, s.class(f[2]), 1, s.duration(options["granted"])) {
				fmt.Fprintln(&s.said, "not counted", t)
			}
		})
	default:
		s.decide(f, options)
	}
}

// decide plays a command that brings decisions, and writes them down.
func (s *scenario) decide(f []string, options map[string]string) {
	var out []Decision
	switch f[0] {
	case "offer":
		s.each(f[1], func(t Ticket) { out = s.g.Offer(s.now, s.offer(t, s.class(f[2]), options), out) })
	case "answer":
		s.each(f[1], func(t Ticket) { out = s.g.Answer(s.now, t, s.duration(f[2]), f[len(f)-1] == "late", out) })
	case "unsent":
		s.each(f[1], func(t Ticket) { out = s.g.Answer(s.now, t, -1, false, out) })
	case "withdraw":
		s.each(f[1], func(t Ticket) { out = s.g.Withdraw(s.now, t, out) })
	case "tick":
		out = s.g.Tick(s.now, out)
	case "limit":
		out = s.g.SetLimit(s.now, s.number(f[1]), out)
	case "ceiling":
		out = s.g.SetCeiling(s.now, s.number(f[1]), out)
	case "breaker":
		out = s.g.SetBreaker(s.now, f[1] == "on", out)
	case "plan":
		var closed [Classes]bool
		for _, name := range f[1:] {
			closed[s.class(name)] = true
		}
		out = s.g.SetPlan(s.now, closed, out)
	default:
		s.t.Fatalf("unknown command %q", f)
	}
	if len(out) == 0 {
		fmt.Fprintln(&s.said, "nothing")
	}
	for i := 0; i < len(out); {
		j := i + 1
		for j < len(out) && out[j].Ticket == out[j-1].Ticket+1 && same(out[j], out[i]) {
			j++
		}
		s.say(out[i], out[j-1].Ticket)
		i = j
	}
}

func same(a, b Decision) bool {
	return a.Action == b.Action && a.Reason == b.Reason && a.RetryAfter.Round(time.Millisecond) == b.RetryAfter.Round(time.Millisecond)
}

func (s *scenario) say(d Decision, last Ticket) {
	tickets := fmt.Sprint(d.Ticket)
	if last != d.Ticket {
		tickets += fmt.Sprint("-", last)
	}
	if d.Action == Start {
		fmt.Fprintln(&s.said, "start", tickets)
		return
	}
	fmt.Fprintf(&s.said, "refuse %s %v, again in %v\n", tickets, d.Reason, d.RetryAfter.Round(time.Millisecond))
}

func (s *scenario) state() {
	st := s.g.Snapshot()
	fmt.Fprintf(&s.said, "taken %d of %d%s, waiting %d%s", st.Taken, st.Limit, byClass(st.TakenBy), st.Queued, byClass(st.QueuedBy))
	fmt.Fprintf(&s.said, ", stretch %v, seat time %v", st.Stretch.Round(time.Millisecond), st.SeatTime.Round(time.Millisecond))
	if st.Stalled {
		fmt.Fprintf(&s.said, ", stalled, probes %d", st.Probes)
	}
	if st.Breaker {
		s.said.WriteString(", breaker open")
	}
	s.said.WriteString("\n")
}

func byClass(counts [Classes]int) string {
	var parts []string
	for class, n := range counts {
		if n > 0 {
			parts = append(parts, fmt.Sprint(Class(class), " ", n))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func (s *scenario) level(class Class) {
	l := s.g.Level()[class]
	if l.Shut != Admitted {
		fmt.Fprintf(&s.said, "%v: shut, %v, again in %v\n", class, l.Shut, l.RetryAfter.Round(time.Millisecond))
		return
	}
	fmt.Fprintf(&s.said, "%v: tested %v, wait %v, call %v\n", class, l.Tested, l.Wait.Round(time.Millisecond), l.CallTime.Round(time.Millisecond))
}

func (s *scenario) build(options map[string]string) {
	var c Config
	for k, v := range options {
		name, of, _ := strings.Cut(k, ".")
		switch name {
		case "limit":
			c.Limit = s.number(v)
		case "seek":
			c.Seek = v == "on"
		case "ceiling":
			c.Ceiling = s.number(v)
		case "queue":
			c.QueueMax = s.number(v)
		case "core-limit":
			c.CoreLimit = s.duration(v)
		case "service-time":
			c.ServiceTime = s.duration(v)
		case "share":
			c.Shares[s.class(of)] = s.fraction(v)
		case "weight":
			if c.PartnerWeights == nil {
				c.PartnerWeights = map[uint32]float64{}
			}
			c.PartnerWeights[uint32(s.number(of))] = s.fraction(v)
		default:
			s.t.Fatalf("unknown option %q", k)
		}
	}
	if err := c.Validate(); err != nil {
		s.t.Fatal(err)
	}
	s.g, s.now = New(c), 0
}

func (s *scenario) offer(t Ticket, class Class, options map[string]string) Offer {
	o := Offer{Ticket: t, Class: class, Weight: 1, Budget: 2 * time.Second}
	for k, v := range options {
		switch k {
		case "weight":
			o.Weight = s.fraction(v)
		case "budget":
			o.Budget = s.duration(v)
		case "tier":
			o.Tier = uint8(s.number(v))
		case "partner":
			o.Partner = uint32(s.number(v))
		default:
			s.t.Fatalf("unknown option %q", k)
		}
	}
	return o
}

// each calls f with one ticket, or with a range such as 1-64.
func (s *scenario) each(word string, f func(Ticket)) {
	first, last, ok := strings.Cut(word, "-")
	if !ok {
		last = first
	}
	for t := s.number(first); t <= s.number(last); t++ {
		f(Ticket(t))
	}
}

func (s *scenario) class(word string) Class {
	for c := range Class(Classes) {
		if c.String() == word {
			return c
		}
	}
	s.t.Fatalf("unknown class %q", word)
	return 0
}

func (s *scenario) number(word string) int {
	n, err := strconv.Atoi(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *scenario) fraction(word string) float64 {
	x, err := strconv.ParseFloat(word, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return x
}

func (s *scenario) duration(word string) time.Duration {
	d, err := time.ParseDuration(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}
