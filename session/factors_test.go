package session

import (
	"errors"
	"strings"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/session/passkeytest"
)

var site = PasskeySite{Domain: "bank.example", Origin: "https://pay.bank.example", Name: "Bank"}

// withPhone gives anna a telephone number.
func (l *ledger) withPhone(t *testing.T) {
	t.Helper()
	c, _, _ := l.CustomerByID(anna)
	l.must(t, &journal.Command{Id: commandID(), Body: &command.Command_PutCustomer{PutCustomer: &command.PutCustomer{
		Id: uint64(anna), Username: c.Username, Name: c.Name, Locale: c.Locale, PasswordSealed: c.PasswordSealed, TotpSealed: c.TOTPSealed,
		Accounts:    []*command.Account{{Number: c.Accounts[0].Number, Currency: c.Accounts[0].Currency}},
		PhoneSealed: l.kek.Seal(PhonePurpose(anna), []byte("+8613800001234")),
	}}})
}

// withPasskey enrols a passkey of an authenticator, as its customer does.
func withPasskey(t *testing.T, s *Store, session *Session) *passkeytest.Authenticator {
	t.Helper()
	a := passkeytest.New(site.Origin)
	asked := Change{Kind: NewPasskey}
	token, err := s.SealChange(session, asked)
	if err != nil {
		t.Fatal(err)
	}
	if asked, err = s.OpenChange(session, []byte(token)); err != nil {
		t.Fatal(err)
	}
	made, err := a.Create(site.CreationOptions(session, asked.Challenge(), nil))
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.MadePasskey(asked.Challenge(), []byte(made))
	if err != nil {
		t.Fatalf("MadePasskey = %v", err)
	}
	key.Name = "Telephone"
	add := Change{Kind: AddPasskey, Passkey: key}
	if token, err = s.SealChange(session, add); err != nil {
		t.Fatal(err)
	}
	if add, err = s.OpenChange(session, []byte(token)); err != nil {
		t.Fatal(err)
	}
	step, err := s.CheckCode(session, codeAt(t, time.Now()), soon())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Enact(session, &add, journal.TOTP(step), soon()); err != nil {
		t.Fatalf("Enact = %v", err)
	}
	return a
}

// withSite makes a node take passkeys.
func withSite(s *Store) *Store {
	s.site = site
	return s
}

// swapped changes one character of base64url.
func swapped(s string, at int) string {
	other := "A"
	if s[at] == 'A' {
		other = "B"
	}
	return s[:at] + other + s[at+1:]
}

func resealed(t *testing.T, s *Store, session *Session, c Consent) Consent {
	t.Helper()
	token, err := s.SealConsent(session, c)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := s.OpenConsent(session, []byte(token))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestDynamicLinking_AChangedPayeeOrAmountVoidsTheAssertion(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := withSite(node())
		session := signedIn(t, s).Session
		a := withPasskey(t, s, session)
		consent := resealed(t, s, session, seen)
		have, err := s.Factors(session)
		if err != nil || len(have.Passkeys) != 1 {
			t.Fatalf("Factors = %+v, %v", have, err)
		}
		sign := func() []byte {
			t.Helper()
			text, err := a.Get(site.AssertionOptions(consent.Challenge(), have.Passkeys))
			if err != nil {
				t.Fatal(err)
			}
			return []byte(text)
		}
		refused := func(change func(*Consent)) {
			t.Helper()
			other := consent
			change(&other)
			if _, err := s.CheckPasskey(session, other.Challenge(), sign(), soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("CheckPasskey = %v", err)
			}
			if err := s.ForgiveCode(session, soon()); err != nil {
				t.Fatal(err)
			}
		}
		refused(func(c *Consent) { c.Payment[15]++ })
		refused(func(c *Consent) { c.Amount.Minor++ })
		refused(func(c *Consent) { c.Amount.Currency = "USD" })
		refused(func(c *Consent) { c.CreditorAccount += "1" })
		refused(func(c *Consent) { c.CreditorName += " Ltd" })
		refused(func(c *Consent) { c.DebtorAccount += "1" })
		refused(func(c *Consent) { c.nonce[0]++ }) // the same payment, confirmed anew
		refused(func(c *Consent) { c.epoch++ })
		proof, err := s.CheckPasskey(session, consent.Challenge(), sign(), soon())
		if err != nil || proof.Factor != command.Factor_FACTOR_PASSKEY || proof.SignCount != a.Count {
			t.Fatalf("CheckPasskey = %+v, %v", proof, err)
		}
	})
}

