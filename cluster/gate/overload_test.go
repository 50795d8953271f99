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
	freeze   [2]float64 // from when to when it does nothing at all, s
}

// busy is how much of the time up to t the core could work.
func (c *sharedCore) busy(t float64) float64 {
	return t - max(0, min(t, c.freeze[1])-c.freeze[0])
}

const (
	sigma      = 0.02
	kappa      = 0.00024
	demandMean = 0.040 // s, of a confirmation
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
		c.attained += (c.busy(to) - c.busy(c.now)) * rate(len(c.inside))
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
	end := c.busy(c.now) + max(0, c.inside[0].ends-c.attained)/rate(len(c.inside))
	if end > c.freeze[0] {
		end += c.freeze[1] - c.freeze[0]
	}
	return max(end, c.now)
}

// kind is one operation of the load: its class, its part of the arrivals, its demand and its service level.
type kind struct {
	class  Class
	part   float64
	demand float64 // mean, s; lognormal with coefficient of variation 1
	budget time.Duration
}

// oneKind is confirmations alone; four kinds are those of a bank's day, with more express debits and sign-ins than their
// guaranteed shares can carry.
var (
	oneKind   = []kind{{Confirm, 1, 0.040, 2 * time.Second}}
	fourKinds = []kind{
		{Confirm, 0.4, 0.040, 2 * time.Second},
		{Express, 0.3, 0.030, 5 * time.Second},
		{SignIn, 0.2, 0.020, 3 * time.Second},
		{Inquiry, 0.1, 0.008, time.Second},
	}
)

// load is one simulated run.
type load struct {
	kinds  []kind
	times  float64 // of the core's peak
	length float64 // s
	seed   uint64
	freeze [2]float64
	from   float64 // when counting begins, s
}

// result counts by class, in seconds of demand at the mean.
type result struct {
	offered, started, good [Classes]float64
	peak                   float64 // what the core could do at its best
	frozen                 int     // calls started in a core that does nothing, after half a second of it
}

func (r result) goodput() (sum float64) {
	for _, x := range r.good {
		sum += x
	}
	return sum / r.peak
}

type arrived struct {
	kind
	due float64
}

// play lets Poisson arrivals come before the core, through a gate if there is one.
func (l load) play(g *Gate) result {
	p := &player{load: l, gate: g, random: rand.New(rand.NewPCG(l.seed, 11)), open: map[Ticket]arrived{}}
	p.core.freeze = l.freeze
	mean := 0.0
	for _, k := range l.kinds {
		mean += k.part * k.demand
	}
	arrival := 0.0
	for p.core.now < l.length {
		end, tick := p.core.next(), math.Inf(1)
		if g != nil {
			if at, any := g.Next(seconds(p.core.now)); any {
				tick = max(p.core.now, at.Seconds()+1e-9)
			}
		}
		switch {
		case end <= arrival && end <= tick:
			p.core.advance(end)
			p.end()
		case arrival <= tick:
			p.core.advance(arrival)
			p.arrive()
			arrival += p.random.ExpFloat64() / (l.times * peak() * demandMean / mean)
		default:
			p.core.advance(tick)
			p.follow(g.Tick(seconds(p.core.now), p.out[:0]))
		}
	}
	p.result.peak = (l.length - l.from) * peak() * demandMean
	return p.result
}

type player struct {
	load
	gate   *Gate
	core   sharedCore
	random *rand.Rand
	open   map[Ticket]arrived
	next   Ticket
	out    []Decision
	result result
}

func (p *player) counted() bool { return p.core.now > p.from }

func (p *player) arrive() {
	pick := p.random.Float64()
	i := 0
	for pick -= p.kinds[0].part; pick >= 0 && i+1 < len(p.kinds); pick -= p.kinds[i].part {
		i++
	}
	k := p.kinds[i]
	p.next++
	p.open[p.next] = arrived{k, p.core.now + k.budget.Seconds()}
	if p.counted() {
		p.result.offered[k.class] += k.demand
	}
	if p.gate == nil {
		p.enter(p.next)
		return
	}
	p.follow(p.gate.Offer(seconds(p.core.now), Offer{Ticket: p.next, Class: k.class, Weight: k.demand / 0.030, Budget: k.budget}, p.out[:0]))
}

