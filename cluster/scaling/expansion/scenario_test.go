package expansion

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// midnight is when the journal's time begins in these tests.
var midnight = journal.Millis(time.Date(2026, 11, 11, 0, 0, 0, 0, time.UTC).UnixMilli())

// teller is a test, of testing or of rapid.
type teller interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// world is a journal of its own, a provider that brings what is wished for about within a look, and nodes that are as busy as a test says.
type world struct {
	t      teller
	m      *journal.Machine
	e      *Expansion
	c      Config
	s      Sample
	stuck  int // workers that the provider runs whatever it is told; -1: it does as it is told
	cold   int // workers that serve, whatever runs; -1: all do
	count  byte
	events []string
}

func newWorld(t teller, c Config) *world {
	w := &world{t: t, m: journal.New(journal.NewMemoryStore(), journal.DefaultLimits()), c: c, stuck: -1, cold: -1}
	w.s.Runner = Runner{Name: "local", Known: true, Wanted: 2, Running: 2, Serving: 2}
	w.lead()
	return w
}

func (w *world) lead() { w.e = New(w.c) }

func (w *world) now() journal.Millis { return midnight + journal.Millis(w.s.At.Milliseconds()) }

func (w *world) commit(body any) journal.Verdict {
	w.t.Helper()
	w.count++
	c := &journal.Command{Id: append(make([]byte, 15), w.count)}
	for i := range 8 {
		c.Id[i] = byte(w.s.At >> (8 * i))
	}
	switch b := body.(type) {
	case *command.PutWish:
		c.Body = &command.Command_PutWish{PutWish: b}
	case *command.ApproveWish:
		c.Body = &command.Command_ApproveWish{ApproveWish: b}
	case *command.LapseWishes:
		c.Body = &command.Command_LapseWishes{LapseWishes: b}
	}
	results, _, err := w.m.Apply(1, &journal.Batch{Version: 1, Term: 1, StampMs: int64(w.now()), Commands: []*journal.Command{c}}, nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return results[0].Verdict
}

// wish is an operator's.
func (w *world) wish(who string, value int, lasts time.Duration, approval bool) journal.Verdict {
	put := &command.PutWish{
		Lever: command.Lever_LEVER_WORKERS, Fence: w.m.Wishes().Workers.Fence, Value: uint32(value), Base: uint32(w.s.Runner.Wanted), Reason: "the 11th", Operator: who, Approval: approval,
	}
	if lasts > 0 {
		put.UntilMs = int64(w.now()) + lasts.Milliseconds()
	}
	return w.commit(put)
}

// look lets the journal, the provider and the expansion each do their part.
func (w *world) look() Finding {
	w.t.Helper()
	if due := w.m.Wishes().Due(journal.DefaultLimits()); due > 0 && due <= w.now() {
		w.commit(&command.LapseWishes{})
	}
	wish := w.m.Wishes().Workers
	if r := &w.s.Runner; wish.Now.Number > 0 {
		r.Wanted, r.Running, r.Serving = int(wish.Now.Value), int(wish.Now.Value), int(wish.Now.Value)
		if w.stuck >= 0 {
			r.Running = w.stuck
		}
		if r.Serving = r.Running; w.cold >= 0 {
			r.Serving = w.cold
		}
	}
	w.s.Now, w.s.Wish = w.now(), wish
	f := w.e.Look(&w.s)
	if m := f.Move; m != nil {
		put := &command.PutWish{
			Lever: command.Lever_LEVER_WORKERS, Fence: m.Fence, Value: uint32(m.To), Base: uint32(w.s.Runner.Wanted), UntilMs: int64(m.Until), Reason: m.Reason, Operator: Operator, Approval: m.Approval,
		}
		if verdict := w.commit(put); verdict != journal.Done {
			w.t.Fatalf("the journal says %s to %+v", verdict, m)
		}
	}
	return f
}

// run lets time pass, and notes what moves.
func (w *world) run(lasts time.Duration) {
	for end := w.s.At + lasts; w.s.At < end; {
		w.s.At += LookEvery
		before := w.m.Wishes().Workers
		f := w.look()
		m := f.Move
		switch after := w.m.Wishes().Workers; {
		case m != nil && m.Approval:
			w.events = append(w.events, fmt.Sprintf("%v: proposes %d instead of %d: %s", w.s.At, m.To, m.From, m.Reason))
		case m != nil && m.Until > 0:
			w.events = append(w.events, fmt.Sprintf("%v: %d → %d until %s: %s", w.s.At, m.From, m.To, clock(m.Until)[11:19], m.Reason))
		case m != nil:
			w.events = append(w.events, fmt.Sprintf("%v: %d → %d: %s", w.s.At, m.From, m.To, m.Reason))
		case after.Fence != before.Fence && after.Now != before.Now:
			w.events = append(w.events, fmt.Sprintf("%v: %d → %d by itself: the time of a wish was over", w.s.At, before.Now.Value, after.Now.Value))
		}
	}
}

// TestScenarios plays testdata/*.txt. A file is prose (lines with #), commands, a line ----, and what comes of them, up to an empty
// line. The commands are those of world.do. Read in their order, the files teach when a bank expands.
// With -rewrite what comes of them now is written down: read the difference before you keep it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			c, err := Parse("max=8")
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, c)
			datadriven.RunTest(t, file, func(_ *testing.T, d *datadriven.TestData) string {
				for line := range strings.Lines(d.FullCmd() + "\n" + d.Input) {
					w.do(strings.Fields(line))
				}
				if len(w.events) == 0 {
					w.events = []string{"nothing moves"}
				}
				defer func() { w.events = nil }()
				return strings.Join(w.events, "\n") + "\n"
			})
		})
	}
}

