package corelink

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

func wantFields(t *testing.T, m *iso8583.Message, mti iso8583.MTI, want map[int]string) {
	t.Helper()
	if m.MTI() != mti {
		t.Errorf("type %v, want %v", m.MTI(), mti)
	}
	n := 0
	for field := range m.Fields {
		n++
		if v, ok := want[field]; !ok || v != "*" && v != m.Text(field) {
			t.Errorf("%v: field %d is %q, want %q", mti, field, m.Text(field), want[field])
		}
	}
	if n != len(want) {
		t.Errorf("%v: %d fields, want %d", mti, n, len(want))
	}
}

func TestADebitBearsItsReferenceAndLocalTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := debiting(t, l, 7)
		m := p.read()
		now := time.Now().In(time.FixedZone("CST", 8*3600))
		wantFields(t, m, iso8583.DebitRequest, map[int]string{
			2: testAccount, 3: "000000", 4: "000000019900", 7: "1111000001", 11: "000007",
			12: now.Format("150405"), 13: now.Format("0102"), 32: "102", 37: "010000000007",
			41: "NETBANK1", 42: "NETBANKING     ", 49: "156",
			48: "01036" + paymentID(7) + "02022DE893704004405320130000301" + "2天猫商城04007ORDER-1",
		})
		time.Sleep(30 * time.Millisecond) // virtual: the core works
		p.answer(m, "00", nil)
		a := answer()
		if a != (coreadapter.Answer{Word: coreadapter.Approved, ResponseCode: "00", ApprovalCode: "A1B2C3", Elapsed: 30 * time.Millisecond}) {
			t.Errorf("answer %+v", a)
		}
		if len(s.seen) != 1 || s.seen[0] != (Exchange{Op: OpDebit, Word: coreadapter.Approved, Code: "00", Elapsed: 30 * time.Millisecond}) {
			t.Errorf("observed %+v", s.seen)
		}
	})
}

func TestTheCoresCodeBecomesAWord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		n := 0
		f := func(call func() coreadapter.Answer, code string, want coreadapter.Word) {
			t.Helper()
			answer := asked(call)
			p.answer(p.read(), code, nil)
			a := answer()
			if a.Word != want || a.ResponseCode != code || (a.Err != nil) != (want == coreadapter.InDoubt) {
				t.Errorf("code %s: %+v, want %v", code, a, want)
			}
			var said *CodeError
			if want == coreadapter.InDoubt && (!errors.As(a.Err, &said) || said.Code != code) {
				t.Errorf("code %s: %v", code, a.Err)
			}
		}
		ctx := t.Context()
		toDebit := func() coreadapter.Answer { n++; return l.Debit(ctx, debit(n), time.Now().Add(time.Second)) }
		f(toDebit, "00", coreadapter.Approved)
		f(toDebit, "05", coreadapter.Declined)
		f(toDebit, "14", coreadapter.Declined)
		f(toDebit, "51", coreadapter.Declined)
		f(toDebit, "61", coreadapter.Declined)
		f(toDebit, "91", coreadapter.Declined)
		f(toDebit, "21", coreadapter.Reversed)
		f(toDebit, "96", coreadapter.InDoubt)
		f(toDebit, "94", coreadapter.InDoubt)
		f(toDebit, "09", coreadapter.InDoubt)
		f(toDebit, "ZZ", coreadapter.InDoubt)
		toInquire := func() coreadapter.Answer { return l.Inquire(ctx, debit(1).Reference) }
		f(toInquire, "00", coreadapter.Approved)
		f(toInquire, "05", coreadapter.Declined)
		f(toInquire, "21", coreadapter.Reversed)
		f(toInquire, "25", coreadapter.Unknown)
		f(toInquire, "09", coreadapter.Running)
		f(toInquire, "91", coreadapter.InDoubt)
		f(toInquire, "51", coreadapter.InDoubt)
		toReverse := func() coreadapter.Answer { return l.Reverse(ctx, debit(1), true) }
		f(toReverse, "00", coreadapter.Approved)
		f(toReverse, "21", coreadapter.Approved)
		f(toReverse, "91", coreadapter.InDoubt)
		f(toReverse, "05", coreadapter.InDoubt)
	})
}

