package session

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestPoolHashesABoundedNumberAtOnceAndRefusesBeyondItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(2, 3, time.Minute)
		var atOnce, most int
		var mu sync.Mutex
		h.matches = func(Hash, string) bool {
			mu.Lock()
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			atOnce--
			mu.Unlock()
			return true
		}
		var all sync.WaitGroup
		busy := 0
		for range 20 {
			p, err := h.reserve(time.Now().Add(time.Minute))
			if err != nil {
				if !errors.Is(err, ErrBusy) {
					t.Fatal(err)
				}
				busy++
				continue
			}
			all.Go(func() {
				if err := p.await(time.Now().Add(time.Minute)); err != nil {
					t.Error(err)
				}
				p.check("", Hash{})
				p.leave()
			})
		}
		synctest.Wait()
		if h.queued() != 3 || h.running.Load() != 2 {
			t.Fatalf("%d wait, %d run", h.queued(), h.running.Load())
		}
		all.Wait()
		if busy != 15 || most != 2 {
			t.Fatalf("%d refused, %d at once; want 15 and 2", busy, most)
		}
		if h.queued() != 0 || h.reserved.Load() != 0 {
			t.Fatal("a place was not given back")
		}
		if got := testutil.ToFloat64(h.refused.WithLabelValues("queue-full")); got != 15 {
			t.Fatalf("the metric counts %v refusals", got)
		}
	})
}

func TestPoolRefusesWhatWouldBeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1, 100, time.Minute)
		now := time.Now()
		f := func(budget time.Duration, want error) {
			t.Helper()
			if _, err := h.reserve(now.Add(budget)); !errors.Is(err, want) {
				t.Fatalf("reserve for %s = %v, want %v", budget, err, want)
			}
		}
		f(0, ErrBusy)
		f(meanAtFirst, nil)
		f(meanAtFirst, ErrBusy)
		f(2*meanAtFirst, nil)
		f(-time.Second, ErrBusy)
		if h.rate() != 50 {
			t.Fatalf("rate %v, want 50 a second", h.rate())
		}
	})
}

func TestOverloadUsesUpNobodysAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		s.hasher.matches = func(h Hash, password string) bool {
			time.Sleep(20 * time.Millisecond)
			return h.matches(password)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		outcome := map[string]int{}
		for range 200 {
			all.Go(func() {
				_, err := s.SignIn(nowhere, "anna", secret, time.Now().Add(time.Second))
				mu.Lock()
				defer mu.Unlock()
				outcome[outcomeOf(err)]++
			})
		}
		all.Wait()
		if outcome["busy"] == 0 || outcome["busy"]+outcome["ok"]+outcome["wrong"]+outcome["locked"] != 200 {
			t.Fatalf("outcomes %v", outcome)
		}
		if b.count("attempt") != 200-outcome["busy"] {
			t.Fatalf("%d attempts were counted, with outcomes %v", b.count("attempt"), outcome)
		}
	})
}

func TestMeanFollowsTheMeasuredTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1, 1, time.Minute)
		h.matches = func(Hash, string) bool { time.Sleep(100 * time.Millisecond); return true }
		for range 100 {
			p, err := h.reserve(time.Now().Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			p.check("", Hash{})
		}
		if mean := time.Duration(h.mean.Load()); mean < 99*time.Millisecond || mean > 100*time.Millisecond {
			t.Fatalf("mean %s", mean)
		}
	})
}

func TestMetricsAreLintedAndCountByResult(t *testing.T) {
	b := newBank(t)
	registry := prometheus.NewPedanticRegistry()
	s, err := New(Config{Directory: b, Opener: b.kek, Params: Cheap, AllowCheapHash: true, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in := signedIn(t, s)
	opened(t, s, in.Cookie)
	refused(t, s, "", ErrNoSession)
	if _, err := s.SignIn(nowhere, "anna", "wrong password", soon()); !errors.Is(err, ErrWrong) {
		t.Fatal(err)
	}
	if _, err := s.CheckCode(in.Session, codeAt(t, time.Now()), soon()); err != nil {
		t.Fatal(err)
	}
	if s.SignInsPerSecond() <= 0 {
		t.Fatal("no sign-in can be done")
	}
	if p := s.Pool(); p.Workers < 1 || p.Worked <= 0 || p.Wait != 0 {
		t.Fatalf("after two sign-ins the pool is %+v", p)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) != 0 {
		t.Fatalf("lint: %v, %v", problems, err)
	}
	want := `
# HELP netbank_signin_total Sign-ins by result: ok, wrong, locked, malformed, busy, address, unavailable, credential, no-key.
# TYPE netbank_signin_total counter
netbank_signin_total{result="ok"} 1
netbank_signin_total{result="wrong"} 1
# HELP netbank_session_opened_total Session cookies looked at, by result: ok, none, idle, expired, replaced, ended.
# TYPE netbank_session_opened_total counter
netbank_session_opened_total{result="none"} 1
netbank_session_opened_total{result="ok"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "netbank_signin_total", "netbank_session_opened_total"); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Directory: b, Opener: b.kek, Params: Cheap, AllowCheapHash: true, Registerer: registry}); err == nil {
		t.Fatal("metrics were registered twice")
	}
	if outcomeOf(errors.New("x")) != "error" {
		t.Fatal("an error without a name")
	}
}

// The waiting line calls in no more than can sign in. A hash that had to wait for a processor must not let it stand still.
func TestPoolsRateIsSteady(t *testing.T) {
	h := newHasher(2, 3, time.Minute)
	f := func(hashes int, each time.Duration, least, most float64) {
		t.Helper()
		for range hashes {
			h.learn(each)
		}
		if r := h.rate(); r < least || r > most {
			t.Errorf("after %d hashes of %v: %.0f a second, want %.0f to %.0f", hashes, each, r, least, most)
		}
	}
	f(0, 0, 100, 100)
	f(2000, 200*time.Microsecond, 8000, 10_500)
	f(1, time.Second, 7500, 10_500)
	f(200, 200*time.Microsecond, 7500, 10_500)
	f(1000, 20*time.Millisecond, 100, 110) // another machine, or a word from whoever sets the parameters
	f(1, 20*time.Second, 95, 110)
}
