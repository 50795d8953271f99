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

// move is one thing that happens in a random history.
type move struct {
	what   string
	pause  time.Duration // before it
	script script        // of a new payment's debit
	budget time.Duration
	which  int // payment to confirm again
}

func drawMoves(t *rapid.T) []move {
	draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
	ms := func(name string, to int) time.Duration { return time.Duration(draw(name, 0, to)) * time.Millisecond }
	kinds := []string{
		"pay", "pay", "pay", "pay", "pay", "again", "depose and lose", "depose and keep", "elect", "hold", "release", "kill", "core gone", "core back", "pause",
	}
	moves := make([]move, draw("moves", 5, 40))
	for i := range moves {
		m := &moves[i]
		m.what = rapid.SampledFrom(kinds).Draw(t, "what")
		m.pause = ms("pause", 400)
		m.budget = ms("budget", 15000)
		m.which = draw("which", 0, 1000)
		if m.what == "pause" {
			m.pause = ms("long pause", 8000)
		}
		if rapid.Bool().Draw(t, "plain") {
			continue
		}
		m.script = script{work: ms("work", 9500)}
		switch draw("fault", 0, 6) {
		case 0:
			m.script.decline = "51"
		case 1:
			m.script.lose = true
		case 2:
			m.script.mute = true
		case 3:
			m.script.mute, m.script.late = true, true
		case 4:
			m.script.notSent = true
		case 5:
			m.script.doubt = "96"
		}
	}
	return moves
}

// history is one run of the moves, and what was told to whom.
type history struct {
	r       *rig
	scripts map[journal.PaymentID]script
	orders  []Confirmation
	asks    sync.WaitGroup

	mu    sync.Mutex
	tries map[journal.PaymentID]int
	noes  map[journal.PaymentID]int // certain answers that nothing was done
	told  map[journal.PaymentID]journal.Payment
	wrong []string
}

func (h *history) wrongf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

func (h *history) confirm(x Confirmation) {
	node := h.r.node
	h.asks.Go(func() {
		got, err := node.Confirm(x)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tries[x.Payment]++
		if p, _, _ := node.Payment(x.Payment); got.Refusal != nil && p.Granted != 0 && int64(p.Granted) < time.Now().UnixMilli()-5 {
			h.wrong = append(h.wrong, fmt.Sprintf("RefusedMeansNotCharged: %v was refused when it was %v", x.Payment, p.State))
		}
		switch {
		case errors.Is(err, ErrNoLeader) || errors.Is(err, ErrOverloaded) || errors.Is(err, ErrClosed) || got.Refusal != nil:
			h.noes[x.Payment]++
		case err == nil && got.Payment.Version > h.told[x.Payment].Version:
			h.told[x.Payment] = got.Payment
		}
	})
}

func (h *history) do(m move) {
	time.Sleep(m.pause)
	r := h.r
	switch m.what {
	case "pay":
		x := r.create()
		x.Budget = m.budget
		h.mu.Lock()
		h.scripts[x.Payment] = m.script
		h.mu.Unlock()
		h.orders = append(h.orders, x)
		h.confirm(x)
	case "again":
		if len(h.orders) > 0 {
			h.confirm(h.orders[m.which%len(h.orders)])
		}
	case "depose and lose":
		r.log.depose(vanishes)
	case "depose and keep":
		r.log.depose(survives)
	case "elect":
		r.log.depose(vanishes)
		r.log.elect()
	case "hold":
		r.log.hold()
	case "release":
		r.log.release()
	case "kill":
		r.kill()
		r.start()
		r.log.elect()
	case "core gone":
		r.core.set(func() { r.core.gone = true })
	case "core back":
		r.core.set(func() { r.core.gone = false })
	}
}

// settle makes the world well again, and gives the resolver its time.
func (h *history) settle() {
	h.r.log.depose(vanishes)
	h.r.log.elect()
	h.r.core.set(func() { h.r.core.gone = false })
	h.asks.Wait()
	time.Sleep(90 * time.Second)
}

func (h *history) audit(limit int) {
	for _, x := range h.orders {
		state, moved, sent := h.r.state(x), h.r.core.moved(x.Payment), h.r.core.wasSent(x.Payment)
		want := 0
		if state == journal.StateSettled {
			want = 1
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
}

// Whatever happens in whatever order, the invariants hold once the world is well again.
func TestInvariants_HoldInRandomHistories(t *testing.T) {
	const limit = 3
	rapid.Check(t, func(rt *rapid.T) {
		moves := drawMoves(rt)
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			defer r.close()
			r.cfg.Gate = gate.Config{Limit: limit}
			h := &history{
				r: r, scripts: make(map[journal.PaymentID]script), tries: make(map[journal.PaymentID]int),
				noes: make(map[journal.PaymentID]int), told: make(map[journal.PaymentID]journal.Payment),
			}
			r.core.script = func(d Debit) script {
				h.mu.Lock()
				defer h.mu.Unlock()
				return h.scripts[d.Payment]
			}
			r.boot()
			for _, m := range moves {
				h.do(m)
			}
			h.settle()
			h.audit(limit)
			wrong = h.wrong
		})
		for _, w := range wrong {
			rt.Error(w)
		}
	})
}

// The history that once ended with a payment rejected as not sent while the core was moving its money: the NotSent of a lost
// grant met the second grant of another tab.
func TestAtMostOneDebit_ALostGrantAndASecondTab(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate = gate.Config{Limit: 3}
		h := &history{
			r: r, scripts: make(map[journal.PaymentID]script), tries: make(map[journal.PaymentID]int),
			noes: make(map[journal.PaymentID]int), told: make(map[journal.PaymentID]journal.Payment),
		}
		r.core.script = func(d Debit) script {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.scripts[d.Payment]
		}
		r.boot()
		ms := time.Millisecond
		for _, m := range []move{
			{what: "hold", pause: 7 * ms},
			{what: "pay", pause: 18 * ms, budget: 4 * ms, script: script{work: 15 * ms, decline: "51"}},
			{what: "pay", pause: 6 * ms, budget: 4736 * ms, script: script{mute: true}},
			{what: "again", pause: 41 * ms, budget: 5 * ms, which: 1},
			{what: "pay", pause: 503 * ms},
			{what: "again", pause: 46 * ms, which: 55},
		} {
			h.do(m)
		}
		h.settle()
		h.audit(3)
		for _, wrong := range h.wrong {
			t.Error(wrong)
		}
	})
}
