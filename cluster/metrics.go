package cluster

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// operation is a kind of call into the core, as metrics name it.
type operation uint8

const (
	opDebit operation = iota
	opInquire
	opReverse
	opBalance
	operations
)

var operationNames = [operations]string{"debit", "inquire", "reverse", "balance"}

const words = Running + 1

var wordNames = [words]string{"in-doubt", "approved", "declined", "not-sent", "reversed", "unknown", "running"}

// The edges of the classic buckets, in seconds: the service levels of bench (0.25, 1, 2, 3 and 5 s) and what leads up to them.
var (
	waitEdges   = []float64{.001, .005, .025, .1, .25, 1, 2, 3, 5, 10}
	coreEdges   = []float64{.001, .005, .025, .05, .1, .25, .5, 1, 2, 5, 10}
	commitEdges = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 3}
	batchEdges  = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
)

// metrics holds every metric of a node, with the children that hot paths need resolved once. Labels are classes,
// reasons, operations, words and states: never a payment, customer or partner.
type metrics struct {
	all []prometheus.Collector

	refusals  [gate.Classes][gate.Reasons]prometheus.Counter
	waits     [gate.Classes]prometheus.Observer
	calls     [operations][words]prometheus.Observer
	states    [journal.StateReversing + 1]prometheus.Counter
	commits   prometheus.Histogram
	commands  prometheus.Histogram
	bytes     prometheus.Counter
	late      prometheus.Counter
	reversals prometheus.Counter

	streams      prometheus.Counter
	guestStreams prometheus.Counter
	repeats      prometheus.Counter
	disowned     prometheus.Counter

	asked         prometheus.Counter
	readerStreams prometheus.Counter
}

func histogram(name, help string, edges []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: edges,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

func newMetrics(n *Node) *metrics {
	m := &metrics{}
	m.gate(n)
	m.journal(n)
	m.coreAndResolver(n)
	m.streamsOf(n)
	m.line(n)
	return m
}

func (m *metrics) add(c prometheus.Collector) { m.all = append(m.all, c) }

func (m *metrics) value(name, help string, f func() float64) {
	m.add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

func (m *metrics) gate(n *Node) {
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_gate_refusals_total", Help: "Calls that were refused before any work in the core, by class and reason.",
	}, []string{"class", "reason"})
	waits := prometheus.NewHistogramVec(histogram("netbank_gate_wait_seconds", "Time from a call's offer to its seat.", waitEdges), []string{"class"})
	m.add(refusals)
	m.add(waits)
	for class := range gate.Class(gate.Classes) {
		m.waits[class] = waits.WithLabelValues(class.String())
		for reason := gate.Reason(1); reason < gate.Reasons; reason++ {
			m.refusals[class][reason] = refusals.WithLabelValues(class.String(), reason.String())
		}
	}
	seen := func(f func(s *gate.Snapshot) int) func() float64 {
		return func() float64 {
			if !n.Leading() {
				return 0
			}
			return float64(f(n.gateSeen.Load()))
		}
	}
	m.value("netbank_gate_seats", "Seats in the core that are taken, the resolver's own included.", seen(func(s *gate.Snapshot) int { return s.Taken }))
	m.value("netbank_gate_limit", "Seats in the core that there are for all classes, the resolver's own not included.", seen(func(s *gate.Snapshot) int { return s.Limit }))
	for class := range gate.Class(gate.Classes) {
		m.add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "netbank_gate_queued", Help: "Calls that wait for a seat, by class.", ConstLabels: prometheus.Labels{"class": class.String()},
		}, seen(func(s *gate.Snapshot) int { return s.QueuedBy[class] })))
	}
}

