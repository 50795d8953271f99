package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// How the command looks after what it has asked for.
const (
	scaleLookEvery = 100 * time.Millisecond
)

type scaleVerb struct {
	Out     scaleOut     `cmd:"" help:"More workers, in seconds."`
	In      scaleIn      `cmd:"" help:"Fewer workers; no request fails."`
	Level   scaleLevel   `cmd:"" help:"How many payments may be inside the core: normal, reserve or emergency."`
	Approve scaleApprove `cmd:"" help:"Agree to what another operator wishes."`
	Status  scaleStatus  `cmd:"" help:"What is wished for, and how far it is."`
}

// Help is what `netbank scale --help` says first.
func (*scaleVerb) Help() string {
	return `Examples:
  netbank scale out 3 --reason "the 11th" --for 2h         three workers more, and back again after two hours
  netbank scale out --to 5 --reason "the 11th" --for 2h    five workers
  netbank scale in --reason "it is over"                   back to what there was before
  netbank scale in 2 --reason "a quiet night"              two workers fewer
  netbank scale level reserve --reason "the 11th" --for 2h
  netbank scale status

What changes something shows its effect first and asks; --yes does not ask, --dry-run changes nothing. Ask the leader. "out" and "in"
return when the nodes serve, or are gone. Exit codes: see "netbank --help"; 75 means: another node leads, or it is not done yet.`
}

// wishing is what the verbs that move a lever have in common.
type wishing struct {
	changing
	For      time.Duration `help:"How long; then it goes back by itself. Left out: it stays."`
	Approval bool          `help:"Let it wait until a second operator agrees."`
}

// seen asks how the levers stand.
func (o *operator) seen() (s ops.Scale, text []byte, err error) {
	if text, err = o.call(http.MethodGet, "/api/v1/scale", nil); err == nil {
		err = answerInto(text, &s)
	}
	return s, text, err
}

func (w *wishing) body(l *ops.Lever, value uint32) (ops.WishRequest, error) {
	if w.For < 0 || w.For%time.Second != 0 {
		return ops.WishRequest{}, usage("--for is %v; whole seconds, please", w.For)
	}
	return ops.WishRequest{Fence: l.Fence, Value: value, ForSeconds: int64(w.For / time.Second), Reason: w.Reason, Approval: w.Approval}, nil
}

type scaleOut struct {
	wishing
	More int           `arg:"" optional:"" help:"How many workers more than are wished for now."`
	To   int           `help:"Instead: how many there are to be." default:"-1"`
	Wait time.Duration `help:"How long to wait until they serve; 0s: not at all." default:"5m"`
}

// Run asks for more workers, and returns when they serve.
func (c *scaleOut) Run(t *terminal) error {
	if (c.More > 0) == (c.To >= 0) || c.More < 0 {
		return usage("say how many more, as in `netbank scale out 3`, or how many in all, with --to")
	}
	return c.workers(t, c.Wait, func(now int) (int, error) {
		to := c.To
		if c.More > 0 {
			to = now + c.More
		}
		if to < now {
			return 0, usage("--to is %d, and %d are wished for; `netbank scale in` takes some away", to, now)
		}
		return to, nil
	})
}

type scaleIn struct {
	wishing
	Fewer int           `arg:"" optional:"" help:"How many workers fewer. Left out, and without --to: back to what there was before the wish in force."`
	To    int           `help:"Instead: how many there are to be." default:"-1"`
	Wait  time.Duration `help:"How long to wait until they are gone; 0s: not at all." default:"5m"`
	base  uint32
}

// Run asks for fewer workers, and returns when they are gone.
func (c *scaleIn) Run(t *terminal) error {
	if c.Fewer > 0 && c.To >= 0 || c.Fewer < 0 {
		return usage("say how many fewer, as in `netbank scale in 2`, or how many in all, with --to")
	}
	return c.workers(t, c.Wait, func(now int) (int, error) {
		to := int(c.base)
		switch {
		case c.To >= 0:
			to = c.To
		case c.Fewer > 0:
			to = now - c.Fewer
		}
		if to > now || to < 0 {
			return 0, usage("%d workers are wished for, and that would make %d", now, to)
		}
		return to, nil
	}, &c.base)
}

