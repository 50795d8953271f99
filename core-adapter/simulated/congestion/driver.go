package congestion

import (
	"sync"
	"time"
)

// Job is what a Driver hands back when its work is done. It is called from the driver's one goroutine, or from within
// Submit when the model takes no time, and must not block.
type Job interface{ WorkDone() }

// Driver runs a Station in real time. It is safe for concurrent use. It sets no bound on the jobs inside: whoever
// submits does.
type Driver struct {
	began time.Time
	wake  chan struct{} // holds one token when the next completion may have come nearer
	stop  chan struct{}
	done  chan struct{}

	mu      sync.Mutex // guards the two below
	station *Station
	jobs    map[ID]Job
}

// NewDriver starts a Driver; Close ends it.
func NewDriver(m Model) (*Driver, error) {
	station, err := NewStation(m)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		began: time.Now(), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		station: station, jobs: map[ID]Job{},
	}
	go d.run()
	return d, nil
}

// Submit brings a job with its demand. job.WorkDone is called once, when the work is done.
func (d *Driver) Submit(demand time.Duration, job Job) {
	d.mu.Lock()
	if m := d.station.model; m.Kind == Fixed && m.Latency == 0 && d.station.capacity > 0 {
		d.mu.Unlock()
		job.WorkDone()
		return
	}
	id := d.station.Arrive(time.Since(d.began), demand)
	d.jobs[id] = job
	first := d.station.inside.first() == id || len(d.station.finished) > 0
	d.mu.Unlock()
	// A job behind the first cannot complete earlier than the timer says: its arrival only slows the others down.
	if first {
		d.nudge()
	}
}

func (d *Driver) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// SetCapacity is Station.SetCapacity, now.
func (d *Driver) SetCapacity(factor float64) error {
	d.mu.Lock()
	err := d.station.SetCapacity(time.Since(d.began), factor)
	d.mu.Unlock()
	d.nudge()
	return err
}

// SetModel is Station.SetModel, now.
func (d *Driver) SetModel(m Model) error {
	d.mu.Lock()
	err := d.station.SetModel(time.Since(d.began), m)
	d.mu.Unlock()
	d.nudge()
	return err
}

// Inside counts the jobs that progress and those in line.
func (d *Driver) Inside() (progressing, inLine int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.station.Inside()
}

// Close ends the goroutine. Jobs inside are forgotten.
func (d *Driver) Close() {
	close(d.stop)
	<-d.done
}

func (d *Driver) run() {
	defer close(d.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var ids []ID
	var ready []Job
	for {
		d.mu.Lock()
		ids = d.station.Complete(time.Since(d.began), ids[:0])
		for _, id := range ids {
			ready = append(ready, d.jobs[id])
			delete(d.jobs, id)
		}
		at, some := d.station.Next()
		d.mu.Unlock()
		for i, job := range ready {
			job.WorkDone()
			ready[i] = nil
		}
		ready = ready[:0]
		wait := time.Hour
		if some {
			wait = max(0, at-time.Since(d.began))
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-d.wake:
		case <-d.stop:
			return
		}
	}
}
