package session

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"netbank/cluster/journal"
	"netbank/session/derive"
)

// stormed is what a storm of sign-ins came to.
type stormed struct {
	answered, refused int
	slowest           time.Duration // of the answered
	late              int           // refused, but not at once
	longest           time.Duration // that a refusal took
	least, most       time.Duration // of what the refused were told to wait
}

// storm lets sign-ins come to a pool of two workers at even distances, for so long; hash is how long a hash takes that begins at a time
// after the beginning. A commit takes 5 ms.
func storm(t *testing.T, every, lasts time.Duration, hash func(since time.Duration) time.Duration) (stormed, *bank, *Store) {
	t.Helper()
	b := newBank(t)
	b.before = func(*journal.Command) { time.Sleep(5 * time.Millisecond) }
	s := newStore(t, b, dropped{})
	s.hasher = newHasher(2, 256, Limits{}.withDefaults(true).SignInWait)
	began := time.Now()
	s.hasher.matches = func(Hash, string) bool {
		time.Sleep(hash(time.Since(began)))
		return false
	}
	var (
		all sync.WaitGroup
		mu  sync.Mutex
		sum stormed
	)
	for time.Since(began) < lasts {
		all.Go(func() {
			came := time.Now()
			_, err := s.SignIn(nowhere, "nobody", secret, came.Add(5*time.Second))
			took := time.Since(came)
			mu.Lock()
			defer mu.Unlock()
			var busy *BusyError
			if errors.As(err, &busy) {
				if sum.refused == 0 || busy.RetryAfter < sum.least {
					sum.least = busy.RetryAfter
				}
				sum.refused++
				sum.most = max(sum.most, busy.RetryAfter)
				sum.longest = max(sum.longest, took)
				if took > 0 {
					sum.late++
				}
				return
			}
			sum.answered++
			sum.slowest = max(sum.slowest, took)
		})
		time.Sleep(every)
	}
	all.Wait()
	return sum, b, s
}

func TestStorm_WhoIsLetInIsAnsweredWithinTheObjectiveAndTheOthersAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A hash takes 20 ms: two workers do 100 a second. Two thousand come, for a minute.
		sum, b, s := storm(t, time.Second/2000, time.Minute, func(time.Duration) time.Duration { return 20 * time.Millisecond })
		if sum.slowest > SignInObjective {
			t.Errorf("somebody who was let in waited %s, the objective is %s", sum.slowest, SignInObjective)
		}
		if sum.late != 0 {
			t.Errorf("%d were refused after up to %s, want at once", sum.late, sum.longest)
		}
		// What is in the queue at the end is answered too.
		if atLeast, atMost := 60*100, 60*100+2*100; sum.answered < atLeast || sum.answered > atMost {
			t.Errorf("%d were answered, the workers could do %d to %d", sum.answered, atLeast, atMost)
		}
		if sum.answered+sum.refused != 120_000 {
			t.Errorf("%d answered and %d refused of 120,000", sum.answered, sum.refused)
		}
		if n := b.count("attempt"); n != sum.answered {
			t.Errorf("%d attempts were counted of %d that were answered", n, sum.answered)
		}
		// By measured times the queue is worked off within its bound.
		if sum.least < time.Second || sum.most > 2*time.Second {
			t.Errorf("the refused were told to come back in %s to %s", sum.least, sum.most)
		}
		if got := testutil.ToFloat64(s.hasher.refused.WithLabelValues("too-late")); int(got) != sum.refused {
			t.Errorf("the metric counts %v refusals of %d", got, sum.refused)
		}
		if s.hasher.reserved.Load() != 0 || len(s.hasher.turns) != 0 || len(s.hasher.free) != 0 {
			t.Error("a place, a turn or a worker was not given back")
		}
	})
}