func TestAReversalIsTheSameAdviceFromEveryNodeAndEachTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		for repeat, mti := range map[bool]iso8583.MTI{false: iso8583.ReversalAdvice, true: iso8583.ReversalRepeat} {
			answer := asked(func() coreadapter.Answer { return l.Reverse(within(t, time.Second), debit(7), repeat) })
			m := p.read()
			wantFields(t, m, mti, map[int]string{
				2: testAccount, 3: "000000", 4: "000000019900", 7: "1111000001", 11: "000007", 32: "102", 37: "010000000007", 48: "*", 49: "156",
				90: "0200" + "000007" + "1111000001" + "00000000102" + "00000000000",
			})
			p.answer(m, "00", nil)
			if a := answer(); a.Word != coreadapter.Approved {
				t.Errorf("%+v", a)
			}
		}
	})
}

func TestAnInquiryNamesTheOriginalAndIsNumberedAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		stans := make(map[string]bool)
		for range 3 {
			answer := asked(func() coreadapter.Answer { return l.Inquire(within(t, time.Second), debit(7).Reference) })
			m := p.read()
			wantFields(t, m, iso8583.InquiryRequest, map[int]string{
				7: time.Now().UTC().Format("0102150405"), 11: "*", 32: "102", 37: "010000000007", 48: "01036" + paymentID(7),
			})
			stans[m.Text(11)] = true
			p.answer(m, "09", func(m *iso8583.Message) { must(t, m.Set(48, "01036"+paymentID(7))) })
			if a := answer(); a.Word != coreadapter.Running {
				t.Errorf("%+v", a)
			}
		}
		if len(stans) != 3 {
			t.Errorf("numbers %v, want three of them", stans)
		}
	})
}

// A reversal bears its debit's 7 and 11, and an inquiry's own may happen to equal them: the type tells them apart.
func TestAnswersAreToldApartByTypeWhenTheirNumbersAreEqual(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		d := debit(7)
		d.Transmission = transmission(time.Now())
		ctx := within(t, 10*time.Second)
		toDebit := asked(func() coreadapter.Answer { return l.Debit(ctx, d, time.Now().Add(time.Second)) })
		m200 := p.read()
		l.mu.Lock()
		l.stan = d.STAN - 1
		l.mu.Unlock()
		toInquire := asked(func() coreadapter.Answer { return l.Inquire(ctx, debit(8).Reference) })
		m600 := p.read()
		toReverse := asked(func() coreadapter.Answer { return l.Reverse(ctx, d, false) })
		m420 := p.read()
		if m600.Text(7) != m200.Text(7) || m600.Text(11) != m200.Text(11) || m420.Text(11) != m200.Text(11) {
			t.Fatalf("the numbers were to be equal: %s %s, %s %s", m200.Text(7), m200.Text(11), m600.Text(7), m600.Text(11))
		}
		p.answer(m420, "00", nil)
		p.answer(m600, "25", nil)
		p.answer(m200, "51", nil)
		if a := toDebit(); a.Word != coreadapter.Declined || a.ResponseCode != "51" {
			t.Errorf("debit: %+v", a)
		}
		if a := toInquire(); a.Word != coreadapter.Unknown {
			t.Errorf("inquiry: %+v", a)
		}
		if a := toReverse(); a.Word != coreadapter.Approved {
			t.Errorf("reversal: %+v", a)
		}
	})
}

func TestBalanceIsTheAvailableOneInTheCurrencyAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		f := func(code, amounts string, wantMinor int64, wantErr error) {
			t.Helper()
			var minor int64
			answer := asked(func() coreadapter.Answer {
				var err error
				minor, err = l.Balance(within(t, time.Second), testAccount, "CNY")
				return coreadapter.Answer{Err: err}
			})
			m := p.read()
			wantFields(t, m, iso8583.BalanceRequest, map[int]string{
				2: testAccount, 3: "310000", 7: "*", 11: "*", 12: "*", 13: "*", 32: "102", 37: "*", 41: "NETBANK1", 42: "NETBANKING     ", 49: "156",
			})
			p.answer(m, code, func(m *iso8583.Message) {
				if amounts != "" {
					must(t, m.Set(54, amounts))
				}
			})
			a := answer()
			if minor != wantMinor || (a.Err == nil) != (wantErr == nil) || wantErr != nil && !errors.Is(a.Err, wantErr) && a.Err.Error() != wantErr.Error() {
				t.Errorf("%d, %v; want %d, %v", minor, a.Err, wantMinor, wantErr)
			}
		}
		f("00", "1001156C0000000001001002156C000000123456", 123456, nil)
		f("00", "1002156D000000000500", -500, nil)
		f("00", "1002840C000000000500"+"1002156C000000000007", 7, nil)
		f("00", "1001156C000000000100", 0, ErrNoBalance)
		f("00", "1002840C000000000500", 0, ErrNoBalance)
		f("00", "", 0, ErrNoBalance)
		f("14", "", 0, &CodeError{"14"})
		f("96", "", 0, &CodeError{"96"})
		if l.Up() != 1 || l.Stats().Lost != 0 {
			t.Error("a connection was lost")
		}
	})
}

