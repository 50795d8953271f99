package cluster

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// step is one thing that happens in a random history of three nodes.
type step struct {
	move
	node  int
	delay time.Duration
}

func (s step) GoString() string {
	return fmt.Sprintf("\n{move{%q, %d, script%+v, %d, %d}, %d, %d}", s.what, s.pause, s.script, s.budget, s.which, s.node, s.delay)
}

// voter is a node of the step that has a journal.
func (s step) voter() int { return s.node % 3 }

func drawSteps(t *rapid.T, nodes int) []step {
	draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
	ms := func(name string, to int) time.Duration { return time.Duration(draw(name, 0, to)) * time.Millisecond }
	kinds := []string{
		"pay", "pay", "pay", "pay", "pay", "pay", "again", "again", "elect", "elect", "depose and lose", "depose and keep", "hold", "hold and cut", "release",
		"usurp", "notice", "cut", "cut", "cut", "slow", "fast", "deafen", "hear", "lag", "kill", "core gone", "core back", "no core", "core again", "pause",
		"balance", "balance", "doubt", "look", "look", "look",
	}
	steps := make([]step, draw("steps", 5, 40))
	for i := range steps {
		s := &steps[i]
		s.what = rapid.SampledFrom(kinds).Draw(t, "what")
		s.node = draw("node", 0, nodes-1)
		s.pause = ms("pause", 300)
		if rapid.Bool().Draw(t, "at once") {
			s.pause = time.Duration(draw("µs", 0, 4000)) * time.Microsecond
		}
		s.budget = ms("budget", 15000)
		s.which = draw("which", 0, 1000)
		if s.what == "pause" {
			s.pause = ms("long pause", 8000)
		}
		if s.what == "slow" || s.what == "lag" {
			s.delay = ms("delay", 700)
		}
		if rapid.Bool().Draw(t, "plain") {
			continue
		}
		s.script = drawScript(t)
	}
	return steps
}

func drawScript(t *rapid.T) script {
	s := script{work: time.Duration(rapid.IntRange(0, 9500).Draw(t, "work")) * time.Millisecond}
	switch rapid.IntRange(0, 6).Draw(t, "fault") {
	case 0:
		s.decline = "51"
	case 1:
		s.lose = true
	case 2:
		s.mute = true
	case 3:
		s.mute, s.late = true, true
	case 4:
		s.notSent = true
	case 5:
		s.doubt = "96"
	}
	return s
}

// saga is one run of the steps, and what was told to whom.
type saga struct {
	r       *trio
	scripts map[journal.PaymentID]script
	orders  []Confirmation
	asks    sync.WaitGroup

	mu      sync.Mutex
	tries   map[journal.PaymentID]int
	noes    map[journal.PaymentID]int
	told    map[journal.PaymentID]journal.Payment
	settled int
	wrong   []string
	usurped bool
	shown   map[*Node]map[journal.PaymentID]uint32
}

func newSaga(r *trio) *saga {
	h := &saga{
		r: r, scripts: make(map[journal.PaymentID]script), tries: make(map[journal.PaymentID]int),
		noes: make(map[journal.PaymentID]int), told: make(map[journal.PaymentID]journal.Payment),
		shown: make(map[*Node]map[journal.PaymentID]uint32),
	}
	r.core.script = func(d Debit) script {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.scripts[d.Payment]
	}
	return h
}

func (h *saga) wrongf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

