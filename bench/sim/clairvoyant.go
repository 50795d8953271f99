package sim

import (
	"math"
	"time"
)

// The clairvoyant's time is cut into bins; a call may be served in any bin that its time touches.
const (
	bin            = 500 * time.Millisecond
	thinkBins      = 200                    // longer thoughts count as that long
	leaderlessEnds = 250 * time.Millisecond // twice what the calls inside take at the knee
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
// time; then view; then, after a thought whose length is not known before, confirm or not. So the precedence of the steps, the times of thought and all deadlines are in the bound. Any sum
// would be one; it is the lowest that haggle finds.
//
// It errs upward: work may be split and served in pieces, the knee is held at once in every weather, a wait between tries costs nothing, and time is
// rounded up to half seconds. So 100 % cannot quite be reached.
func (s *Scenario) clairvoyant(arrivals *[streams][]time.Duration, line bool) float64 {
	return newMarket(s, arrivals, line).haggle()
}

// market is the core's work for sale.
type market struct {
	s        *Scenario
	line     bool // flows may wait outside before their time begins
	bins     int
	capacity []float64             // seconds of work that a bin can do
	come     [Operations][]float64 // customers who come to this step in a bin
	think    []float64             // probability of each length of thought, in bins
	price    []float64             // of a second of work
	used     []float64             // seconds of work that customers buy
	offer    [Operations][]float64 // what it brings to be served in a bin, with all that comes after it
	gain     [Operations][]float64 // what it brings to come in a bin: the best offer within one's time, or nothing
	scratch  [3][]float64
	bought   float64 // value of it
}

func newMarket(s *Scenario, arrivals *[streams][]time.Duration, line bool) *market {
	n := int((s.Length + bin - 1) / bin)
	each := func() []float64 { return make([]float64, n) }
	m := &market{s: s, line: line, bins: n, capacity: each(), price: each(), used: each(), scratch: [3][]float64{each(), each(), each()}}
	for o := range Operations {
		m.come[o], m.offer[o], m.gain[o] = each(), each(), each()
	}
	for stream, at := range arrivals {
		into := m.come[Express]
		switch stream {
		case flowStream:
			into = m.come[SignIn]
		case inquiryStream:
			into = m.come[Inquiry]
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
	if o == SignIn && m.line { // waiting in the line costs nothing, and nobody loses patience there
		return m.bins
	}
	h := m.s.Habits
	again := max(h.Again, time.Duration(0))
	if h.Heeds {
		again = max(again, h.Patience) // as long as he may be told to wait, within reason
	}
	all := o.terms().slo + time.Duration(h.Tries-1)*(again+min(h.Patience, o.terms().slo))
	return int((all + bin - 1) / bin)
}

// What haggling is like. The constants are such that what is bought in the end is worth within half a hundredth of the bound, in most
// scenarios within a thousandth, and takes half a hundredth more than the core can do.
const (
	rounds       = 2000
	looks        = 20
	firstPrice   = 172.0 // value of a second of a flow's work: what the core's work is worth when it is always wanted
	firstHaste   = 5.0   // by which a price changes in a round, in the same unit
	lastHaste    = 0.05
	firstBlur    = 0.3 // value by which an offer must be better to be taken nearly always
	lastBlur     = 0.003
	recentExcess = 0.9 // part of what is remembered of earlier rounds
	usualExcess  = 0.99
)

// haggle finds prices at which about as much is bought as the core can do, by a gradient descent on the sum: where more is bought the price
// goes up. At one price for all, everybody would buy here in one round and there in the next; so offers that are
// nearly as good as the best are taken as well, the less the longer it goes on (the maximum becomes a log-sum-exp, which is smooth).
// Steps are scaled price by price, as in D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015.
func (m *market) haggle() float64 {
	for b := range m.price {
		m.price[b] = firstPrice / m.s.Scale
	}
	lowest := m.sum(0)
	usual := 0.0
	for _, c := range m.capacity {
		usual += c / float64(m.bins)
	}
	recent, spread := make([]float64, m.bins), make([]float64, m.bins)
	for round := 1; round <= rounds; round++ {
		part := float64(round) / rounds
		blur := firstBlur * math.Pow(lastBlur/firstBlur, part)
		m.sum(blur)
		m.buy(blur)
		haste := firstHaste * math.Pow(lastHaste/firstHaste, part) / m.s.Scale
		for b := range m.price {
			excess := (m.used[b] - m.capacity[b]) / usual
			recent[b] = recentExcess*recent[b] + (1-recentExcess)*excess
			spread[b] = usualExcess*spread[b] + (1-usualExcess)*excess*excess
			mean := recent[b] / (1 - math.Pow(recentExcess, float64(round)))
			size := math.Sqrt(spread[b]/(1-math.Pow(usualExcess, float64(round)))) + 1e-3
			m.price[b] = max(0, m.price[b]+haste*mean/size)
		}
		if round%(rounds/looks) == 0 {
			lowest = min(lowest, m.sum(0))
		}
	}
	return lowest
}

// sum is what the core takes and what customers gain at these prices. With a blur it is a little more.
func (m *market) sum(blur float64) float64 {
	sum := 0.0
	for b, price := range m.price {
		sum += price * m.capacity[b]
	}
	for _, o := range [...]Operation{Express, Inquiry, Confirm, View, SignIn} {
		demand, value := m.s.demand(o), m.s.value(o)
		for b, price := range m.price {
			m.offer[o][b] = value - price*demand
		}
		switch o {
		case View:
			m.thenConfirm(m.offer[View])
		case SignIn:
			for b, after := range m.gain[View] {
				m.offer[SignIn][b] += after
			}
		}
		m.best(m.offer[o], m.gain[o], m.window(o), blur)
		for b, gain := range m.gain[o] {
			gain = either(gain, 0, blur) // he need not
			m.gain[o][b] = gain
			if o != Confirm && o != View { // the gain of those is in the sign-in's
				sum += m.come[o][b] * gain
			}
		}
	}
	return sum
}

// thenConfirm adds to each bin what it brings to begin to think there.
func (m *market) thenConfirm(offer []float64) {
	for b := range offer {
		for k, p := range m.think[:min(thinkBins, m.bins-b)] {
			offer[b] += goesOn * p * m.gain[Confirm][b+k]
		}
	}
}

// buy finds what would be bought at the gains that sum has left.
func (m *market) buy(blur float64) {
	clear(m.used)
	m.bought = 0
	clear(m.come[View])
	clear(m.come[Confirm])
	for _, o := range [...]Operation{Express, Inquiry, SignIn, View, Confirm} {
		served := m.served(o, blur)
		demand := m.s.demand(o)
		for b, n := range served {
			m.used[b] += n * demand
			m.bought += n * m.s.value(o)
			switch {
			case n == 0:
			case o == SignIn:
				m.come[View][b] = n
			case o == View:
				for k, p := range m.think[:min(thinkBins, m.bins-b)] {
					m.come[Confirm][b+k] += n * goesOn * p
				}
			}
		}
	}
}

// served is how many are served of this step in each bin: of those who come in a bin, the part exp((offer-gain)/blur) takes an offer.
func (m *market) served(o Operation, blur float64) []float64 {
	who, served := m.scratch[0], m.scratch[1]
	for b, n := range m.come[o] {
		who[m.bins-1-b] = blur*math.Log(n) - m.gain[o][b]
	}
	m.best(who, served, m.window(o), blur)
	for i, j := 0, m.bins-1; i < j; i, j = i+1, j-1 {
		served[i], served[j] = served[j], served[i]
	}
	for b, offer := range m.offer[o] {
		served[b] = math.Exp((served[b] + offer) / blur)
	}
	return served
}

// best gives for each bin the best of it and the next ones: the maxima of sliding windows, by the method of M. van Herk (1992), which holds for any
// associative operation.
func (m *market) best(of, best []float64, window int, blur float64) {
	size := min(window+1, m.bins)
	upTo := m.scratch[2] // the best of a block of that size, from its beginning
	for b, x := range of {
		if b%size != 0 {
			x = either(upTo[b-1], x, blur)
		}
		upTo[b] = x
	}
	for b := m.bins - 1; b >= 0; b-- { // and from there to its end
		best[b] = of[b]
		if b+1 < m.bins && (b+1)%size != 0 {
			best[b] = either(best[b+1], of[b], blur)
		}
	}
	for b := range best {
		if end := min(b+size-1, m.bins-1); b/size != end/size {
			best[b] = either(best[b], upTo[end], blur)
		}
	}
}

// either is the greater of two; with a blur, a little more than that.
func either(a, b, blur float64) float64 {
	if a < b {
		a, b = b, a
	}
	if blur == 0 || a-b > 40*blur || math.IsInf(a, -1) {
		return a
	}
	return a + blur*math.Log1p(math.Exp((b-a)/blur))
}
