package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"netbank/cluster/journal"
)

// Limits of a consent.
const (
	// ConsentLifetime is how long a confirm page can be sent.
	ConsentLifetime = 10 * time.Minute
	// ConsentTextMax bounds each text of a consent, in bytes.
	ConsentTextMax = 280
)

// Bond is what ties a consent, or a change of the customer's factors, to one sign-in and one moment, and what makes a factor for it a factor for
// nothing else.
type Bond struct {
	Issued time.Time // when it was sealed first, to the millisecond; set by the Store
	Sent   SentCode  // the code that was sent for it; zero: none was

	customer journal.CustomerID
	epoch    journal.Epoch
	nonce    [nonceSize]byte // makes its challenge one that nobody has seen before
}

// nonceSize is that of a challenge's random part in bytes: WebAuthn asks for 16 at least.
const nonceSize = 16

// The content of a bond, big-endian:
//
//	customer (8) | epoch (8) | issued, ms (8) | nonce (16) | code: number (8), sent, ms (8), digits (6)
const bondSize = 8 + 8 + 8 + nonceSize + 8 + 8 + CodeDigits

// begin fills in what the Store sets. What was sealed before keeps its beginning.
func (b *Bond) begin(session *Session, now time.Time) {
	b.customer, b.epoch = session.Customer, session.Epoch
	if b.nonce == ([nonceSize]byte{}) {
		rand.Read(b.nonce[:])
		b.Issued = now
	}
}

func (b *Bond) encode(to []byte) []byte {
	to = binary.BigEndian.AppendUint64(to, uint64(b.customer))
	to = binary.BigEndian.AppendUint64(to, uint64(b.epoch))
	to = binary.BigEndian.AppendUint64(to, uint64(b.Issued.UnixMilli()))
	to = append(to, b.nonce[:]...)
	to = binary.BigEndian.AppendUint64(to, uint64(b.Sent.Number))
	to = binary.BigEndian.AppendUint64(to, uint64(b.Sent.At))
	return append(to, b.Sent.digits[:]...)
}

// decode reads a bond, and gives what follows it.
func (b *Bond) decode(from []byte) (rest []byte, ok bool) {
	if len(from) < bondSize {
		return nil, false
	}
	b.customer = journal.CustomerID(binary.BigEndian.Uint64(from))
	b.epoch = journal.Epoch(binary.BigEndian.Uint64(from[8:]))
	b.Issued = time.UnixMilli(int64(binary.BigEndian.Uint64(from[16:])))
	copy(b.nonce[:], from[24:])
	from = from[24+nonceSize:]
	b.Sent.Number = int64(binary.BigEndian.Uint64(from))
	b.Sent.At = journal.Millis(binary.BigEndian.Uint64(from[8:]))
	copy(b.Sent.digits[:], from[16:])
	return from[16+CodeDigits:], true
}

// holds tells whether the bond is this session's, and still young.
func (b *Bond) holds(session *Session, now time.Time) error {
	if b.customer != session.Customer || b.epoch != session.Epoch {
		return ErrConsent
	}
	if age := now.Sub(b.Issued); age >= ConsentLifetime || age < -skewMax {
		return ErrConsentExpired
	}
	return nil
}

// Consent is what the confirm page showed. It travels sealed with the page, in its form or query, so that what is authorised is what the
// customer saw, whatever happened to the payment, the session or the form in between (invariant BoundConsent).
type Consent struct {
	Bond
	Payment         journal.PaymentID
	Amount          journal.Money
	CreditorAccount string
	CreditorName    string
	DebtorAccount   string // empty: the page let the customer choose; check the choice with Session.Account
}

// The content of a consent token, big-endian:
//
//	bond | payment (16) | minor units (8) | currency (3) | three texts (length, 2; bytes)
const consentFixed = 16 + 8 + 3

// SealConsent gives the value for the confirm form's hidden field. It fails on texts over ConsentTextMax, a currency that is not
// three letters, and with ErrNoKey.
func (s *Store) SealConsent(session *Session, c Consent) (string, error) {
	for _, text := range [...]string{c.CreditorAccount, c.CreditorName, c.DebtorAccount} {
		if len(text) > ConsentTextMax {
			return "", fmt.Errorf("session: a text of %d bytes in a consent; at most %d", len(text), ConsentTextMax)
		}
	}
	if len(c.Amount.Currency) != 3 {
		return "", fmt.Errorf("session: currency %q in a consent is not three letters", c.Amount.Currency)
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	now := s.clock()
	c.begin(session, now)
	return s.seal(&consentKind, c.encode(memory.plain[:0]), memory, now)
}

func (c *Consent) encode(b []byte) []byte {
	b = c.Bond.encode(b)
	b = append(b, c.Payment[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Amount.Minor))
	b = append(b, c.Amount.Currency...)
	for _, text := range [...]string{c.CreditorAccount, c.CreditorName, c.DebtorAccount} {
		b = appendLong(b, text)
	}
	return b
}

// Challenge is what a passkey signs for this consent: a hash of payment, amount, currency, payee, account, customer, session and a random part,
// so that an assertion is good for nothing else (PSD2's dynamic linking).
func (c *Consent) Challenge() [sha256.Size]byte {
	b := c.encode(append(make([]byte, 0, 1024), "netbank payment by passkey v1"...))
	return sha256.Sum256(b)
}

// Subject is what a code for this consent is good for.
func (c *Consent) Subject() journal.Subject { return journal.Subject(c.Payment) }

// OpenConsent gives back what was sealed for this session: ErrConsent or ErrConsentExpired if it was not, or not lately.
func (s *Store) OpenConsent(session *Session, token []byte) (Consent, error) {
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	now := s.clock()
	content, err := s.KeyRing.open(&consentKind, token, memory, now)
	if err != nil {
		return Consent{}, ErrConsent
	}
	c, err := decodeConsent(content)
	if err != nil {
		return Consent{}, ErrConsent
	}
	if err := c.holds(session, now); err != nil {
		return Consent{}, err
	}
	return c, nil
}

var errConsentContent = errors.New("session: malformed consent")

func decodeConsent(b []byte) (c Consent, err error) {
	b, ok := c.decode(b)
	if !ok || len(b) < consentFixed {
		return Consent{}, errConsentContent
	}
	copy(c.Payment[:], b)
	c.Amount.Minor = int64(binary.BigEndian.Uint64(b[16:]))
	c.Amount.Currency = string(b[24:27])
	b = b[consentFixed:]
	for _, text := range []*string{&c.CreditorAccount, &c.CreditorName, &c.DebtorAccount} {
		if *text, b, ok = cutLong(b, ConsentTextMax); !ok {
			return Consent{}, errConsentContent
		}
	}
	if len(b) != 0 {
		return Consent{}, errConsentContent
	}
	return c, nil
}

// appendLong appends a text behind its length, in two bytes.
func appendLong[S string | []byte](b []byte, text S) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
}

// cutLong takes a text of at most max bytes from what appendLong wrote.
func cutLong(b []byte, max int) (text string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > max || n > len(b)-2 {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}
