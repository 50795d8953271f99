package ops

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/scaling"
	"netbank/cluster/scaling/expansion"
)

// Bounds of what operators may wish for.
const (
	// WishForMax is the longest that a wish with an end lasts.
	WishForMax = 31 * 24 * time.Hour
	// ActsMax is how many entries of the audit are told.
	ActsMax = 1000
)

// Levers are what operators move. Implementations are safe for concurrent use.
type Levers interface {
	// Wishes gives how they stand, as committed.
	Wishes() *journal.Wishes
	// Acts gives the newest entries of the audit, the oldest of them first.
	Acts(max int) ([]journal.Act, error)
	// Ceilings gives how many seats the core has at each level.
	Ceilings() [3]int
	// Workers tells who runs workers, and how far that is; an empty provider: nobody.
	Workers() (provider string, s scaling.State)
	// Watch gives how automatic expansion is configured, and what this node has found last while it leads; nil: it does not lead, or has
	// found nothing yet.
	Watch() (expansion.Config, *expansion.Finding)
	// Approval says that each wish needs a second operator.
	Approval() bool
	// Policy gives what the gate goes by.
	Policy() cluster.Policy
	// SeatsMax is the most calls inside the core that a policy may set.
	SeatsMax() int
	// Move commits a wish, or a policy.
	Move(*journal.Command) (journal.Verdict, error)
}

// levelNames are the levels of the gate's ceiling, as operators say them.
var levelNames = [...]string{"normal", "reserve", "emergency"}

// Scale is the answer of GET /api/v1/scale.
type Scale struct {
	Node    uint32 `json:"node"`   // that is asked
	Leader  uint32 `json:"leader"` // 0: none is known
	Leading bool   `json:"leading"`
	Workers Lever  `json:"workers"`
	Level   Lever  `json:"level"`
	// Ceilings are the most calls inside the core at the levels normal, reserve and emergency.
	Ceilings [3]int `json:"ceilings"`
	Approval bool   `json:"approval"` // each wish waits for a second operator
	Provider Runner `json:"provider"`
	Nodes    []Node `json:"nodes"` // the workers that are members, as the cluster page has them
	// Limit is what limits how many customers can be served; missing where it is not known: only the leader knows.
	Limit *Limit `json:"limit,omitempty"`
	Auto  Auto   `json:"auto"`
}

// Limit is what limits how many customers can be served, and how busy the front end is: percent, the mean of the nodes that answer customers.
type Limit struct {
	What        string `json:"what"` // unknown, none, core, sign-in, processor or connections
	Text        string `json:"text"` // in a few words
	WorkersHelp bool   `json:"workersHelp"`
	Nodes       int    `json:"nodes"`
	SignIn      int    `json:"signIn"`
	Processor   int    `json:"processor"`
	Connections int    `json:"connections"`
}

// Auto is automatic expansion.
type Auto struct {
	On    bool   `json:"on"`
	Min   int    `json:"min"`
	Max   int    `json:"max"`
	Doing string `json:"doing,omitempty"` // what it does, or why it does nothing; the leader alone knows
}

func limitOf(f *expansion.Finding) *Limit {
	if f == nil {
		return nil
	}
	return &Limit{
		What: f.Limit.String(), Text: f.Text, WorkersHelp: f.Limit.Helps(), Nodes: f.Nodes,
		SignIn: f.Busy[expansion.SignIn], Processor: f.Busy[expansion.Processor], Connections: f.Busy[expansion.Connections],
	}
}

// Advice says whether more workers would help; empty: nothing limits, or it is not known.
func (l *Limit) Advice() string {
	switch {
	case l.WorkersHelp:
		return "More workers help."
	case l.What == expansion.LimitCore.String():
		return "More workers would not help."
	}
	return ""
}

