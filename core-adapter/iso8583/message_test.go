package iso8583

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyValue draws a value that the row allows.
func anyValue(t *rapid.T, field int, spec Spec) string {
	size := rapid.IntRange(int(spec.Min), int(spec.Max)).Draw(t, "size")
	of := func(alphabet string) string {
		b := make([]byte, size)
		for i := range b {
			b[i] = alphabet[rapid.IntRange(0, len(alphabet)-1).Draw(t, "at")]
		}
		return string(b)
	}
	switch spec.Kind {
	case Letters:
		return of("0123456789ABCXYZabcxyz")
	case Printable:
		return of(" !/09:@AZ[`az{~")
	case UTF8:
		s := rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 ~é中\U0001F409")), 1, int(spec.Max)/4, int(spec.Max)).Draw(t, "text")
		return s
	case MonthDay:
		return rapid.SampledFrom([]string{"0101", "0229", "0430", "1231"}).Draw(t, "date")
	case HourToSec:
		return rapid.SampledFrom([]string{"000000", "235959", "120000"}).Draw(t, "time")
	case MonthToSec:
		return rapid.SampledFrom([]string{"0101000000", "0229235959", "1231120000"}).Draw(t, "instant")
	}
	return of("0123456789")
}

func TestWhatIsEncodedIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := rapid.SampledFrom(layouts[:]).Draw(t, "type")
		var m, back Message
		m.Reset(l.mti)
		want := make(map[int]string)
		for field := range fields {
			spec, ok := FieldSpec(field)
			required := bytes.IndexByte(l.required, byte(field)) >= 0
			if !ok || !required && !rapid.Bool().Draw(t, "optional") {
				continue
			}
			for range rapid.IntRange(1, 3).Draw(t, "times set") {
				want[field] = anyValue(t, field, spec)
				if err := m.Set(field, want[field]); err != nil {
					t.Fatal(err)
				}
			}
		}
		b, err := m.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := Parse(b[2:], &back); err != nil {
			t.Fatal(err)
		}
		n := 0
		for field := range back.Fields {
			n++
			if got := back.Text(field); got != want[field] {
				t.Fatalf("field %d: %q came back as %q", field, want[field], got)
			}
		}
		if n != len(want) || back.MTI() != l.mti {
			t.Fatalf("%d fields of %d came back, type %v of %v", n, len(want), back.MTI(), l.mti)
		}
	})
}

