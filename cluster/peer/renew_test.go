package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
)

func TestARenewedNodeKeepsItsConnections(t *testing.T) {
	r := newRig(t)
	r.port(1, Coordinator)
	two := r.port(2, Worker)
	standing := r.dial(two, 1, ALPNStream)
	before := two.Identity()
	r.advance(21 * 24 * time.Hour)
	var stored *Identity
	if err := two.Renew(t.Context(), 1, func(id *Identity) error {
		stored = id
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	after := two.Identity()
	if stored != after || after.Serial() == before.Serial() || after.Subject() != before.Subject() || after.key.Equal(before.key) ||
		after.NotAfter().Sub(before.NotAfter()) < 20*24*time.Hour {
		t.Fatalf("renewed from %v until %v to %v until %v", before.Subject(), before.NotAfter(), after.Subject(), after.NotAfter())
	}
	says(t, standing, "old connection")
	r.advance(10 * 24 * time.Hour) // the first certificate of node 2 has ended, but node 1 was not renewed either
	r.refuses(two, 1, ALPNStream, ErrLapsed)
	says(t, standing, "old connection")
}

func TestARenewalThatCannotBeStoredChangesNothing(t *testing.T) {
	r := newRig(t)
	r.port(1, Coordinator)
	two := r.port(2, Worker)
	before := two.Identity()
	if err := two.Renew(t.Context(), 1, func(*Identity) error { return errors.New("disk full") }); err == nil || two.Identity() != before {
		t.Fatalf("Renew = %v", err)
	}
}

// The coordinator that answers may lag behind: what this node has been told to trust stands, unless the certificate needs more.
func TestARenewalDoesNotBringBackAnAuthority(t *testing.T) {
	r := newRig(t)
	r.port(1, Coordinator)
	two := r.port(2, Worker)
	old, current := must(NewAuthority("main", r.clock())), r.authority
	r.authorities = [][]byte{old.Certificate(), current.Certificate()}
	if err := two.Renew(t.Context(), 1, nil); err != nil {
		t.Fatal(err)
	}
	if got := two.Identity().Fingerprints(); len(got) != 1 || got[0] != current.Fingerprint() {
		t.Fatalf("it trusts %v", got)
	}
	next := must(NewAuthority("main", r.clock()))
	r.authority, r.authorities = next, [][]byte{current.Certificate(), next.Certificate()}
	if err := two.Renew(t.Context(), 1, nil); err != nil {
		t.Fatal(err)
	}
	if got := two.Identity().Fingerprints(); len(got) != 2 || got[1] != next.Fingerprint() {
		t.Fatalf("it trusts %v", got)
	}
}

func TestARenewalKeepsNumberAndRole(t *testing.T) {
	r := newRig(t)
	var to Subject
	cfg := r.config(1, Coordinator)
	cfg.Renew = func(_ context.Context, renewal Renewal) (Granted, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.grant(renewal.Request, to)
	}
	r.listen(1, cfg)
	two := r.port(2, Worker)
	before := two.Identity()
	for _, to = range []Subject{{"main", 3, Worker}, {"main", 2, Coordinator}} {
		if err := two.Renew(t.Context(), 1, nil); !errors.Is(err, ErrIdentity) || two.Identity() != before {
			t.Fatalf("Renew to %v = %v", to, err)
		}
	}
}

func TestARenewalIsRefusedInWords(t *testing.T) {
	r := newRig(t)
	r.port(1, Coordinator)
	cfg := r.config(3, Coordinator)
	cfg.Renew = nil
	r.listen(3, cfg)
	two := r.port(2, Worker)
	r.leaderless = true
	if err := two.Renew(t.Context(), 1, nil); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("Renew without a leader = %v", err)
	}
	if err := two.Renew(t.Context(), 3, nil); !errors.Is(err, ErrRole) {
		t.Fatalf("Renew where none are = %v", err)
	}
	c := r.dial(two, 1, ALPNRenew)
	if _, err := request(c.Conn, "node-1", &joinRequest{Request: []byte("x")}); !errors.Is(err, ErrRequest) {
		t.Fatalf("a renewal for no key = %v", err)
	}
}

func TestSetIdentityTakesTheSameNodesOnly(t *testing.T) {
	r := newRig(t)
	p := r.port(1, Coordinator)
	for _, other := range []*Identity{nil, r.identity(2, Coordinator), r.identity(1, Worker)} {
		if err := p.SetIdentity(other); !errors.Is(err, ErrIdentity) {
			t.Fatalf("SetIdentity = %v", err)
		}
	}
}

func TestKeepRenewedAsksTheNextCoordinatorAndStores(t *testing.T) {
	r := newRig(t)
	r.port(1, Coordinator)
	two := r.port(2, Worker)
	r.setAddr(9, "127.0.0.1:1")
	stored := make(chan *Identity, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var kept sync.WaitGroup
	kept.Go(func() {
		two.KeepRenewed(ctx, func() []journal.NodeID { return []journal.NodeID{9, 1} }, func(id *Identity) error {
			stored <- id
			return nil
		})
	})
	two.RenewNow()
	if id := <-stored; id.Subject() != two.Identity().Subject() {
		t.Fatalf("it stored %v", id.Subject())
	}
	cancel()
	kept.Wait()
}

func TestKeepRenewedEndsWithThePort(t *testing.T) {
	r := newRig(t)
	p := r.port(1, Worker)
	var kept sync.WaitGroup
	kept.Go(func() { p.KeepRenewed(t.Context(), func() []journal.NodeID { return nil }, nil) })
	p.Close()
	kept.Wait()
}

// In virtual time: nothing before two thirds of the life, a repetition each minute while it fails, and nothing more after.
func TestARenewalComesWhenItIsDueAndIsRepeatedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		life, fails := 20*24*time.Hour, 3
		due := start.Add(life)
		var tried []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		k := keeper{
			due: func() bool { return !time.Now().Before(due) },
			renew: func(context.Context) error {
				tried = append(tried, time.Since(start))
				if fails--; fails >= 0 {
					return errors.New("unreachable")
				}
				due = time.Now().Add(life)
				return nil
			},
			now:    make(chan struct{}),
			spread: func() time.Duration { return 2 * time.Minute },
		}
		go k.run(ctx)
		time.Sleep(life + time.Hour)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(tried) != 4 || tried[0] < life || tried[0] > life+RenewCheckEvery || tried[3]-tried[0] != 3*RenewRetryEvery {
			t.Fatalf("it tried at %v", tried)
		}
	})
}