// Lever is how one stands.
type Lever struct {
	Fence   uint64 `json:"fence"`  // to be named by who moves it
	Wished  bool   `json:"wished"` // somebody has wished for something
	Value   uint32 `json:"value"`  // workers, or the level
	Base    uint32 `json:"base"`   // where it goes back to
	Wish    *Wish  `json:"wish,omitempty"`
	Pending *Wish  `json:"pending,omitempty"` // waits for a second operator
}

// Wish is what an operator wants.
type Wish struct {
	Number   uint64     `json:"number"`
	Value    uint32     `json:"value"`
	At       time.Time  `json:"at"`
	Until    *time.Time `json:"until,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Operator string     `json:"operator,omitempty"` // empty: nobody; another one's time was over
	Approver string     `json:"approver,omitempty"`
}

// Runner is who runs workers, as the leader sees it.
type Runner struct {
	Name     string `json:"name"`  // empty: nobody does
	Known    bool   `json:"known"` // it has answered this leader; else the numbers say nothing
	Wanted   int    `json:"wanted"`
	Running  int    `json:"running"` // -1: it does not know
	Leaving  int    `json:"leaving"`
	Problem  string `json:"problem,omitempty"`
	Remedy   string `json:"remedy,omitempty"`
	Failures int    `json:"failures"`
	// Again is when it is tried again.
	Again     *time.Time `json:"again,omitempty"`
	Instances []Instance `json:"instances"`
}

// Instance is one worker, as its provider knows it.
type Instance struct {
	Name    string `json:"name"`
	Process int    `json:"process,omitempty"`
	Leaving bool   `json:"leaving"`
}

// Act is an entry of the audit.
type Act struct {
	Number   uint64     `json:"number"`
	At       time.Time  `json:"at"`
	Verb     string     `json:"verb"`
	Operator string     `json:"operator,omitempty"`
	Approver string     `json:"approver,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Detail   string     `json:"detail,omitempty"`
	Node     uint32     `json:"node,omitempty"`
	From     uint32     `json:"from"`
	To       uint32     `json:"to"`
	Until    *time.Time `json:"until,omitempty"`
}

func timeOf(at journal.Millis) time.Time { return time.UnixMilli(int64(at)).UTC() }

func timeOrNil(at journal.Millis) *time.Time {
	if at == 0 {
		return nil
	}
	t := timeOf(at)
	return &t
}

func wishOf(w *journal.Wish) *Wish {
	if w.Number == 0 {
		return nil
	}
	return &Wish{Number: w.Number, Value: w.Value, At: timeOf(w.At), Until: timeOrNil(w.Until), Reason: w.Reason, Operator: w.Operator, Approver: w.Approver}
}

func leverOf(w *journal.Wanted) Lever {
	l := Lever{Fence: w.Fence, Wished: w.Now.Number > 0, Value: w.Now.Value, Base: w.Base, Wish: wishOf(&w.Now), Pending: wishOf(&w.Pending)}
	if !l.Wished {
		l.Value = w.Base
	}
	return l
}

// scaleNow is how the levers stand. ok is false when the node does not say in time.
func (p *port) scaleNow() (s Scale, ok bool) {
	members, ok := p.membersNow(Readiness{})
	if !ok {
		return Scale{}, false
	}
	w := p.Levers.Wishes()
	s = Scale{
		Node: members.Self, Leader: members.Leader, Leading: members.leading(), Workers: leverOf(&w.Workers), Level: leverOf(&w.Level),
		Ceilings: p.Levers.Ceilings(), Approval: p.Levers.Approval(), Nodes: []Node{}, Provider: Runner{Instances: []Instance{}},
	}
	for _, n := range members.Nodes {
		if n.Role == RoleWorker {
			s.Nodes = append(s.Nodes, n)
		}
	}
	config, found := p.Levers.Watch()
	s.Limit, s.Auto = limitOf(found), Auto{On: config.On(), Min: config.Min, Max: config.Max}
	if found != nil {
		s.Auto.Doing = found.Doing
	}
	name, state := p.Levers.Workers()
	r := &s.Provider
	r.Name, r.Known, r.Problem, r.Remedy, r.Failures = name, state.Known, state.Problem, state.Remedy, state.Failures
	r.Wanted, r.Running, r.Leaving = state.Standing.Wanted, state.Standing.Running, state.Standing.Leaving
	if !state.Again.IsZero() {
		again := state.Again.UTC()
		r.Again = &again
	}
	for _, i := range state.Standing.Instances {
		r.Instances = append(r.Instances, Instance{Name: i.Name, Process: i.Process, Leaving: i.Leaving})
	}
	if !s.Workers.Wished && r.Known {
		s.Workers.Value, s.Workers.Base = uint32(r.Wanted), uint32(r.Wanted)
	}
	return s, true
}

