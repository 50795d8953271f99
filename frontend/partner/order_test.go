package partner

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"netbank/cluster/journal"
	"netbank/frontend/money"
)

var allCurrencies = []string{"CNY", "EUR", "JPY", "KWD", "USD"}

const testNow journal.Millis = 1_800_000_000_000

func TestOrderIsReadAsWritten(t *testing.T) {
	o, err := readOrder([]byte(` {"endToEndIdentification" : "a\u00e9\ud83d\ude00\"b", "instructedAmount":{"amount":"1.5","currency":"KWD","x":[1,{"y":null}]},
		"creditorAccount":{"other":{"identification":"6222-0001","schemeName":"x"}},"creditorName":"Caf\u00e9","debtorAccount":{"iban":"de89 3704 0044 0532 0130 00"},
		"unknown":{"deep":[true,false,null,-1.5e+3,"s"]},"expiresAt":"2027-01-15T10:00:00+02:00"} `), allCurrencies, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if o.endToEndID != "aé😀\"b" || o.minor != 1500 || o.currency != "KWD" || o.creditorAccount != "6222-0001" || o.creditorName != "Café" ||
		o.debtorAccount != "DE89370400440532013000" || int64(o.expires) != time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC).UnixMilli() {
		t.Fatalf("%+v", o)
	}
	o, err = readOrder([]byte(orderJSON), allCurrencies, testNow)
	if err != nil || o.expires != testNow+15*60*1000 || o.minor != 12800 {
		t.Fatalf("%+v %v", o, err)
	}
}

