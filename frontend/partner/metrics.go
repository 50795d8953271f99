package partner

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the API beyond those of its requests:
//
//	netbank_partner_creates_in_flight
//	netbank_partner_creates_uncertain
//	netbank_partner_creates_uncertain_total
type metrics struct {
	uncertain prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, f *flights) (*metrics, error) {
	m := &metrics{uncertain: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "netbank_partner_creates_uncertain_total",
		Help: "Creates that were answered PDNG because the journal did not speak in time.",
	})}
	for _, c := range []prometheus.Collector{
		m.uncertain,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "netbank_partner_creates_in_flight",
			Help: "Idempotency keys whose first call is under way or in doubt.",
		}, func() float64 { n, _ := f.counts(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "netbank_partner_creates_uncertain",
			Help: "Creates in doubt that are being asked about.",
		}, func() float64 { _, n := f.counts(); return float64(n) }),
	} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("partner: registering metrics: %w", err)
		}
	}
	return m, nil
}
