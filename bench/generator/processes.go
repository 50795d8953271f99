package generator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/people"
)

// order is what a process is told: first the jobs, then the start.
type order struct {
	Demo  string       `json:"demo,omitempty"` // folder of demo.json
	Jobs  []people.Job `json:"jobs,omitempty"`
	Start time.Time    `json:"start,omitzero"`
}

// report is what a process says: first that it is ready, then what came of it; or at any time why it cannot.
type report struct {
	Ready    bool              `json:"ready,omitempty"`
	Outcomes []*people.Outcome `json:"outcomes,omitempty"`
	Error    string            `json:"error,omitempty"`
}

// Serve carries out orders that come from in, one after the other, until in ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	orders, reports := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	var (
		d   *demo.Demo
		dir string
	)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("generator: an order: %w", err)
		}
		answer := report{}
		err := func() (err error) {
			if d == nil || dir != o.Demo {
				if d, err = demo.Load(o.Demo); err != nil {
					return err
				}
				dir = o.Demo
			}
			answer.Outcomes, err = carryOut(ctx, d, o.Jobs, func() (time.Time, error) {
				if err := reports.Encode(report{Ready: true}); err != nil {
					return time.Time{}, err
				}
				var start order
				if err := orders.Decode(&start); err != nil {
					return time.Time{}, fmt.Errorf("generator: no start came: %w", err)
				}
				return start.Start, nil
			})
			return err
		}()
		if err != nil {
			answer = report{Error: err.Error()}
		}
		if err := reports.Encode(answer); err != nil {
			return fmt.Errorf("generator: %w", err)
		}
	}
}

// ProcessesMax bounds the processes that share a load.
const ProcessesMax = load.SharesMax

// Processes are children that share every job. One goroutine uses them.
type Processes struct{ children []*child }

type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	orders *json.Encoder
	heard  *json.Decoder
}

// Start starts n processes; command makes the command line of a program that calls Serve with its standard input and output. It must make them
// end with this process.
func Start(n int, command func() *exec.Cmd) (*Processes, error) {
	if n < 1 || n > ProcessesMax {
		return nil, fmt.Errorf("generator: %d processes; 1 to %d are possible", n, ProcessesMax)
	}
	p := &Processes{}
	for range n {
		cmd := command()
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, fmt.Errorf("generator: %w", err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, fmt.Errorf("generator: %w", err)
		}
		if err := cmd.Start(); err != nil {
			p.Close()
			return nil, fmt.Errorf("generator: starting a process: %w", err)
		}
		p.children = append(p.children, &child{cmd, in, json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))})
	}
	return p, nil
}

// Number is how many processes there are.
func (p *Processes) Number() int { return len(p.children) }

// PIDs are their process ids.
func (p *Processes) PIDs() []int {
	var all []int
	for _, c := range p.children {
		all = append(all, c.cmd.Process.Pid)
	}
	return all
}

// Close ends the processes.
func (p *Processes) Close() {
	for _, c := range p.children {
		c.in.Close()
	}
	for _, c := range p.children {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
	p.children = nil
}

// Run gives every process its share of the jobs. An error, and the end of ctx, leave the processes in a state in which they can only be closed.
func (p *Processes) Run(ctx context.Context, d *demo.Demo, jobs []people.Job, ready func()) ([]*people.Outcome, error) {
	stop := context.AfterFunc(ctx, func() {
		for _, c := range p.children {
			_ = c.cmd.Process.Kill()
		}
	})
	defer stop()
	err := p.each(func(k int, c *child) error {
		mine := make([]people.Job, len(jobs))
		for i, j := range jobs {
			j.Share, j.Of = k, len(p.children)
			mine[i] = j
		}
		if err := c.orders.Encode(order{Demo: d.Path("."), Jobs: mine}); err != nil {
			return err
		}
		r, err := c.hear()
		if err == nil && !r.Ready {
			err = errors.New("it did not say that it is ready")
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	ready()
	start := time.Now().Add(lead)
	shares := make([][]*people.Outcome, len(p.children))
	err = p.each(func(k int, c *child) error {
		if err := c.orders.Encode(order{Start: start}); err != nil {
			return err
		}
		r, err := c.hear()
		if err == nil && len(r.Outcomes) != len(jobs) {
			err = fmt.Errorf("it gave %d outcomes of %d jobs", len(r.Outcomes), len(jobs))
		}
		shares[k] = r.Outcomes
		return err
	})
	if err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	sum := shares[0]
	for _, share := range shares[1:] {
		for i := range sum {
			if err := sum[i].Merge(share[i]); err != nil {
				return nil, err
			}
		}
	}
	return sum, nil
}

// each does something with every process at the same time.
func (p *Processes) each(do func(k int, c *child) error) error {
	errs := make([]error, len(p.children))
	var group sync.WaitGroup
	for k, c := range p.children {
		group.Go(func() {
			if err := do(k, c); err != nil {
				errs[k] = fmt.Errorf("generator: process %d of %d: %w", k+1, len(p.children), err)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// hear reads what a process says next.
func (c *child) hear() (r report, err error) {
	if err := c.heard.Decode(&r); err != nil {
		return r, fmt.Errorf("it has ended: %w", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}
