package session

import (
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

// Consent is what the confirm page showed. It travels sealed with the page, in its form or query, so that what is authorised is what the
// customer saw, whatever happened to the payment, the session or the form in between (invariant BoundConsent).
type Consent struct {
	Payment         journal.PaymentID
	Amount          journal.Money
	CreditorAccount string
	CreditorName    string
	DebtorAccount   string    // empty: the page let the customer choose; check the choice with Session.Account
	Issued          time.Time // set by SealConsent, to the millisecond
}

// The content of a consent token, big-endian:
//
//	customer (8) | epoch (8) | issued, ms (8) | payment (16) | minor units (8) | currency (3) | three texts (length, 2; bytes)
const consentFixed = 8 + 8 + 8 + 16 + 8 + 3

// SealConsent gives the value for the confirm form's hidden field. It fails on texts over ConsentTextMax, a currency that is not
// three letters, and with ErrNoKey.
func (s *Store) SealConsent(session *Session, c Consent) (string, error) {
	texts := [...]string{c.CreditorAccount, c.CreditorName, c.DebtorAccount}
	for _, text := range texts {
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
	b := memory.plain[:0]
	b = binary.BigEndian.AppendUint64(b, uint64(session.Customer))
	b = binary.BigEndian.AppendUint64(b, uint64(session.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	b = append(b, c.Payment[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Amount.Minor))
	b = append(b, c.Amount.Currency...)
	for _, text := range texts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
		b = append(b, text...)
	}
	return s.seal(&consentKind, b, memory, now)
}

// OpenConsent gives back what was sealed for this session: ErrConsent or ErrConsentExpired if it was not, or not lately.
func (s *Store) OpenConsent(session *Session, token []byte) (Consent, error) {
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	now := s.clock()
	content, err := s.KeyRing.open(&consentKind, token, memory, now)
	if err != nil {
		return Consent{}, ErrConsent
	}
	c, customer, epoch, err := decodeConsent(content)
	if err != nil || customer != session.Customer || epoch != session.Epoch {
		return Consent{}, ErrConsent
	}
	if age := now.Sub(c.Issued); age >= ConsentLifetime || age < -skewMax {
		return Consent{}, ErrConsentExpired
	}
	return c, nil
}

var errConsentContent = errors.New("session: malformed consent")

func decodeConsent(b []byte) (c Consent, customer journal.CustomerID, epoch journal.Epoch, err error) {
	if len(b) < consentFixed {
		return c, 0, 0, errConsentContent
	}
	customer = journal.CustomerID(binary.BigEndian.Uint64(b))
	epoch = journal.Epoch(binary.BigEndian.Uint64(b[8:]))
	c.Issued = time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:])))
	copy(c.Payment[:], b[24:40])
	c.Amount.Minor = int64(binary.BigEndian.Uint64(b[40:]))
	c.Amount.Currency = string(b[48:51])
	b = b[consentFixed:]
	for _, text := range []*string{&c.CreditorAccount, &c.CreditorName, &c.DebtorAccount} {
		if len(b) < 2 {
			return Consent{}, 0, 0, errConsentContent
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > ConsentTextMax || n > len(b)-2 {
			return Consent{}, 0, 0, errConsentContent
		}
		*text = string(b[2 : 2+n])
		b = b[2+n:]
	}
	if len(b) != 0 {
		return Consent{}, 0, 0, errConsentContent
	}
	return c, customer, epoch, nil
}