func (p *player) enter(t Ticket) {
	k := p.open[t]
	if p.core.now > p.freeze[0]+0.5 && p.core.now < p.freeze[1] {
		p.result.frozen++
	}
	if p.counted() {
		p.result.started[k.class] += k.demand
	}
	spread := math.Sqrt(math.Ln2) // of a lognormal with coefficient of variation 1
	p.core.enter(t, k.demand*math.Exp(spread*p.random.NormFloat64()-spread*spread/2))
}

func (p *player) follow(out []Decision) {
	for _, d := range out {
		if d.Action == Start {
			p.enter(d.Ticket)
		} else {
			delete(p.open, d.Ticket)
		}
	}
	p.out = out
}

// end takes the core's answer to the call that is next to end.
func (p *player) end() {
	r := container.Pop(&p.core.inside).(run)
	k := p.open[r.ticket]
	delete(p.open, r.ticket)
	if p.core.now <= k.due && p.counted() {
		p.result.good[k.class] += k.demand
	}
	if p.gate != nil {
		p.follow(p.gate.Answer(seconds(p.core.now), r.ticket, seconds(p.core.now-r.began), p.core.now > k.due, p.out[:0]))
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func TestOverload_TheGateKeepsTheCoreAtItsPeak(t *testing.T) {
	for _, times := range []float64{0.5, 0.9, 1.2, 5} {
		l := load{kinds: oneKind, times: times, length: 10, from: 2, seed: 1}
		without, with := l.play(nil).goodput(), l.play(New(Config{Limit: 64})).goodput()
		t.Logf("%.1f x the peak: %.0f %% of it answered in time with the gate, %.0f %% without", times, 100*with, 100*without)
		if with < 0.85*min(times, 1) {
			t.Errorf("with the gate %.0f %% of the peak at %.1f x", 100*with, times)
		}
		if times >= 2 && without > 0.40 {
			t.Errorf("without a gate %.0f %% of the peak at %.1f x: the core does not suffer as it should", 100*without, times)
		}
	}
}

func TestOverload_BetterClassesFirst_GuaranteedSharesAreKept(t *testing.T) {
	for _, times := range []float64{0.9, 1.5, 5} {
		r := load{kinds: fourKinds, times: times, length: 20, from: 4, seed: 1}.play(New(Config{Limit: 64}))
		t.Logf("%.1f x the peak: %.0f %% of it answered in time", times, 100*r.goodput())
		if r.goodput() < 0.85*min(times, 1) {
			t.Errorf("%.0f %% of the peak at %.1f x", 100*r.goodput(), times)
		}
		for _, k := range fourKinds {
			c := k.class
			t.Logf("    %-8v offered %3.0f %%, started %3.0f %%, in time %3.0f %% of the peak", c,
				100*r.offered[c]/r.peak, 100*r.started[c]/r.peak, 100*r.good[c]/r.peak)
			if r.good[c] < 0.9*r.started[c] {
				t.Errorf("%v: %.0f of %.0f were started in vain", c, r.started[c]-r.good[c], r.started[c])
			}
			if share := Default().Shares[c]; r.good[c] < 0.85*min(share*r.peak, r.offered[c]) {
				t.Errorf("%v got %.3f of the peak, its share is %.3f", c, r.good[c]/r.peak, share)
			}
		}
		if times < 2 && r.good[Confirm] < 0.95*r.offered[Confirm] {
			t.Errorf("confirmations that the core could carry were turned away")
		}
	}
}

func TestOverload_AFrozenCoreIsProbedAndThenFilledAgain(t *testing.T) {
	for _, times := range []float64{0.5, 5} {
		r := load{kinds: oneKind, times: times, length: 15, from: 10, seed: 1, freeze: [2]float64{4, 9}}.play(New(Config{Limit: 64}))
		t.Logf("%.1f x the peak, frozen for 5 s: %d probes; from one second after, %.0f %% of the peak", times, r.frozen, 100*r.goodput())
		if r.frozen > Probes {
			t.Errorf("%d calls were sent into a core that does nothing", r.frozen)
		}
		if r.goodput() < 0.85*min(times, 1) {
			t.Errorf("%.0f %% of the peak at %.1f x after a stall", 100*r.goodput(), times)
		}
	}
}