func TestASetValueNeverGrowsTheMessageBeyondItsBound(t *testing.T) {
	var m Message
	m.Reset(DebitRequest)
	for field := range fields {
		if spec, ok := FieldSpec(field); ok && spec.Kind == Digits {
			if err := m.Set(field, strings.Repeat("7", int(spec.Max))); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := 1; n <= 999; n++ {
		if err := m.Set(FieldAdditional, strings.Repeat("v", n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.buf) > 2*MaxMessage {
		t.Fatalf("the buffer grew to %d bytes", len(m.buf))
	}
	if !m.Is(FieldOriginal, strings.Repeat("7", 42)) || len(m.Text(FieldAdditional)) != 999 {
		t.Fatal("a value was lost on the way")
	}
}

// The bound of a message is chosen, the table's largest message follows from the table: the one must hold the other.
func TestEverythingIsBounded_TheLargestMessageOfTheTable(t *testing.T) {
	size := 4 + 16
	for field := range fields {
		if spec, ok := FieldSpec(field); ok {
			size += int(spec.Prefix) + int(spec.Max)
		}
	}
	if size > MaxMessage {
		t.Fatalf("the table allows a message of %d bytes, MaxMessage is %d", size, MaxMessage)
	}
	if size != 1314 {
		t.Fatalf("the table's largest message has %d bytes; say so at MaxMessage, where 1,314 stands", size)
	}
}

func TestFixedTextFieldsAreFilledWithBlanks(t *testing.T) {
	var m Message
	m.Reset(DebitRequest)
	if err := m.Set(FieldAcceptor, "BANK"); err != nil {
		t.Fatal(err)
	}
	if got := m.Text(FieldAcceptor); got != "BANK           " {
		t.Fatalf("got %q", got)
	}
}

func TestSetRefusesWhatTheTableForbids(t *testing.T) {
	f := func(field int, value, want string) {
		t.Helper()
		var m Message
		m.Reset(DebitRequest)
		err := m.Set(field, value)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("Set(%d, %q) = %v, want %q in it", field, value, err, want)
		}
		if m.Has(field) {
			t.Errorf("Set(%d, %q) failed and set it", field, value)
		}
	}
	f(FieldAccount, "", "0 bytes; allowed: 1 to 19")
	f(FieldAccount, strings.Repeat("1", 20), "20 bytes; allowed: 1 to 19")
	f(FieldAccount, "12a4", "position 3 of 4")
	f(FieldProcessing, "00000", "exactly 6")
	f(FieldTransmission, "1301000000", "MMDDhhmmss")
	f(FieldTransmission, "0230000000", "MMDDhhmmss")
	f(FieldTransmission, "0100000000", "MMDDhhmmss")
	f(FieldTransmission, "0101240000", "MMDDhhmmss")
	f(FieldLocalTime, "236000", "hhmmss")
	f(FieldLocalDate, "0431", "MMDD")
	f(FieldRRN, "01000000002-", "letters")
	f(FieldTerminal, "NETBÄNK", "ASCII")
	f(FieldTerminal, "NETBANK12", "exactly 8")
	f(FieldAdditional, "a\xffb", "UTF-8")
	f(FieldAdditional, "a\nb", "control")
	f(FieldAdditional, "a\u0085b", "control")
	f(5, "1", "this wire's table")
	f(0, "1", "this wire's table")
	f(128, "1", "this wire's table")
	f(-1, "1", "this wire's table")
}

func TestSetIntFillsWithZerosAndRefusesWhatDoesNotFit(t *testing.T) {
	var m Message
	m.Reset(DebitRequest)
	if err := m.SetInt(FieldAmount, 19900); err != nil || !m.Is(FieldAmount, "000000019900") {
		t.Fatalf("%v, %q", err, m.Text(FieldAmount))
	}
	if n, ok := m.Int(FieldAmount); !ok || n != 19900 {
		t.Fatalf("Int = %d, %v", n, ok)
	}
	f := func(field int, value int64) {
		t.Helper()
		if err := m.SetInt(field, value); !errors.Is(err, ErrFormat) {
			t.Errorf("SetInt(%d, %d) = %v", field, value, err)
		}
	}
	f(FieldAmount, -1)
	f(FieldAmount, MaxMinor+1)
	f(FieldSTAN, 1_000_000)
	f(FieldAccount, 1) // not of fixed length
	f(FieldRRN, 1)     // not numeric
	f(5, 1)
}

func TestAMessageWithoutARequiredFieldDoesNotGoOut(t *testing.T) {
	for _, v := range readVectors(t) {
		l, _ := layoutOf(v.mti)
		for _, field := range l.required {
			m := v.build(t)
			m.Delete(int(field))
			dst := []byte("kept")
			got, err := m.AppendTo(dst)
			var bad *Error
			if !errors.As(err, &bad) || bad.Field != int(field) || string(got) != "kept" {
				t.Errorf("%v without field %d: %v", v.mti, field, err)
			}
		}
	}
}

func TestAnswersBelongToTheirRequests(t *testing.T) {
	f := func(request, want MTI) {
		t.Helper()
		if got := request.Answer(); got != want {
			t.Errorf("the answer to %v is %v, want %v", request, got, want)
		}
	}
	f(DebitRequest, DebitAnswer)
	f(BalanceRequest, BalanceAnswer)
	f(ReversalAdvice, ReversalAnswer)
	f(ReversalRepeat, ReversalAnswer)
	f(InquiryRequest, InquiryAnswer)
	f(NetworkRequest, NetworkAnswer)
	f(DebitAnswer, 0)
}

func TestCurrenciesAreFoundBothWays(t *testing.T) {
	n, last := 0, ""
	for c := range Currencies {
		n++
		if c.Alpha <= last {
			t.Fatalf("%s stands after %s", c.Alpha, last)
		}
		last = c.Alpha
		if got, ok := CurrencyByAlpha(c.Alpha); !ok || got != c {
			t.Errorf("%s is not found by its letters", c.Alpha)
		}
		if got, ok := CurrencyByNumeric(c.Numeric); !ok || got != c {
			t.Errorf("%s is not found by its number", c.Alpha)
		}
	}
	if n != 178 {
		t.Errorf("%d currencies", n)
	}
	f := func(alpha string, numeric, exponent int) {
		t.Helper()
		if got, ok := CurrencyByAlpha(alpha); !ok || got != (Currency{alpha, numeric, exponent}) {
			t.Errorf("%s is %+v, %v", alpha, got, ok)
		}
	}
	f("CNY", 156, 2)
	f("JPY", 392, 0)
	f("KWD", 414, 3)
	f("CLF", 990, 4)
	f("XAU", 959, -1)
	for _, alpha := range []string{"", "cny", "BGN", "CNYX", "DEM"} {
		if _, ok := CurrencyByAlpha(alpha); ok {
			t.Errorf("%q is no currency", alpha)
		}
	}
	if _, ok := CurrencyByNumeric(0); ok {
		t.Error("0 is no currency")
	}
}

func BenchmarkEncodeDebit(b *testing.B) {
	v := readVectors(b)[0]
	var m Message
	dst := make([]byte, 0, MaxMessage)
	type pair struct {
		field int
		value string
	}
	var pairs []pair
	for field := range v.build(b).Fields {
		pairs = append(pairs, pair{field, v.fields[field]})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Reset(DebitRequest)
		for _, p := range pairs {
			if err := m.Set(p.field, p.value); err != nil {
				b.Fatal(err)
			}
		}
		var err error
		if dst, err = m.AppendTo(dst[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseDebitAnswer(b *testing.B) {
	body := readVectors(b)[1].bytes[2:]
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := Parse(body, &m); err != nil {
			b.Fatal(err)
		}
		if err := m.Check(); err != nil {
			b.Fatal(err)
		}
	}
}
