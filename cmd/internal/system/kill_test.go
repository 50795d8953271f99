package system

import (
	"testing"
	"time"
)

// shoppers is enough to keep payments inside the core at any moment, on two busy processors.
const shoppers = 24

// progress waits until so many more customers were told that they have paid.
func (l *load) progress(n int64) {
	l.rig.t.Helper()
	goal := l.settled.Load() + n
	l.rig.await("progress of the load", func() bool { return l.settled.Load() >= goal }, l.rig.bank, l.rig.core)
}

// Invariants AtMostOneDebit and NothingAcknowledgedIsLost: the bank's process is killed at random points under load, and
// started again. Set NETBANK_KILLS for more than the normal run's six.
func TestAtMostOneDebit_NothingAcknowledgedIsLost_KillTheBank(t *testing.T) {
	kills := times(t, "NETBANK_KILLS", 6)
	r := newRig(t, 4000, "fixed:15ms", "--snapshot-bytes=1048576")
	l := r.startLoad(shoppers)
	var down time.Duration
	for range kills {
		l.progress(20)
		<-time.After(time.Duration(r.random.IntN(400)) * time.Millisecond) // the random point
		r.bank.kill()
		killed := time.Now()
		r.startBank()
		down += time.Since(killed)
	}
	l.progress(20)
	l.finish()
	// The minute is counted from the last kill, by the audit: what the core does not know of may be on its way until send-by and
	// core limit have passed, and a bank that is killed again before that begins to wait anew.
	t.Logf("%d kills; from a kill until ready again %v on average", kills, (down / time.Duration(kills)).Round(time.Millisecond))
	report := r.audit()
	if report.Settled < 20*kills {
		t.Errorf("only %d payments were settled", report.Settled)
	}
}

// The same with the core's process. Set NETBANK_CORE_KILLS for more than the normal run's four.
func TestAtMostOneDebit_NothingAcknowledgedIsLost_KillTheCore(t *testing.T) {
	kills := times(t, "NETBANK_CORE_KILLS", 4)
	r := newRig(t, 4000, "fixed:15ms")
	l := r.startLoad(shoppers)
	for range kills {
		l.progress(20)
		<-time.After(time.Duration(r.random.IntN(400)) * time.Millisecond) // the random point
		r.core.kill()
		r.startCore()
	}
	l.progress(20)
	l.finish()
	report := r.audit()
	if report.Settled < 20*kills {
		t.Errorf("only %d payments were settled", report.Settled)
	}
}
