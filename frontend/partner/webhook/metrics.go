package webhook

import (
	"crypto/rand"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the outbox:
//
//	netbank_outbox_deliveries_total{result}    accepted, gone, throttled, failed
//	netbank_outbox_given_up_total
//	netbank_outbox_delivery_duration_seconds
//	netbank_outbox_told_delay_seconds          from the commit to the partner's 2xx
//	netbank_outbox_deliveries_in_flight
//	netbank_outbox_waiting
//	netbank_outbox_partners_down
type metrics struct {
	results  [failed + 1]prometheus.Counter
	givenUp  prometheus.Counter
	duration prometheus.Histogram
	delay    prometheus.Histogram
	inFlight prometheus.Gauge
	waiting  prometheus.Gauge
	down     prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_outbox_deliveries_total", Help: "Notifications sent to partners, by how it ended.",
	}, []string{"result"})
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		givenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "netbank_outbox_given_up_total", Help: "Notifications that were not delivered within three days.",
		}),
		duration: histogram("netbank_outbox_delivery_duration_seconds", "Time of one delivery attempt.", []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}),
		delay:    histogram("netbank_outbox_told_delay_seconds", "Time from a change's commit to the partner's acceptance.", []float64{.05, .1, .25, .5, 1, 5, 30, 300, 3600, 86400, 259200}),
		inFlight: gauge("netbank_outbox_deliveries_in_flight", "Notifications that are being sent."),
		waiting:  gauge("netbank_outbox_waiting", "Notifications that failed and wait for their next attempt."),
		down:     gauge("netbank_outbox_partners_down", "Partners that have failed three times in a row."),
	}
	for _, c := range []prometheus.Collector{results, m.givenUp, m.duration, m.delay, m.inFlight, m.waiting, m.down} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("webhook: registering metrics: %w", err)
		}
	}
	for i, name := range [failed + 1]string{"accepted", "gone", "throttled", "failed"} {
		m.results[i] = results.WithLabelValues(name)
	}
	return m, nil
}

func newCommandID() []byte {
	id := make([]byte, 16)
	rand.Read(id)
	return id
}