func (m *metrics) journal(n *Node) {
	m.commits = prometheus.NewHistogram(histogram("netbank_journal_commit_seconds", "Time from the proposal of an entry to its results.", commitEdges))
	m.commands = prometheus.NewHistogram(histogram("netbank_journal_batch_commands", "Commands in one entry.", batchEdges))
	m.bytes = prometheus.NewCounter(prometheus.CounterOpts{Name: "netbank_journal_proposed_bytes_total", Help: "Bytes of entries that were proposed."})
	m.add(m.commits)
	m.add(m.commands)
	m.add(m.bytes)
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_journal_payment_changes_total", Help: "Changes of payments by the state that they came to, since this process started, its replay included.",
	}, []string{"state"})
	m.add(changes)
	for state := journal.StateReceived; state <= journal.StateReversing; state++ {
		m.states[state] = changes.WithLabelValues(state.String())
	}
	m.value("netbank_journal_leading", "1 while this node leads and may grant.", func() float64 {
		if n.Leading() {
			return 1
		}
		return 0
	})
	m.value("netbank_journal_waiting_callers", "Callers that wait for the leader.", func() float64 { return float64(n.inbox.askers.Load()) })
	m.value("netbank_journal_clock_deviation_seconds", "The machine's clock minus the journal's time.", func() float64 { return n.clock.deviation().Seconds() })
	m.add(&countsCollector{n: n})
}

func (m *metrics) coreAndResolver(n *Node) {
	calls := prometheus.NewHistogramVec(histogram("netbank_core_call_seconds", "Time of calls in the core, measured at its socket, by operation and the core's word.", coreEdges), []string{"op", "word"})
	m.add(calls)
	for op := range operations {
		for word := range words {
			m.calls[op][word] = calls.WithLabelValues(operationNames[op], wordNames[word])
		}
	}
	m.late = prometheus.NewCounter(prometheus.CounterOpts{Name: "netbank_core_late_answers_total", Help: "Answers to debits that came after they had been given up."})
	m.reversals = prometheus.NewCounter(prometheus.CounterOpts{Name: "netbank_resolver_reversals_total", Help: "Decisions of this node to reverse a payment."})
	m.add(m.late)
	m.add(m.reversals)
	m.value("netbank_core_reachable", "1 unless calls could not be written to the core.", func() float64 {
		if n.coreSeen.Load().Reachable {
			return 1
		}
		return 0
	})
	m.value("netbank_core_executing", "Payments between their grant's commit and the end of their call.", func() float64 { return float64(n.executors.Load()) })
	m.value("netbank_resolver_backlog", "Payments in doubt or being reversed that the resolver has in hand.", func() float64 { return float64(n.resolver.status().Backlog) })
	m.value("netbank_resolver_oldest_seconds", "Since when the oldest of them has been in hand.", func() float64 { return n.resolver.status().Oldest.Seconds() })
}

func (m *metrics) streamsOf(n *Node) {
	count := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.add(c)
		return c
	}
	m.streams = count("netbank_stream_connects_total", "Streams from this node to a leader that were established.")
	m.guestStreams = count("netbank_stream_guests_total", "Streams from other nodes to this one that were established.")
	m.repeats = count("netbank_stream_repeated_calls_total", "Calls that were sent again because a stream had ended before their answer.")
	m.disowned = count("netbank_stream_lost_grants_total", "Grants that nobody could use because their go was lost; their payments were rejected as not sent.")
	m.asked = count("netbank_stream_reads_total", "Streams from this node, which has no journal, to one that has, over which it looks things up.")
	m.readerStreams = count("netbank_stream_readers_total", "Streams from nodes without a journal to this one, over which they look things up.")
	m.value("netbank_stream_up", "1 while this node has a stream to a leader.", func() float64 {
		if n.linkTerm.Load() != 0 {
			return 1
		}
		return 0
	})
	m.value("netbank_stream_guests", "Nodes that have a stream to this one and are looked after.", func() float64 { return float64(n.guests.Load()) })
	total := func(name, help, direction string, f func() uint64) {
		m.add(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"direction": direction}},
			func() float64 { return float64(f()) }))
	}
	const messages, bytes = "netbank_stream_messages_total", "netbank_stream_bytes_total"
	total(messages, "Messages over streams between nodes.", "in", n.traffic.MessagesIn.Load)
	total(messages, "Messages over streams between nodes.", "out", n.traffic.MessagesOut.Load)
	total(bytes, "Bytes over streams between nodes.", "in", n.traffic.BytesIn.Load)
	total(bytes, "Bytes over streams between nodes.", "out", n.traffic.BytesOut.Load)
}