func TestPingExchangesAnEcho(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		p := s.peer()
		answer := asked(func() coreadapter.Answer { return coreadapter.Answer{Err: l.Ping(within(t, time.Second))} })
		m := p.read()
		wantFields(t, m, iso8583.NetworkRequest, map[int]string{7: "*", 11: "*", 70: "301"})
		p.answer(m, "00", nil)
		if a := answer(); a.Err != nil {
			t.Error(a.Err)
		}
		answer = asked(func() coreadapter.Answer { return coreadapter.Answer{Err: l.Ping(within(t, time.Second))} })
		p.read()
		if a := answer(); !errors.Is(a.Err, ErrNoAnswer) {
			t.Errorf("without an answer: %v", a.Err)
		}
	})
}

func TestWhatCannotBePutOnTheWireIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := open(t, nil)
		s.peer()
		f := func(want string, change func(*coreadapter.Debit)) {
			t.Helper()
			d := debit(1)
			change(&d)
			for _, a := range []coreadapter.Answer{
				l.Debit(t.Context(), d, time.Now().Add(time.Second)),
				l.Reverse(t.Context(), d, false),
			} {
				if a.Word != coreadapter.NotSent || !errors.Is(a.Err, ErrBadRequest) || !strings.Contains(a.Err.Error(), want) {
					t.Errorf("%+v, want %q", a, want)
				}
				if strings.Contains(a.Err.Error(), testAccount[:6]) {
					t.Errorf("the error shows the account: %v", a.Err)
				}
			}
		}
		f("account", func(d *coreadapter.Debit) { d.Account = testAccount + "x" })
		f("account", func(d *coreadapter.Debit) { d.Account = "" })
		f("amount", func(d *coreadapter.Debit) { d.Minor = 0 })
		f("amount", func(d *coreadapter.Debit) { d.Minor = -1 })
		f("amount", func(d *coreadapter.Debit) { d.Minor = iso8583.MaxMinor + 1 })
		f("ISO 4217", func(d *coreadapter.Debit) { d.Currency = "cny" })
		f("payment id", func(d *coreadapter.Debit) { d.PaymentID = "" })
		f("payment id", func(d *coreadapter.Debit) { d.PaymentID = "1" })
		f("trace audit", func(d *coreadapter.Debit) { d.STAN = 0 })
		f("trace audit", func(d *coreadapter.Debit) { d.STAN = 1_000_000 })
		f("transmission", func(d *coreadapter.Debit) { d.Transmission = "1111" })
		f("reference number", func(d *coreadapter.Debit) { d.RRN = "short" })
		f("creditor name", func(d *coreadapter.Debit) { d.CreditorName = strings.Repeat("n", 141) })
		if a := l.Inquire(t.Context(), coreadapter.Reference{RRN: "010000000001"}); a.Word != coreadapter.NotSent {
			t.Errorf("an inquiry without a payment id: %+v", a)
		}
		if _, err := l.Balance(t.Context(), "12x", "CNY"); !errors.Is(err, ErrBadRequest) {
			t.Errorf("a balance of no account: %v", err)
		}
		if _, err := l.Balance(t.Context(), "12", "???"); !errors.Is(err, ErrBadRequest) {
			t.Errorf("a balance in no currency: %v", err)
		}
		synctest.Wait()
		if l.Stats().Sent != 0 {
			t.Error("something was sent")
		}
	})
}

func TestKnownCodeBoundsTheLabels(t *testing.T) {
	f := func(code, want string) {
		t.Helper()
		if got := KnownCode(code); got != want {
			t.Errorf("KnownCode(%q) = %q, want %q", code, got, want)
		}
	}
	f("00", "00")
	f("96", "96")
	f("ZZ", "other")
	f("", "none")
}
