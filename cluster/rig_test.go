package cluster

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/replica"
)

// rig is a bank of one node over a fake log and a fake core.
type rig struct {
	t    testing.TB
	disk *disk
	log  *fakeLog
	core *fakeCore
	node *Node
	// current is node for the core's goroutines, since a restart replaces it.
	current atomic.Pointer[Node]
	cfg     Config
	open    bool
	made    uint32
	commit  time.Duration
	// What was put without a node, for rigs that have more copies of the journal than one.
	puts    []*journal.Batch
	putAlso func(*journal.Batch)
}

const riggedCustomers = 64

// newRig prepares a bank with one partner and 64 customers who are signed in. boot starts its node.
func newRig(t testing.TB) *rig {
	r := &rig{t: t, disk: newDisk(), core: newFakeCore(), commit: time.Millisecond}
	r.core.onLate = func(a LateAnswer) { r.current.Load().Late(a) }
	r.cfg = Config{Replica: replica.Config{Node: 1}, Core: r.core, Gate: gate.Config{Limit: 8}}
	r.put(&journal.Command{Body: &command.Command_PutPartner{PutPartner: &command.PutPartner{
		Id: 1, Name: "Shop", RedirectUris: []string{"https://shop.example/back"}, NotificationUris: []string{"https://shop.example/told"},
	}}})
	for i := uint64(1); i <= riggedCustomers; i++ {
		r.put(&journal.Command{Body: &command.Command_PutCustomer{PutCustomer: &command.PutCustomer{
			Id: i, Username: fmt.Sprintf("customer-%d", i), PasswordSealed: []byte("sealed"), TotpSealed: []byte("sealed"), Name: "Li", Locale: "en",
			Accounts: []*command.Account{{Number: accountOf(i), Currency: "CNY", Label: "Wages"}},
		}}})
		r.put(&journal.Command{Body: &command.Command_SignIn{SignIn: &command.SignIn{Customer: i}}})
	}
	return r
}

func accountOf(customer uint64) string { return fmt.Sprintf("62220000000%04d", customer) }

// put applies a command without a node.
func (r *rig) put(c *journal.Command) journal.Result {
	r.t.Helper()
	c.Id = newCommandID()
	b := &journal.Batch{Version: 1, StampMs: time.Now().UnixMilli(), Commands: []*journal.Command{c}}
	out, err := r.disk.apply(0, b, nil)
	if r.putAlso != nil {
		r.putAlso(b)
	}
	r.puts = append(r.puts, b)
	if err != nil || out.Results[0].Verdict != journal.Done {
		r.t.Fatalf("put: %v, %v", out.Results, err)
	}
	return out.Results[0]
}

// boot starts a node over what the disk holds, and makes it the leader.
func (r *rig) boot() *rig {
	r.t.Helper()
	r.start()
	r.log.elect()
	synctestWait(r)
	return r
}

func (r *rig) start() {
	r.t.Helper()
	node, err := open(r.cfg, func(c replica.Config) (Log, error) {
		r.log = newFakeLog(r.disk, r.commit, c.OnApplied)
		return r.log, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.node, r.open = node, true
	r.current.Store(node)
}

// synctestWait lets the barrier pass.
func synctestWait(r *rig) {
	for range 100 {
		time.Sleep(time.Millisecond)
		if r.node.Leading() {
			return
		}
	}
	r.t.Fatal("no leader after 100 ms")
}

// kill ends the process without its knowing: its core calls go on, what they bring is lost.
func (r *rig) kill() {
	r.log.depose(vanishes)
	r.log.setRefuse(replica.ErrClosed)
	node := r.node
	r.open = false
	r.core.ends.Go(func() { node.Close() })
}

// close ends everything.
func (r *rig) close() {
	if r.open {
		r.node.Close()
	}
	r.core.ends.Wait()
}

// create makes a payment of a customer's.
func (r *rig) create() Confirmation {
	r.t.Helper()
	r.made++
	customer := uint64(r.made-1)%riggedCustomers + 1
	var id journal.PaymentID
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16)
	id[6], id[8] = 0x70, 0x80
	binary.BigEndian.PutUint32(id[12:], r.made)
	key := newCommandID()
	r.put(&journal.Command{Body: &command.Command_CreatePayment{CreatePayment: &command.CreatePayment{
		PaymentId: id[:], Partner: 1, IdempotencyKey: key, RequestHash: key, AmountMinor: 1990, Currency: "CNY",
		CreditorAccount: "6222999999990001", CreditorName: "Shop", EndToEndId: "order-1",
		RedirectUri: "https://shop.example/back", NotificationUri: "https://shop.example/told",
		ExpiresMs: time.Now().Add(15 * time.Minute).UnixMilli(),
	}}})
	return Confirmation{
		Payment: id, Customer: journal.CustomerID(customer), SessionEpoch: 1,
		SessionExpires: journal.Millis(time.Now().Add(5 * time.Minute).UnixMilli()),
		Amount:         journal.Money{Minor: 1990, Currency: "CNY"}, CreditorAccount: "6222999999990001", CreditorName: "Shop",
		DebtorAccount: accountOf(customer), Proof: journal.TOTP(int64(r.made)), Budget: 10 * time.Second,
	}
}

// confirm confirms and expects no error.
func (r *rig) confirm(x Confirmation) Confirmed {
	r.t.Helper()
	got, err := r.node.Confirm(x)
	if err != nil {
		r.t.Fatalf("confirm: %v (%v)", err, got.Payment.State)
	}
	return got
}

func (r *rig) state(x Confirmation) journal.State {
	var p journal.Payment
	r.disk.mu.RLock()
	defer r.disk.mu.RUnlock()
	p, _ = r.disk.machine.Payment(x.Payment)
	return p.State
}

// is checks a payment's state and how often its money is moved now.
func (r *rig) is(x Confirmation, state journal.State, moved int) {
	r.t.Helper()
	if got := r.state(x); got != state {
		r.t.Errorf("the payment is %v, want %v", got, state)
	}
	if got := r.core.moved(x.Payment); got != moved {
		r.t.Errorf("the core has moved the money %d times, want %d", got, moved)
	}
}

// inBubble runs a test in virtual time with a bank that is closed at its end.
func inBubble(t *testing.T, f func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		f(t, r)
	})
}
