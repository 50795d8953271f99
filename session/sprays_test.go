package session

import (
	"errors"
	"net/netip"
	"testing"

	"netbank/cluster/journal"
)

func TestAddressIsHeldToItsWrongSignIns(t *testing.T) {
	s := newSprays(10)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1")
	other := netip.MustParseAddr("2001:db8:0:1::1")
	now := journal.Millis(1e12)
	for n := range AddressFailuresMax {
		if s.full(a, now) != 0 {
			t.Fatalf("full after %d", n)
		}
		s.count(b, 1, now) // the same /64
	}
	if wait := s.full(a, now); wait != AddressForgivenEvery {
		t.Fatalf("wait %v", wait)
	}
	if s.full(other, now) != 0 || s.full(netip.Addr{}, now) != 0 {
		t.Fatal("others are refused too")
	}
	if s.count(a, -1, now); s.full(a, now) != 0 {
		t.Fatal("a right sign-in takes no wrong one off")
	}
	if s.count(a, 1, now); s.full(a, now+journal.Millis(AddressForgivenEvery.Milliseconds())) != 0 {
		t.Fatal("nothing is forgotten")
	}
}

// Behind a carrier's address thousands sign in: one in three of them mistypes once, and nobody is ever refused.
func TestSharedAddressesLockNobodyOut(t *testing.T) {
	s := newSprays(10)
	carrier := netip.MustParseAddr("192.0.2.1")
	now := journal.Millis(1e12)
	for n := range 100_000 {
		now += 10
		if s.full(carrier, now) != 0 {
			t.Fatalf("customer %d is refused", n)
		}
		if n%3 == 0 {
			s.count(carrier, 1, now)
		}
		s.count(carrier, -1, now)
	}
}

func TestEverythingIsBounded_AddressesAreForgottenFromTheLeast(t *testing.T) {
	s := newSprays(20)
	worst := netip.MustParseAddr("192.0.2.1")
	for range AddressFailuresMax {
		s.count(worst, 1, 1e12)
	}
	address := netip.MustParseAddr("10.0.0.1")
	for range 1000 {
		s.count(address, 1, 1e12)
		if address = address.Next(); len(s.by) > 20 {
			t.Fatalf("%d addresses", len(s.by))
		}
	}
	if s.full(worst, 1e12) == 0 {
		t.Error("the worst was forgotten")
	}
}

// A right sign-in takes a wrong one off, and so does nobody else's.
func TestRightSignInMakesUpForAWrongOne(t *testing.T) {
	b := newBank(t)
	s := newStore(t, b, dropped{})
	from := netip.MustParseAddr("192.0.2.1")
	now := journal.Millis(s.clock().UnixMilli())
	s.sprays.count(from, AddressFailuresMax-1, now)
	if _, err := s.SignIn(Client{Address: from}, "anna", secret, soon()); err != nil {
		t.Fatal(err)
	}
	s.sprays.count(from, 1, now)
	if _, err := s.SignIn(Client{Address: from}, "anna", secret, soon()); err != nil {
		t.Fatal(err)
	}
	s.sprays.count(from, 10, now)
	if _, err := s.SignIn(Client{Address: from}, "anna", secret, soon()); !errors.Is(err, ErrAddress) {
		t.Fatalf("a full address: %v", err)
	}
}
