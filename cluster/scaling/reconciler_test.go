package scaling

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
)

// world is a journal, and who leads.
type world struct {
	sync.Mutex
	leads string
	wish  journal.Wanted
}

// member is one node's view of it.
type member struct {
	*world
	name string
	late bool // it has not noticed that it leads no more
}

func (m *member) Leading() bool {
	m.Lock()
	defer m.Unlock()
	return m.leads == m.name || m.late
}

func (m *member) Leads() uint64 {
	m.Lock()
	defer m.Unlock()
	if m.leads == m.name {
		return 1
	}
	return 0
}

func (m *member) Wish() journal.Wanted {
	m.Lock()
	defer m.Unlock()
	return m.wish
}

func (w *world) set(leads string, wish journal.Wanted) {
	w.Lock()
	defer w.Unlock()
	w.leads, w.wish = leads, wish
}

// fleet is a provider that starts one worker at a time, and may break off in the middle.
type fleet struct {
	sync.Mutex
	workers int
	most    int
	breakAt int // breaks off once so many run; 0: never
	fails   error
	orders  []int
}

func (*fleet) Name() string { return "fleet" }

func (f *fleet) Status(context.Context) (Standing, error) {
	f.Lock()
	defer f.Unlock()
	return Standing{Wanted: f.workers, Running: f.workers}, f.fails
}

func (f *fleet) Scale(_ context.Context, o Order) error {
	f.Lock()
	defer f.Unlock()
	f.orders = append(f.orders, o.Workers)
	if f.fails != nil {
		return f.fails
	}
	for f.workers != o.Workers {
		if f.breakAt > 0 && f.workers == f.breakAt {
			f.breakAt = 0
			return errors.New("broken off")
		}
		if f.workers < o.Workers {
			f.workers++
		} else {
			f.workers--
		}
		f.most = max(f.most, f.workers)
	}
	return nil
}

func (f *fleet) count() int {
	f.Lock()
	defer f.Unlock()
	return f.workers
}

func TestTheWishSurvivesALeaderThatDiesInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{leads: "a", wish: wish(5, 1)}
		f := &fleet{workers: 2, breakAt: 4}
		ctxA, dieA := context.WithCancel(t.Context())
		a := NewReconciler(&member{world: w, name: "a"}, f, nil)
		ended := make(chan struct{})
		go func() { a.Run(ctxA); close(ended) }()
		synctest.Wait()
		if f.count() != 4 || a.State().Problem == "" {
			t.Fatalf("%d workers run, and the leader says %+v", f.count(), a.State())
		}
		dieA()
		<-ended
		w.set("b", wish(5, 1))
		ctxB, endB := context.WithCancel(t.Context())
		b := NewReconciler(&member{world: w, name: "b"}, f, nil)
		go b.Run(ctxB)
		time.Sleep(time.Second)
		if f.count() != 5 || f.most != 5 {
			t.Errorf("%d workers run, and %d did at most; want 5", f.count(), f.most)
		}
		endB()
	})
}

func TestADeposedLeaderOrdersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{leads: "b", wish: wish(9, 2)}
		f := &fleet{workers: 2}
		ctx, cancel := context.WithCancel(t.Context())
		go NewReconciler(&member{world: w, name: "a", late: true}, f, nil).Run(ctx)
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		if len(f.orders) > 0 {
			t.Errorf("it ordered %v", f.orders)
		}
	})
}

func TestAProviderThatFailsIsAClearStateAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{leads: "a", wish: wish(5, 1)}
		f := &fleet{workers: 2, fails: &Fault{What: "the cloud is full", Remedy: "ask for more"}}
		ctx, cancel := context.WithCancel(t.Context())
		r := NewReconciler(&member{world: w, name: "a"}, f, nil)
		go r.Run(ctx)
		time.Sleep(5 * time.Minute)
		s := r.State()
		if s.Problem != "the cloud is full" || s.Remedy != "ask for more" || s.Failures < 10 || s.Failures > 40 || s.Again.Before(time.Now().Add(-time.Second)) {
			t.Errorf("after five minutes: %+v", s)
		}
		f.Lock()
		f.fails = nil
		f.Unlock()
		time.Sleep(BackoffMax + time.Second)
		if s := r.State(); s.Problem != "" || s.Failures != 0 || f.count() != 5 {
			t.Errorf("%d workers, %+v", f.count(), s)
		}
		// A wish that comes while it is waited for the provider is seen to at once.
		f.Lock()
		f.fails = &Fault{What: "the cloud is full", Remedy: "ask for more"}
		f.Unlock()
		w.set("a", wish(6, 2))
		r.Wake()
		time.Sleep(time.Minute)
		f.Lock()
		f.fails = nil
		f.Unlock()
		w.set("a", wish(7, 3))
		r.Wake()
		synctest.Wait()
		if f.count() != 7 {
			t.Errorf("%d workers, want 7", f.count())
		}
		cancel()
	})
}

// A provider that takes every order and does none must not be told again and again without a pause.
func TestAProviderThatDoesNothingIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{leads: "a", wish: wish(5, 1)}
		d := &deaf{}
		ctx, cancel := context.WithCancel(t.Context())
		go NewReconciler(&member{world: w, name: "a"}, d, nil).Run(ctx)
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		if d.told > int(time.Minute/LookSoon)+1 {
			t.Errorf("told %d times in a minute", d.told)
		}
	})
}

type deaf struct{ told int }

func (*deaf) Name() string                             { return "deaf" }
func (*deaf) Status(context.Context) (Standing, error) { return Standing{}, nil }
func (d *deaf) Scale(context.Context, Order) error     { d.told++; return nil }

func TestWhatIsToldTwiceIsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{leads: "a", wish: wish(5, 1)}
		f := &fleet{workers: 2}
		ctx, cancel := context.WithCancel(t.Context())
		r := NewReconciler(&member{world: w, name: "a"}, f, nil)
		go r.Run(ctx)
		for range 10 {
			r.Wake()
			synctest.Wait()
		}
		cancel()
		if !slices.Equal(f.orders, []int{5}) {
			t.Errorf("ordered %v", f.orders)
		}
	})
}