func (p *port) levers(w http.ResponseWriter) bool {
	if p.Levers == nil {
		fail(w, p.noJournal("what is wished for"))
	}
	return p.Levers != nil
}

func (p *port) scale(w http.ResponseWriter, _ *http.Request) {
	if !p.levers(w) {
		return
	}
	s, ok := p.scaleNow()
	if !ok {
		fail(w, problem{
			Status: http.StatusServiceUnavailable, Code: "silent", Detail: fmt.Sprintf("the node does not say within %v how it stands", GlanceTimeout),
			Remedy: "ask another node; look at this one's disk and log",
		})
		return
	}
	answer(w, http.StatusOK, s)
}

func (p *port) acts(w http.ResponseWriter, _ *http.Request) {
	if !p.levers(w) {
		return
	}
	acts, err := p.Levers.Acts(ActsMax)
	if err != nil {
		failWith(w, err)
		return
	}
	out := struct {
		Acts []Act `json:"acts"`
	}{make([]Act, 0, len(acts))}
	for i := range acts {
		out.Acts = append(out.Acts, actOf(&acts[i]))
	}
	answer(w, http.StatusOK, out)
}

func actOf(a *journal.Act) Act {
	return Act{
		Number: a.Number, At: timeOf(a.At), Verb: a.Verb, Operator: a.Operator, Approver: a.Approver, Reason: a.Reason, Detail: a.Detail,
		Node: uint32(a.Node), From: a.From, To: a.To, Until: timeOrNil(a.Until),
	}
}

// WishRequest is the body of POST /api/v1/scale/{lever}.
type WishRequest struct {
	Fence      uint64 `json:"fence"` // of the lever, as it was seen
	Value      uint32 `json:"value"` // workers, or 0 normal, 1 reserve, 2 emergency
	ForSeconds int64  `json:"forSeconds"`
	Reason     string `json:"reason"`
	// Approval has it wait for a second operator, also where that is not asked for.
	Approval bool `json:"approval,omitempty"`
}

// ApproveRequest is the body of POST /api/v1/scale/{lever}/approve.
type ApproveRequest struct {
	Number uint64 `json:"number"` // of the wish that waits
	Reason string `json:"reason"`
}

func leverNamed(r *http.Request) (journal.Lever, error) {
	switch name := r.PathValue("lever"); name {
	case "workers":
		return journal.LeverWorkers, nil
	case "level":
		return journal.LeverLevel, nil
	default:
		return 0, &bad{fmt.Sprintf("the lever is %.40q", name), "say workers or level"}
	}
}