func TestStorm_HashesThatBecomeSlowerCostNobodyAnAttemptOrMoreThanTheObjective(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Ten seconds into the storm the processors are wanted elsewhere, and a hash takes five times as long; ten seconds later all is well.
		sum, b, s := storm(t, time.Millisecond, 30*time.Second, func(since time.Duration) time.Duration {
			if since > 10*time.Second && since < 20*time.Second {
				return 200 * time.Millisecond
			}
			return 40 * time.Millisecond
		})
		if sum.slowest > SignInObjective {
			t.Errorf("somebody who was let in waited %s, the objective is %s", sum.slowest, SignInObjective)
		}
		if sum.late == 0 || sum.late > 100 || sum.longest > 2*time.Second {
			t.Errorf("%d were refused late, after up to %s; want those who were waiting when it began, after 2 s", sum.late, sum.longest)
		}
		if n := b.count("attempt"); n != sum.answered {
			t.Errorf("%d attempts were counted of %d that were answered", n, sum.answered)
		}
		if got := testutil.ToFloat64(s.hasher.refused.WithLabelValues("waited")); int(got) != sum.late {
			t.Errorf("the metric counts %v late refusals of %d", got, sum.late)
		}
		if want := 20*50 + 10*10; sum.answered < want-10 || sum.answered > want+110 {
			t.Errorf("%d were answered, the workers could do %d", sum.answered, want)
		}
	})
}

func TestPoolThatWasSlowOnceLetsWhoFindsAWorkerFreeIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1, 10, 2*time.Second)
		h.mean.Store(int64(time.Hour))
		h.matches = func(Hash, string) bool { time.Sleep(20 * time.Millisecond); return true }
		for range 300 {
			p, err := h.reserve(time.Now().Add(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.reserve(time.Now().Add(time.Second)); err == nil && h.mean.Load() > int64(time.Second) {
				t.Fatal("a second one was let in to wait for an hour")
			} else if err == nil {
				return // as quick as ever
			}
			p.check("", Hash{})
		}
		t.Fatalf("the pool takes a hash for %s after 300 of 20 ms", time.Duration(h.mean.Load()))
	})
}

func TestAMachineThatSleptIsNotTakenForSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1, 10, 2*time.Second)
		h.matches = func(Hash, string) bool { time.Sleep(time.Hour); return true }
		p, err := h.reserve(time.Now().Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		p.check("", Hash{})
		if mean := time.Duration(h.mean.Load()); mean > 100*time.Millisecond {
			t.Fatalf("mean %s", mean)
		}
	})
}

// elsewhere computes hashes, or fails.
type elsewhere struct {
	asked atomic.Int64
	err   error
}

func (e *elsewhere) Key(r *derive.Request) ([]byte, error) {
	e.asked.Add(1)
	if e.err != nil {
		return nil, e.err
	}
	return r.Key(), nil
}

func TestHashesAreComputedElsewhereOrHereIfThatFails(t *testing.T) {
	b := newBank(t)
	d := &elsewhere{}
	s, err := New(Config{Directory: b, Opener: b.kek, Params: Cheap, AllowCheapHash: true, Deriver: d})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := func(password string, want error, fallbacks float64) {
		t.Helper()
		before := d.asked.Load()
		if _, err := s.SignIn(nowhere, "anna", password, soon()); !errors.Is(err, want) {
			t.Fatalf("SignIn = %v, want %v", err, want)
		}
		if d.asked.Load() != before+1 {
			t.Fatal("the hash was not asked for elsewhere")
		}
		if got := testutil.ToFloat64(s.hasher.fallback); got != fallbacks {
			t.Fatalf("%v hashes were computed here, want %v", got, fallbacks)
		}
	}
	f(secret, nil, 0)
	f("wrong password", ErrWrong, 0)
	d.err = derive.ErrGone
	f(secret, nil, 1)
	f("wrong password", ErrWrong, 2)
}

func TestImportsAreHashedElsewhereOrHereIfThatFails(t *testing.T) {
	f := func(d *elsewhere) {
		t.Helper()
		phc, err := HashPasswordBy(d, secret, Cheap)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHash(phc)
		if err != nil || !h.matches(secret) || h.matches("wrong password") || d.asked.Load() != 1 {
			t.Fatalf("%v; asked %d times", err, d.asked.Load())
		}
	}
	f(&elsewhere{})
	f(&elsewhere{err: derive.ErrGone})
}

func TestEverythingIsBounded_WhatCanBeStoredCanBeHashedElsewhere(t *testing.T) {
	if utf8.UTFMax*PasswordMax > derive.PasswordMax || saltMax > derive.SaltMax || digestMax > derive.KeyMax ||
		MemoryMaxKiB > derive.MemoryMaxKiB || PassesMax > derive.PassesMax || LanesMax > derive.LanesMax {
		t.Fatal("a bound of stored hashes is above that of the hashing process")
	}
}
