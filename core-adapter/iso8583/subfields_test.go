package iso8583

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const somePayment = "019ab0c4-5b7e-7c3a-9d2f-0123456789ab"

func TestAdditionalDataComesBackAsItWentOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(max int) string {
			return rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 ~é中\U0001F409")), 0, max, -1).Draw(t, "text")
		}
		want := Additional{
			PaymentID:       rapid.SampledFrom([]string{"", somePayment}).Draw(t, "id"),
			CreditorAccount: rapid.StringMatching(`[A-Z0-9]{0,34}`).Draw(t, "account"),
			CreditorName:    text(140),
			EndToEndID:      text(35),
		}
		b, err := want.AppendTo([]byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if len(b)-1 > 999 {
			t.Fatalf("%d bytes do not fit into field 48", len(b)-1)
		}
		var got Additional
		if err := got.Parse(b[1:]); err != nil || got != want {
			t.Fatalf("%v: %+v came back as %+v", err, want, got)
		}
	})
}

// The bounds of the sub-fields are characters; at four bytes each they must still fit.
func TestTheLongestAdditionalDataFitsIntoItsField(t *testing.T) {
	a := Additional{somePayment, strings.Repeat("1", 34), strings.Repeat("\U0001F409", 140), strings.Repeat("\U0001F409", 35)}
	b, err := a.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	var m Message
	if err := m.SetBytes(FieldAdditional, b); err != nil {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
}

func TestAdditionalDataRefusesWhatItDoesNotUnderstand(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		var a Additional
		err := a.Parse([]byte(value))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want %q in it", value, err, want)
		}
	}
	f("0103", "4 bytes where a sub-field should begin")
	f("01x36", "not digits")
	f("05001a", "tag 05")
	f("00001a", "tag 00")
	f("02002a", "1 bytes left in sub-field 02")
	f("02001a02001b", "a second time")
	f("02000", "0 characters in sub-field 02")
	f("01001a", "1 characters in sub-field 01 (payment id); allowed: 36 to 36")
	f("02035"+strings.Repeat("1", 35), "35 characters")
	f("02002\xc3\xa9", "ASCII")
	f("03002\xff\xff", "UTF-8")
	f("03001\x07", "control")

	g := func(a Additional) {
		t.Helper()
		if b, err := a.AppendTo([]byte("kept")); !errors.Is(err, ErrFormat) || string(b) != "kept" {
			t.Errorf("AppendTo of %+v = %q, %v", a, b, err)
		}
	}
	g(Additional{PaymentID: "short"})
	g(Additional{PaymentID: somePayment, CreditorName: strings.Repeat("n", 141)})
	g(Additional{PaymentID: somePayment, CreditorName: "a\x00b"})
	g(Additional{PaymentID: somePayment, EndToEndID: "\xff"})
}

func TestAmountsComeBackAsTheyWentOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []Amount
		for range rapid.IntRange(1, MaxAmounts).Draw(t, "entries") {
			a := Amount{
				AccountType: rapid.SampledFrom([]string{AccountUnspecified, AccountSavings, AccountCurrent}).Draw(t, "account"),
				AmountType:  rapid.SampledFrom([]string{AmountLedger, AmountAvailable}).Draw(t, "kind"),
				Currency:    rapid.IntRange(1, 999).Draw(t, "currency"),
				Minor:       rapid.Int64Range(-MaxMinor, MaxMinor).Draw(t, "minor"),
			}
			var err error
			if b, err = AppendAmount(b, a); err != nil {
				t.Fatal(err)
			}
			want = append(want, a)
		}
		got, err := ParseAmounts(nil, b)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v: %d of %d", err, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%+v came back as %+v", want[i], got[i])
			}
		}
	})
}

func TestAmountsRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	f := func(value string) {
		t.Helper()
		if got, err := ParseAmounts(nil, []byte(value)); !errors.Is(err, ErrFormat) || len(got) != 0 {
			t.Errorf("ParseAmounts(%q) = %v, %v", value, got, err)
		}
	}
	const good = "1002156C000000000001"
	f("")
	f(good[:19])
	f(good + "1")
	f(strings.Repeat(good, 7))
	f("1002156X000000000001")
	f("10021 6C000000000001")
	f("1002000C000000000001")
	f("x002156C000000000001")
	f("1002156C00000000000-")
	f(good + "1002156X000000000001")

	g := func(a Amount) {
		t.Helper()
		if b, err := AppendAmount([]byte("kept"), a); !errors.Is(err, ErrFormat) || string(b) != "kept" {
			t.Errorf("AppendAmount(%+v) = %q, %v", a, b, err)
		}
	}
	g(Amount{"1", "02", 156, 1})
	g(Amount{"10", "0x", 156, 1})
	g(Amount{"10", "02", 0, 1})
	g(Amount{"10", "02", 1000, 1})
	g(Amount{"10", "02", 156, MaxMinor + 1})
	g(Amount{"10", "02", 156, math.MinInt64})
}

func TestOriginalDataComeBackAsTheyWentOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Original{
			MTI:          rapid.SampledFrom(layouts[:]).Draw(t, "type").mti,
			STAN:         rapid.Uint32Range(0, 999_999).Draw(t, "stan"),
			Transmission: rapid.SampledFrom([]string{"0101000000", "0229235959"}).Draw(t, "time"),
			Acquirer:     rapid.StringMatching(`[1-9][0-9]{0,10}`).Draw(t, "acquirer"),
		}
		b, err := want.AppendTo(nil)
		if err != nil || len(b) != originalLength {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		var got Original
		if err := got.Parse(b); err != nil || got != want {
			t.Fatalf("%v: %+v came back as %+v", err, want, got)
		}
	})
}

func TestOriginalDataRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	f := func(value string) {
		t.Helper()
		var o Original
		if err := o.Parse([]byte(value)); !errors.Is(err, ErrFormat) {
			t.Errorf("Parse(%q) = %v", value, err)
		}
	}
	const good = "020000004211110000010000000010200000000000"
	var o Original
	if err := o.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	f("")
	f(good[:41])
	f("x" + good[1:])
	f("0999" + good[4:])
	f(good[:10] + "1311000001" + good[20:])
	g := func(o Original) {
		t.Helper()
		if b, err := o.AppendTo([]byte("kept")); !errors.Is(err, ErrFormat) || string(b) != "kept" {
			t.Errorf("AppendTo of %+v = %q, %v", o, b, err)
		}
	}
	g(Original{0x999, 1, "1111000001", "102"})
	g(Original{DebitRequest, 1_000_000, "1111000001", "102"})
	g(Original{DebitRequest, 1, "111100000", "102"})
	g(Original{DebitRequest, 1, "1111000001", ""})
	g(Original{DebitRequest, 1, "1111000001", "123456789012"})
	g(Original{DebitRequest, 1, "1111000001", "1x"})
}

func FuzzAdditional(f *testing.F) {
	for _, v := range readVectors(f) {
		if value, ok := v.fields[FieldAdditional]; ok {
			f.Add([]byte(value))
		}
	}
	f.Add([]byte("04001x03001y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a, again Additional
		if err := a.Parse(b); err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		out, err := a.AppendTo(nil)
		if err != nil || len(out) != len(b) {
			t.Fatalf("%d bytes became %d: %v", len(b), len(out), err)
		}
		if err := again.Parse(out); err != nil || again != a {
			t.Fatalf("%v: %+v became %+v", err, a, again)
		}
	})
}

func FuzzAmounts(f *testing.F) {
	f.Add([]byte("1001156D0000000000121002156C000000123456"))
	f.Add([]byte("0000001C999999999999"))
	f.Fuzz(func(t *testing.T, b []byte) {
		amounts, err := ParseAmounts(nil, b)
		if err != nil {
			return
		}
		var out []byte
		for _, a := range amounts {
			if out, err = AppendAmount(out, a); err != nil {
				t.Fatal(err)
			}
		}
		// A debit of nothing is written as a credit of nothing.
		if string(out) != strings.ReplaceAll(string(b), "D000000000000", "C000000000000") {
			t.Fatalf("%q became %q", b, out)
		}
	})
}

func FuzzOriginal(f *testing.F) {
	f.Add([]byte("020000004211110000010000000010200000000000"))
	f.Add([]byte("042199999902292359599999999999900000000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var o, again Original
		if o.Parse(b) != nil {
			return
		}
		out, err := o.AppendTo(nil)
		if err != nil || string(out[:31]) != string(b[:31]) {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
		if err := again.Parse(out); err != nil || again != o {
			t.Fatalf("%v: %+v became %+v", err, o, again)
		}
	})
}