func (p *port) wish(w http.ResponseWriter, r *http.Request) {
	lever, err := leverNamed(r)
	var in WishRequest
	if err != nil {
		failWith(w, err)
		return
	}
	if !body(w, r, &in) || !p.levers(w) {
		return
	}
	if in.ForSeconds < 0 || in.ForSeconds > int64(WishForMax/time.Second) {
		failWith(w, &bad{fmt.Sprintf("forSeconds is %d", in.ForSeconds), fmt.Sprintf("choose 1 to %d, which is 31 days, or 0 for no end", int64(WishForMax/time.Second))})
		return
	}
	highest := uint32(scaling.WorkersMax)
	if lever == journal.LeverLevel {
		highest = journal.LevelEmergency
	}
	if in.Value > highest {
		failWith(w, &bad{fmt.Sprintf("value is %d", in.Value), fmt.Sprintf("choose 0 to %d", highest)})
		return
	}
	in.Approval = in.Approval || p.Levers.Approval()
	p.perform(w, r, verb{
		name: "scale-" + lever.String(), reason: in.Reason, alone: lever == journal.LeverLevel, entered: true,
		attributes: []any{"lever", lever.String(), "value", in.Value, "for", (time.Duration(in.ForSeconds) * time.Second).String(), "approval", in.Approval},
		preview:    func(m *Members) ([]string, error) { return p.previewWish(m, lever, &in) },
		do:         func(context.Context, *Change) error { return p.doWish(lever, &in, caller(r)) },
	})
}

// doWish commits a wish. Repeated after its outcome was not known it finds itself in force.
func (p *port) doWish(lever journal.Lever, in *WishRequest, who string) error {
	s, ok := p.scaleNow()
	if !ok {
		return fmt.Errorf("the node does not say within %v how it stands; nothing was changed", GlanceTimeout)
	}
	if lever == journal.LeverWorkers && !(s.Leading && s.Provider.Known) {
		// Only the leader knows how many run, which is what the first wish goes back to.
		leader, operator := p.Cluster.Leader()
		if s.Leading {
			leader, operator = 0, ""
		}
		return &NotLeader{Leader: leader, Operator: operator}
	}
	put := &command.PutWish{
		Lever: command.Lever(lever), Fence: in.Fence, Value: in.Value, Base: s.Workers.Base, Reason: in.Reason, Operator: who, Approval: in.Approval,
	}
	if lever == journal.LeverLevel {
		put.Base = journal.LevelNormal
	}
	if in.ForSeconds > 0 {
		put.UntilMs = time.Now().UnixMilli() + in.ForSeconds*1000
	}
	verdict, err := p.Levers.Move(&journal.Command{Body: &command.Command_PutWish{PutWish: put}})
	switch {
	case err != nil:
		return err
	case verdict == journal.NotAllowed:
		return overtaken(p.Levers.Wishes().Of(lever))
	case verdict != journal.Done:
		return fmt.Errorf("the journal did not take the wish: %s", verdict)
	}
	return nil
}

// overtaken is told to who has moved a lever that has been moved since it was looked at.
func overtaken(now *journal.Wanted) error {
	text := fmt.Sprintf("somebody else has moved this lever since you looked: it is at %d now", now.Now.Value)
	if now.Now.Operator != "" {
		text += fmt.Sprintf(", by %s, because: %s", now.Now.Operator, now.Now.Reason)
	}
	return &refusal{ErrNotAllowed, text, "look again with `netbank scale status`, and wish again if it is still needed"}
}

