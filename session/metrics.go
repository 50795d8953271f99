package session

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome names an error in a metric. The first that matches counts.
type outcome struct {
	err  error
	name string
}

var outcomes = [...]outcome{
	{ErrNoSession, "none"},
	{ErrIdle, "idle"},
	{ErrExpired, "expired"},
	{ErrReplaced, "replaced"},
	{ErrEnded, "ended"},
	{ErrMalformed, "malformed"},
	{ErrUnfit, "unfit"},
	{ErrBusy, "busy"},
	{ErrAddress, "address"},
	{ErrCredential, "credential"},
	{ErrLocked, "locked"},
	{ErrUsed, "used"},
	{ErrCodeOld, "old"},
	{ErrPasskey, "passkey"},
	{ErrWrong, "wrong"},
	{ErrUnavailable, "unavailable"},
	{ErrNoKey, "no-key"},
}

func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return "error"
}

// metrics collects for one Store. Labels are words of this package only.
type metrics struct {
	opens    *prometheus.CounterVec
	openOK   prometheus.Counter
	signIns  *prometheus.CounterVec
	codes    *prometheus.CounterVec
	changes  *prometheus.CounterVec
	messages *prometheus.CounterVec
	passkeys *prometheus.CounterVec
	unasked  prometheus.Counter
	listed   prometheus.Counter
	joined   prometheus.Counter
	cache    *prometheus.CounterVec
	hits     prometheus.Counter
	misses   prometheus.Counter
	all      []prometheus.Collector
}

func newMetrics(s *Store) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"})
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	m := &metrics{
		opens:    counter("netbank_session_opened_total", "Session cookies looked at, by result: ok, none, idle, expired, replaced, ended."),
		cache:    counter("netbank_session_cache_total", "Look-ups of a session's profile in the cache, by result: hit, miss."),
		signIns:  counter("netbank_signin_total", "Sign-ins by result: ok, wrong, locked, malformed, busy, address, unavailable, credential, no-key."),
		codes:    counter("netbank_signin_codes_total", "One-time codes by result: ok, wrong, locked, used, replaced, ended, unavailable, credential."),
		messages: counter("netbank_signin_messages_total", "One-time codes that were sent, by result when they were checked: ok, wrong, locked, old, malformed, replaced, ended, unavailable."),
		passkeys: counter("netbank_signin_passkeys_total", "Passkeys' assertions by result: ok, wrong, locked, passkey (removed or unknown), malformed, replaced, ended, unavailable."),
	}
	m.changes = counter("netbank_password_changes_total", "Changes of a password that customers asked for, by result: ok, wrong, locked, unfit, busy, replaced, ended, unavailable, credential, no-key.")
	m.unasked = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "netbank_password_breached_unasked_total", Help: "Passwords that were chosen or signed in with while a list of those that others know could not be asked.",
	})
	m.listed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "netbank_signin_listed_total", Help: "Sign-ins with a right password that a list on this machine says others know.",
	})
	m.joined = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "netbank_signin_joined_total", Help: "Sign-ins that got the answer of an equal one under way: second halves of double clicks. They are not in netbank_signin_total.",
	})
	m.openOK = m.opens.WithLabelValues("ok")
	m.hits, m.misses = m.cache.WithLabelValues("hit"), m.cache.WithLabelValues("miss")
	m.all = []prometheus.Collector{
		m.opens, m.cache, m.signIns, m.codes, m.messages, m.passkeys, m.changes, m.unasked, m.listed, m.joined, s.hasher.waited, s.hasher.hash, s.hasher.refused, s.hasher.fallback,
		gauge("netbank_session_keys", "Root keys in the ring.", func() float64 { return float64(len(*s.generations.Load())) }),
		gauge("netbank_signin_hash_queue", "Sign-ins that hold a place in the password pool and are not being hashed.", func() float64 { return float64(s.hasher.queued()) }),
		gauge("netbank_signin_hash_running", "Passwords being hashed now.", func() float64 { return float64(s.hasher.running.Load()) }),
		gauge("netbank_signin_hash_workers", "Passwords that can be hashed at once.", func() float64 { return float64(s.hasher.workers) }),
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

func (m *metrics) opened(err error) {
	if err == nil {
		m.openOK.Inc()
		return
	}
	m.opens.WithLabelValues(outcomeOf(err)).Inc()
}

func (m *metrics) signedIn(err error)    { m.signIns.WithLabelValues(outcomeOf(err)).Inc() }
func (m *metrics) changed(err error)     { m.changes.WithLabelValues(outcomeOf(err)).Inc() }
func (m *metrics) codeChecked(err error) { m.codes.WithLabelValues(outcomeOf(err)).Inc() }