// workers moves the lever of the workers, and waits until it has come about.
func (w *wishing) workers(t *terminal, wait time.Duration, target func(now int) (int, error), base ...*uint32) error {
	before, _, err := w.seen()
	if err != nil {
		return err
	}
	for _, b := range base {
		*b = before.Workers.Base
	}
	to, err := target(int(before.Workers.Value))
	if err != nil {
		return err
	}
	body, err := w.body(&before.Workers, uint32(to))
	if err != nil {
		return err
	}
	asJSON := w.JSON
	began := time.Now()
	if err := w.change(t, "/api/v1/scale/workers", body, nil); err != nil || w.DryRun || wait <= 0 || w.Approval || before.Approval {
		return err
	}
	f := follower{t: t, to: to, need: to - before.Provider.Running, began: began, silent: asJSON, known: make(map[uint32]bool), told: make(map[string]bool)}
	for _, i := range before.Provider.Instances {
		f.told["started: "+i.Name] = true
	}
	for _, n := range before.Nodes {
		if n.State == ops.NodeUp {
			f.known[n.Node] = true
		}
	}
	return f.follow(&w.operator, wait)
}

// follower watches workers come and go, and says how far they are.
type follower struct {
	t      *terminal
	to     int
	need   int // more than there were
	began  time.Time
	silent bool
	known  map[uint32]bool // nodes that were up before
	told   map[string]bool
}

// say prints a line once, with the time that has passed.
func (f *follower) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if f.told[line] || f.silent {
		return
	}
	f.told[line] = true
	f.t.say("%6.1f s  %s", time.Since(f.began).Seconds(), line)
}

// follow returns when as many run as were asked for, and the new ones serve. A leader that is lost meanwhile is waited for.
func (f *follower) follow(o *operator, wait time.Duration) error {
	f.say("asked: %d workers", f.to)
	limit := f.began.Add(wait)
	var last ops.Scale
	var lost error
	for time.Now().Before(limit) {
		s, _, err := o.seen()
		if lost = err; err == nil {
			last = s
			if f.done(&s) {
				return nil
			}
		}
		time.Sleep(scaleLookEvery)
	}
	why := "it goes on all the same; look with `netbank scale status`"
	switch {
	case lost != nil:
		why = lost.Error()
	case last.Provider.Problem != "":
		why = last.Provider.Problem + "; " + last.Provider.Remedy
	}
	return &bank.Error{Code: exitNotNow, Err: fmt.Errorf("not done within %v: %s", wait, why)}
}

// done says what is new, and whether all has come about.
func (f *follower) done(s *ops.Scale) bool {
	if p := &s.Provider; p.Problem != "" {
		f.say("%s: %s; %s", p.Name, p.Problem, p.Remedy)
	}
	if !s.Provider.Known {
		return false
	}
	for _, i := range s.Provider.Instances {
		if !i.Leaving {
			f.say("started: %s", i.Name)
		}
	}
	serving := 0
	for _, n := range s.Nodes {
		if f.known[n.Node] || n.State != ops.NodeUp {
			continue
		}
		f.say("joined: node %d", n.Node)
		if n.Ready {
			f.say("warm: node %d", n.Node)
		}
		if n.Ready && n.Serving {
			f.say("serving: node %d", n.Node)
			serving++
		}
	}
	if s.Provider.Leaving > 0 {
		f.say("leaving: %d", s.Provider.Leaving)
	}
	there := s.Provider.Wanted == f.to && s.Provider.Leaving == 0 && (s.Provider.Running == f.to || s.Provider.Running < 0)
	if there && serving >= f.need {
		f.say("done: %d workers", f.to)
		return true
	}
	return false
}

type scaleLevel struct {
	wishing
	Level string `arg:"" enum:"normal,reserve,emergency" help:"normal, reserve or emergency."`
}

// Help is what `netbank scale level --help` says first.
func (*scaleLevel) Help() string {
	return `Examples:
  netbank scale level reserve --reason "the 11th" --for 2h
  netbank scale level normal --reason "it is over"

What a level means is said to the coordinators: --core-seats, --core-seats-reserve, --core-seats-emergency. It is the most that may be inside the
core; the gate may find that less is better.`
}

var levels = []string{"normal", "reserve", "emergency"}

// Run moves the gate's ceiling.
func (c *scaleLevel) Run(t *terminal) error {
	before, _, err := c.seen()
	if err != nil {
		return err
	}
	body, err := c.body(&before.Level, uint32(slices.Index(levels, c.Level)))
	if err != nil {
		return err
	}
	return c.change(t, "/api/v1/scale/level", body, nil)
}

