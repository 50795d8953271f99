package session

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
)

func TestRotation_OldCookiesOpenUntilTheKeyGoesAndNewOnesAreSealedWithTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		old := signedIn(t, s)
		b.rotate(2)
		if err := s.Refresh(); err != nil {
			t.Fatal(err)
		}
		if early := signedIn(t, s); sealedWith(t, early.Cookie) != 1 {
			t.Fatal("a key seals before the other nodes can know it")
		}
		time.Sleep(SealDelay)
		again := signedIn(t, s)
		if sealedWith(t, old.Cookie) != 1 || sealedWith(t, again.Cookie) != 2 {
			t.Fatal("the newest key does not seal")
		}
		c := again.Session.state()
		underOld := withKey(t, s, 1, &c)
		opened(t, s, underOld)
		opened(t, s, again.Cookie)

		b.keys = slices.DeleteFunc(b.keys, func(k journal.Key) bool { return k.ID == 1 })
		if err := s.Refresh(); err != nil {
			t.Fatal(err)
		}
		refused(t, s, underOld, ErrNoSession)
		opened(t, s, again.Cookie)
	})
}

func TestRotation_AKeyOlderThanItsLifetimeOpensNoCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		time.Sleep(KeyLifetime)
		in := signedIn(t, s)
		opened(t, s, in.Cookie)
		b.rotate(2)
		if err := s.Refresh(); err != nil {
			t.Fatal(err)
		}
		opened(t, s, in.Cookie)
		time.Sleep(time.Millisecond)
		refused(t, s, in.Cookie, ErrNoSession)
	})
}

func TestRotation_OneThatDoesNotComeTakesNobodysSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		time.Sleep(10 * KeyLifetime)
		opened(t, s, signedIn(t, s).Cookie)
		if !s.CheckLink(payment, []byte(s.LinkMAC(payment))) {
			t.Fatal("a link was refused")
		}
	})
}

func TestRotation_AfterDaysWithoutTheNewKeySealsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		time.Sleep(sealAgeMax + time.Millisecond)
		b.rotate(2)
		s := newStore(t, b, dropped{})
		in := signedIn(t, s)
		if sealedWith(t, in.Cookie) != 2 {
			t.Fatal("a key seals that will soon open nothing")
		}
		opened(t, s, in.Cookie)
	})
}

func TestRotation_ACookieUnderAKeyThatOnlyAnotherNodeKnowsIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		behind := newStore(t, b, dropped{})
		b.rotate(2)
		time.Sleep(SealDelay)
		ahead := newStore(t, b, dropped{})
		in := signedIn(t, ahead)
		opened(t, behind, in.Cookie)
	})
}

func TestUnknownKeysMakeTheRingLookOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		looks := 0
		ring, err := NewKeyRing(func() []journal.Key { looks++; return b.Keys() }, b.kek, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		looks = 0
		forged := encoding.EncodeToString(append([]byte{tokenVersion, 0, 0, 0, 99}, make([]byte, tokenOverhead-tokenHeader+cookieContent)...))
		for range 100 {
			if _, err := ring.openCookie([]byte(forged), time.Now()); !errors.Is(err, ErrNoSession) {
				t.Fatal(err)
			}
		}
		if looks != 1 {
			t.Fatalf("100 forged tokens in no time made the ring look %d times", looks)
		}
		time.Sleep(refreshEvery)
		_, _ = ring.openCookie([]byte(forged), time.Now())
		if looks != 2 {
			t.Fatalf("looked %d times after a second", looks)
		}
	})
}

func TestRotation_UnderLoadLosesNoSession(t *testing.T) {
	b := newBank(t)
	s := newStore(t, b, nil)
	in := signedIn(t, s)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				session, err := s.Open([]byte(in.Cookie))
				if err != nil {
					t.Errorf("Open = %v", err)
					return
				}
				if !s.CheckLink(payment, []byte(s.LinkMAC(payment))) || !session.CheckCSRF([]byte(session.CSRFToken())) {
					t.Error("a link or a form was refused")
				}
			}
		})
	}
	for id := range uint32(20) {
		b.rotate(id + 2)
		if err := s.Refresh(); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}

