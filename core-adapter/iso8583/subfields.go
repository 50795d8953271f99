package iso8583

import (
	"fmt"
	"unicode/utf8"
)

// Additional is field 48: what the core is told of a payment beyond ISO 8583's own fields. An empty value is not sent.
// The bounds are characters, those of ISO 20022's pain.001; in UTF-8 their sum stays below the field's 999 bytes.
type Additional struct {
	PaymentID       string // tag 01, exactly 36
	CreditorAccount string // tag 02, up to 34
	CreditorName    string // tag 03, up to 140
	EndToEndID      string // tag 04, up to 35
}

// subField is one row of the table of field 48's sub-fields.
type subField struct {
	name     string
	min, max int  // characters
	ascii    bool // printable ASCII only
}

// subFields is indexed by tag.
var subFields = [...]subField{
	1: {name: "payment id", min: 36, max: 36, ascii: true},
	2: {name: "creditor account", min: 1, max: 34, ascii: true},
	3: {name: "creditor name", min: 1, max: 140},
	4: {name: "end-to-end id", min: 1, max: 35},
}

// subFieldHead is the tag's two digits and the length's three.
const subFieldHead = 5

func (a *Additional) value(tag int) *string {
	switch tag {
	case 1:
		return &a.PaymentID
	case 2:
		return &a.CreditorAccount
	case 3:
		return &a.CreditorName
	case 4:
		return &a.EndToEndID
	}
	return nil
}

// AppendTo appends the field's value, without its length, to dst. When it returns an error, dst is as it was.
func (a *Additional) AppendTo(dst []byte) ([]byte, error) {
	b := dst
	for tag := 1; tag < len(subFields); tag++ {
		value := *a.value(tag)
		if value == "" {
			continue
		}
		if err := checkSubField(tag, value); err != nil {
			return dst, err
		}
		b = appendNumber(b, 2, uint64(tag))
		b = appendNumber(b, 3, uint64(len(value)))
		b = append(b, value...)
	}
	return b, nil
}

// Parse reads a field's value. It refuses unknown tags, a tag that stands twice, an empty sub-field and a value outside
// its bounds, and names the tag, never the content.
func (a *Additional) Parse(b []byte) error {
	*a = Additional{}
	for len(b) > 0 {
		if len(b) < subFieldHead {
			return additionalError(fmt.Sprintf("%d bytes where a sub-field should begin", len(b)), "2 digits of tag and 3 of length")
		}
		tag, okTag := parseDigits(b[:2])
		length, okLength := parseDigits(b[2:subFieldHead])
		if !okTag || !okLength {
			return additionalError("bytes that are not digits where a tag and a length should stand", "2 digits of tag and 3 of length")
		}
		b = b[subFieldHead:]
		if tag < 1 || int(tag) >= len(subFields) {
			return additionalError(fmt.Sprintf("tag %02d", tag), fmt.Sprintf("tags 01 to %02d", len(subFields)-1))
		}
		if int(length) > len(b) {
			return additionalError(fmt.Sprintf("%d bytes left in sub-field %02d (%s)", len(b), tag, subFields[tag].name), fmt.Sprintf("%d, the sub-field's length", length))
		}
		value := a.value(int(tag))
		if *value != "" {
			return additionalError(fmt.Sprintf("sub-field %02d (%s) a second time", tag, subFields[tag].name), "once each")
		}
		*value = string(b[:length])
		if err := checkSubField(int(tag), *value); err != nil {
			*value = ""
			return err
		}
		b = b[length:]
	}
	return nil
}

func checkSubField(tag int, value string) error {
	row := subFields[tag]
	chars := utf8.RuneCountInString(value)
	if chars < row.min || chars > row.max {
		return additionalError(fmt.Sprintf("%d characters in sub-field %02d (%s)", chars, tag, row.name), fmt.Sprintf("%d to %d", row.min, row.max))
	}
	kind := UTF8
	if row.ascii {
		kind = Printable
	}
	if at := badByte(kind, value); at >= 0 {
		return additionalError(fmt.Sprintf("another byte at position %d of sub-field %02d (%s)", at+1, tag, row.name), kind.String())
	}
	return nil
}

func additionalError(found, allowed string) error {
	return &Error{Field: FieldAdditional, Found: found, Allowed: allowed}
}

// Account types and amount types of field 54 (ISO 8583:1987, code lists A.2 and A.4).
const (
	AccountUnspecified = "00"
	AccountSavings     = "10"
	AccountCurrent     = "20"
	AmountLedger       = "01"
	AmountAvailable    = "02"
)

// Amount is one entry of field 54.
type Amount struct {
	AccountType string // 2 digits
	AmountType  string // 2 digits
	Currency    int    // ISO 4217 numeric, 1 to 999
	Minor       int64  // minor units; negative is a debit balance (sign D); up to 12 digits
}

// MaxAmounts is how many entries field 54 can hold.
const MaxAmounts = 6

const amountLength = 20 // 2 account type, 2 amount type, 3 currency, 1 sign, 12 amount

