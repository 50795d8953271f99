package customer

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/session"
)

// Waits counts how the waits of those who were let in compare with what they were shown when they came to the line.
type Waits struct {
	Inside, Earlier, Later, Untold uint64
}

// Waits gives them as counted here since the process began.
func (c *Pages) Waits() Waits {
	w := c.waits
	return Waits{Inside: w.inside.Load(), Earlier: w.earlier.Load(), Later: w.later.Load(), Untold: w.untold.Load()}
}

type lineWaits struct {
	inside, earlier, later, untold atomic.Uint64
	seconds                        prometheus.Histogram
}

func newLineWaits(to prometheus.Registerer) (*lineWaits, error) {
	w := &lineWaits{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "netbank_line_wait_seconds", Help: "Time from the first visit to the line to the turn's being taken.",
			Buckets: []float64{5, 15, 30, 60, 120, 300, 600, 1200, 3600}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}),
	}
	if to == nil {
		return w, nil
	}
	all := []prometheus.Collector{w.seconds}
	for shown, counted := range map[string]*atomic.Uint64{"inside": &w.inside, "earlier": &w.earlier, "later": &w.later, "none": &w.untold} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "netbank_line_waits_total",
			Help:        "Waits in the line of customers who were let in, by how they compare with the range of time that was shown at first: inside it, earlier, later; none: nothing could be said.",
			ConstLabels: prometheus.Labels{"shown": shown},
		}, func() float64 { return float64(counted.Load()) }))
	}
	for _, c := range all {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// entered counts a turn that was taken.
func (w *lineWaits) entered(ticket session.Pass, now time.Time) {
	waited := now.Sub(ticket.Since)
	w.seconds.Observe(max(waited, 0).Seconds())
	switch {
	case ticket.To == 0:
		w.untold.Add(1)
	case waited < ticket.From:
		w.earlier.Add(1)
	case waited > ticket.To+lookLate: // who is called is seen at his next look
		w.later.Add(1)
	default:
		w.inside.Add(1)
	}
}