func TestBadOrderNamesItsField(t *testing.T) {
	f := func(change func(map[string]any), want string) {
		t.Helper()
		var m map[string]any
		if err := json.Unmarshal([]byte(orderJSON), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		body, _ := json.Marshal(m)
		_, err := readOrder(body, allCurrencies, testNow)
		var field *fieldError
		if !errors.As(err, &field) || !strings.HasPrefix(field.detail, want) {
			t.Errorf("%s: %v, want %s…", body, err, want)
		}
	}
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	amount := func(currency string, v any) func(map[string]any) {
		return set("instructedAmount", map[string]any{"currency": currency, "amount": v})
	}
	f(func(m map[string]any) { delete(m, "creditorName") }, "creditorName: is required")
	f(func(m map[string]any) { delete(m, "instructedAmount") }, "instructedAmount: is required")
	f(set("endToEndIdentification", strings.Repeat("店", 36)), "endToEndIdentification: has 36")
	f(set("endToEndIdentification", ""), "endToEndIdentification: has 0")
	f(set("endToEndIdentification", 7), "endToEndIdentification: must be")
	f(set("endToEndIdentification", nil), "endToEndIdentification: is null")
	f(set("creditorName", strings.Repeat("x", 71)), "creditorName: has 71")
	f(set("creditorName", "a\u202eb"), "creditorName: holds")
	f(set("creditorName", "a\u200bb"), "creditorName: holds")
	f(set("creditorName", "a\nb"), "creditorName: holds")
	f(set("remittanceInformationUnstructured", strings.Repeat("x", 141)), "remittanceInformationUnstructured: has 141")
	f(amount("CNY", "1.005"), "instructedAmount.amount")
	f(amount("JPY", "1.0"), "instructedAmount.amount")
	f(amount("CNY", "0"), "instructedAmount.amount")
	f(amount("CNY", "-1"), "instructedAmount.amount")
	f(amount("CNY", "1e3"), "instructedAmount.amount")
	f(amount("CNY", 1), "instructedAmount.amount: must be")
	f(amount("GBP", "1"), "instructedAmount.currency")
	f(amount("cny", "1"), "instructedAmount.currency")
	f(set("creditorAccount", map[string]any{}), "creditorAccount: must hold")
	f(set("creditorAccount", map[string]any{"iban": "DE88370400440532013000"}), "creditorAccount: the IBAN's check digits")
	f(set("creditorAccount", map[string]any{"iban": "DE89370400440532013000", "other": "1"}), "creditorAccount: must hold")
	f(set("creditorAccount", map[string]any{"other": map[string]any{}}), "creditorAccount: other must hold")
	f(set("creditorAccount", map[string]any{"other": "1 2"}), "creditorAccount: an account")
	f(set("creditorAccount", "DE89370400440532013000"), "creditorAccount: must be an object")
	f(set("requestedExecutionDate", "2027-01-01"), "requestedExecutionDate: only")
	f(set("expiresAt", "tomorrow"), "expiresAt: is no")
	f(set("expiresAt", "2099-01-01T00:00:00Z"), "expiresAt: is more")

	raw := func(body, want string) {
		t.Helper()
		if _, err := readOrder([]byte(body), allCurrencies, testNow); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
	raw(orderJSON+"{}", "not a JSON object")
	raw(strings.Replace(orderJSON, "{", `{"creditorName":"evil",`, 1), "given twice")
	raw("[]", "not a JSON object")
	raw("", "not a JSON object")
	raw(strings.Replace(orderJSON, "{", `{"x":`+strings.Repeat("[", 99)+strings.Repeat("]", 99)+`,`, 1), "not a JSON object")
	raw("{\"creditorName\":\"\xff\"}", "not a JSON object")
	raw(`{"creditorName":"\ud800x"}`, "not a JSON object")
}

func TestIBANCheckDigits(t *testing.T) {
	// Examples of the SWIFT IBAN registry.
	f := func(text string, ok bool) {
		t.Helper()
		if _, err := readIBAN(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	f("GB29 NWBK 6016 1331 9268 19", true)
	f("DE89370400440532013000", true)
	f("FR1420041010050500013M02606", true)
	f("MT84MALT011000012345MTLCAST001S", true)
	f("NO9386011117947", true)
	f("GB29 NWBK 6016 1331 9268 91", false)
	f("1229370400440532013000", false)
	f("DE", false)
	f("DE8937040044053201300é", false)
}

// What we read, encoding/json reads in the same way. It takes more than we do: broken UTF-8, deeper nesting.
func FuzzReadOrder(f *testing.F) {
	f.Add([]byte(orderJSON))
	f.Add([]byte(`{"a":[1,2.5e-3,{"b":"\u0041\n"}],"creditorName":"\ud83d\ude00"}`))
	f.Add([]byte(`{"expiresAt":"2027-01-15T10:00:00Z","creditorAccount":{"other":"1"}}`))
	f.Add([]byte(`{"creditorName":"a","creditorName":"b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := scanner{in: body}
		names := map[string]string{}
		err := s.object(func(s *scanner, name []byte) error {
			key := string(name)
			if s.peek() != '"' {
				return s.skip()
			}
			text, err := s.text()
			names[key] = string(text)
			return err
		})
		if err == nil && s.end() {
			var want map[string]any
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatalf("we take %q, encoding/json says %v", body, err)
			}
			for name, text := range names {
				if got, ok := want[name].(string); ok && got != text {
					t.Fatalf("%q: %q is %q for us, %q for encoding/json", body, name, text, got)
				}
			}
		}
		o, err := readOrder(body, allCurrencies, testNow)
		if err != nil {
			var field *fieldError
			if !errors.As(err, &field) || !utf8.ValidString(field.detail) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if o.minor < 1 || o.minor > money.MinorMax || o.endToEndID == "" || o.creditorAccount == "" || o.expires > testNow+24*3600*1000 {
			t.Fatalf("%q: %+v", body, o)
		}
	})
}

// An amount that is accepted has the value that it says, by exact arithmetic.
func FuzzAmount(f *testing.F) {
	f.Add("128.00", "CNY")
	f.Add("1.005", "KWD")
	f.Add("9999999999.99", "EUR")
	f.Add("0.1", "JPY")
	f.Fuzz(func(t *testing.T, text, currency string) {
		minor, err := money.Parse(text, currency)
		if err != nil {
			return
		}
		exponent, _ := money.Exponent(currency)
		want, ok := new(big.Rat).SetString(text)
		got := new(big.Rat).SetFrac(big.NewInt(minor), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(exponent)), nil))
		if !ok || want.Cmp(got) != 0 {
			t.Fatalf("%q %s is %d", text, currency, minor)
		}
		if again, err := money.Parse(money.Format(minor, currency), currency); err != nil || again != minor {
			t.Fatalf("%q %s: %d, written and read %d %v", text, currency, minor, again, err)
		}
	})
}

func FuzzIBAN(f *testing.F) {
	f.Add("GB29 NWBK 6016 1331 9268 19")
	f.Add("DE89370400440532013000")
	f.Add("XX00")
	f.Fuzz(func(t *testing.T, text string) {
		iban, err := readIBAN(text)
		if err != nil {
			return
		}
		if again, err := readIBAN(iban); err != nil || again != iban || len(iban) > accountMax || !isIBAN(iban) {
			t.Fatalf("%q gives %q, which gives %q %v", text, iban, again, err)
		}
		// ISO 7064 once more, with big numbers.
		var digits strings.Builder
		for _, c := range iban[4:] + iban[:4] {
			if c >= 'A' {
				digits.WriteString(big.NewInt(int64(c - 'A' + 10)).String())
			} else {
				digits.WriteRune(c)
			}
		}
		n, _ := new(big.Int).SetString(digits.String(), 10)
		if n.Mod(n, big.NewInt(97)).Int64() != 1 {
			t.Fatalf("%q is no IBAN", iban)
		}
	})
}
