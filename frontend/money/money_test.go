package money

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestParseTakesDecimalStringsOnly(t *testing.T) {
	take := func(text, currency string, want int64) {
		t.Helper()
		if got, err := Parse(text, currency); err != nil || got != want {
			t.Errorf("Parse(%q, %s) = %d, %v; want %d", text, currency, got, err, want)
		}
	}
	refuse := func(text, currency string, want error) {
		t.Helper()
		if got, err := Parse(text, currency); !errors.Is(err, want) {
			t.Errorf("Parse(%q, %s) = %d, %v; want %v", text, currency, got, err, want)
		}
	}
	take("128.00", "CNY", 12800)
	take("128", "CNY", 12800)
	take("128.5", "CNY", 12850)
	take("0.01", "EUR", 1)
	take("5000", "JPY", 5000)
	take("1.234", "KWD", 1234)
	take("9999999999.99", "CNY", MinorMax)
	for _, text := range []string{"", "0", "0.00", "-1", "+1", "1e3", "1,000.00", " 1", "1.", ".5", "1.2.3", "1.001", "10000000000.00", "99999999999999999", "١"} {
		refuse(text, "CNY", ErrAmount)
	}
	refuse("1.5", "JPY", ErrAmount)
	refuse("1.00", "XXX", ErrCurrency)
	refuse("1.00", "cny", ErrCurrency)
}

func TestShowGroupsForPeople(t *testing.T) {
	f := func(minor int64, currency, want string) {
		t.Helper()
		if got := Show(minor, currency); got != want {
			t.Errorf("Show(%d, %s) = %q, want %q", minor, currency, got, want)
		}
	}
	f(1, "CNY", "CNY\u00a00.01")
	f(99999, "CNY", "CNY\u00a0999.99")
	f(123456789, "CNY", "CNY\u00a01,234,567.89")
	f(1234567, "JPY", "JPY\u00a01,234,567")
	f(-5, "KWD", "KWD\u00a0-0.005")
}

func TestFormatAndParseAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		currency := rapid.SampledFrom([]string{"CNY", "JPY", "KWD"}).Draw(t, "currency")
		minor := rapid.Int64Range(1, MinorMax).Draw(t, "minor")
		if got, err := Parse(Format(minor, currency), currency); err != nil || got != minor {
			t.Fatalf("%d %s came back as %d, %v", minor, currency, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"128.00", "0.01", "1.", ".1", "1e9", "99999999999999999999", "-1"} {
		f.Add(seed, "CNY")
		f.Add(seed, "JPY")
	}
	f.Fuzz(func(t *testing.T, text, currency string) {
		if minor, err := Parse(text, currency); err == nil && (minor < 1 || minor > MinorMax) {
			t.Fatalf("Parse(%q) = %d is out of range", text, minor)
		}
	})
}
