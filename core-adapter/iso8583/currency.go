package iso8583

import (
	"slices"
	"strings"
)

// Currency is one row of ISO 4217.
type Currency struct {
	Alpha    string // three capitals
	Numeric  int    // 1 to 999; three digits on the wire
	Exponent int    // decimal digits of the minor unit: 2 for the fen of CNY, 0 for JPY; -1 when the list gives none
}

// CurrencyByAlpha finds a currency by its alphabetic code.
func CurrencyByAlpha(alpha string) (Currency, bool) {
	at, ok := slices.BinarySearchFunc(currencies[:], alpha, func(c Currency, alpha string) int { return strings.Compare(c.Alpha, alpha) })
	if !ok {
		return Currency{}, false
	}
	return currencies[at], true
}

// CurrencyByNumeric finds a currency by its number.
func CurrencyByNumeric(numeric int) (Currency, bool) {
	for i := range currencies { // 178 rows in 4 cache pages; only balances and the host look this way round
		if currencies[i].Numeric == numeric {
			return currencies[i], true
		}
	}
	return Currency{}, false
}

// Currencies gives every currency of the list, in alphabetical order.
func Currencies(yield func(Currency) bool) {
	for _, c := range currencies {
		if !yield(c) {
			return
		}
	}
}
