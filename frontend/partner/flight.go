package partner

import (
	"sync"
	"time"

	"netbank/cluster/journal"
)

// flights joins calls with one idempotency key while the first of them is under way. The journal would see to it that the key takes
// effect once; joining spares it the work, and gives the repeats the first one's answer.
type flights struct {
	limits Limits

	mu    sync.Mutex
	byKey map[journal.Key16]*flight
	// doubtful holds creates that were answered PDNG: the payment exists, will exist, or never will.
	doubtful   map[journal.PaymentID]journal.PartnerID
	closed     bool
	background sync.WaitGroup // of those who find out
}

func newFlights(limits Limits) *flights {
	return &flights{limits: limits, byKey: map[journal.Key16]*flight{}, doubtful: map[journal.PaymentID]journal.PartnerID{}}
}

// flight is a create under way. answer is set before done is closed, and not changed after.
type flight struct {
	key    journal.Key16
	hash   journal.Key16
	done   chan struct{}
	answer answer
}

// answer is what a create came to: a payment, a payment in doubt, or a problem.
type answer struct {
	payment  journal.PaymentID
	existed  bool // the journal knew the key: an earlier call created the payment
	doubt    bool
	problem  *problemKind
	detail   string // of a problem; empty: the kind's own
	capacity bool   // the problem is a 503
}

// begin gives the flight of a key. first says that the caller is to fly it, and must call land. A nil flight means that
// CreatesInFlight are under way.
func (f *flights) begin(key, hash journal.Key16) (fl *flight, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.byKey[key]; fl != nil {
		return fl, false
	}
	if len(f.byKey) >= f.limits.CreatesInFlight {
		return nil, false
	}
	fl = &flight{key: key, hash: hash, done: make(chan struct{})}
	f.byKey[key] = fl
	return fl, true
}

// land gives the answer to all who wait for it. With keep, those who come later get it too, until forget.
func (f *flights) land(fl *flight, a answer, keep bool) {
	fl.answer = a
	close(fl.done)
	if !keep {
		f.forget(fl)
	}
}

func (f *flights) forget(fl *flight) {
	f.mu.Lock()
	delete(f.byKey, fl.key)
	f.mu.Unlock()
}

// wait waits for the first call's answer, at most AttachTimeout.
func (f *flights) wait(fl *flight) (answer, bool) {
	timer := time.NewTimer(f.limits.AttachTimeout)
	defer timer.Stop()
	select {
	case <-fl.done:
		return fl.answer, true
	case <-timer.C:
		return answer{}, false
	}
}

// doubt notes that a payment's creation is in doubt, if there is room to find out. Who got true calls resolved.
func (f *flights) doubt(id journal.PaymentID, by journal.PartnerID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.doubtful) >= f.limits.Uncertain {
		return false
	}
	f.background.Add(1)
	f.doubtful[id] = by
	return true
}

func (f *flights) resolved(id journal.PaymentID) {
	f.mu.Lock()
	delete(f.doubtful, id)
	f.mu.Unlock()
	f.background.Done()
}

// close lets no more doubts in, and waits for those that find out to end.
func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.background.Wait()
}

func (f *flights) inDoubt(id journal.PaymentID, by journal.PartnerID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.doubtful[id] == by && by != 0
}

func (f *flights) counts() (underWay, doubtful int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.byKey), len(f.doubtful)
}
