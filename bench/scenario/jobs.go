package scenario

import (
	"context"
	"fmt"
	"time"

	"netbank/bench/audit"
	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// auditWait bounds the wait for payments that are still under way when the load has ended.
const auditWait = time.Minute

// requestsEach are the requests of what each kind of job counts, where nothing has to be repeated.
var requestsEach = map[string]int{people.Flow: 8, people.Returning: 7, people.Confirm: 2, people.Create: 1, people.Status: 1, people.SignIn: 3}

// raise starts a new bank with the options of the run.
func (b *bench) raise(ctx context.Context, bank Bank) (err error) {
	bank.CoreModel, bank.CoreSeats, bank.CoreFixed, bank.CoreSync, bank.Customers = b.CoreModel, b.CoreSeats, b.CoreFixed, b.CoreSync, b.Customers
	if bank.Nodes = b.Nodes; !bank.Wished {
		bank.Workers = b.Workers
	}
	bank.Line = b.Line && !bank.AdmissionOff
	if b.target, err = b.rig.Raise(ctx, bank); err != nil {
		return err
	}
	b.told, b.number, b.customer = nil, 0, 0
	b.auditor, err = audit.NewBank(b.target.Demo)
	return err
}

// lower forgets the bank; the rig ends it with the next one, or at its own end.
func (b *bench) lower() { b.target, b.auditor, b.told = nil, nil, nil }

// audit holds what clients were told against the journal and the core's ledger of the bank that is raised.
func (b *bench) audit(ctx context.Context, of string) error {
	b.Do("audit")
	waiting, cancel := context.WithTimeout(ctx, auditWait)
	defer cancel()
	if err := b.auditor.Await(waiting, false); err != nil && ctx.Err() == nil {
		b.fail("%v after %v", err, auditWait)
	}
	found, err := b.auditor.Collect(ctx, b.told, false)
	if err != nil {
		return err
	}
	if of == "" {
		b.result.Audit = found
	} else {
		b.result.Audits = append(b.result.Audits, report.Audited{Of: of, Report: found})
	}
	b.Say("  %s", found)
	if !found.OK() {
		b.fail("the audit has %d findings: %s", found.FindingsCount, fmt.Sprint(found.FindingsByRule))
	}
	return nil
}

func (b *bench) headline(h report.Headline) { b.result.Headlines = append(b.result.Headlines, h) }

func (b *bench) leftOut(what ...string) { b.result.LeftOut = append(b.result.LeftOut, what...) }

// customers gives habits with their times of reading and typing at the run's pace.
func (b *bench) customers(h people.Habits) people.Habits {
	h.Think = h.Think.Times(b.Pace)
	return h
}

// customerRoom is how many customers an open job is given for each flow that its schedule has on average.
const customerRoom = 1.2

// closedRoom is how many customers a second a closed job is given: more than any machine that this was tried on gets through.
const closedRoom = 4000

// confirmRoom is the same for confirmations alone, of which there are more.
const confirmRoom = 15_000

// codeLife is how long a one-time code is spent, with room for clocks that differ by a step.
const codeLife = 61 * time.Second

// crowd gives a job customers whom no job before it has used; from the beginning again when all were used, once their codes are
// fresh.
func (b *bench) crowd(ctx context.Context, j *people.Job) error {
	if !people.ByCustomers(j.Kind) {
		return nil
	}
	span := (j.WarmUp + j.Measure + j.CoolDown).Seconds()
	want := int(closedRoom * span)
	if j.Kind == people.Confirm {
		want = int(confirmRoom * span)
	}
	if len(j.Curve) > 0 {
		want = int(j.Curve.Expected(j.WarmUp+j.Measure+j.CoolDown)*customerRoom) + 100
	}
	all := len(b.target.Demo.Customers)
	want = min(want, all)
	if b.customer+want > all {
		b.customer = 0
		b.Do("waiting until the codes of customers who have paid are fresh again; more --customers save the time")
		select {
		case <-time.After(codeLife):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	j.Customers = people.Range{From: b.customer, To: b.customer + want}
	b.customer += want
	return nil
}

// together carries out jobs at the same time and makes a phase of each.
func (b *bench) together(ctx context.Context, phases []report.Phase, jobs []people.Job) ([]*people.Outcome, error) {
	for i := range jobs {
		j := &jobs[i]
		// A seed for each job: its arrivals come at moments of their own, and its idempotency keys are not those of another.
		j.Name, j.Seed = phases[i].Name, load.Mix(b.Seed, uint64(b.jobs))
		b.jobs++
		if err := b.crowd(ctx, j); err != nil {
			return nil, err
		}
	}
	var before usage
	outcomes, err := b.rig.Generators().Run(ctx, b.target.Demo, jobs, func() {
		before = b.used()
		if start := b.onStart; start != nil {
			b.onStart = nil
			start()
		}
	})
	if gone := b.rig.Alive(); gone != nil {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	for i, o := range outcomes {
		p := phases[i]
		p.Loop, p.Connections, p.SLOSeconds, p.People = "closed", jobs[i].Connections, jobs[i].SLO.Seconds(), jobs[i].Habits.String()
		if len(jobs[i].Curve) > 0 {
			p.Loop = "open"
		}
		b.take(p, o.Load, before)
		if err := o.Void(); err != nil && o.Load.Void() == nil {
			b.void("%s: %v", p.Name, err)
		}
		b.told = append(b.told, o.Told...)
		if o.Unserved > 0 || o.Waited > 0 {
			b.note("%s: %d flows found no customer with a fresh code, and %d requests waited for a connection.", p.Name, o.Unserved, o.Waited)
		}
	}
	return outcomes, nil
}

// alone carries out one job.
func (b *bench) alone(ctx context.Context, p report.Phase, j people.Job) (*people.Outcome, error) {
	o, err := b.together(ctx, []report.Phase{p}, []people.Job{j})
	if err != nil {
		return nil, err
	}
	return o[0], nil
}

// stepOf finds a step of an outcome.
func stepOf(o *people.Outcome, name string) *load.StepResult {
	for i := range o.Load.Steps {
		if o.Load.Steps[i].Name == name {
			return &o.Load.Steps[i]
		}
	}
	return nil
}
