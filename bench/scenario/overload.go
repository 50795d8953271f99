package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Limits of the scenario overload.
const (
	// confirmObjective is how long a customer who has sent his code may have to wait for the bank's word.
	confirmObjective = 2 * time.Second
	// overloadWarmUp is how long the load runs before it is measured, and never longer than the measurement: queues and convoys need time
	// to build up.
	overloadWarmUp = 4 * time.Second
	// overloadGrace is how long customers who are on their way may go on when no new ones come.
	overloadGrace = 15 * time.Second
	// lineStay is how long customers stay in the waiting line, where there is one.
	lineStay = 30 * time.Second
	// healed is how fast the core is made when the load has ended, so that what is left inside is answered before the audit.
	healed = 100.
	// rest bounds the wait until nothing is under way any more between two multiples: send-by and core limit have to pass for what is in
	// doubt.
	rest = 90 * time.Second
	// customerConnections bounds the connections of waiting customers: each who waits for an answer holds one.
	customerConnections = 12_000
	// narrowCore is the reference core (ps: σ 0.02, κ 0.00024, knee near 64) made eight times narrower: it does an eighth of its work,
	// and does with n calls inside what the other does with 8n, so that one small machine can offer ten times its peak. Wider machines
	// may be given the reference core itself.
	narrowCore      = "ps:0.16,0.01536"
	narrowCoreSeats = 8
)

// overload offers multiples of what the core can do, to a bank with admission control and to one without.
func overload() *Scenario {
	return &Scenario{
		Name: "overload",
		Help: "more customers than the core can serve: with admission control, and without",
		Defaults: Options{
			Seconds: 20, CoreModel: narrowCore, CoreSeats: narrowCoreSeats, Pace: .1, Multiples: []float64{.5, .9, 1.2, 2, 5, 10},
			Arms: []string{report.ArmOff, report.ArmOn}, Habits: "impatient", Customers: 120_000,
		},
		Short: Options{Seconds: 6, Multiples: []float64{.5, 1.2, 3, 8}, Customers: 60_000},
		run:   func(ctx context.Context, b *bench) error { return b.overload(ctx) },
	}
}

func (b *bench) overload(ctx context.Context) error {
	b.result.Asked = "In 2010 the core systems behind the banks' pages were asked for more than they could do. A core that is asked for too much at once " +
		"does not merely fall behind: it gets slower at everything, customers who wait press the button again, and soon almost nothing " +
		"finishes. This run offers customers at multiples of what the simulated core can do at its best, to the same bank twice: with its admission " +
		"control, and without. Counted are the payments that were confirmed within two seconds from the customer's click."
	each := min(overloadWarmUp, b.measure()) + b.measure() + 28*time.Second
	b.Plan(time.Duration(len(b.Arms)*len(b.Multiples))*each + time.Duration(len(b.Arms))*10*time.Second)
	for _, arm := range b.Arms {
		if err := b.overloadArm(ctx, arm); err != nil {
			return fmt.Errorf("%s: %w", arm, err)
		}
	}
	b.overloadHeadlines()
	most := slices.Max(b.Multiples)
	b.frontHeadlines(fmt.Sprintf("confirmed in time at %v × the core's peak", most), func(arm string) string { return overloadName(arm, most) })
	b.note("The core is simulated and speaks ISO 8583 over TCP: %s, at most %d seats. Its shape is that of the reference core, made narrower so that one small machine can exceed it.", b.CoreModel, b.CoreSeats)
	if b.Line {
		b.note("With admission control new customers wait in a line (--line), for up to %v, before they sign in. Goodput counts whoever was served in the seconds after the warm-up, whenever he had come; the wait is counted apart, as the step %q.", lineStay, people.StepLine)
	} else {
		b.leftOut("The waiting line: --line has it.")
	}
	b.leftOut("Express debits and balances are no part of this load: it is customers who confirm payments.",
		"The network has no delay and loses nothing.")
	return nil
}

// habits are how the customers of overload behave.
func (b *bench) habits() people.Habits {
	if b.Habits == "patient" {
		return b.customers(people.Patient())
	}
	return b.customers(people.Impatient())
}

func (b *bench) overloadArm(ctx context.Context, arm string) error {
	b.Do(arm + ": starting a bank")
	if err := b.raise(ctx, b.bankOf(arm)); err != nil {
		return err
	}
	defer b.lower()
	for _, multiple := range b.Multiples {
		if err := b.target.coreSpeed(ctx, 1); err != nil {
			return err
		}
		peak, err := b.corePeak(ctx)
		if err != nil {
			return err
		}
		if err := b.overloadStep(ctx, arm, multiple, peak); err != nil {
			return fmt.Errorf("at %v times the core's peak: %w", multiple, err)
		}
	}
	return b.audit(ctx, arm)
}

