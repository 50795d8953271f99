package generator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"netbank/bench/demo"
	"netbank/bench/people"
)

// lead is how long before the common start the processes are told of it.
const lead = 100 * time.Millisecond

// Local carries out jobs in this process.
type Local struct{}

// Number is one.
func (Local) Number() int { return 1 }

// Run prepares all jobs, calls ready, begins them at one moment, and gives an outcome for each.
func (Local) Run(ctx context.Context, d *demo.Demo, jobs []people.Job, ready func()) ([]*people.Outcome, error) {
	return carryOut(ctx, d, jobs, func() (time.Time, error) {
		ready()
		return time.Now().Add(lead), nil
	})
}

// carryOut prepares jobs, asks when to start, and runs them together.
func carryOut(ctx context.Context, d *demo.Demo, jobs []people.Job, start func() (time.Time, error)) ([]*people.Outcome, error) {
	prepared := make([]*people.Prepared, 0, len(jobs))
	defer func() {
		for _, p := range prepared {
			p.Close()
		}
	}()
	for _, j := range jobs {
		p, err := people.Prepare(ctx, d, j)
		if err != nil {
			return nil, fmt.Errorf("generator: preparing %s: %w", j.Name, err)
		}
		prepared = append(prepared, p)
	}
	at, err := start()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes, errs := make([]*people.Outcome, len(jobs)), make([]error, len(jobs))
	var group sync.WaitGroup
	for i, p := range prepared {
		p.Start = at
		group.Go(func() {
			if outcomes[i], errs[i] = p.Run(ctx); errs[i] != nil {
				errs[i] = fmt.Errorf("generator: %s: %w", jobs[i].Name, errs[i])
				cancel()
			}
		})
	}
	group.Wait()
	return outcomes, errors.Join(errs...)
}