// line tells of the waiting line. What only the leader knows is 0 on other nodes.
func (m *metrics) line(n *Node) {
	m.value("netbank_line_closed", "1 while new flows wait in a line.", func() float64 {
		if n.Line().Closed {
			return 1
		}
		return 0
	})
	m.value("netbank_line_waiting", "Places in the line that have not been called.", func() float64 { return float64(n.Line().Waiting) })
	m.value("netbank_line_pace", "Places called a second, smoothed.", func() float64 { return n.Line().Pace.PerSecond })
	seen := func(f func(s *gate.RoomSnapshot) float64) func() float64 {
		return func() float64 {
			if !n.Leading() {
				return 0
			}
			return f(n.roomSeen.Load())
		}
	}
	m.value("netbank_line_rate", "Flows a second that can be carried to their end, by the leader's reckoning.", seen(func(s *gate.RoomSnapshot) float64 { return s.Rate }))
	m.value("netbank_line_no_show_ratio", "Part of those called who do not come.", seen(func(s *gate.RoomSnapshot) float64 { return s.NoShows }))
	m.value("netbank_line_confirm_ratio", "Part of the flows that come to confirm.", seen(func(s *gate.RoomSnapshot) float64 { return s.GoOn }))
	m.add(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "netbank_line_flows_total", Help: "Flows that this node has let in without a place in the line."},
		func() float64 { return float64(n.flows.Load()) }))
}

func (m *metrics) refused(class gate.Class, reason gate.Reason) {
	if c := m.refusals[class][reason]; c != nil {
		c.Inc()
	}
}

func (m *metrics) waited(class gate.Class, wait time.Duration) {
	m.waits[class].Observe(wait.Seconds())
}

func (m *metrics) core(op operation, a Answer) {
	m.calls[op][min(a.Word, words-1)].Observe(a.Elapsed.Seconds())
}

func (m *metrics) batch(commands, bytes int) {
	m.commands.Observe(float64(commands))
	m.bytes.Add(float64(bytes))
}

func (m *metrics) committed(took time.Duration) { m.commits.Observe(took.Seconds()) }

func (m *metrics) changed(c *journal.Change) {
	if counter := m.states[min(c.To, journal.StateReversing)]; counter != nil {
		counter.Inc()
	}
}

// register adds all metrics, or none.
func (m *metrics) register(to prometheus.Registerer) error {
	if to == nil {
		return nil
	}
	for i, c := range m.all {
		if err := to.Register(c); err != nil {
			for _, done := range m.all[:i] {
				to.Unregister(done)
			}
			var twice prometheus.AlreadyRegisteredError
			if errors.As(err, &twice) {
				return errors.New("another node has registered its metrics already; give each node a registry of its own")
			}
			return err
		}
	}
	return nil
}

func (m *metrics) unregister(from prometheus.Registerer) {
	if from == nil {
		return
	}
	for _, c := range m.all {
		from.Unregister(c)
	}
}

// countsCollector reads how full the journal is once per scrape.
type countsCollector struct{ n *Node }

var (
	paymentsDesc       = prometheus.NewDesc("netbank_journal_payments", "Payments in the journal by state; finished ones until they are pruned.", []string{"state"}, nil)
	outboxDesc         = prometheus.NewDesc("netbank_journal_outbox", "State changes that partners have not been told yet.", nil, nil)
	contradictionsDesc = prometheus.NewDesc("netbank_journal_contradictions", "Entries of the reconciliation list: a person must look at each.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *countsCollector) Describe(to chan<- *prometheus.Desc) {
	to <- paymentsDesc
	to <- outboxDesc
	to <- contradictionsDesc
}

// Collect implements prometheus.Collector.
func (c *countsCollector) Collect(to chan<- prometheus.Metric) {
	var counts journal.Counts
	c.n.log.View(func(m *journal.Machine) { counts = m.Counts() })
	for state := journal.StateReceived; state <= journal.StateReversing; state++ {
		to <- prometheus.MustNewConstMetric(paymentsDesc, prometheus.GaugeValue, float64(counts.ByState[state]), state.String())
	}
	to <- prometheus.MustNewConstMetric(outboxDesc, prometheus.GaugeValue, float64(counts.Outbox))
	to <- prometheus.MustNewConstMetric(contradictionsDesc, prometheus.GaugeValue, float64(counts.Contradictions)+float64(counts.ContradictionsDropped))
}
