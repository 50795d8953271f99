package session

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"netbank/cluster/journal"
)

// form is the sign-in form of a payment in a browser.
var form = Client{Address: netip.MustParseAddr("192.0.2.1"), Form: "/pay/1/sign-in Firefox"}

// slowly lets each password take a second, and gives a bank with a node to try it.
func slowly(t *testing.T) (*bank, *Store) {
	b := newBank(t)
	s := newStore(t, b, dropped{})
	s.hasher.matches = func(h Hash, password string) bool {
		time.Sleep(time.Second)
		return h.matches(password)
	}
	return b, s
}

// together sends sign-ins one after the other while the first of them is being checked, and gives their answers.
func together(s *Store, username string, passwords []string, from ...Client) ([]SignedIn, []error) {
	in, errs := make([]SignedIn, len(from)), make([]error, len(from))
	var all sync.WaitGroup
	for i, client := range from {
		all.Go(func() { in[i], errs[i] = s.SignIn(client, username, passwords[i%len(passwords)], soon()) })
		synctest.Wait()
	}
	all.Wait()
	return in, errs
}

func TestDoubleClick_BothHalvesGetOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := slowly(t)
		in, errs := together(s, "anna", []string{secret}, form, form, form)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for _, half := range in {
			if half.Cookie != in[0].Cookie || opened(t, s, half.Cookie).Epoch != 1 {
				t.Fatalf("the clicks have sessions of their own: %v", in)
			}
		}
		if b.count("attempt") != 1 || b.count("sign-in") != 1 {
			t.Fatalf("%d attempts, %d sign-ins", b.count("attempt"), b.count("sign-in"))
		}
		if joined := testutil.ToFloat64(s.metrics.joined); joined != 2 || testutil.ToFloat64(s.metrics.signIns.WithLabelValues("ok")) != 1 {
			t.Fatalf("%v joined", joined)
		}
	})
}

func TestDoubleClick_AFailureIsCountedOnceAndToldTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := slowly(t)
		for n := range 5 {
			_, errs := together(s, "anna", []string{"a wrong password"}, form, form)
			if !errors.Is(errs[0], ErrWrong) || !errors.Is(errs[1], ErrWrong) || b.attempts[anna] != n+1 {
				t.Fatalf("double click %d: %v, %d attempts", n, errs, b.attempts[anna])
			}
		}
		// Refusals are one as well.
		b.fail = errors.New("no leader")
		s.hasher.matches = nil
		b.before = func(*journal.Command) { time.Sleep(time.Second) }
		if _, errs := together(s, "anna", []string{secret}, form, form); !errors.Is(errs[0], ErrUnavailable) || !errors.Is(errs[1], ErrUnavailable) {
			t.Fatalf("without a leader: %v", errs)
		}
	})
}

func TestDoubleClick_WhatDiffersIsAnAttemptOfItsOwn(t *testing.T) {
	f := func(what string, passwords []string, first, second Client) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			b, s := slowly(t)
			together(s, "anna", passwords, first, second)
			if n := b.count("attempt"); n != 2 {
				t.Fatalf("%s: %d attempts", what, n)
			}
		})
	}
	same := []string{secret}
	f("another password", []string{secret, secret + "!"}, form, form)
	f("another browser or payment", same, form, Client{Address: form.Address, Form: "/pay/2/sign-in Firefox"})
	f("another address", same, form, Client{Address: netip.MustParseAddr("192.0.2.2"), Form: form.Form})
	f("another device", same, form, Client{Address: form.Address, Device: []byte("a device"), Form: form.Form})
	f("no form", same, Client{}, Client{})
	// What stands between the parts does not make two lists of them one.
	f("parts that are one text", same, Client{Device: []byte("ab"), Form: "c"}, Client{Device: []byte("a"), Form: "bc"})
}

func TestDoubleClick_WhoComesAfterTheAnswerSignsInAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := slowly(t)
		first, _ := together(s, "anna", []string{secret}, form)
		second, _ := together(s, "anna", []string{secret}, form)
		if first[0].Cookie == second[0].Cookie || b.count("sign-in") != 2 {
			t.Fatal("an answer was kept after it was given")
		}
		if _, err := s.Open([]byte(first[0].Cookie)); !errors.Is(err, ErrReplaced) {
			t.Fatalf("the older session: %v", err)
		}
	})
}

// The second half of a double click takes no place in the pool: it is no work.
func TestDoubleClick_EverythingIsBounded_AHundredClicksTakeOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := slowly(t)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := s.SignIn(form, "anna", secret, soon()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if places := s.hasher.reserved.Load(); places != 1 {
			t.Errorf("%d places are taken", places)
		}
		all.Wait()
		if places := s.hasher.reserved.Load(); places != 0 {
			t.Fatalf("%d places are taken by nobody", places)
		}
	})
}

func TestSecretsOfAnAttemptAreNotInItsName(t *testing.T) {
	c := newClicks()
	if name := c.name(&form, "anna", secret); name == newClicks().name(&form, "anna", secret) || len(name) != 32 {
		t.Fatalf("a name of %d bytes, which another node knows too", len(name))
	}
}
