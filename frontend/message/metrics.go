package message

import "github.com/prometheus/client_golang/prometheus"

// metrics collects for one Gateway. Labels are words of this package only.
type metrics struct {
	results *prometheus.CounterVec
	took    prometheus.Histogram
	all     []prometheus.Collector
}

func newMetrics(g *Gateway) *metrics {
	m := &metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netbank_messages_total", Help: "Messages to customers by result: taken, refused (by the gateway, for good), late, busy (not handed over).",
		}, []string{"result"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "netbank_message_seconds", Help: "How long the message gateway takes to answer a try.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
		}),
	}
	for _, result := range []string{"taken", "refused", "late", "busy"} {
		m.results.WithLabelValues(result)
	}
	m.all = []prometheus.Collector{
		m.results, m.took,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "netbank_message_queue", Help: "Messages that wait for the gateway."}, func() float64 { return float64(len(g.queue)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "netbank_message_gateway_down", Help: "1 while the gateway is taken for down, and customers are offered other factors."}, func() float64 {
			if g.now().UnixMilli() < g.downUntil.Load() {
				return 1
			}
			return 0
		}),
	}
	return m
}

// Describe and Collect make metrics one prometheus.Collector, so that it is registered as a whole or not at all.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(ch)
	}
}

// Collect sends what was counted.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(ch)
	}
}