type scaleApprove struct {
	changing
	Lever string `arg:"" enum:"workers,level" help:"workers or level."`
}

// Run agrees to what waits.
func (c *scaleApprove) Run(t *terminal) error {
	s, _, err := c.seen()
	if err != nil {
		return err
	}
	pending := s.Workers.Pending
	if c.Lever == "level" {
		pending = s.Level.Pending
	}
	if pending == nil {
		return errors.New("nothing waits for a second operator")
	}
	return c.change(t, "/api/v1/scale/"+c.Lever+"/approve", ops.ApproveRequest{Number: pending.Number, Reason: c.Reason}, nil)
}

type scaleStatus struct {
	operator
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is what `netbank scale status --help` says first.
func (*scaleStatus) Help() string {
	return `Exit codes: 0 it stands as it was wished for; 75 it does not yet, or this node does not lead; 69 the node does not answer.`
}

// Run says how the levers stand.
func (c *scaleStatus) Run(t *terminal) error {
	s, text, err := c.seen()
	if err != nil {
		return err
	}
	if err := t.print(c.JSON, text, func() { t.printScale(&s) }); err != nil {
		return err
	}
	p := &s.Provider
	if !s.Leading || p.Name != "" && (!p.Known || p.Problem != "" || s.Workers.Wished && (p.Wanted != int(s.Workers.Value) || p.Running >= 0 && p.Running != p.Wanted)) {
		return &bank.Error{Code: exitNotNow, Err: errors.New("it does not stand as it was wished for, or only the leader knows")}
	}
	return nil
}

func (t *terminal) printScale(s *ops.Scale) {
	wish := func(name, value string, l *ops.Lever, base string) {
		t.say("%-9s %s%s", name, value, wishText(l, base))
		if w := l.Pending; w != nil {
			t.say("          ! %s wishes for %d, because: %s. A second operator may agree: netbank scale approve %s", w.Operator, w.Value, w.Reason, name)
		}
	}
	wish("workers", fmt.Sprint(s.Workers.Value), &s.Workers, fmt.Sprint(s.Workers.Base))
	at := min(int(s.Level.Value), 2)
	wish("level", fmt.Sprintf("%s: at most %d inside the core", levels[at], s.Ceilings[at]), &s.Level, levels[min(int(s.Level.Base), 2)])
	p := &s.Provider
	switch {
	case p.Name == "":
		t.say("provider  none: the coordinators were started without --scale")
	case p.Problem != "":
		t.say("provider  %s: ! %s; %s", p.Name, p.Problem, p.Remedy)
	case !p.Known && !s.Leading:
		t.say("provider  %s; only the leader knows more, which is node %d", p.Name, s.Leader)
	case !p.Known:
		t.say("provider  %s, which has not answered yet", p.Name)
	default:
		t.say("provider  %s: %d wanted, %d running, %d leaving", p.Name, p.Wanted, p.Running, p.Leaving)
	}
	if l := s.Limit; l != nil {
		t.say("limit     %s. %s", l.Text, l.Advice())
	}
	switch a := &s.Auto; {
	case !a.On:
		t.say("automatic off")
	case a.Doing == "":
		t.say("automatic %d to %d workers; only the leader knows more", a.Min, a.Max)
	default:
		t.say("automatic %d to %d workers; %s", a.Min, a.Max, a.Doing)
	}
	if len(s.Nodes) == 0 {
		return
	}
	t.say("")
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tSTATE\tREADY\tSERVING\tOPERATOR")
	for _, n := range s.Nodes {
		serving := "-"
		if n.Serving {
			serving = "yes"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", n.Node, n.State, readyColumn(n), serving, dash(n.Operator))
	}
	_ = table.Flush()
}

func wishText(l *ops.Lever, base string) string {
	switch w := l.Wish; {
	case w == nil:
		return " (nobody has wished for anything)"
	case w.Operator == "":
		return fmt.Sprintf(" (since %s: the time of a wish was over)", w.At.Format(time.RFC3339))
	case w.Until == nil:
		return fmt.Sprintf(" (%s, since %s: %s)", w.Operator, w.At.Format(time.RFC3339), w.Reason)
	default:
		return fmt.Sprintf(" until %s, then %s (%s: %s)", w.Until.Format(time.RFC3339), base, w.Operator, w.Reason)
	}
}
