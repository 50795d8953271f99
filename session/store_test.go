package session

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
)

// everyCache runs a test once with a cache that keeps nothing, once with one that keeps everything, and once with the real one: none may
// make a difference.
func everyCache(t *testing.T, test func(t *testing.T, b *bank, s *Store)) {
	t.Helper()
	for name, cache := range map[string]func() profiles{
		"every Set is dropped": func() profiles { return dropped{} },
		"every Set is kept":    func() profiles { return kept{} },
		"ristretto":            func() profiles { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				test(t, b, newStore(t, b, cache()))
			})
		})
	}
}

// refused says that a cookie opens nothing, and why.
func refused(t *testing.T, s *Store, cookie string, want error) {
	t.Helper()
	if session, err := s.Open([]byte(cookie)); !errors.Is(err, want) || session != nil {
		t.Fatalf("Open = %v, %v, want %v", session, err, want)
	}
}

func opened(t *testing.T, s *Store, cookie string) *Session {
	t.Helper()
	session, err := s.Open([]byte(cookie))
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	return session
}

func TestSessionOpensAtEveryNodeWithWhatPagesShow(t *testing.T) {
	everyCache(t, func(t *testing.T, b *bank, s *Store) {
		in := signedIn(t, s)
		if len(in.Cookie) != CookieSize || CookieSize >= 200 {
			t.Fatalf("the cookie has %d characters, want %d", len(in.Cookie), CookieSize)
		}
		other := newStore(t, b, nil)
		for _, node := range []*Store{s, other, s, other} {
			session := opened(t, node, in.Cookie)
			if session.Customer != anna || session.Epoch != 1 || session.ReservedMessage != "blue heron" || session.Tier != 2 || session.KnownDevice {
				t.Fatalf("session = %+v", session)
			}
			if _, ok := session.Account("6222020000000001", "CNY"); !ok {
				t.Fatal("the customer's account is not there")
			}
			if _, ok := session.Account("6222020000000002", "CNY"); ok {
				t.Fatal("an account of somebody else is there")
			}
			if _, ok := session.Account("6222020000000001", "USD"); ok {
				t.Fatal("an account in another currency is there")
			}
		}
	})
}

func TestSessionEndsAfterFiveIdleMinutes(t *testing.T) {
	everyCache(t, func(t *testing.T, _ *bank, s *Store) {
		in := signedIn(t, s)
		time.Sleep(IdleLimit - time.Millisecond)
		opened(t, s, in.Cookie)
		time.Sleep(time.Millisecond)
		refused(t, s, in.Cookie, ErrIdle)
	})
}

func TestSessionEndsAfterThirtyMinutesHoweverBusy(t *testing.T) {
	everyCache(t, func(t *testing.T, _ *bank, s *Store) {
		cookie := signedIn(t, s).Cookie
		for began := time.Now(); time.Since(began) < AbsoluteLimit-time.Minute; {
			time.Sleep(time.Minute)
			session := opened(t, s, cookie)
			if cookie = s.Renew(session); cookie == "" {
				t.Fatal("a cookie a minute old was not renewed")
			}
		}
		if left := time.Until(time.UnixMilli(int64(opened(t, s, cookie).Expires()))); left != time.Minute {
			t.Fatalf("expires in %s, want the absolute limit in 1m", left)
		}
		time.Sleep(time.Minute)
		refused(t, s, cookie, ErrExpired)
	})
}

func TestRenewKeepsTheSessionAndSparesAnswers(t *testing.T) {
	everyCache(t, func(t *testing.T, _ *bank, s *Store) {
		in := signedIn(t, s)
		time.Sleep(RenewAfter - time.Millisecond)
		if cookie := s.Renew(opened(t, s, in.Cookie)); cookie != "" {
			t.Fatal("a young cookie was renewed")
		}
		time.Sleep(time.Millisecond)
		before := opened(t, s, in.Cookie)
		after := opened(t, s, s.Renew(before))
		if after.Epoch != before.Epoch || !after.SignedIn.Equal(before.SignedIn) || !after.CheckCSRF([]byte(before.CSRFToken())) {
			t.Fatal("renewal changed the session")
		}
		if !after.LastSeen.Equal(time.Now().Truncate(time.Millisecond)) {
			t.Fatalf("last seen %s", after.LastSeen)
		}
	})
}

func TestOutMeansOut_ReplacedByANewerSignIn(t *testing.T) {
	everyCache(t, func(t *testing.T, b *bank, s *Store) {
		first := signedIn(t, s)
		opened(t, s, first.Cookie)
		second := signedIn(t, newStore(t, b, nil))
		refused(t, s, first.Cookie, ErrReplaced)
		opened(t, s, second.Cookie)
	})
}

func TestOutMeansOut_SignedOutAtAnotherNode(t *testing.T) {
	everyCache(t, func(t *testing.T, b *bank, s *Store) {
		in := signedIn(t, s)
		session := opened(t, s, in.Cookie)
		other := newStore(t, b, nil)
		if err := other.SignOut(session, soon()); err != nil {
			t.Fatal(err)
		}
		refused(t, s, in.Cookie, ErrEnded)
		if err := other.SignOut(session, soon()); err != nil {
			t.Fatalf("a second sign-out = %v, want no error", err)
		}
	})
}