func TestPasskey_OfAnotherOriginUnverifiedUnknownOrUnsignedIsRefused(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := withSite(node())
		session := signedIn(t, s).Session
		a := withPasskey(t, s, session)
		consent := resealed(t, s, session, seen)
		have, _ := s.Factors(session)
		f := func(want error, by *passkeytest.Authenticator, options string, change func(string) string) {
			t.Helper()
			text, err := by.Get(options)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.CheckPasskey(session, consent.Challenge(), []byte(change(text)), soon()); !errors.Is(err, want) {
				t.Fatalf("CheckPasskey = %v, want %v", err, want)
			}
			if err := s.ForgiveCode(session, soon()); err != nil {
				t.Fatal(err)
			}
		}
		same := func(s string) string { return s }
		options := site.AssertionOptions(consent.Challenge(), have.Passkeys)
		a.Origin = "https://pay.bank.example.evil.example"
		f(ErrWrong, a, options, same)
		a.Origin = site.Origin
		a.Careless = true
		f(ErrWrong, a, options, same)
		a.Careless = false
		f(ErrWrong, a, strings.Replace(options, `"bank.example"`, `"other.example"`, 1), same)
		f(ErrWrong, a, options, func(s string) string { return swapped(s, strings.Index(s, `"signature":"`)+40) })
		f(ErrMalformed, a, options, func(s string) string { return s + strings.Repeat(" ", AssertionMax) })
		f(ErrMalformed, a, options, func(s string) string { return s[1:] })
		stranger := passkeytest.New(site.Origin)
		if _, err := stranger.Create(site.CreationOptions(session, consent.Challenge(), nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := stranger.Get(options); err == nil {
			t.Fatal("an authenticator has a passkey that it did not make")
		}
	})
}

func TestNewPasskey_MadeElsewhereUnverifiedOrForAnotherChangeIsRefused(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := withSite(node())
		session := signedIn(t, s).Session
		change := Change{Kind: NewPasskey}
		change.begin(session, time.Now())
		f := func(set func(a *passkeytest.Authenticator, c *Change)) {
			t.Helper()
			a, c := passkeytest.New(site.Origin), change
			set(a, &c)
			text, err := a.Create(site.CreationOptions(session, c.Challenge(), nil))
			if err != nil {
				t.Fatal(err)
			}
			if key, err := s.MadePasskey(change.Challenge(), []byte(text)); !errors.Is(err, ErrPasskeyMade) {
				t.Fatalf("MadePasskey = %+v, %v", key, err)
			}
		}
		f(func(a *passkeytest.Authenticator, _ *Change) { a.Origin = "https://evil.example" })
		f(func(a *passkeytest.Authenticator, _ *Change) { a.Careless = true })
		f(func(_ *passkeytest.Authenticator, c *Change) { c.nonce[0]++ })
		f(func(_ *passkeytest.Authenticator, c *Change) { c.customer++ })
		assertion := "{}"
		if _, err := s.MadePasskey(change.Challenge(), []byte(assertion)); !errors.Is(err, ErrMalformed) {
			t.Fatalf("MadePasskey = %v", err)
		}
	})
}