func (h *saga) confirm(node int, x Confirmation) {
	n := h.r.nodes[node]
	h.asks.Go(func() {
		start := time.Now()
		got, err := n.Confirm(x)
		if over := time.Since(start) - x.Budget; over > WithdrawWait+time.Second {
			h.wrongf("EverythingIsBounded: a confirmation with a budget of %v took %v longer", x.Budget, over)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tries[x.Payment]++
		switch {
		case errors.Is(err, ErrNoLeader) || errors.Is(err, ErrOverloaded) || errors.Is(err, ErrClosed) || got.Refusal != nil:
			h.noes[x.Payment]++
		case err == nil && got.Payment.Version > h.told[x.Payment].Version:
			h.told[x.Payment] = got.Payment
		}
	})
}

// look looks a payment up at a node, and holds the node to rule 8: it never shows an older version than it has shown, nor says that
// there is none.
func (h *saga) look(node int, id journal.PaymentID) {
	n := h.r.nodes[node]
	h.mu.Lock()
	before := h.shown[n][id]
	h.mu.Unlock()
	h.asks.Go(func() {
		p, ok, err := n.Payment(id)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.shown[n] == nil {
			h.shown[n] = make(map[journal.PaymentID]uint32)
		}
		switch {
		case ok:
			h.shown[n][id] = max(h.shown[n][id], p.Version)
		case err == nil && !h.usurped: // a leader that has been deposed and does not know may say so, until its lease ends
			h.wrong = append(h.wrong, fmt.Sprintf("rule 8: node %d says that there is no %v", node+1, id))
		}
		if ok && p.Version < before {
			h.wrong = append(h.wrong, fmt.Sprintf("rule 8: node %d showed version %d of %v, and then %d", node+1, before, id, p.Version))
		}
	})
}

func (h *saga) leader() *member {
	h.r.group.mu.Lock()
	defer h.r.group.mu.Unlock()
	return h.r.members[max(h.r.group.leader, 0)]
}

func (h *saga) do(s step) {
	time.Sleep(s.pause)
	r := h.r
	switch s.what {
	case "pay":
		x := r.create()
		x.Budget = s.budget
		h.mu.Lock()
		h.scripts[x.Payment] = s.script
		h.mu.Unlock()
		h.orders = append(h.orders, x)
		h.confirm(s.node, x)
	case "again":
		if len(h.orders) > 0 {
			h.confirm(s.node, h.orders[s.which%len(h.orders)])
		}
	case "look":
		if len(h.orders) > 0 {
			h.look(s.node, h.orders[s.which%len(h.orders)].Payment)
		}
	case "balance":
		n := r.nodes[s.node]
		h.asks.Go(func() { _, _, _ = n.Balance(gate.Inquiry, s.script.work.String(), "CNY", s.budget) })
	case "doubt":
		h.leader().doubt(fate(s.which % 2))
	case "elect":
		r.elect(s.voter())
	case "depose and lose":
		h.leader().depose(vanishes)
	case "depose and keep":
		h.leader().depose(survives)
	case "usurp": // the others elect, and the one that led does not know
		h.mu.Lock()
		h.usurped = true
		h.mu.Unlock()
		r.group.elect(r.members[s.voter()])
	case "notice":
		r.group.mu.Lock()
		leads := r.group.leader
		r.group.mu.Unlock()
		if s.voter() != leads {
			r.members[s.voter()].depose(vanishes)
		}
	case "hold":
		h.leader().hold(true)
	case "hold and cut":
		h.leader().hold(true)
		time.Sleep(s.pause)
		r.cut(s.node)
	case "release":
		h.leader().hold(false)
	case "cut":
		r.cut(s.node)
	case "slow", "fast":
		r.mu.Lock()
		r.delay = s.delay
		r.mu.Unlock()
		r.each(s.node, func(l *line) { l.slow(s.delay) })
	case "deafen":
		r.deaf[s.node].Store(true)
		r.cut(s.node)
	case "hear":
		r.deaf[s.node].Store(false)
	case "lag":
		r.members[s.voter()].lag.Store(int64(s.delay))
	case "kill":
		r.kill(s.node)
		r.bootNode(s.node)
	case "no core":
		r.noCore[s.node].Store(true)
	case "core again":
		r.noCore[s.node].Store(false)
	case "core gone":
		r.core.set(func() { r.core.gone = true })
	case "core back":
		r.core.set(func() { r.core.gone = false })
	}
}

// settle makes the world well again, and gives the resolver its time.
func (h *saga) settle() {
	r := h.r
	r.mu.Lock()
	r.delay = 0
	r.mu.Unlock()
	for i := range r.nodes {
		r.deaf[i].Store(false)
		r.noCore[i].Store(false)
		if i < len(r.members) {
			r.members[i].lag.Store(0)
		}
		r.each(i, func(l *line) { l.slow(0) })
	}
	r.elect(0)
	r.core.set(func() { r.core.gone = false })
	h.asks.Wait()
	for _, m := range r.members {
		m.lag.Store(int64(50 * time.Millisecond)) // looking at the log every millisecond is the most of a long quiet time's work
	}
	time.Sleep(90 * time.Second)
}

func (h *saga) audit(limit int) {
	for _, x := range h.orders {
		state, moved, sent := h.r.state(x), h.r.core.moved(x.Payment), h.r.core.wasSent(x.Payment)
		want := 0
		if state == journal.StateSettled {
			want = 1
			h.settled++
		}
		if moved != want || sent > 1 {
			h.wrongf("AtMostOneDebit: %v is %v, moved %d times, sent %d times", x.Payment, state, moved, sent)
		}
		if state != journal.StateReceived && !state.Final() {
			h.wrongf("UnknownIsNotFailed: %v is still %v", x.Payment, state)
		}
		if h.tries[x.Payment] == h.noes[x.Payment] && (sent > 0 || state != journal.StateReceived) {
			h.wrongf("RefusedMeansNotCharged: %v is %v and was sent %d times after nothing but certain noes", x.Payment, state, sent)
		}
		if told := h.told[x.Payment].State; told.Final() && told != state {
			h.wrongf("NothingAcknowledgedIsLost: %v was told as %v and is %v", x.Payment, told, state)
		}
	}
	if h.r.core.insideMax > limit {
		h.wrongf("SeatsAreExact: %d inside, limit %d", h.r.core.insideMax, limit)
	}
	for i, n := range h.r.nodes {
		if left := leftovers(n); left != "" {
			h.wrongf("EverythingIsBounded: node %d keeps %s", i+1, left)
		}
	}
}

// leftovers names what a node still remembers of calls that are over.
func leftovers(n *Node) string {
	said := make(chan string, 1)
	_ = n.inbox.push(event{do: func(l *leader) {
		calls := 0
		for _, g := range l.guests {
			calls += len(g.calls)
		}
		if sum := len(l.calls) + len(l.silent) + len(l.asked) + len(l.parked) + len(l.away.sent) + len(l.away.inside) + calls + l.away.bytes; sum != 0 {
			said <- fmt.Sprintf("%d calls, %d silent, %d asked, %d parked, %d sent (%d bytes), %d inside, %d of guests",
				len(l.calls), len(l.silent), len(l.asked), len(l.parked), len(l.away.sent), l.away.bytes, len(l.away.inside), calls)
			return
		}
		said <- ""
	}}, true)
	if left := <-said; left != "" {
		return left
	}
	if waiters := n.watch.waiters.Load(); waiters != 0 {
		return fmt.Sprintf("%d waiters", waiters)
	}
	if n.far == nil {
		return ""
	}
	n.far.mu.Lock()
	defer n.far.mu.Unlock()
	if len(n.far.asks) != 0 {
		return fmt.Sprintf("%d lookups", len(n.far.asks))
	}
	return ""
}

func runSaga(t *testing.T, steps []step, limit int, workers bool) (wrong []string, settled int) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, func(r *rig) { r.cfg.Gate.Limit = limit })
		defer r.close()
		if workers {
			r.addWorkers()
		}
		h := newSaga(r)
		r.lead(0)
		for _, s := range steps {
			h.do(s)
		}
		h.settle()
		h.audit(limit)
		wrong, settled = h.wrong, h.settled
	})
	return wrong, settled
}

// Whatever happens to three nodes and the streams between them in whatever order, the invariants hold once the world is well again.
func TestInvariants_HoldInRandomHistoriesOfThreeNodes(t *testing.T) {
	const limit = 3
	settled := 0
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.Custom(func(t *rapid.T) []step { return drawSteps(t, 3) }).Draw(rt, "steps")
		wrong, n := runSaga(t, steps, limit, false)
		settled += n
		for _, w := range wrong {
			rt.Error(w)
		}
	})
	if settled == 0 {
		t.Error("not one payment was settled: the histories show nothing")
	}
}

// The same with two nodes more, which have no journal, and look everything up at the others.
func TestInvariants_HoldInRandomHistoriesOfThreeNodesAndTwoWorkers(t *testing.T) {
	const limit = 3
	settled := 0
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.Custom(func(t *rapid.T) []step { return drawSteps(t, 5) }).Draw(rt, "steps")
		wrong, n := runSaga(t, steps, limit, true)
		settled += n
		for _, w := range wrong {
			rt.Error(w)
		}
	})
	if settled == 0 {
		t.Error("not one payment was settled: the histories show nothing")
	}
}
