package partner

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"netbank/cluster/journal"
	"netbank/frontend/money"
)

// Limits of an order's fields, in characters.
const (
	endToEndMax   = 35               // Max35Text
	nameMax       = 70               // Max70Text
	remittanceMax = 140              // Max140Text
	timeMax       = 35               // an RFC 3339 time with nine decimals and an offset
	expiresAfter  = 15 * time.Minute // a payment's time when the order names none
	expiresMax    = 24 * time.Hour   // the most that an order can ask for
)

// order is the body of a create.
type order struct {
	seen            uint16
	endToEndID      string
	amount          string
	currency        string
	minor           int64
	creditorAccount string
	creditorName    string
	debtorAccount   string
	remittance      string
	expiresAt       string
	expires         journal.Millis
}

// The fields of an order, as bits of order.seen: each may come once.
const (
	fieldEndToEnd = 1 << iota
	fieldInstructedAmount
	fieldAmount
	fieldCurrency
	fieldCreditorAccount
	fieldCreditorName
	fieldDebtorAccount
	fieldRemittance
	fieldExpiresAt
)

// fieldError says what is wrong with a request, for its problem document.
type fieldError struct {
	kind   *problemKind
	detail string
}

func (e *fieldError) Error() string { return e.detail }

func badField(field, format string, args ...any) error {
	return &fieldError{problemFormat, field + ": " + fmt.Sprintf(format, args...)}
}

// readOrder decodes and checks a body. Fields that are not known are ignored, as the Berlin Group's guidelines ask
// for, except those whose meaning would be lost: an order for another day must not be paid today.
func readOrder(body []byte, currencies []string, now journal.Millis) (order, error) {
	var o order
	s := scanner{in: body}
	err := s.object(o.member)
	if err == nil && !s.end() {
		err = errJSON
	}
	if err != nil {
		var field *fieldError
		if !errors.As(err, &field) {
			err = &fieldError{problemFormat, err.Error()}
		}
		return o, err
	}
	return o, o.check(currencies, now)
}

func (o *order) member(s *scanner, name []byte) error {
	switch string(name) {
	case "endToEndIdentification":
		return o.text(s, fieldEndToEnd, "endToEndIdentification", endToEndMax, &o.endToEndID)
	case "creditorName":
		return o.text(s, fieldCreditorName, "creditorName", nameMax, &o.creditorName)
	case "remittanceInformationUnstructured":
		return o.text(s, fieldRemittance, "remittanceInformationUnstructured", remittanceMax, &o.remittance)
	case "expiresAt":
		return o.text(s, fieldExpiresAt, "expiresAt", timeMax, &o.expiresAt)
	case "instructedAmount":
		if err := o.once(s, fieldInstructedAmount, "instructedAmount"); err != nil {
			return err
		}
		return s.object(o.amountMember)
	case "creditorAccount":
		return o.account(s, fieldCreditorAccount, "creditorAccount", &o.creditorAccount)
	case "debtorAccount":
		return o.account(s, fieldDebtorAccount, "debtorAccount", &o.debtorAccount)
	case "requestedExecutionDate", "requestedExecutionTime", "frequency", "dayOfExecution", "startDate", "endDate":
		return &fieldError{problemParameter, string(name) + ": only payments that are executed at once can be ordered here; leave it out"}
	}
	return s.skip()
}

func (o *order) amountMember(s *scanner, name []byte) error {
	switch string(name) {
	case "currency":
		return o.text(s, fieldCurrency, "instructedAmount.currency", 3, &o.currency)
	case "amount":
		return o.text(s, fieldAmount, "instructedAmount.amount", 16, &o.amount)
	}
	return s.skip()
}

// once refuses a second field of the same name (two readers would not agree on which one counts) and null.
func (o *order) once(s *scanner, field uint16, name string) error {
	if o.seen&field != 0 {
		return badField(name, "is given twice")
	}
	o.seen |= field
	if s.peek() == 'n' {
		return badField(name, "is null; leave it out")
	}
	if want := s.peek(); want != '"' && want != '{' {
		return badField(name, "must be a string or an object, see the API's description; amounts are strings too, such as \"128.00\"")
	}
	return nil
}

