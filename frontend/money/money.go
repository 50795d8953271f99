// Package money reads and writes amounts as people and partners see them: decimal strings of an ISO 4217 currency.
// Inside, an amount is an int64 of minor units (fen, cents); no floating-point number ever holds money.
package money

import (
	"errors"
	"fmt"
	"strconv"
)

// MinorMax is the largest amount of one payment in minor units: what the 12 digits of ISO 8583's field 4 hold.
const MinorMax = 999_999_999_999

// Errors of Parse. Each is wrapped with the text that was found and what is allowed.
var (
	ErrCurrency = errors.New("money: this currency is not accepted")
	ErrAmount   = errors.New("money: not an amount")
)

// exponents holds the number of decimal places of each accepted currency (ISO 4217, 2024).
var exponents = map[string]int{
	"AUD": 2, "CAD": 2, "CHF": 2, "CNY": 2, "EUR": 2, "GBP": 2, "HKD": 2, "JPY": 0, "KRW": 0,
	"KWD": 3, "MOP": 2, "NZD": 2, "SGD": 2, "THB": 2, "TWD": 2, "USD": 2,
}

// Exponent gives the decimal places of an accepted currency.
func Exponent(currency string) (int, bool) {
	e, ok := exponents[currency]
	return e, ok
}

// Parse reads a decimal string such as "128.00" as minor units, 1 to MinorMax. It takes at most as many decimal places
// as the currency has; no sign, no grouping, no exponent, no spaces.
func Parse(text, currency string) (int64, error) {
	exponent, ok := exponents[currency]
	if !ok {
		return 0, fmt.Errorf("%w: %.8q", ErrCurrency, currency)
	}
	fail := func(why string) (int64, error) {
		return 0, fmt.Errorf("%w: %.24q %s; write digits with at most %d decimal places, such as %q", ErrAmount, text, why, exponent, Format(12800, currency))
	}
	if len(text) == 0 || len(text) > 16 {
		return fail("is empty or longer than 16 characters")
	}
	var minor int64
	decimals := -1 // until the point is seen
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '.' && decimals < 0 && i > 0 && i < len(text)-1:
			decimals = 0
		case c >= '0' && c <= '9':
			minor = minor*10 + int64(c-'0')
			if decimals >= 0 {
				decimals++
			}
		default:
			return fail("holds something else than digits and one decimal point")
		}
	}
	for decimals = max(decimals, 0); decimals < exponent; decimals++ {
		minor *= 10
	}
	if decimals > exponent {
		return fail("has too many decimal places")
	}
	if minor < 1 || minor > MinorMax {
		return fail("is zero or too large")
	}
	return minor, nil
}

// Format writes minor units as a decimal string without grouping: what the partner API speaks.
// A currency that is not accepted is written with two decimal places.
func Format(minor int64, currency string) string {
	return string(appendAmount(make([]byte, 0, 24), minor, currency, false))
}

// Append adds what Format writes to dst.
func Append(dst []byte, minor int64, currency string) []byte {
	return appendAmount(dst, minor, currency, false)
}

// Show writes an amount for people: the currency's code, a no-break space, and digits in groups of three.
func Show(minor int64, currency string) string {
	return currency + "\u00a0" + string(appendAmount(make([]byte, 0, 24), minor, currency, true))
}

// Grouped writes a whole number for people: digits in groups of three.
func Grouped(n int64) string { return string(appendGrouped(make([]byte, 0, 24), n, true)) }

func appendGrouped(dst []byte, n int64, grouped bool) []byte {
	var whole [20]byte
	digits := strconv.AppendInt(whole[:0], n, 10)
	for i, d := range digits {
		if left := len(digits) - i; grouped && i > 0 && left%3 == 0 && digits[i-1] != '-' {
			dst = append(dst, ',')
		}
		dst = append(dst, d)
	}
	return dst
}

func appendAmount(dst []byte, minor int64, currency string, grouped bool) []byte {
	exponent, ok := exponents[currency]
	if !ok {
		exponent = 2
	}
	if minor < 0 {
		dst = append(dst, '-')
		minor = -minor
	}
	unit := int64(1)
	for range exponent {
		unit *= 10
	}
	dst = appendGrouped(dst, minor/unit, grouped)
	if exponent > 0 {
		dst = append(dst, '.')
		rest := minor % unit
		for unit /= 10; unit > 0; unit /= 10 {
			dst = append(dst, byte('0'+rest/unit%10))
		}
	}
	return dst
}
