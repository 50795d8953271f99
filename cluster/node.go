package cluster

import (
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Node is one member of the cluster: its journal, and while it leads, the gate. Its methods are safe for concurrent use.
type Node struct{}

// Open starts a node. The caller closes it.
func Open(cfg Config) (*Node, error) { return &Node{}, nil }

// Close stops taking work, lets running calls finish for a while, and closes the journal.
func (n *Node) Close() error { return nil }

// Submit brings a command other than Authorise into the journal and returns what it did. A command without an id gets a random one.
func (n *Node) Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error) {
	return journal.Result{}, ErrNoLeader
}

// Confirm authorises a payment, sends it to the core and returns with the outcome, or at the end of the budget with the payment as it stands.
func (n *Node) Confirm(c Confirmation) (Confirmed, error) { return Confirmed{}, ErrNoLeader }

// Balance asks the core for an available balance, with a seat of the given class.
func (n *Node) Balance(class gate.Class, account, currency string, budget time.Duration) (journal.Money, *Refusal, error) {
	return journal.Money{}, nil, ErrNoLeader
}

// Late takes an answer that came after Debit had returned in doubt.
func (n *Node) Late(a LateAnswer) {}

// Payment looks a payment up.
func (n *Node) Payment(id journal.PaymentID) (journal.Payment, bool) { return journal.Payment{}, false }

// Payments calls f with every payment, finished ones included, until f returns false. For the audit.
func (n *Node) Payments(f func(journal.Payment) bool) {}

// Await returns as soon as the payment's version is above the given one, or at the deadline with the payment as it stands.
func (n *Node) Await(id journal.PaymentID, version uint32, deadline time.Time) (journal.Payment, bool) {
	return journal.Payment{}, false
}

// Customer looks a customer up by username.
func (n *Node) Customer(username string) (journal.Customer, bool) { return journal.Customer{}, false }

// CustomerByID looks a customer up.
func (n *Node) CustomerByID(id journal.CustomerID) (journal.Customer, bool) {
	return journal.Customer{}, false
}

// Access looks up a customer's session in force and attempts.
func (n *Node) Access(id journal.CustomerID) (journal.Access, bool) { return journal.Access{}, false }

// Partner looks a partner up.
func (n *Node) Partner(id journal.PartnerID) (journal.Partner, bool) { return journal.Partner{}, false }

// PartnerByFingerprint looks up the partner that a client certificate speaks for.
func (n *Node) PartnerByFingerprint(fingerprint [32]byte) (journal.Partner, bool) {
	return journal.Partner{}, false
}

// Partners lists all partners, by id.
func (n *Node) Partners() []journal.Partner { return nil }

// Keys lists the generations of the root key, oldest first.
func (n *Node) Keys() []journal.Key { return nil }

// Notices lists up to max undelivered notices of a partner with a sequence above after, oldest first.
func (n *Node) Notices(partner journal.PartnerID, after uint64, max int) []journal.Notice { return nil }

// Noticed receives a token when the outbox has grown since the last token was taken.
func (n *Node) Noticed() <-chan struct{} { return nil }

// Leading reports whether this node is the leader and has applied a barrier of its own term.
func (n *Node) Leading() bool { return false }

// Now is the journal's time as the leader would stamp it at this moment.
func (n *Node) Now() journal.Millis { return 0 }

// Refused reports whether the gate would refuse a class at this moment, and why. It is one atomic read.
func (n *Node) Refused(class gate.Class) (Refusal, bool) { return Refusal{}, false }

// Status is a picture for the operator.
func (n *Node) Status() Status { return Status{} }
