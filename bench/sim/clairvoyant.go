package sim

import (
	"math"
	"time"
)

// The clairvoyant's time is cut into bins; a call may be served in any bin that its time touches.
const (
	bin            = 500 * time.Millisecond
	thinkBins      = 200 // longer thoughts count as that long
	descents       = 600
	leaderlessEnds = 250 * time.Millisecond // twice what the calls inside take at the knee
	dearestSecond  = 1200.0                 // value of a second of work, above which no price needs to go
)

// Clairvoyant is an upper bound of the value that anybody could get from a run, who knows beforehand when the core can do how
// much and who comes when, but not how much work a single call will be. While there is no leader nobody can let anybody in, he no more than others.
//
// It is found by linear-programming duality. Let the core's work be for sale, at a price for each half second. Whatever the prices are,
//
//	value of any plan <= takings from selling all that the core can do at its knee
//	                   + what every customer gains at best, at these prices
//
// because a plan's value is what its customers pay plus what they gain, and they cannot pay for more than the core can do. An express debit gains its
// value less its mean work at the lowest price within its time, or nothing. A flow decides step by step: sign in, at which moment of its
// time; then view; then, after a thought whose length is not known before, confirm or not. So the precedence of the steps, the times of thought and all deadlines are in the bound. The prices are
// then lowered and raised where the core is idle and oversold (a subgradient descent), and the lowest sum is the bound. Any sum would be one.
//
// It errs upward: work may be split and served in pieces, the knee is held at once in every weather, a wait between tries costs nothing, and time is
// rounded up to half seconds. So 100 % cannot quite be reached.
func (s *Scenario) clairvoyant(arrivals *[streams][]time.Duration, line bool) float64 {
	m := newMarket(s, arrivals)
	m.line = line
	best := math.Inf(1)
	for _, flat := range []float64{0, 50, 90, 100, 110, 125, 140, 160, 172, 180, 200, 220, 250, 267, 300} {
		for i := range m.trial {
			m.trial[i] = flat / s.Scale
		}
		if sum := m.bound(m.trial); sum < best {
			best = sum
			copy(m.price, m.trial)
		}
	}
	return m.descend(best)
}

// market is the core's work for sale.
type market struct {
	s        *Scenario
	line     bool // flows may wait outside before their time begins
	bins     int
	capacity []float64 // seconds of work that a bin can do
	flows    []float64 // customers that come in a bin
	express  []float64
	inquiry  []float64
	think    []float64 // probability of each length of thought, in bins
	price    []float64 // of a second of work
	trial    []float64
	used     []float64 // seconds of work that customers would buy

	signIn, view, confirm []float64 // gain of who comes to this step in a bin
	signInAt, viewAt      []int     // the bin in which it is then served, or -1
	confirmAt             []int
	thought               []float64 // gain of who begins to think in a bin
	signed, viewed, ready []float64 // customers at each step
}

func newMarket(s *Scenario, arrivals *[streams][]time.Duration) *market {
	n := int((s.Length + bin - 1) / bin)
	line := func() []float64 { return make([]float64, n) }
	m := &market{
		s: s, bins: n, capacity: line(), flows: line(), express: line(), inquiry: line(), price: line(), trial: line(), used: line(),
		signIn: line(), view: line(), confirm: line(), thought: line(), signed: line(), viewed: line(), ready: line(),
		signInAt: make([]int, n), viewAt: make([]int, n), confirmAt: make([]int, n),
	}
	for stream, at := range arrivals {
		into := m.express
		switch stream {
		case flowStream:
			into = m.flows
		case inquiryStream:
			into = m.inquiry
		}
		for _, t := range at {
			into[min(int(t/bin), n-1)]++
		}
	}
	m.weather()
	m.think = thoughts(s.Think)
	return m
}

// weather finds what the core can do in each bin: its best at the knee of the model that holds, times its capacity.
func (m *market) weather() {
	factor, model, next := 1.0, m.s.Core, 0
	const steps = 50
	for i := range m.capacity {
		for step := range steps {
			at := time.Duration(i)*bin + bin*time.Duration(step)/steps
			for next < len(m.s.Weather) && m.s.Weather[next].At <= at {
				w := m.s.Weather[next]
				factor = w.Capacity
				if w.Model != nil {
					model = *w.Model
				}
				next++
			}
			if m.leaderless(at) {
				continue
			}
			_, best := model.Knee()
			m.capacity[i] += factor * best * bin.Seconds() / steps
		}
	}
}

// leaderless tells whether nothing can be let in at a time, and what was inside has ended.
func (m *market) leaderless(at time.Duration) bool {
	for _, c := range m.s.Changes {
		if at >= c.At+leaderlessEnds && at < c.At+c.For {
			return true
		}
	}
	return false
}

