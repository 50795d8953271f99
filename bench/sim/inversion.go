package sim

import (
	"time"

	"netbank/cluster/gate"
)

// precedence watches from outside, by the decisions and nothing else, whether work starts before better work. A start is an inversion if at that moment a call of a
// better class waits for a seat, or is refused with time enough to be answered; it is explained if the guaranteed share of its class asks for it:
//
//   - the class holds fewer whole seats than its share of the limit, or
//   - what it starts so beyond those is no more than its share of all the work that is started, in any time, and one debit. That is what rounding to whole seats
//     takes away: 5 % of 16 seats are none.
type precedence struct {
	shares  [gate.Classes]float64
	waiting [gate.Classes]int
	refused [gate.Classes]time.Duration // when the last one was that had time enough; -1: never
	spare   [gate.Classes]float64       // how much a class may start by the second rule, in debits
	perWork float64                     // mean time in the core for each unit of weight, of about the last hundred answers, in ns
}

const (
	spareMax   = 1.0 // debits
	answerGain = 0.01
)

func newPrecedence() precedence {
	p := precedence{shares: gate.Default().Shares}
	for class := range p.refused {
		p.refused[class], p.spare[class] = -1, spareMax
	}
	return p
}

// answered notes how long a call was in the core.
func (p *precedence) answered(elapsed time.Duration, weight float64) {
	took := float64(elapsed) / weight
	if p.perWork == 0 {
		p.perWork = took
	}
	p.perWork += answerGain * (took - p.perWork)
}

// refuses notes a refusal of what would have had so much time left.
func (p *precedence) refuses(now time.Duration, class gate.Class, reason gate.Reason, left time.Duration, weight float64) {
	if (reason == gate.QueueFull || reason == gate.TooLate) && float64(left) > p.perWork*weight {
		p.refused[class] = now
	}
}

// starts notes a start, before its class holds the seat, and reports whether it is an inversion, and whether a share explains it.
func (p *precedence) starts(now time.Duration, class gate.Class, weight float64, held, limit int) (inversion, explained bool) {
	for better := range class {
		inversion = inversion || p.waiting[better] > 0 || p.refused[better] == now
	}
	share := p.shares[class]
	explained = inversion && share > 0 && held < int(share*float64(limit))
	if inversion && !explained && share > 0 && p.spare[class] > 0 {
		explained = true
		p.spare[class] -= weight
	}
	for c, share := range p.shares {
		p.spare[c] = min(p.spare[c]+share*weight, spareMax)
	}
	return inversion, explained
}
