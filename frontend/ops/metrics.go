package ops

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the port. Labels name verbs and outcomes of this package, never a person.
type metrics struct {
	verbs     *prometheus.CounterVec
	strangers prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		verbs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netbank_operator_verbs_total",
			Help: "What operators did, by verb and outcome: begun, done, dry-run, refused, unknown or failed.",
		}, []string{"verb", "outcome"}),
		strangers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "netbank_operator_unauthorised_total",
			Help: "Calls of the operator's port that bore no token, or a wrong one.",
		}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.verbs, m.strangers} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("ops: registering metrics: %w", err)
		}
	}
	return m, nil
}

// Watch registers the metrics of the port's connections.
func (s *Server) Watch(registerer prometheus.Registerer) error {
	counter := func(name, help string, f func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f()) })
	}
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "netbank_operator_connections", Help: "Connections of the operator's port."},
			func() float64 { return float64(s.room.size()) }),
		counter("netbank_operator_evicted_total", "Connections of the operator's port that waited longest for a request and made way for another.", s.room.evicted.Load),
		counter("netbank_operator_refused_total", "Connections of the operator's port that were closed because every other was being answered.", s.room.refused.Load),
	} {
		if err := registerer.Register(c); err != nil {
			return fmt.Errorf("ops: registering metrics: %w", err)
		}
	}
	return nil
}
