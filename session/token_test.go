package session

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netbank/cluster/journal"
)

// tokens holds one genuine token of each kind, and what opens it.
type tokens struct {
	store                         *Store
	session                       *Session
	cookie, device, consent, link string
}

var payment = journal.PaymentID{0x01, 0x9a, 0xb0, 0xc4, 0x5b, 0x7e, 0x7c, 0x3a, 0x9d, 0x2f, 1, 2, 3, 4, 5, 6}

var seen = Consent{
	Payment:         payment,
	Amount:          journal.Money{Minor: 12_345, Currency: "CNY"},
	CreditorAccount: "6222029999999999",
	CreditorName:    "示例商店 Example Shop",
	DebtorAccount:   "6222020000000001",
}

func newTokens(t testing.TB) tokens {
	t.Helper()
	s := newStore(t, newBank(t), dropped{})
	in := signedIn(t, s)
	consent, err := s.SealConsent(in.Session, seen)
	if err != nil {
		t.Fatal(err)
	}
	return tokens{s, in.Session, in.Cookie, s.RememberDevice(in.Session, nil), consent, s.LinkMAC(payment)}
}

func (k *tokens) opensCookie(b []byte) bool { _, err := k.store.Open(b); return err == nil }
func (k *tokens) opensDevice(b []byte) bool {
	_, _, ok := k.store.openDevice(b, time.Now())
	return ok
}

func (k *tokens) opensConsent(b []byte) bool {
	_, err := k.store.OpenConsent(k.session, b)
	return err == nil
}
func (k *tokens) opensLink(b []byte) bool { return k.store.CheckLink(payment, b) }

// all calls f with each kind of token and what opens it.
func (k *tokens) all(f func(kind, token string, opens func([]byte) bool)) {
	f("cookie", k.cookie, k.opensCookie)
	f("device", k.device, k.opensDevice)
	f("consent", k.consent, k.opensConsent)
	f("link", k.link, k.opensLink)
}

func TestTamperingWithAnyCharacterOfATokenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t)
		k.all(func(kind, token string, opens func([]byte) bool) {
			if !opens([]byte(token)) {
				t.Fatalf("%s: a genuine token was refused", kind)
			}
			for i := range token {
				for _, c := range []byte("AZaz09-_=\n\x00\xff") {
					if c == token[i] {
						continue
					}
					changed := []byte(token)
					changed[i] = c
					if opens(changed) {
						t.Fatalf("%s: %q in place %d was taken", kind, c, i)
					}
				}
				if opens([]byte(token[:i])) {
					t.Fatalf("%s: cut to %d characters, it was taken", kind, i)
				}
				if opens([]byte(token[:i] + "\n" + token[i:])) {
					t.Fatalf("%s: with a line end at %d, it was taken", kind, i)
				}
			}
			for _, bad := range []string{token + "A", token + "=", token + "\n", strings.Repeat("A", 1<<16)} {
				if opens([]byte(bad)) {
					t.Fatalf("%s: %d characters were taken", kind, len(bad))
				}
			}
		})
	})
}

func TestTamperingWithAnyBitOfATokenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t)
		k.all(func(kind, token string, opens func([]byte) bool) {
			raw, err := encoding.DecodeString(token)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 8 * len(raw) {
				raw[i/8] ^= 1 << (i % 8)
				if opens([]byte(encoding.EncodeToString(raw))) {
					t.Fatalf("%s: with bit %d changed, it was taken", kind, i)
				}
				raw[i/8] ^= 1 << (i % 8)
			}
		})
	})
}

func TestTokenOfOnePurposeOpensForNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t)
		k.all(func(kind, token string, _ func([]byte) bool) {
			k.all(func(other, _ string, opens func([]byte) bool) {
				if kind != other && opens([]byte(token)) {
					t.Fatalf("a %s was taken as a %s", kind, other)
				}
			})
		})
		// Not even when the content is of the same size and the key the same.
		memory := new(scratch)
		same := func(purpose string) kind {
			return kind{purpose, KeyLifetime, deviceKind.aead}
		}
		one, two := same("one"), same("two")
		token, err := k.store.seal(&one, []byte("content"), memory, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.store.KeyRing.open(&two, []byte(token), memory, time.Now()); !errors.Is(err, errToken) {
			t.Fatalf("open = %v", err)
		}
	})
}

func TestCookieWithUnknownFlagsIsRefused(t *testing.T) {
	c := state{customer: 1, epoch: 2, signedIn: 3, lastSeen: 4, knownDevice: true}
	b := c.encode(nil)
	var got state
	if !got.decode(b) || got != c {
		t.Fatalf("decode = %+v", got)
	}
	b[len(b)-1] |= 1 << 7
	if got.decode(b) || got.decode(b[:len(b)-1]) {
		t.Fatal("a cookie of a later program was taken")
	}
}

func TestConsentGivesBackWhatTheCustomerSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t)
		want := seen
		want.Issued = time.Now()
		got, err := k.store.OpenConsent(k.session, []byte(k.consent))
		if err != nil || !got.Issued.Equal(want.Issued) {
			t.Fatalf("OpenConsent = %+v, %v", got, err)
		}
		want.Bond = got.Bond
		if got != want {
			t.Fatalf("OpenConsent = %+v, want %+v", got, want)
		}
	})
}

func TestConsentIsGoodForTenMinutesAndItsOwnSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t)
		f := func(session *Session, want error) {
			t.Helper()
			if _, err := k.store.OpenConsent(session, []byte(k.consent)); !errors.Is(err, want) {
				t.Fatalf("OpenConsent = %v, want %v", err, want)
			}
		}
		next, stranger := *k.session, *k.session
		next.Epoch++
		stranger.Customer++
		f(&next, ErrConsent)
		f(&stranger, ErrConsent)
		time.Sleep(ConsentLifetime - time.Millisecond)
		f(k.session, nil)
		time.Sleep(time.Millisecond)
		f(k.session, ErrConsentExpired)
	})
}

func TestConsentOfTheLargestPaymentFitsAndALargerOneIsRefused(t *testing.T) {
	k := newTokens(t)
	text := strings.Repeat("图", ConsentTextMax/3)
	largest := Consent{Amount: journal.Money{Currency: "CNY"}, CreditorAccount: text, CreditorName: text, DebtorAccount: text}
	token, err := k.store.SealConsent(k.session, largest)
	if err != nil || len(token) > tokenSizeMax {
		t.Fatalf("%d characters, %v", len(token), err)
	}
	if got, err := k.store.OpenConsent(k.session, []byte(token)); err != nil || got.DebtorAccount != text {
		t.Fatal(err)
	}
	largest.CreditorName += "12"
	if _, err := k.store.SealConsent(k.session, largest); err == nil || !strings.Contains(err.Error(), "281 bytes") {
		t.Fatalf("SealConsent = %v", err)
	}
	if _, err := k.store.SealConsent(k.session, Consent{Amount: journal.Money{Currency: "CN"}}); err == nil || !strings.Contains(err.Error(), `"CN"`) {
		t.Fatalf("SealConsent = %v", err)
	}
}

func TestLinkIsShortAndGoodForItsPaymentAndKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t)
		s := k.store
		if len(k.link) != LinkSize || k.link != s.LinkMAC(payment) {
			t.Fatalf("link %q", k.link)
		}
		other := payment
		other[15]++
		if s.CheckLink(other, []byte(k.link)) {
			t.Fatal("one payment's link was taken for another")
		}
		// 256 rotations later another key has the same last byte: both are tried.
		bank := s.directory.(*bank)
		bank.rotate(257)
		if err := s.Refresh(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(SealDelay)
		if s.LinkMAC(payment) == k.link || !s.CheckLink(payment, []byte(k.link)) || !s.CheckLink(payment, []byte(s.LinkMAC(payment))) {
			t.Fatal("links of two keys with one last byte are mixed up")
		}
		time.Sleep(KeyLifetime)
		if !s.CheckLink(payment, []byte(s.LinkMAC(payment))) {
			t.Fatal("the newest key's link was refused")
		}
		if s.CheckLink(payment, []byte(k.link)) {
			t.Fatal("a link was taken after its key's lifetime")
		}
	})
}

func TestDeviceIsKnownToItsCustomerForHalfAYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t)
		if k.store.RememberDevice(k.session, []byte(k.device)) != "" {
			t.Fatal("a young device cookie was made anew")
		}
		stranger := *k.session
		stranger.Customer++
		if k.store.RememberDevice(&stranger, []byte(k.device)) == "" {
			t.Fatal("another customer got no device cookie of their own")
		}
		time.Sleep(deviceRenewAfter)
		if k.store.RememberDevice(k.session, []byte(k.device)) == "" {
			t.Fatal("an old device cookie was not made anew")
		}
		time.Sleep(DeviceLifetime - deviceRenewAfter - time.Millisecond)
		if !k.opensDevice([]byte(k.device)) {
			t.Fatal("a device was forgotten too early")
		}
		time.Sleep(time.Millisecond)
		if k.opensDevice([]byte(k.device)) {
			t.Fatal("a device is known for ever")
		}
	})
}