// corePeak is how many payments a second the core can do at its best, at the speed in force.
func (b *bench) corePeak(ctx context.Context) (float64, error) {
	peak, err := b.target.peak(ctx)
	if err != nil {
		return 0, err
	}
	if peak.Unlimited || peak.DebitsPerSecond <= 0 {
		return 0, fmt.Errorf("the core model %s has no peak that could be exceeded; choose another with --core-model, such as ps", b.CoreModel)
	}
	return peak.DebitsPerSecond, nil
}

// overloadStep offers one multiple of the core's peak, and waits until nothing is under way any more.
func (b *bench) overloadStep(ctx context.Context, arm string, multiple, peak float64) error {
	offered := multiple * peak
	b.Do(fmt.Sprintf("%s: %.0f customers a second, %v × the core's peak", arm, offered, multiple))
	habits := b.habits()
	phase := report.Phase{
		Name: overloadName(arm, multiple), Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Flow],
		What: fmt.Sprintf("customers come from the shop at %.0f a second, %v times what the core can do, sign in and confirm", offered, multiple),
		Arm:  arm, Multiple: multiple, PeakPerSecond: peak, OfferedPerSecond: offered,
	}
	w := b.watching(ctx, 250*time.Millisecond, false)
	warmUp := min(overloadWarmUp, b.measure()) + habits.Think.Whole()
	job := people.Job{
		Kind: people.Flow, Curve: load.Constant(offered), WarmUp: warmUp, Measure: b.measure(), CoolDown: habits.Think.Whole() + confirmObjective, Grace: overloadGrace,
		Habits: habits, SLO: confirmObjective, Connections: customerConnections,
	}
	if b.Line && arm == report.ArmOn {
		// Who waits is served later than he comes: whoever came counts, at the time when he was served.
		job.WarmUp, job.Measure = 0, warmUp+b.measure()
		job.Habits.Queues, job.Grace = lineStay, lineStay+overloadGrace
	}
	_, err := b.together(ctx, []report.Phase{phase}, []people.Job{job})
	w.end(ctx, b.target)
	if err != nil {
		return err
	}
	done := &b.result.Phases[len(b.result.Phases)-1]
	if job.WarmUp == 0 {
		done.GoodputPercent = 100 * inTimeFrom(done, warmUp) / peak
	}
	done.Admitted, done.Waiting, done.Inside = w.admitted(), int64(w.queued), int64(w.seats)
	return b.heal(ctx, fmt.Sprintf("%s at %v times the peak", arm, multiple))
}

// heal makes the core fast when a load has ended, and waits until nothing is under way any more.
func (b *bench) heal(ctx context.Context, after string) error {
	if err := b.target.coreSpeed(ctx, healed); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, rest)
	defer cancel()
	if err := b.auditor.Await(waiting, false); err != nil && ctx.Err() == nil {
		b.fail("%s: %v after %v with a healed core", after, err, rest)
	}
	return ctx.Err()
}

// inTimeFrom is how many were served in time in each second of a phase, from a time on until nobody came any more.
func inTimeFrom(p *report.Phase, from time.Duration) float64 {
	first, last := int((from+time.Second-1)/time.Second), min(int(p.Seconds), len(p.Timeline))
	sum := int64(0)
	for _, second := range p.Timeline[min(first, last):last] {
		sum += second.InSLO
	}
	return float64(sum) / max(float64(last-first), 1)
}

// overloadName names a phase by its arm and multiple.
func overloadName(arm string, multiple float64) string {
	return fmt.Sprintf("overload-%s-%vx", armWord(arm), multiple)
}

// overloadHeadlines says what the highest multiple did to each arm.
func (b *bench) overloadHeadlines() {
	if len(b.Arms) < 2 {
		return
	}
	most := slices.Max(b.Multiples)
	on, off := b.result.Phase(overloadName(report.ArmOn, most)), b.result.Phase(overloadName(report.ArmOff, most))
	if on == nil || off == nil {
		return
	}
	b.headline(report.Headline{
		Name: fmt.Sprintf("confirmed in time at %v × the core's peak", most), Value: on.GoodputPercent, Unit: "% of the peak",
		Against: "without admission control", Baseline: off.GoodputPercent,
		Text: fmt.Sprintf("With %v times more customers than the core can serve, this is the part of the core's best that still ended as payments confirmed within %v.", most, confirmObjective),
	})
	b.headline(report.Headline{
		Name: "inside the core at once, at most", Value: float64(on.Inside), Unit: "payments", Against: "without admission control", Baseline: float64(off.Inside),
		Text: "What the bank let into the core at the same time. A core that has too much inside slows down for all of it.",
	})
	b.headline(report.Headline{
		Name: "customers left without a word", Value: share(on.Abandoned+on.InDoubt, on.Offered), Unit: "% of those who came",
		Against: "without admission control", Baseline: share(off.Abandoned+off.InDoubt, off.Offered),
		Text: "Who sent his code and gave up before the bank could say whether he had paid. Who is refused knows that he has not.",
	})
}

// share is a part in per cent.
func share(part, of int64) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(part) / float64(of)
}
