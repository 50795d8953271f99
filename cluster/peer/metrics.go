package peer

import (
	"errors"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// errNoCertificate is ErrCertificate of one that showed none.
var errNoCertificate = errors.New("it showed none")

// errCrowded says that a later connection took an accepted one's place in the waiting room.
var errCrowded = errors.New("peer: too many connections were waiting to show who they are")

// result is how the accepting side's handshake ended, as metrics name it.
type result uint8

const (
	resultOK            result = iota
	resultALPN                 // none, several or unknown protocols
	resultNoCertificate        // where one is needed
	resultAuthority            // a foreign authority
	resultLapsed               // no longer or not yet valid
	resultCertificate          // another cluster, or no node's certificate
	resultRole                 // a worker on netbank-raft/1
	resultRemoved              // not a member
	resultToken                // unknown, wrong or expired
	resultRequest              // malformed or too large
	resultBusy                 // no place left
	resultSlow                 // out of time
	resultCrowded              // pushed out of the waiting room
	resultFailed               // anything else: hung up, no TLS, refused by the other side
	results
)

var resultNames = [results]string{"ok", "alpn", "no-certificate", "authority", "lapsed", "certificate", "role", "removed", "token", "request", "busy", "slow", "crowded", "failed"}

func resultOf(err error) result {
	for _, of := range []struct {
		err error
		is  result
	}{
		{nil, resultOK},
		{errCrowded, resultCrowded},
		{ErrALPN, resultALPN},
		{errNoCertificate, resultNoCertificate},
		{ErrAuthority, resultAuthority},
		{ErrLapsed, resultLapsed},
		{ErrCertificate, resultCertificate},
		{ErrRole, resultRole},
		{ErrRemoved, resultRemoved},
		{ErrTokenRefused, resultToken},
		{ErrTokenExpired, resultToken},
		{ErrRequest, resultRequest},
		{ErrBusy, resultBusy},
		{os.ErrDeadlineExceeded, resultSlow},
	} {
		if errors.Is(err, of.err) {
			return of.is
		}
	}
	return resultFailed
}

// metrics holds the port's metrics, each child resolved once.
type metrics struct {
	all         []prometheus.Collector
	handshakes  [results]prometheus.Counter
	connections [kinds][Worker + 1]prometheus.Gauge // by role; 0 for those that have none yet
}

func newMetrics(p *Port) *metrics {
	m := &metrics{}
	handshakes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netbank_peer_handshakes_total", Help: "Connections accepted from other nodes and strangers, by how their handshake ended.",
	}, []string{"result"})
	connections := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "netbank_peer_connections", Help: "Open connections between nodes, accepted and dialled, by kind and the other side's role.",
	}, []string{"kind", "role"})
	expires := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "netbank_peer_certificate_remaining_seconds", Help: "How long this node's certificate is still valid. It is renewed when 10 days are left.",
	}, func() float64 {
		return p.Identity().NotAfter().Sub(p.cfg.Now()).Truncate(time.Second).Seconds()
	})
	m.all = []prometheus.Collector{handshakes, connections, expires}
	for r := range results {
		m.handshakes[r] = handshakes.WithLabelValues(resultNames[r])
	}
	for k := range kinds {
		for role := range m.connections[k] {
			m.connections[k][role] = connections.WithLabelValues(k.String(), Role(role).String())
		}
	}
	return m
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
			return errors.New("peer: another port has registered its metrics already; give each a registry of its own")
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