// do does one line:
//
//	config max=8,…            a bank with that configuration, and a leader that begins
//	leader                    another leader begins
//	nodes 3 sign-in=96 …      so many nodes answer customers, and are as busy as that
//	reserve 3                 besides, so many to which no customer comes
//	core free|full|stalled|unreachable
//	line open|sign-ins|core
//	provider ok|stuck N|cold N|failed    it runs what it is told, or so many; so many serve; it fails
//	approval                  wishes need a second operator from here on
//	ann 5 [2h]                an operator wishes for so many
//	bob agrees                to what waits
//	run 10s                   time passes
//	sleep 10s                 time passes, and the leader's machine stands still
//	say                       what limits, and what is done about it
func (w *world) do(words []string) {
	w.t.Helper()
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			w.t.Fatalf("%q: %v", words, err)
		}
		return n
	}
	lasts := func(text string) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil {
			w.t.Fatalf("%q: %v", words, err)
		}
		return d
	}
	switch words[0] {
	case "config":
		c, err := Parse(arg(1))
		if err != nil {
			w.t.Fatal(err)
		}
		*w = *newWorld(w.t, c)
	case "leader":
		w.lead()
	case "nodes":
		var p Pressure
		parts := map[string]*int{"sign-in": &p.SignIn, "processor": &p.Processor, "connections": &p.Connections, "wait": &p.WaitMillis}
		for _, word := range words[2:] {
			name, value, _ := strings.Cut(word, "=")
			*parts[name] = number(value)
		}
		w.s.Nodes = nil
		for range number(arg(1)) {
			w.s.Nodes = append(w.s.Nodes, p)
		}
	case "reserve":
		for range number(arg(1)) {
			w.s.Nodes = append(w.s.Nodes, Pressure{Quiet: true})
		}
	case "core":
		w.s.Core = map[string]Core{"free": CoreFree, "full": CoreFull, "stalled": CoreStalled, "unreachable": CoreUnreachable}[arg(1)]
	case "line":
		w.s.Line = map[string]Line{"open": LineOpen, "sign-ins": LineForSignIns, "core": LineForCore}[arg(1)]
	case "provider":
		w.stuck, w.cold, w.s.Runner.Problem = -1, -1, ""
		switch arg(1) {
		case "stuck":
			w.stuck = number(arg(2))
		case "cold":
			w.cold = number(arg(2))
		case "failed":
			w.s.Runner.Problem = "it does not answer"
		}
	case "approval":
		w.s.Approval = true
	case "ann":
		for_ := time.Duration(0)
		if arg(2) != "" {
			for_ = lasts(arg(2))
		}
		if verdict := w.wish("ann", number(arg(1)), for_, false); verdict != journal.Done {
			w.t.Fatalf("%q: the journal says %s", words, verdict)
		}
	case "bob":
		if verdict := w.commit(&command.ApproveWish{Lever: command.Lever_LEVER_WORKERS, Number: w.m.Wishes().Workers.Pending.Number, Operator: "bob"}); verdict != journal.Done {
			w.t.Fatalf("%q: the journal says %s", words, verdict)
		}
	case "run":
		w.run(lasts(arg(1)))
	case "sleep":
		w.s.At += lasts(arg(1))
	case "say":
		f := w.look()
		help := ""
		if f.Limit == LimitCore {
			help = "; more workers would not help"
		}
		w.events = append(w.events, fmt.Sprintf("limit: %s%s", f.Text, help), "automatic expansion: "+f.Doing)
	default:
		w.t.Fatalf("%q is no command", words)
	}
}
