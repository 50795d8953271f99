package session

import (
	"testing"
	"time"
	"unicode/utf8"
)

// The parsers of what comes from outside: they refuse or accept, and never panic. What they accept is what was sealed: by this
// process, or by the one that made the seed corpus, which has the same keys.

func FuzzCookie(f *testing.F) {
	k := newTokens(f)
	k.all(func(_, token string, _ func([]byte) bool) { f.Add([]byte(token)) })
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) {
		session, err := k.store.Open(b)
		if err != nil && session != nil || err == nil && (session.Customer != anna || len(b) != CookieSize) {
			t.Fatalf("%q opened as %+v, %v", b, session, err)
		}
		if customer, _, ok := k.store.openDevice(b, time.Now()); ok && customer != anna {
			t.Fatalf("%q is a device of %d", b, customer)
		}
	})
}

// FuzzCookieContent is behind the seal: what another version of the program may have put there.
func FuzzCookieContent(f *testing.F) {
	c := state{customer: 1, epoch: 2, signedIn: 3, lastSeen: 4}
	f.Add(c.encode(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c state
		if c.decode(b) && string(c.encode(nil)) != string(b) {
			t.Fatalf("%x is not spelled in one way", b)
		}
	})
}

func FuzzConsent(f *testing.F) {
	k := newTokens(f)
	f.Add([]byte(k.consent), []byte{})
	memory := new(scratch)
	content, err := k.store.KeyRing.open(&consentKind, []byte(k.consent), memory, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(k.cookie), append([]byte{}, content...))
	f.Fuzz(func(t *testing.T, token, content []byte) {
		if c, err := k.store.OpenConsent(k.session, token); err == nil && c.Payment != payment {
			t.Fatalf("%q opened as %+v", token, c)
		}
		c, err := decodeConsent(content)
		if err == nil && max(len(c.CreditorAccount), len(c.CreditorName), len(c.DebtorAccount)) > ConsentTextMax {
			t.Fatal("a text beyond its bound")
		}
	})
}

func FuzzPass(f *testing.F) {
	k := newTokens(f)
	token, err := k.store.SealPass(Pass{In: true, Since: time.UnixMilli(1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(token))
	f.Add([]byte(token[:40]))
	f.Add([]byte(k.cookie))
	f.Fuzz(func(t *testing.T, given []byte) {
		if p, err := k.store.OpenPass(given); err == nil && (!p.In || p.Since.UnixMilli() != 1) {
			t.Fatalf("%q opened as %+v", given, p)
		}
	})
}

func FuzzLink(f *testing.F) {
	k := newTokens(f)
	f.Add([]byte(k.link))
	f.Add([]byte("AAAAAAAAAAAA"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k.store.CheckLink(payment, b) != (string(b) == k.link) {
			t.Fatalf("%q", b)
		}
	})
}

func FuzzHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
	f.Add("$argon2id$v=19$m=64,t=1,p=1$$")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, phc string) {
		h, err := ParseHash(phc)
		if err == nil && h.String() != phc {
			t.Fatalf("%q is not spelled in one way", phc)
		}
	})
}

func FuzzCode(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	f.Add(codeAt(f, now))
	f.Add("123 456")
	f.Add("１２３４５６")
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := normalCode(typed)
		if ok && len(code) != CodeDigits {
			t.Fatalf("%q became %q", typed, code)
		}
		if !ok {
			return
		}
		current := now.Unix() / 30
		if step, ok := matchCode(seed, code, now); ok && (step < current-1 || step > current+1) {
			t.Fatalf("step %d", step)
		}
	})
}

func FuzzWhatIsTyped(f *testing.F) {
	f.Add("anna", secret)
	f.Add("zoe\u0301", "cre\u0300me bru\u0302le\u0301e")
	f.Fuzz(func(t *testing.T, username, password string) {
		if u, err := NormalUsername(username); err == nil {
			if again, err := NormalUsername(u); err != nil || again != u || len(u) > UsernameMax {
				t.Fatalf("%q became %q, then %q", username, u, again)
			}
		}
		if p, err := normalPassword(password); err == nil {
			if again, err := normalPassword(p); err != nil || again != p || len(p) < PasswordMin || utf8.RuneCountInString(p) > PasswordMax {
				t.Fatalf("%q became %q, then %q", password, p, again)
			}
		}
	})
}

func FuzzCSRF(f *testing.F) {
	s := &Session{csrf: [csrfSize]byte{1, 2, 3}}
	f.Add([]byte(s.CSRFToken()))
	f.Fuzz(func(_ *testing.T, token []byte) { s.CheckCSRF(token) })
}