// AppendAmount appends one entry of field 54 to dst. When it returns an error, dst is as it was.
func AppendAmount(dst []byte, a Amount) ([]byte, error) {
	if len(a.AccountType) != 2 || firstNotDigit(a.AccountType) >= 0 || len(a.AmountType) != 2 || firstNotDigit(a.AmountType) >= 0 {
		return dst, amountsError("an account type or amount type of another form", "2 digits each")
	}
	if a.Currency < 1 || a.Currency > 999 {
		return dst, amountsError(fmt.Sprintf("currency %d", a.Currency), "an ISO 4217 number, 001 to 999")
	}
	sign, minor := byte('C'), a.Minor
	if minor < 0 {
		sign, minor = 'D', -minor
	}
	if minor < 0 || minor > MaxMinor {
		return dst, amountsError("an amount of more than 12 digits", "12 digits")
	}
	b := append(dst, a.AccountType...)
	b = append(b, a.AmountType...)
	b = appendNumber(b, 3, uint64(a.Currency))
	b = append(b, sign)
	return appendNumber(b, 12, uint64(minor)), nil
}

// ParseAmounts reads a value of field 54 and appends its entries to dst.
func ParseAmounts(dst []Amount, b []byte) ([]Amount, error) {
	if len(b) == 0 || len(b)%amountLength != 0 || len(b) > MaxAmounts*amountLength {
		return dst, amountsError(fmt.Sprintf("%d bytes", len(b)), fmt.Sprintf("1 to %d entries of %d bytes", MaxAmounts, amountLength))
	}
	kept := dst
	for ; len(b) > 0; b = b[amountLength:] {
		currency, ok := parseDigits(b[4:7])
		minor, okMinor := parseDigits(b[8:amountLength])
		if !ok || !okMinor || currency == 0 || firstNotDigit(b[:4]) >= 0 {
			return kept, amountsError("an entry with other characters", "digits in account type, amount type, currency and amount")
		}
		switch b[7] {
		case 'C':
		case 'D':
			minor = -minor
		default:
			return kept, amountsError(fmt.Sprintf("sign %q", b[7]), "C (credit) or D (debit)")
		}
		dst = append(dst, Amount{AccountType: string(b[:2]), AmountType: string(b[2:4]), Currency: int(currency), Minor: minor})
	}
	return dst, nil
}

func amountsError(found, allowed string) error {
	return &Error{Field: FieldAmounts, Found: found, Allowed: allowed}
}

// MaxMinor is the largest amount in minor units that fields 4 and 54 can hold.
const MaxMinor = 999_999_999_999

// Original is field 90: which message a reversal reverses.
type Original struct {
	MTI          MTI
	STAN         uint32 // field 11, 0 to 999999
	Transmission string // field 7, MMDDhhmmss
	Acquirer     string // field 32, up to 11 digits; zeros on its left are lost on the wire
}

const originalLength = 42

// AppendTo appends the field's value to dst: type 4, STAN 6, transmission 10, acquirer 11 right-justified, forwarding
// institution 11 zeros. When it returns an error, dst is as it was.
func (o *Original) AppendTo(dst []byte) ([]byte, error) {
	acquirer, ok := parseDigits(o.Acquirer)
	if !o.MTI.Known() || o.STAN > 999_999 || len(o.Acquirer) < 1 || len(o.Acquirer) > 11 || !ok ||
		len(o.Transmission) != 10 || badTime(MonthToSec, o.Transmission) >= 0 {
		return dst, &Error{Field: FieldOriginal, Found: "parts of another form", Allowed: "a known type, a STAN of 6 digits, MMDDhhmmss, an acquirer of 1 to 11 digits"}
	}
	b := append(dst, o.MTI.String()...)
	b = appendNumber(b, 6, uint64(o.STAN))
	b = append(b, o.Transmission...)
	b = appendNumber(b, 11, uint64(acquirer))
	return append(b, "00000000000"...), nil
}

// Parse reads a value of field 90.
func (o *Original) Parse(b []byte) error {
	*o = Original{}
	if len(b) != originalLength || firstNotDigit(b) >= 0 {
		return &Error{Field: FieldOriginal, Found: fmt.Sprintf("%d bytes that are not all digits, or of another number", len(b)), Allowed: "42 digits"}
	}
	var mti MTI
	for _, c := range b[:4] {
		mti = mti<<4 | MTI(c-'0')
	}
	if !mti.Known() {
		return &Error{Field: FieldOriginal, Found: "original message type " + mti.String(), Allowed: "the types of this wire's table"}
	}
	if badTime(MonthToSec, b[10:20]) >= 0 {
		return &Error{Field: FieldOriginal, Found: fmt.Sprintf("original transmission %q", b[10:20]), Allowed: MonthToSec.String()}
	}
	stan, _ := parseDigits(b[4:10])
	acquirer := b[20:31]
	for len(acquirer) > 1 && acquirer[0] == '0' {
		acquirer = acquirer[1:]
	}
	*o = Original{MTI: mti, STAN: uint32(stan), Transmission: string(b[10:20]), Acquirer: string(acquirer)}
	return nil
}
