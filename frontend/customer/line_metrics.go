package customer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/session"
)

// lineWaits counts how the waits of those who came in compare with what they were shown when they came to the line.
type lineWaits struct {
	earlier, inside, later, untold prometheus.Counter
	seconds                        prometheus.Histogram
}

func newLineWaits(to prometheus.Registerer) (*lineWaits, error) {
	waits := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_line_waits_total",
		Help: "Waits in the line of customers who were let in, by how they compare with the range of time that was shown at first: inside it, earlier, later; none: nothing could be said.",
	}, []string{"shown"})
	w := &lineWaits{
		earlier: waits.WithLabelValues("earlier"), inside: waits.WithLabelValues("inside"),
		later: waits.WithLabelValues("later"), untold: waits.WithLabelValues("none"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "netbank_line_wait_seconds", Help: "Time from the first visit to the line to the turn's being taken.",
			Buckets: []float64{5, 15, 30, 60, 120, 300, 600, 1200, 3600}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}),
	}
	if to == nil {
		return w, nil
	}
	for _, c := range []prometheus.Collector{waits, w.seconds} {
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
		w.untold.Inc()
	case waited < ticket.From:
		w.earlier.Inc()
	case waited > ticket.To+lookLate: // who is called is seen at his next look
		w.later.Inc()
	default:
		w.inside.Inc()
	}
}
