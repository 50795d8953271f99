package gate

import (
	container "container/heap"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sharedCore is a core that shares its processors among the calls inside, and loses to contention and to coherence
// what the universal scalability law says (Gunther, Guerrilla Capacity Planning, 2007): with n calls inside, each
// progresses at the rate 1/(1 + sigma(n-1) + kappa n(n-1)). Its knee lies near 64.
type sharedCore struct {
	now      float64 // s
	attained float64 // service that a call has had which was inside from the beginning, s
	inside   runs
}

const (
	sigma      = 0.02
	kappa      = 0.00024
	demandMean = 0.040 // s; lognormal with coefficient of variation 1
)

type run struct {
	ticket Ticket
	ends   float64 // in attained service
	began  float64
}

type runs []run

func (r runs) Len() int           { return len(r) }
func (r runs) Less(i, j int) bool { return r[i].ends < r[j].ends }
func (r runs) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *runs) Push(x any)        { *r = append(*r, x.(run)) }
func (r *runs) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

func rate(n int) float64 {
	x := float64(n)
	return 1 / (1 + sigma*(x-1) + kappa*x*(x-1))
}

// peak is the most that the core can do, in calls per second.
func peak() float64 {
	best := 0.0
	for n := 1; n < 4096; n++ {
		best = max(best, float64(n)*rate(n)/demandMean)
	}
	return best
}

func (c *sharedCore) advance(to float64) {
	if len(c.inside) > 0 {
		c.attained += (to - c.now) * rate(len(c.inside))
	}
	c.now = to
}

func (c *sharedCore) enter(t Ticket, demand float64) {
	container.Push(&c.inside, run{ticket: t, ends: c.attained + demand, began: c.now})
}

// next is when the next call ends if nothing changes.
func (c *sharedCore) next() float64 {
	if len(c.inside) == 0 {
		return math.Inf(1)
	}
	return c.now + max(0, c.inside[0].ends-c.attained)/rate(len(c.inside))
}

// load is one simulated run.
type load struct {
	times  float64 // of the core's peak
	budget time.Duration
	length float64 // s
	seed   uint64
}

// goodput plays Poisson arrivals of confirmations before the core, through a gate if there is one, and returns the answers
// that came within the budget as a part of the core's peak. The first fifth of the time is left out.
func (l load) goodput(g *Gate) float64 {
	random := rand.New(rand.NewPCG(l.seed, 11))
	core := &sharedCore{}
	deadline := map[Ticket]float64{}
	good, arrival, ticket := 0, 0.0, Ticket(0)
	var out []Decision
	spread := math.Sqrt(math.Ln2) // of a lognormal with coefficient of variation 1
	enter := func(t Ticket) { core.enter(t, demandMean*math.Exp(spread*random.NormFloat64()-spread*spread/2)) }
	follow := func() {
		for _, d := range out {
			if d.Action == Start {
				enter(d.Ticket)
			} else {
				delete(deadline, d.Ticket)
			}
		}
	}
	for core.now < l.length {
		end, tick := core.next(), math.Inf(1)
		if g != nil {
			if at, any := g.Next(seconds(core.now)); any {
				tick = max(core.now, at.Seconds()+1e-9)
			}
		}
		switch {
		case end <= arrival && end <= tick:
			core.advance(end)
			r := container.Pop(&core.inside).(run)
			if due, known := deadline[r.ticket]; known && core.now <= due && core.now > l.length/5 {
				good++
			}
			if g != nil {
				out = g.Answer(seconds(core.now), r.ticket, seconds(core.now-r.began), core.now > deadline[r.ticket], out[:0])
				follow()
			}
			delete(deadline, r.ticket)
		case arrival <= tick:
			core.advance(arrival)
			ticket++
			deadline[ticket] = core.now + l.budget.Seconds()
			if g == nil {
				enter(ticket)
			} else {
				out = g.Offer(seconds(core.now), Offer{Ticket: ticket, Class: Confirm, Weight: 1, Budget: l.budget}, out[:0])
				follow()
			}
			arrival += random.ExpFloat64() / (l.times * peak())
		default:
			core.advance(tick)
			out = g.Tick(seconds(core.now), out[:0])
			follow()
		}
	}
	return float64(good) / (0.8 * l.length * peak())
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func TestOverload_TheGateKeepsTheCoreAtItsPeak(t *testing.T) {
	for _, times := range []float64{0.5, 0.9, 1.2, 5} {
		l := load{times: times, budget: 2 * time.Second, length: 10, seed: 1}
		without := l.goodput(nil)
		with := l.goodput(New(Config{Limit: 64}))
		t.Logf("%4.1f x the peak: %3.0f %% of it answered in time with the gate, %3.0f %% without", times, 100*with, 100*without)
		if with < 0.85*min(times, 1) {
			t.Errorf("with the gate %.0f %% of the peak at %.1f x", 100*with, times)
		}
		if times >= 2 && without > 0.40 {
			t.Errorf("without a gate %.0f %% of the peak at %.1f x: the core does not suffer as it should", 100*without, times)
		}
	}
}