func TestSentCode_IsRightOnceForWhatItWasSentFor(t *testing.T) {
	onTheJournal(t, func(t *testing.T, l *ledger, node func() *Store) {
		here, there := node(), node()
		session := signedIn(t, here).Session
		if _, _, err := here.PrepareCode(session, journal.Subject{1}, soon()); !errors.Is(err, ErrNoPhone) {
			t.Fatalf("PrepareCode = %v", err)
		}
		l.withPhone(t)
		code, to, err := here.PrepareCode(session, seen.Subject(), soon())
		if err != nil || to != "+8613800001234" || len(code.Digits()) != CodeDigits {
			t.Fatalf("PrepareCode = %+v, %q, %v", code, to, err)
		}
		if _, _, err := there.PrepareCode(session, seen.Subject(), soon()); !errors.Is(err, ErrTooSoon) {
			t.Fatalf("PrepareCode = %v", err)
		}
		consent := seen
		consent.Sent = code
		consent = resealed(t, here, session, consent)
		if consent.Sent != code {
			t.Fatalf("the code came back as %+v", consent.Sent)
		}
		wrong := "000000"
		if code.Digits() == wrong {
			wrong = "000001"
		}
		if _, err := there.CheckSentCode(session, &consent.Sent, wrong, soon()); !errors.Is(err, ErrWrong) {
			t.Fatalf("CheckSentCode = %v", err)
		}
		if _, err := there.CheckSentCode(session, &SentCode{}, "000000", soon()); !errors.Is(err, ErrMalformed) {
			t.Fatalf("CheckSentCode of no code = %v", err)
		}
		proof, err := there.CheckSentCode(session, &consent.Sent, " "+code.Digits()[:3]+" "+code.Digits()[3:], soon())
		if err != nil || proof.Factor != command.Factor_FACTOR_MESSAGE || proof.Step != code.Number {
			t.Fatalf("CheckSentCode = %+v, %v", proof, err)
		}
		time.Sleep(time.Duration(journal.CodeFor) * time.Millisecond)
		if _, err := here.CheckSentCode(session, &consent.Sent, code.Digits(), soon()); !errors.Is(err, ErrCodeOld) {
			t.Fatalf("CheckSentCode = %v", err)
		}
	})
}

func TestRule9_OnTheJournal_GuessesAtSentCodesAndPasskeysAreCountedTogether(t *testing.T) {
	onTheJournal(t, func(t *testing.T, l *ledger, node func() *Store) {
		s := withSite(node())
		l.withPhone(t)
		session := signedIn(t, s).Session
		a := withPasskey(t, s, session)
		have, _ := s.Factors(session)
		sent := SentCode{Number: 1, At: l.Now(), digits: [CodeDigits]byte([]byte("123456"))}
		for n := range journal.LockAfter {
			if n%2 == 0 {
				if _, err := s.CheckSentCode(session, &sent, "654321", soon()); !errors.Is(err, ErrWrong) {
					t.Fatalf("CheckSentCode = %v", err)
				}
				continue
			}
			text, err := a.Get(site.AssertionOptions([32]byte{byte(n)}, have.Passkeys))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.CheckPasskey(session, [32]byte{}, []byte(text), soon()); !errors.Is(err, ErrWrong) {
				t.Fatalf("CheckPasskey = %v", err)
			}
		}
		if _, err := s.CheckSentCode(session, &sent, "123456", soon()); !errors.Is(err, ErrLocked) {
			t.Fatalf("CheckSentCode = %v", err)
		}
	})
}

func TestChange_IsGoodForItsSessionAndTenMinutes(t *testing.T) {
	onTheJournal(t, func(t *testing.T, _ *ledger, node func() *Store) {
		s := node()
		session := signedIn(t, s).Session
		c := Change{Kind: DropPasskey, Passkey: journal.Passkey{ID: []byte("k"), Name: "Telephone"}}
		token, err := s.SealChange(session, c)
		if err != nil {
			t.Fatal(err)
		}
		f := func(who *Session, token string, want error) {
			t.Helper()
			if got, err := s.OpenChange(who, []byte(token)); !errors.Is(err, want) || err == nil && (string(got.Passkey.ID) != "k" || got.Passkey.Name != "Telephone") {
				t.Fatalf("OpenChange = %+v, %v; want %v", got, err, want)
			}
		}
		f(session, token, nil)
		next := *session
		next.Epoch++
		f(&next, token, ErrConsent)
		f(session, swapped(token, len(token)/2), ErrConsent)
		consent, err := s.SealConsent(session, seen)
		if err != nil {
			t.Fatal(err)
		}
		f(session, consent, ErrConsent) // a consent is no change
		time.Sleep(ConsentLifetime)
		f(session, token, ErrConsentExpired)
	})
}