func TestOutMeansOut_StaleEntryOfAnOlderEpochIsNeverServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		cache := kept{}
		s := newStore(t, b, cache)
		in := signedIn(t, s)
		session := opened(t, s, in.Cookie)
		now := journal.Millis(time.Now().UnixMilli())
		key := profileKey(anna, session.Epoch, now)
		plant := func(customer journal.CustomerID, epoch journal.Epoch, loaded journal.Millis) {
			t.Helper()
			cache[key] = &cachedProfile{Profile{Name: "stale"}, customer, epoch, loaded}
			if opened(t, s, in.Cookie).Name == "stale" {
				t.Fatalf("an entry of customer %d, epoch %d, %d ms old was served", customer, epoch, now-loaded)
			}
		}
		plant(anna, session.Epoch-1, now)
		plant(anna, session.Epoch+1, now)
		plant(anna+1, session.Epoch, now)
		plant(anna, session.Epoch, now-journal.Millis(profileLifetime.Milliseconds()))
		plant(anna, session.Epoch, now+1)
	})
}

func TestOutMeansOut_SessionsOfARestoredJournalsFutureAreNotInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		in := signedIn(t, s)
		later := signedIn(t, s)
		// The backup was taken before both; the customer signs in once more.
		b.access[anna] = journal.Access{}
		time.Sleep(LagMax + time.Millisecond)
		refused(t, s, later.Cookie, ErrReplaced)
		again := signedIn(t, s)
		if again.Session.Epoch != in.Session.Epoch {
			t.Fatalf("epoch %d, want that of the lost session", again.Session.Epoch)
		}
		refused(t, s, in.Cookie, ErrReplaced)
		opened(t, s, again.Cookie)
	})
}

func TestSessionIsTakenByANodeWhoseJournalIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		in := signedIn(t, s)
		b.access[anna] = journal.Access{}
		time.Sleep(LagMax)
		opened(t, s, in.Cookie)
		time.Sleep(time.Millisecond)
		refused(t, s, in.Cookie, ErrReplaced)
	})
}

func TestProfileIsLoadedAnewAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, kept{})
		in := signedIn(t, s)
		customer := b.customers[anna]
		customer.ReservedMessage = "grey heron"
		b.customers[anna] = customer
		time.Sleep(profileLifetime)
		if got := opened(t, s, in.Cookie).ReservedMessage; got != "grey heron" {
			t.Fatalf("reserved message %q", got)
		}
		asked := b.asked[anna]
		opened(t, s, in.Cookie)
		opened(t, s, in.Cookie)
		if b.asked[anna] != asked {
			t.Fatal("a kept profile was loaded again")
		}
	})
}

func TestSessionOfARemovedCustomerIsEnded(t *testing.T) {
	everyCache(t, func(t *testing.T, b *bank, s *Store) {
		in := signedIn(t, s)
		delete(b.customers, anna)
		time.Sleep(profileLifetime)
		refused(t, s, in.Cookie, ErrEnded)
	})
}

func TestCookieFromAClockFarAheadIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		in := signedIn(t, s)
		c := in.Session.state()
		f := func(ahead time.Duration, want error) {
			t.Helper()
			c.lastSeen = journal.Millis(time.Now().Add(ahead).UnixMilli())
			cookie, err := s.sealCookie(&c, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Open([]byte(cookie)); !errors.Is(err, want) {
				t.Fatalf("last seen %s ahead: %v, want %v", ahead, err, want)
			}
		}
		f(skewMax, nil)
		f(skewMax+time.Millisecond, ErrExpired)
	})
}

func TestSignOutThatTheJournalDidNotTakeIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		in := signedIn(t, s)
		lost := errors.New("no leader")
		b.fail = lost
		if err := s.SignOut(in.Session, soon()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, lost) {
			t.Fatalf("SignOut = %v", err)
		}
		b.fail = nil
		b.answer["end"] = journal.BadCommand
		if err := s.SignOut(in.Session, soon()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("SignOut = %v", err)
		}
		opened(t, s, in.Cookie)
	})
}

func TestCSRFTokenIsGoodForItsSessionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := newStore(t, b, dropped{})
		first, second := signedIn(t, s).Session, signedIn(t, s).Session
		token := first.CSRFToken()
		if token == first.CSRFToken() {
			t.Fatal("two tokens are spelled alike")
		}
		if !first.CheckCSRF([]byte(token)) || second.CheckCSRF([]byte(token)) {
			t.Fatal("a token is not bound to its session")
		}
		for _, bad := range []string{"", "x", token + "A", token[:len(token)-1], strings.Repeat("A", len(token)), token[1:] + "\n"} {
			if first.CheckCSRF([]byte(bad)) {
				t.Fatalf("token %q was taken", bad)
			}
		}
		for i := range token {
			if first.CheckCSRF(flip(token, i)) {
				t.Fatalf("a token changed at %d was taken", i)
			}
		}
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	b := newBank(t)
	f := func(c Config, want string) {
		t.Helper()
		if s, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("New = %v, %v, want an error with %q", s, err, want)
		}
	}
	f(Config{}, "needs Directory and Opener")
	f(Config{Directory: b, Opener: b.kek, Params: Cheap}, "weaker than")
	f(Config{Directory: b, Opener: b.kek, Params: Params{MemoryKiB: MemoryMaxKiB + 1, Passes: 2, Lanes: 1}}, "out of bounds")
	b.keys = append(b.keys, journal.Key{ID: 5, Sealed: []byte("not sealed")})
	f(Config{Directory: b, Opener: b.kek}, "root key 5")
}

// flip changes one character of a token to another of the alphabet.
func flip(token string, at int) []byte {
	changed := []byte(token)
	if changed[at] == 'A' {
		changed[at] = 'B'
	} else {
		changed[at] = 'A'
	}
	return changed
}
