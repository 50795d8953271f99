package cluster

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/replica"
)

// durable opens a node over the real replica.
func durable(t testing.TB, dir string, core Core, limit int) *Node {
	t.Helper()
	n, err := Open(Config{Replica: replica.Config{Dir: dir, Node: 1, Logger: quietLogger()}, Core: core, Gate: gate.Config{Limit: limit}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// populate brings a partner and customers through the front door.
func populate(t testing.TB, n *Node, customers int) {
	t.Helper()
	must(t, n, &command.Command_PutPartner{PutPartner: &command.PutPartner{
		Id: 1, Name: "Shop", RedirectUris: []string{"https://shop.example/back"}, NotificationUris: []string{"https://shop.example/told"},
	}})
	for i := uint64(1); i <= uint64(customers); i++ {
		must(t, n, &command.Command_PutCustomer{PutCustomer: &command.PutCustomer{
			Id: i, Username: fmt.Sprintf("customer-%d", i), PasswordSealed: []byte("sealed"), TotpSealed: []byte("sealed"), Name: "Li", Locale: "en",
			Accounts: []*command.Account{{Number: accountOf(i), Currency: "CNY", Label: "Wages"}},
		}})
		must(t, n, &command.Command_SignIn{SignIn: &command.SignIn{Customer: i}})
	}
}

func must(t testing.TB, n *Node, body any) journal.Result {
	t.Helper()
	cmd := &journal.Command{}
	switch b := body.(type) {
	case *command.Command_PutPartner:
		cmd.Body = b
	case *command.Command_PutCustomer:
		cmd.Body = b
	case *command.Command_SignIn:
		cmd.Body = b
	case *command.Command_CreatePayment:
		cmd.Body = b
	}
	r, err := n.Submit(cmd, time.Now().Add(30*time.Second))
	if err != nil || r.Verdict != journal.Done {
		t.Fatalf("%T: %v, %v", body, r.Verdict, err)
	}
	return r
}

var (
	serial   atomic.Uint32
	lastStep atomic.Int64
)

// order creates a payment through the front door.
func order(t testing.TB, n *Node, customer uint64) Confirmation {
	made := serial.Add(1)
	now := time.Now()
	var id journal.PaymentID
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = 0x70, 0x80
	id[12], id[13], id[14], id[15] = byte(made>>24), byte(made>>16), byte(made>>8), byte(made)
	key := newCommandID()
	must(t, n, &command.Command_CreatePayment{CreatePayment: &command.CreatePayment{
		PaymentId: id[:], Partner: 1, IdempotencyKey: key, RequestHash: key, AmountMinor: 1990, Currency: "CNY",
		CreditorAccount: "6222999999990001", CreditorName: "Shop", EndToEndId: "order-1",
		RedirectUri: "https://shop.example/back", NotificationUri: "https://shop.example/told",
		ExpiresMs: now.Add(15 * time.Minute).UnixMilli(),
	}})
	access, _, _ := n.Access(journal.CustomerID(customer))
	return Confirmation{
		Payment: id, Customer: journal.CustomerID(customer), SessionEpoch: access.Epoch,
		SessionExpires: journal.Millis(now.Add(5 * time.Minute).UnixMilli()),
		Amount:         journal.Money{Minor: 1990, Currency: "CNY"}, CreditorAccount: "6222999999990001", CreditorName: "Shop",
		DebtorAccount: accountOf(customer), Proof: journal.TOTP(lastStep.Add(1)), Budget: 30 * time.Second,
	}
}

// The real log and the real journal: what was answered is there after a restart, and nothing was debited twice.
func TestNothingAcknowledgedIsLost_OverTheRealReplica(t *testing.T) {
	dir, core := t.TempDir(), newFakeCore()
	n := durable(t, dir, core, 16)
	const customers = 8
	populate(t, n, customers)
	var mu sync.Mutex
	settled := make(map[journal.PaymentID]bool)
	var wg sync.WaitGroup
	for c := range uint64(customers) {
		wg.Go(func() {
			for range 10 {
				x := order(t, n, c+1)
				got, err := n.Confirm(x)
				if err != nil || got.Payment.State != journal.StateSettled {
					t.Errorf("%+v, %v", got, err)
					return
				}
				mu.Lock()
				settled[x.Payment] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = durable(t, dir, core, 16)
	defer n.Close()
	if _, err := n.Submit(expireCall(nil).cmd, time.Now().Add(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	found := 0
	n.Payments(func(p journal.Payment) bool {
		if settled[p.ID] {
			found++
			if p.State != journal.StateSettled {
				t.Errorf("%v is %v", p.ID, p.State)
			}
			if moved := core.moved(p.ID); moved != 1 {
				t.Errorf("%v was debited %d times", p.ID, moved)
			}
		}
		return true
	})
	if found != customers*10 || len(settled) != found {
		t.Errorf("%d of %d settled payments are there after the restart", found, len(settled))
	}
}

// The audit reads everything; the bank goes on meanwhile. Applying behind one long read would look like a hanging disk to the guard,
// which ends the process after 3 s.
func TestAuditHoldsUpNoEntry(t *testing.T) {
	n := durable(t, t.TempDir(), newFakeCore(), 16)
	defer n.Close()
	populate(t, n, 2)
	first, other := order(t, n, 1), order(t, n, 2)
	seen := make(map[journal.PaymentID]int)
	n.Payments(func(p journal.Payment) bool {
		seen[p.ID]++
		if len(seen) > 1 {
			return true
		}
		// An entry is applied while the audit looks at a payment.
		done := make(chan error, 1)
		go func() {
			got, err := n.Confirm(other)
			if err == nil && got.Payment.State != journal.StateSettled {
				err = fmt.Errorf("the payment is %v", got.Payment.State)
			}
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(2 * time.Second):
			t.Error("no entry was applied for 2 s, because somebody reads the payments")
		}
		return true
	})
	if len(seen) != 2 || seen[first.Payment] != 1 || seen[other.Payment] != 1 {
		t.Errorf("the audit saw %v", seen)
	}
}