func TestPasskeySite_BelongsToTheHostOrADomainThatItIsIn(t *testing.T) {
	f := func(public, domain string, want PasskeySite, whole bool) {
		t.Helper()
		want.Name = map[bool]string{true: "Bank"}[want.Domain != ""]
		if got, err := NewPasskeySite(public, domain, "Bank"); got != want || (err == nil) != whole {
			t.Fatalf("NewPasskeySite(%q, %q) = %+v, %v", public, domain, got, err)
		}
	}
	f("https://pay.bank.example", "", PasskeySite{Domain: "pay.bank.example", Origin: "https://pay.bank.example"}, true)
	f("https://Pay.Bank.example:443/", "bank.example", PasskeySite{Domain: "bank.example", Origin: "https://pay.bank.example"}, true)
	f("http://localhost:8080", "", PasskeySite{Domain: "localhost", Origin: "http://localhost:8080"}, true)
	f("http://127.0.0.1:8080", "", PasskeySite{}, true)
	f("https://[2001:db8::1]", "", PasskeySite{}, true)
	f("https://pay.bank.example", "evil.example", PasskeySite{}, false)
	f("https://pay.bank.example", "nk.example", PasskeySite{}, false)
	f("https://192.0.2.1", "192.0.2.1", PasskeySite{}, false)
}

func TestPhoneNumbers_AreKeptInOneForm(t *testing.T) {
	f := func(number, want string) {
		t.Helper()
		if got, ok := NormalPhone(number); got != want || ok != (want != "") {
			t.Fatalf("NormalPhone(%q) = %q, %v", number, got, ok)
		}
	}
	f("+86 138 0000-1234", "+8613800001234")
	f("+44 (20) 7946 0000", "+442079460000")
	f("13800001234", "")
	f("+0123456789", "")
	f("+123456", "")
	f("+1234567890123456", "")
	f("+86138x0001234", "")
}

// FuzzAssertion feeds what a browser sends, which is a stranger's word until it is checked.
func FuzzAssertion(f *testing.F) {
	a := passkeytest.New(site.Origin)
	made, err := a.Create(site.CreationOptions(&Session{Profile: &Profile{}}, [32]byte{1}, nil))
	if err != nil {
		f.Fatal(err)
	}
	s := &Store{site: site}
	key, err := s.MadePasskey([32]byte{1}, []byte(made))
	if err != nil {
		f.Fatal(err)
	}
	signed, err := a.Get(site.AssertionOptions([32]byte{2}, []journal.Passkey{key}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(signed))
	f.Add([]byte(made))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if parsed, err := parseAssertion(text); err == nil {
			if site.verify(parsed, [32]byte{3}, key.PublicKey) == nil {
				t.Fatalf("%q is taken for another challenge", text)
			}
		}
	})
}

// FuzzAttestation is the same for a passkey that was made.
func FuzzAttestation(f *testing.F) {
	a := passkeytest.New(site.Origin)
	made, err := a.Create(site.CreationOptions(&Session{Profile: &Profile{}}, [32]byte{1}, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(made))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`))
	s := &Store{site: site}
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := s.MadePasskey([32]byte{2}, text); err == nil {
			t.Fatalf("%q is taken for another challenge: %+v", text, key)
		}
	})
}

// FuzzChange opens what was never sealed, and reads what might be.
func FuzzChange(f *testing.F) {
	k := newTokens(f)
	c := Change{Kind: AddPasskey, Passkey: journal.Passkey{ID: []byte("k"), PublicKey: []byte("p"), Name: "n"}}
	f.Add([]byte(k.consent), c.encode(nil))
	c = Change{Kind: PutPassword, Password: NewPassword{Sealed: []byte("sealed")}}
	f.Add([]byte(k.cookie), c.encode(nil))
	f.Fuzz(func(t *testing.T, token, content []byte) {
		if got, err := k.store.OpenChange(k.session, token); err == nil {
			t.Fatalf("%q opened as %+v", token, got)
		}
		decodeChange(content)
	})
}
