package cluster

import (
	"bytes"
	"slices"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// PaymentsPage is how many payments Payments reads while no entry can be applied: a few milliseconds. Applying must not wait for
// seconds, or the replica's disk guard takes it for a disk that hangs and ends the process.
const PaymentsPage = 1024

// Payment looks a payment up in this node's copy of the journal, or in another node's if it has none. A "not found" is confirmed at the
// leader (rule 8): where another node leads, this one first catches up with it, for at most CatchUpMax, or as long as calls wait for the next leader.
//
// Errors: ErrStale with a payment that was found while no leader is known, unless its state is final; ErrUnavailable if there is none
// and nobody confirms it.
func (n *Node) Payment(id journal.PaymentID) (p journal.Payment, ok bool, err error) {
	p, ok, err = n.lookUp(id)
	if !ok && err == nil && !n.rules() {
		caughtUp := n.gateTerm.Load() == 0 && n.CatchUp(max(CatchUpMax, n.leaderless()))
		if p, ok, err = n.lookUp(id); !ok && err == nil && !caughtUp {
			err = ErrUnavailable
		}
	}
	if ok && err == nil {
		err = n.staleness(&p)
	}
	return p, ok, err
}

// rules reports whether this node leads for certain. A process that stood still may have a successor, of whom it has not heard.
func (n *Node) rules() bool {
	term := n.gateTerm.Load()
	if term == 0 {
		return false
	}
	verified, err := n.log.Verify()
	return err == nil && verified == term
}

func (n *Node) lookUp(id journal.PaymentID) (p journal.Payment, ok bool, err error) {
	if n.far != nil {
		return n.far.payment(id)
	}
	p, ok = n.payment(id)
	return p, ok, nil
}

// staleness says whether what was found may have changed without this node's knowing.
func (n *Node) staleness(p *journal.Payment) error {
	if p.State.Final() || n.led() {
		return nil
	}
	return ErrStale
}

// payment looks a payment up in what is at hand here, as it is: this node's copy of the journal, or what it remembers of another's.
func (n *Node) payment(id journal.PaymentID) (p journal.Payment, ok bool) {
	if n.far != nil {
		return n.far.known.get(id)
	}
	n.log.View(func(m *journal.Machine) { p, ok = m.Payment(id) })
	return p, ok
}

// CatchUp returns when this node has applied what the leader had applied at some moment of the call, and reports
// whether that came about within limit, which is at most WaitMax. On the node that leads it returns at once.
func (n *Node) CatchUp(limit time.Duration) bool {
	limit = min(limit, WaitMax)
	now := n.clock.elapsed()
	c := &call{kind: kindApplied, asked: now, deadline: now + limit, wake: make(chan struct{}, 1)}
	if n.await(c, limit) != nil {
		return false
	}
	if n.far != nil {
		raise(&n.far.index, c.applied) // whoever is asked from here on has applied it
		return true
	}
	// Snapshots from the leader are applied without a word, so that looking again is the only way that misses none.
	for wait := time.Millisecond; n.log.Stats().AppliedIndex < c.applied; wait = min(2*wait, 20*time.Millisecond) {
		if n.clock.elapsed() >= c.deadline || !n.sleep(wait) {
			return false
		}
	}
	return true
}

// Payments calls f with every payment by id, finished ones that are still kept included, until f returns false. Each that
// there was at the call comes once, as it stood at some moment since; newer ones may be among them. Entries are applied
// meanwhile, and f may take its time. It is for the audit: it reads the whole store. The error is ErrWorker.
func (n *Node) Payments(f func(journal.Payment) bool) error {
	if n.far != nil {
		return ErrWorker
	}
	var open []journal.PaymentID
	n.log.View(func(m *journal.Machine) { open = m.OpenIDs() })
	slices.SortFunc(open, func(a, b journal.PaymentID) int { return bytes.Compare(a[:], b[:]) })
	var last journal.PaymentID
	for page := make([]journal.Payment, 0, PaymentsPage); ; {
		n.log.View(func(m *journal.Machine) { page, open = m.Page(page[:0], last, open, PaymentsPage) })
		for i := range page {
			if !f(page[i]) {
				return nil
			}
		}
		if len(page) < PaymentsPage {
			return nil
		}
		last = page[len(page)-1].ID
	}
}

// The lookups below are in this node's copy of the journal. On a node without one they are made at another node, which has seen at least as
// much as any that was asked before, and an error says that none can be asked; partners and keys are at hand as they were last heard.

// Customer looks a customer up by username.
func (n *Node) Customer(username string) (c journal.Customer, ok bool, err error) {
	if n.far != nil {
		t, err := n.far.ask(&wire.Ask{What: wire.What_WHAT_USERNAME, Key: []byte(username)})
		return stream.TakeCustomer(t.GetCustomer()), t.GetFound(), err
	}
	n.log.View(func(m *journal.Machine) { c, ok = m.Customer(username) })
	return c, ok, nil
}

// CustomerByID looks a customer up.
func (n *Node) CustomerByID(id journal.CustomerID) (c journal.Customer, ok bool, err error) {
	if n.far != nil {
		t, err := n.far.ask(&wire.Ask{What: wire.What_WHAT_CUSTOMER, Customer: uint64(id)})
		return stream.TakeCustomer(t.GetCustomer()), t.GetFound(), err
	}
	n.log.View(func(m *journal.Machine) { c, ok = m.CustomerByID(id) })
	return c, ok, nil
}

// HistoryMax is how many payments PaymentsOf gives at most. Their longest texts fill a tenth of a frame of the stream.
const HistoryMax = 20

// PaymentsOf lists up to HistoryMax payments that a customer has confirmed, newest first, from the one behind before on; the zero
// PaymentID begins with the newest. Fewer mean that nothing follows. The core is not asked.
//
// A payment that is missing here would be taken for one that was never confirmed, so that this node catches up with the leader first, as for
// a "not found" (rule 8).
//
// Errors: ErrStale with what this node saw last, if no leader confirms that this is all; ErrUnavailable if it has no journal and can ask nobody.
func (n *Node) PaymentsOf(customer journal.CustomerID, before journal.PaymentID) (page []journal.Payment, err error) {
	whole := n.rules() || n.gateTerm.Load() == 0 && n.CatchUp(CatchUpMax)
	if n.far != nil {
		page, err = n.far.paymentsOf(n, customer, before)
	} else {
		page = n.paymentsOf(customer, before)
	}
	if err == nil && !whole {
		err = ErrStale
	}
	return page, err
}

func (n *Node) paymentsOf(customer journal.CustomerID, before journal.PaymentID) (page []journal.Payment) {
	n.log.View(func(m *journal.Machine) { page = m.PaymentsOf(nil, customer, before, HistoryMax) })
	return page
}

// Access looks up a customer's session in force and attempts.
func (n *Node) Access(id journal.CustomerID) (a journal.Access, ok bool, err error) {
	if n.far != nil {
		return n.far.access(id)
	}
	n.log.View(func(m *journal.Machine) { a, ok = m.Access(id) })
	return a, ok, nil
}

// Partner looks a partner up.
func (n *Node) Partner(id journal.PartnerID) (p journal.Partner, ok bool) {
	if n.far != nil {
		return n.far.settings.Load().partner(id)
	}
	n.log.View(func(m *journal.Machine) { p, ok = m.Partner(id) })
	return p, ok
}

// PartnerByFingerprint looks up the partner that a client certificate, by its SHA-256, speaks for.
func (n *Node) PartnerByFingerprint(fingerprint [32]byte) (p journal.Partner, ok bool) {
	if n.far != nil {
		return n.far.settings.Load().partnerOf(fingerprint)
	}
	n.log.View(func(m *journal.Machine) { p, ok = m.PartnerByFingerprint(fingerprint) })
	return p, ok
}

// Partners lists all partners, by id.
func (n *Node) Partners() (all []journal.Partner) {
	if n.far != nil {
		return slices.Clone(n.far.settings.Load().partners)
	}
	n.log.View(func(m *journal.Machine) { all = m.Partners() })
	return all
}

// Keys lists the generations of the root key, oldest first.
func (n *Node) Keys() (all []journal.Key) {
	if n.far != nil {
		return slices.Clone(n.far.settings.Load().keys)
	}
	n.log.View(func(m *journal.Machine) { all = m.Keys() })
	return all
}

// Draining says since when, in the journal's time, and why no customers are to be sent to this node; 0: they are.
func (n *Node) Draining() (since journal.Millis, reason string) {
	if n.far != nil {
		d := &n.far.settings.Load().draining
		return d.since, d.reason
	}
	return n.drainingOf(n.executor.Node)
}

// Executing is how many payments this node has between their permission to debit and the end of their call.
func (n *Node) Executing() int64 { return n.executors.Load() }

// draining is since when a node is being drained, and why.
type draining struct {
	since  journal.Millis
	reason string
}

func (n *Node) drainingOf(node journal.NodeID) (since journal.Millis, reason string) {
	if of := n.Membership().Node(node); of != nil && of.Member() {
		return of.Draining, of.DrainReason
	}
	return 0, ""
}

// firstRunes gives the beginning of a text.
func firstRunes(text string, max int) string {
	for at := range text {
		if max--; max < 0 {
			return text[:at]
		}
	}
	return text
}

// Notices lists up to max undelivered notices of a partner with a sequence above after, oldest first. Whoever leads delivers them; a worker
// never leads, and has none.
func (n *Node) Notices(partner journal.PartnerID, after uint64, max int) (all []journal.Notice) {
	n.log.View(func(m *journal.Machine) { all = m.Notices(partner, after, max) })
	return all
}

// Contradictions lists up to max entries of the reconciliation list. The error is ErrWorker.
func (n *Node) Contradictions(max int) (all []journal.Contradiction, err error) {
	if n.far != nil {
		return nil, ErrWorker
	}
	n.log.View(func(m *journal.Machine) { all = m.Contradictions(max) })
	return all, nil
}
