package gate

import "time"

// Constants of the feasibility test, tuned in simulation.
const (
	budgetKept   = 0.3  // of the budget that an offer must have to spare: estimates err, and networks take time
	waitPart     = 0.35 // of the budget that an offer may have to wait: who presses again after three seconds is not served before he does if debits wait longer
	leftoverMin  = 0.05 // of the rate that a class is believed to have, however much better classes take
	retryMin     = 250 * time.Millisecond
	retryMax     = 60 * time.Second
	retryUnknown = time.Second // least for what no rate can tell: a stall, a broken connection
	retryPlan    = retryMax    // a plan ends when an operator says so
)

// Levels is what a node needs to refuse at its own door what the gate would refuse anyway, by class.
// The zero value lets everything through to the gate.
type Levels [Classes]Level

// Level is how full the gate is for one class. It is a value without pointers, made to be copied to every node.
type Level struct {
	Shut       Reason        // if not Admitted: every offer is refused, with this reason and RetryAfter
	RetryAfter time.Duration // with Shut
	Tested     bool          // more than half of the seats are taken: an offer has to be feasible
	Stalled    bool          // the core has stopped answering
	Wait       time.Duration // the least that an offer made now would wait: for better classes alone
	CallTime   time.Duration // how long a call of weight 1 takes in 95 of 100 cases
	Later      time.Duration // the least RetryAfter of what is refused because there is too much
}

// Refuses tells whether the gate would refuse an offer of this weight and budget now, and if so why and when to come again:
// Admitted if it would not. It allocates nothing. The gate makes the same test at its own door with more knowledge, of
// partners and tiers: it may refuse what a level lets through, but never the other way about.
//
// An offer is feasible if it waits no longer than a third of its budget, and if the wait and a slow call fit into seven tenths of it. Below half of the seats no
// test is made, so that a gate whose estimates are wrong can still learn better ones.
func (l Level) Refuses(weight float64, budget time.Duration) (Reason, time.Duration) {
	if l.Shut != Admitted {
		return l.Shut, l.RetryAfter
	}
	return l.infeasible(workOf(weight), min(budget, BudgetMax))
}

func (l Level) infeasible(cost work, budget time.Duration) (Reason, time.Duration) {
	if budget <= 0 {
		return TooLate, max(retryMin, l.Later)
	}
	if !l.Tested {
		return Admitted, 0
	}
	call := time.Duration(float64(l.CallTime) * float64(cost) / float64(workUnit))
	over := max(l.Wait-time.Duration(waitPart*float64(budget)), l.Wait+call-time.Duration((1-budgetKept)*float64(budget)))
	if over <= 0 {
		return Admitted, 0
	}
	if l.Stalled {
		return Stalled, max(retryUnknown, retryIn(over))
	}
	return TooLate, max(retryIn(over), l.Later)
}

func retryIn(d time.Duration) time.Duration { return min(max(d, retryMin), retryMax) }

// Level tells, per class, what an offer made now would meet.
func (g *Gate) Level() Levels {
	var ls Levels
	for class := range ls {
		ls[class] = g.level(Class(class), 0)
	}
	return ls
}

// level tells what an offer meets that has so much work of its own class ahead of it.
func (g *Gate) level(class Class, own work) Level {
	seatTime := g.seatTime()
	l := Level{
		Stalled:  g.stalled,
		Wait:     g.wait(class, own, seatTime),
		Tested:   g.crowded() && !g.hasOwnSeat(class),
		CallTime: time.Duration(g.estimate.tail * seatTime),
		Later:    g.rushes[class].later(g.now),
	}
	switch {
	case g.breaker:
		l.Shut, l.RetryAfter = Breaker, g.again(g.breakerSince)
	case g.closed[class]:
		l.Shut, l.RetryAfter = Plan, retryPlan
	case g.queue.length >= g.queueMax && g.queue.givesWay(class) == none && !g.seatFor(class):
		l.Shut, l.RetryAfter = g.fullFor(class, g.wait(class, g.queue.workOf[class], seatTime))
	}
	return l
}

// fullFor is the refusal at a full queue: if the core is silent, that is why it is full.
func (g *Gate) fullFor(class Class, wait time.Duration) (Reason, time.Duration) {
	if g.stalled {
		return Stalled, g.again(g.quietSince)
	}
	return QueueFull, max(retryIn(wait), g.rushes[class].later(g.now))
}

// again answers when to come back after something of which only its beginning is known: what has lasted some time is
// expected to last about as long again (Gott, Nature 1993).
func (g *Gate) again(since Time) time.Duration {
	return min(max(g.now-since, retryUnknown), retryMax)
}

// wait estimates how long an offer of this class made now would wait for its seat, with so much work of its own class
// ahead of it: that and the work of better classes over the rate that these leave, or its own class's work over
// the guaranteed rate, whichever is shorter. seatTime is the gate's, which costs a division or two.
func (g *Gate) wait(class Class, own work, seatTime float64) time.Duration {
	ahead, better := own, work(0)
	for c := range class {
		ahead += g.queue.workOf[c]
		better += g.workInside[c]
	}
	if ahead == 0 {
		return 0
	}
	// Time for a unit of work to pass the seats when they are all taken.
	perWork := seatTime / (float64(g.seats()) * float64(workUnit))
	leftover := 1.0
	if g.workInsideAll > 0 {
		leftover = max(leftoverMin, 1-float64(better)/float64(g.workInsideAll))
	}
	wait := float64(ahead) * perWork / leftover
	if share := g.shares[class]; share > 0 {
		wait = min(wait, float64(own)*perWork/share)
	}
	return time.Duration(min(wait, float64(BudgetMax)))
}

// seatTime is how long a unit of work holds its seat, in ns: the mean of the answers, or that times half of what the calls inside are older than usual, which
// sees a core slow down before any answer does.
func (g *Gate) seatTime() float64 {
	if g.own.work == 0 {
		return g.estimate.stretch
	}
	return max(g.estimate.stretch, agedPart*g.age()/max(g.estimate.age, 1))
}

// age is the mean age of the calls inside, per unit of weight, in ns.
func (g *Gate) age() float64 {
	return float64(g.own.ages(g.now)) * float64(workUnit) / float64(g.own.work)
}