func (p *port) approve(w http.ResponseWriter, r *http.Request) {
	lever, err := leverNamed(r)
	var in ApproveRequest
	if err != nil {
		failWith(w, err)
		return
	}
	if !body(w, r, &in) || !p.levers(w) {
		return
	}
	p.perform(w, r, verb{
		name: "scale-approve", reason: in.Reason, alone: lever == journal.LeverLevel, entered: true, attributes: []any{"lever", lever.String(), "number", in.Number},
		preview: func(m *Members) ([]string, error) {
			pending := &p.Levers.Wishes().Of(lever).Pending
			if pending.Number == 0 || pending.Number != in.Number {
				return nil, &refusal{ErrNotAllowed, fmt.Sprintf("no wish %d waits for a second operator", in.Number), "`netbank scale status` shows what waits"}
			}
			if pending.Operator == caller(r) {
				return nil, &refusal{ErrNotAllowed, "who has wished cannot agree as well", "ask another operator, with a certificate of their own"}
			}
			return append(m.elsewhere(), fmt.Sprintf("The wish of %s comes into force: %s becomes %d.", pending.Operator, lever, pending.Value)), nil
		},
		do: func(context.Context, *Change) error {
			verdict, err := p.Levers.Move(&journal.Command{Body: &command.Command_ApproveWish{ApproveWish: &command.ApproveWish{Lever: command.Lever(lever), Number: in.Number, Operator: caller(r)}}})
			switch {
			case err != nil:
				return err
			case verdict == journal.NotFound:
				return &refusal{ErrNotAllowed, "the wish waits no longer", "`netbank scale status` shows what waits"}
			case verdict == journal.NotAllowed:
				return &refusal{ErrNotAllowed, "who has wished cannot agree as well", "ask another operator, with a certificate of their own"}
			case verdict != journal.Done:
				return fmt.Errorf("the journal did not take it: %s", verdict)
			}
			return nil
		},
	})
}

// previewWish says what a wish does, or why it is refused.
func (p *port) previewWish(m *Members, lever journal.Lever, in *WishRequest) ([]string, error) {
	s, ok := p.scaleNow()
	if !ok {
		return nil, fmt.Errorf("the node does not say within %v how it stands", GlanceTimeout)
	}
	now := &s.Workers
	if lever == journal.LeverLevel {
		now = &s.Level
	}
	effect := m.elsewhere()
	if in.Fence != now.Fence {
		return nil, overtaken(p.Levers.Wishes().Of(lever))
	}
	if lever == journal.LeverWorkers {
		switch {
		case s.Provider.Name == "":
			return nil, &refusal{ErrNotAllowed, "nobody runs workers here: the coordinators were started without --scale", "start them with --scale local, exec or kubernetes; or start workers by hand: `netbank cluster token --role worker`"}
		case s.Leading && !s.Provider.Known && s.Provider.Problem == "":
			return nil, &refusal{ErrNotAllowed, "the provider of workers has not said yet what runs", "do it again in a moment"}
		case s.Leading && !s.Provider.Known:
			return nil, &refusal{ErrNotAllowed, "the provider of workers does not say what runs: " + s.Provider.Problem, s.Provider.Remedy}
		}
		effect = append(effect, fmt.Sprintf("%s instead of %s run (%s).", workersText(in.Value), workersText(now.Value), s.Provider.Name))
		if in.Value < now.Value {
			effect = append(effect, "Those that leave serve who is there, and take nobody new; no request fails.")
		}
	} else {
		effect = append(effect, fmt.Sprintf("The gate's ceiling becomes %d seats (%s) instead of %d (%s).", s.Ceilings[in.Value], levelNames[in.Value], s.Ceilings[now.Value], levelNames[min(now.Value, 2)]))
		if in.Value > 0 && s.Ceilings[in.Value] == s.Ceilings[0] {
			effect = append(effect, "That is no more than normal: no --core-seats-reserve or --core-seats-emergency was given to the coordinators.")
		}
		if s.Ceilings[in.Value] > s.Ceilings[now.Value] {
			effect = append(effect, "A core that is slow already gets slower with more inside; look whether it is.")
		}
	}
	if in.ForSeconds > 0 {
		end := time.Now().Add(time.Duration(in.ForSeconds) * time.Second)
		back := fmt.Sprint(now.Base)
		if lever == journal.LeverLevel {
			back = levelNames[min(now.Base, journal.LevelEmergency)]
		}
		effect = append(effect, fmt.Sprintf("It goes back to %s by itself at %s.", back, stamp(end)))
	} else {
		effect = append(effect, "It stays until somebody wishes otherwise.")
	}
	if in.Approval {
		effect = append(effect, "Nothing happens before a second operator agrees, within an hour: `netbank scale approve`.")
	}
	return effect, nil
}

func workersText(n uint32) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", n)
}