// thoughts is the distribution of the length of a thought over bins: lognormal, with a coefficient of variation of 1.
func thoughts(mean time.Duration) []float64 {
	sigma := math.Sqrt(math.Ln2)
	mu := math.Log(mean.Seconds()) - sigma*sigma/2
	below := func(t float64) float64 {
		if t <= 0 {
			return 0
		}
		return 0.5 * math.Erfc(-(math.Log(t)-mu)/(sigma*math.Sqrt2))
	}
	p := make([]float64, thinkBins)
	for k := range p {
		p[k] = below(float64(k+1)*bin.Seconds()) - below(float64(k)*bin.Seconds())
	}
	p[thinkBins-1] += 1 - below(thinkBins*bin.Seconds())
	return p
}

// window is how many bins after that of its arrival may serve a call: its time, and what its further tries add.
func (m *market) window(o Operation) int {
	h := m.s.Habits
	again := max(h.Again, time.Duration(0))
	if h.Heeds {
		again = max(again, h.Patience) // as long as he may be told to wait, within reason
	}
	all := o.terms().slo + time.Duration(h.Tries-1)*(again+min(h.Patience, o.terms().slo))
	return int((all + bin - 1) / bin)
}

// best finds the bin from b on that serves a call at the greatest gain, or -1 if none brings any.
func (m *market) best(b, window int, price []float64, o Operation, after []float64) (gain float64, at int) {
	at = -1
	for i := b; i <= min(b+window, m.bins-1); i++ {
		g := m.s.value(o) - price[i]*m.s.demand(o)
		if after != nil {
			g += after[i]
		}
		if g > gain {
			gain, at = g, i
		}
	}
	return gain, at
}

// bound gives the sum for a set of prices, and leaves in used what would be bought.
func (m *market) bound(price []float64) float64 {
	sum := 0.0
	for i := range m.used {
		m.used[i] = 0
		m.signed[i], m.viewed[i], m.ready[i] = 0, 0, 0
		sum += price[i] * m.capacity[i]
	}
	sum += m.single(m.express, price, Express) + m.single(m.inquiry, price, Inquiry)
	windows := [...]int{m.window(SignIn), m.window(View), m.window(Confirm)}
	for b := m.bins - 1; b >= 0; b-- {
		m.confirm[b], m.confirmAt[b] = m.best(b, windows[2], price, Confirm, nil)
	}
	for b := range m.thought {
		m.thought[b] = 0
		for k := 0; k < thinkBins && b+k < m.bins; k++ {
			m.thought[b] += goesOn * m.think[k] * m.confirm[b+k]
		}
	}
	for b := range m.view {
		m.view[b], m.viewAt[b] = m.best(b, windows[1], price, View, m.thought)
	}
	for b := m.bins - 1; b >= 0; b-- {
		m.signIn[b], m.signInAt[b] = m.best(b, windows[0], price, SignIn, m.view)
		if m.line && b+1 < m.bins && m.signIn[b+1] > m.signIn[b] { // waiting in the line costs nothing, and nobody loses patience there
			m.signIn[b], m.signInAt[b] = m.signIn[b+1], m.signInAt[b+1]
		}
		sum += m.flows[b] * m.signIn[b]
	}
	m.follow()
	return sum
}

func (m *market) single(who, price []float64, o Operation) (sum float64) {
	window := m.window(o)
	for b, n := range who {
		if n == 0 {
			continue
		}
		gain, at := m.best(b, window, price, o, nil)
		sum += n * gain
		if at >= 0 {
			m.used[at] += n * m.s.demand(o)
		}
	}
	return sum
}

// follow lets the flows buy what they decided to.
func (m *market) follow() {
	buy := func(at int, n float64, o Operation) bool {
		if at < 0 || n == 0 {
			return false
		}
		m.used[at] += n * m.s.demand(o)
		return true
	}
	for b, n := range m.flows {
		if buy(m.signInAt[b], n, SignIn) {
			m.signed[m.signInAt[b]] += n
		}
	}
	for b, n := range m.signed {
		if buy(m.viewAt[b], n, View) {
			m.viewed[m.viewAt[b]] += n
		}
	}
	for b, n := range m.viewed {
		for k := 0; n > 0 && k < thinkBins && b+k < m.bins; k++ {
			m.ready[b+k] += n * goesOn * m.think[k]
		}
	}
	for b, n := range m.ready {
		buy(m.confirmAt[b], n, Confirm)
	}
}

// descend lowers the prices where the core would be idle and raises them where it is oversold. The steps become smaller; the mean
// of the prices so far is looked at as well, which is less restless.
func (m *market) descend(best float64) float64 {
	mean := make([]float64, m.bins)
	copy(mean, m.price)
	work := 0.0
	for _, c := range m.capacity {
		work += c
	}
	work /= float64(m.bins)
	m.bound(m.price)
	for i := 1; i <= descents; i++ {
		step := 12 / m.s.Scale / math.Sqrt(float64(i))
		for b := range m.price {
			over := max(-2, min(2, (m.used[b]-m.capacity[b])/work))
			m.price[b] = min(max(0, m.price[b]+step*over), dearestSecond/m.s.Scale)
			mean[b] += (m.price[b] - mean[b]) / float64(min(i, 100))
		}
		best = min(best, m.bound(m.price))
		if i%10 == 0 {
			copy(m.trial, mean)
			best = min(best, m.bound(m.trial))
			m.bound(m.price)
		}
	}
	return best
}