func TestRefreshUsesTheKeysThatOpenAndNamesTheOneThatDoesNot(t *testing.T) {
	b := newBank(t)
	s := newStore(t, b, dropped{})
	b.keys = append(b.keys, journal.Key{ID: 3, Sealed: []byte("damaged")})
	b.keys = append(b.keys, journal.Key{ID: 4, Sealed: b.kek.Seal(RootKeyPurpose, []byte("short"))})
	err := s.Refresh()
	if err == nil || !strings.Contains(err.Error(), "root key 3") || !strings.Contains(err.Error(), "root key 4 has 5 bytes") {
		t.Fatalf("Refresh = %v", err)
	}
	opened(t, s, signedIn(t, s).Cookie)
}

func TestRingIsBounded(t *testing.T) {
	b := newBank(t)
	for id := range uint32(KeysMax + 10) {
		b.rotate(id + 1)
	}
	s := newStore(t, b, dropped{})
	if n := len(*s.generations.Load()); n != KeysMax {
		t.Fatalf("%d keys in the ring, want %d", n, KeysMax)
	}
}

func TestWithoutAKeyNothingIsSealedAndNoAttemptIsCounted(t *testing.T) {
	b := newBank(t)
	session := signedIn(t, newStore(t, b, dropped{})).Session
	b.keys = nil
	s := newStore(t, b, dropped{})
	attempts := b.count("attempt")
	if _, err := s.SignIn(nowhere, "anna", secret, soon()); !errors.Is(err, ErrNoKey) || b.count("attempt") != attempts {
		t.Fatalf("SignIn = %v", err)
	}
	if _, err := s.SealConsent(session, Consent{Amount: journal.Money{Currency: "CNY"}}); !errors.Is(err, ErrNoKey) {
		t.Fatalf("SealConsent = %v", err)
	}
	session.Seen = session.Seen.Add(time.Minute)
	if s.LinkMAC(journal.PaymentID{}) != "" || s.RememberDevice(session, nil) != "" || s.Renew(session) != "" {
		t.Fatal("something was sealed without a key")
	}
}

func TestRotationIsDueOnceADayAndAtTheBeginning(t *testing.T) {
	day := journal.Millis(RotateEvery.Milliseconds())
	f := func(want bool, now journal.Millis, keys ...journal.Key) {
		t.Helper()
		if got := RotationDue(keys, now); got != want {
			t.Fatalf("RotationDue(%v, %d) = %v", keys, now, got)
		}
	}
	f(true, 0)
	f(false, 1000, journal.Key{ID: 1, Created: 1000})
	f(false, 999+day, journal.Key{ID: 1, Created: 1000})
	f(true, 1000+day, journal.Key{ID: 1, Created: 1000})
	f(false, 1000+day, journal.Key{ID: 2, Created: 1000 + day}, journal.Key{ID: 1, Created: 1000})
	if NextKeyID(nil) != 1 || NextKeyID([]journal.Key{{ID: 4}, {ID: 2}}) != 5 {
		t.Fatal("NextKeyID")
	}
}

func TestSubKeysOfPurposesDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, purpose := range []string{purposeCookie, purposeDevice, purposeConsent, purposeLink} {
		block, err := subKey(make([]byte, RootKeySize), purpose)
		if err != nil {
			t.Fatal(err)
		}
		var out [16]byte
		block.Encrypt(out[:], out[:])
		if other, ok := seen[string(out[:])]; ok {
			t.Fatalf("%s and %s have one key", purpose, other)
		}
		seen[string(out[:])] = purpose
	}
}

// sealedWith gives the id of the key that sealed a token.
func sealedWith(t *testing.T, token string) int {
	t.Helper()
	raw, err := encoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return int(raw[4])
}

// withKey seals a cookie with the key of an id.
func withKey(t *testing.T, s *Store, id uint32, c *state) string {
	t.Helper()
	ring := &KeyRing{}
	all := *s.generations.Load()
	ring.generations.Store(&[]*generation{all[find(all, id)]})
	cookie, err := ring.sealCookie(c, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}
