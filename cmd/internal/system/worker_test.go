package system

import (
	"testing"
	"time"
)

// Every customer and partner comes to two workers, which keep no journal. A worker and the leader are killed in turn.
func TestAtMostOneDebit_NothingAcknowledgedIsLost_KillTheWorker(t *testing.T) {
	kills := times(t, "NETBANK_WORKER_KILLS", 2)
	c := newTrio(t, 4000)
	workers := []*coordinator{c.works("worker1"), c.works("worker2")}
	c.doors.Store(&workers)
	for _, w := range workers {
		if n := c.number(w); n <= 3 {
			t.Errorf("%s has a founder's number, %d", w.name, n)
		}
	}
	l := c.startLoad(shoppers)
	for i := range kills {
		c.progress(l, 20)
		<-time.After(time.Duration(c.random.IntN(400)) * time.Millisecond) // the random point
		w := workers[i%2]
		w.kill()
		c.progress(l, 10)
		began := time.Now()
		c.launch(w)
		c.awaitReady(w)
		t.Logf("%s was ready %v after its start", w.name, time.Since(began).Round(time.Millisecond))
		leader := c.leader()
		leader.kill()
		c.progress(l, 20)
		c.launch(leader)
		c.awaitReady(leader)
	}
	for _, w := range workers {
		if code := w.stop(t); code != 0 {
			t.Errorf("%s ended with %d\n%s", w.name, code, w.tail())
		}
		c.launch(w)
		c.awaitReady(w)
	}
	c.progress(l, 20)
	l.finish()
	c.bank = c.leader().process
	report := c.audit()
	if report.Settled < 50*kills {
		t.Errorf("only %d payments were settled", report.Settled)
	}
}