func (o *order) text(s *scanner, field uint16, name string, runesMax int, into *string) error {
	if err := o.once(s, field, name); err != nil {
		return err
	}
	if s.peek() != '"' {
		return badField(name, "must be a string")
	}
	text, err := s.text()
	if err != nil {
		return err
	}
	if n := utf8.RuneCount(text); n == 0 || n > runesMax {
		return badField(name, "has %d characters, allowed are 1 to %d", n, runesMax)
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if !showable(r) {
			return badField(name, "holds a control or direction character (U+%04X)", r)
		}
		i += size
	}
	*into = string(text)
	return nil
}

// showable keeps out what could make a confirmation page show something else than what is paid: controls, line
// separators, and characters that change the direction of text or cannot be seen (Unicode TR 36, section 2.5).
func showable(r rune) bool {
	if r < 0x7f {
		return r >= ' '
	}
	return !unicode.Is(unicode.Cc, r) && !unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Zl, r) && !unicode.Is(unicode.Zp, r) &&
		!unicode.Is(unicode.Co, r) && r != utf8.RuneError
}

func (o *order) account(s *scanner, field uint16, name string, into *string) error {
	if err := o.once(s, field, name); err != nil {
		return err
	}
	if s.peek() != '{' {
		return badField(name, "must be an object with iban or other")
	}
	given := 0
	err := s.object(func(s *scanner, member []byte) error {
		iban := string(member) == "iban"
		if !iban && string(member) != "other" {
			return s.skip()
		}
		given++
		text, err := identification(s, name, iban)
		if err != nil {
			return err
		}
		if iban {
			*into, err = readIBAN(text)
		} else {
			*into, err = readOther(text)
		}
		if err != nil {
			return badField(name, "%s", err)
		}
		return nil
	})
	if err == nil && given != 1 {
		err = badField(name, "must hold either iban or other, once")
	}
	return err
}

// identification reads the text of an iban, or of other: {"identification": "…"}, or "…" for short.
func identification(s *scanner, name string, iban bool) (string, error) {
	if !iban && s.peek() == '{' {
		text, given := "", 0
		err := s.object(func(s *scanner, member []byte) (err error) {
			if string(member) != "identification" {
				return s.skip()
			}
			given++
			text, err = identification(s, name, true)
			return err
		})
		if err == nil && given != 1 {
			err = badField(name, "other must hold identification, once")
		}
		return text, err
	}
	if s.peek() != '"' {
		return "", badField(name, "an account's identification must be a string")
	}
	text, err := s.text()
	return string(text), err
}

// check holds the order against what is required and possible.
func (o *order) check(currencies []string, now journal.Millis) error {
	const required = fieldEndToEnd | fieldInstructedAmount | fieldAmount | fieldCurrency | fieldCreditorAccount | fieldCreditorName
	if missing := required &^ o.seen; missing != 0 {
		for _, field := range []struct {
			bit  uint16
			name string
		}{
			{fieldEndToEnd, "endToEndIdentification"},
			{fieldInstructedAmount, "instructedAmount"},
			{fieldAmount, "instructedAmount.amount"},
			{fieldCurrency, "instructedAmount.currency"},
			{fieldCreditorAccount, "creditorAccount"},
			{fieldCreditorName, "creditorName"},
		} {
			if missing&field.bit != 0 {
				return badField(field.name, "is required")
			}
		}
	}
	if !slices.Contains(currencies, o.currency) {
		return badField("instructedAmount.currency", "%q is not accepted here; accepted are %v", o.currency, currencies)
	}
	minor, err := money.Parse(o.amount, o.currency)
	if err != nil {
		return badField("instructedAmount.amount", "%s", err)
	}
	o.minor = minor
	return o.checkExpiry(now)
}

func (o *order) checkExpiry(now journal.Millis) error {
	if o.seen&fieldExpiresAt == 0 {
		o.expires = now + journal.Millis(expiresAfter/time.Millisecond)
		return nil
	}
	at, err := time.Parse(time.RFC3339, o.expiresAt)
	if err != nil {
		return badField("expiresAt", "is no RFC 3339 time, such as 2026-11-11T10:00:00Z")
	}
	o.expires = journal.Millis(at.UnixMilli())
	// A time in the past is the journal's to refuse: this may be the repeat of a request that it knows.
	if o.expires > now+journal.Millis(expiresMax/time.Millisecond) {
		return badField("expiresAt", "is more than 24 h away; the bank's time is %s", appendTime(nil, now))
	}
	return nil
}

// appendTime writes an RFC 3339 time in UTC with milliseconds.
func appendTime(dst []byte, at journal.Millis) []byte {
	return time.UnixMilli(int64(at)).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}