// A renewal that was asked for is repeated too, although the certificate is not due.
func TestARenewalThatWasAskedForIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := make(chan struct{}, 1)
		tried := 0
		ctx, cancel := context.WithCancel(t.Context())
		k := keeper{
			due: func() bool { return false },
			renew: func(context.Context) error {
				if tried++; tried < 3 {
					return errors.New("no leader")
				}
				return nil
			},
			now:    now,
			spread: func() time.Duration { return 0 },
		}
		go k.run(ctx)
		now <- struct{}{}
		time.Sleep(time.Hour)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if tried != 3 {
			t.Fatalf("it tried %d times", tried)
		}
	})
}

// Three nodes talk all the time, over connections that stand and over new ones, while the authority and every certificate are
// replaced. No dial fails, no connection ends, and in the end the first authority is worth nothing.
func TestRotationOfTheAuthority_NoDialFailsAndNoConnectionEnds(t *testing.T) {
	r := newRig(t)
	ports := map[journal.NodeID]*Port{1: r.port(1, Coordinator), 2: r.port(2, Coordinator), 3: r.port(3, Worker)}
	first := r.authority
	left := r.identity(4, Worker) // a node that was off during the rotation
	standing := map[journal.NodeID]*Conn{}
	for node, p := range ports {
		standing[node] = r.dial(p, 1+node%2, ALPNStream)
	}
	stop := make(chan struct{})
	var dialling sync.WaitGroup
	var dials atomic.Int64
	failed := make(chan error, 16)
	for node, p := range ports {
		for to := journal.NodeID(1); to <= 2; to++ {
			if to == node {
				continue
			}
			dialling.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := p.Dial(t.Context(), to, ALPNStream)
					if err == nil {
						err = exchangeText(c, "new")
						c.Close()
					}
					if err != nil {
						failed <- fmt.Errorf("%s to %s: %w", Name(node), Name(to), err)
						return
					}
					dials.Add(1)
				}
			})
		}
	}
	// Between two steps every pair makes several connections.
	some := func() {
		t.Helper()
		from := dials.Load()
		eventually(t, "new connections come up", func() bool { return dials.Load() > from+20 || len(failed) > 0 })
	}
	some()
	second := must(NewAuthority("main", r.clock()))
	for _, p := range ports {
		if _, err := p.Trust(first.Certificate(), second.Certificate()); err != nil {
			t.Fatal(err)
		}
	}
	some()
	r.mu.Lock()
	r.authority, r.authorities = second, [][]byte{first.Certificate(), second.Certificate()}
	r.mu.Unlock()
	if _, err := ports[3].Trust(second.Certificate()); !errors.Is(err, ErrIdentity) {
		t.Fatalf("a node may drop the authority of its own certificate: %v", err)
	}
	for node, p := range ports {
		if err := p.Renew(t.Context(), 1+node%2, nil); err != nil {
			t.Fatal(err)
		}
		some()
	}
	for _, p := range ports {
		if _, err := p.Trust(second.Certificate()); err != nil {
			t.Fatal(err)
		}
		some()
	}
	close(stop)
	dialling.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	for _, c := range standing {
		says(t, c, "standing")
	}
	cfg := r.config(4, Worker)
	cfg.Identity = must(left.Trusting(first.Certificate(), second.Certificate()))
	r.refuses(r.listen(4, cfg), 1, ALPNStream, ErrAuthority)
	counted(t, ports[1], resultAuthority, 1)
}

// A dial that began with what was replaced meanwhile is made again.
func TestADialIsRepeatedWhenItsIdentityWasReplaced(t *testing.T) {
	r := newRig(t)
	one, two := r.port(1, Coordinator), r.port(2, Worker)
	old := one.Identity()
	first, second := r.authority, must(NewAuthority("main", r.clock()))
	r.mu.Lock()
	r.authority, r.authorities = second, [][]byte{second.Certificate()}
	r.mu.Unlock()
	fresh := r.identity(1, Coordinator)
	if err := one.SetIdentity(fresh); err != nil {
		t.Fatal(err)
	}
	next := r.identity(2, Worker)
	// Node 2's rotation ends while its dial looks for the address.
	var once sync.Once
	real := two.cfg.AddressOf
	two.cfg.AddressOf = func(node journal.NodeID) (string, error) {
		once.Do(func() {
			if err := two.SetIdentity(next); err != nil {
				t.Error(err)
			}
		})
		return real(node)
	}
	says(t, r.dial(two, 1, ALPNStream), "hello")
	if old.Fingerprints()[0] != first.Fingerprint() {
		t.Fatal("the rig is not as the test thinks")
	}
}

var _ net.Conn = (*Conn)(nil)
