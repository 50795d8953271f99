package corelink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

// encoder is a message and what it is built with, reused.
type encoder struct {
	m       iso8583.Message
	scratch []byte
	err     error
}

// The setters keep the first error, so that a message is one list of fields.
func (e *encoder) text(field int, value string) {
	if e.err == nil {
		e.err = e.m.Set(field, value)
	}
}

func (e *encoder) number(field int, value int64) {
	if e.err == nil {
		e.err = e.m.SetInt(field, value)
	}
}

func (e *encoder) additional(a iso8583.Additional) {
	if e.err == nil {
		e.scratch, e.err = a.AppendTo(e.scratch[:0])
	}
	if e.err == nil {
		e.err = e.m.SetBytes(iso8583.FieldAdditional, e.scratch)
	}
}

func (e *encoder) original(o iso8583.Original) {
	if e.err == nil {
		e.scratch, e.err = o.AppendTo(e.scratch[:0])
	}
	if e.err == nil {
		e.err = e.m.SetBytes(iso8583.FieldOriginal, e.scratch)
	}
}

// newCall builds a message of a type with a reference, and the call that will carry it.
func (l *Link) newCall(op Op, mti iso8583.MTI, d *coreadapter.Debit, build func(*encoder)) (*call, error) {
	e := l.pool.Get().(*encoder)
	defer l.pool.Put(e)
	e.err = nil
	e.m.Reset(mti)
	e.text(iso8583.FieldTransmission, d.Transmission)
	e.number(iso8583.FieldSTAN, int64(d.STAN))
	build(e)
	c := &call{op: op, debit: *d, done: make(chan struct{}, 1)}
	if d.STAN == 0 && e.err == nil {
		e.err = &iso8583.Error{MTI: mti, Field: iso8583.FieldSTAN, Found: "0", Allowed: "1 to 999999"}
	}
	if e.err == nil {
		c.frame, e.err = e.m.AppendTo(nil)
	}
	if e.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, e.err)
	}
	c.key, _ = keyOf(mti, d.Reference) // ten digits: Set has seen to it
	return c, nil
}

func (l *Link) networkCall(code string) (*call, error) {
	d := coreadapter.Debit{Reference: l.number(time.Now())}
	c, err := l.newCall(OpEcho, iso8583.NetworkRequest, &d, func(e *encoder) { e.text(iso8583.FieldNetwork, code) })
	if err == nil {
		c.sendBefore = time.Now().Add(l.cfg.Timeouts.EchoAnswer)
	}
	return c, err
}

// Debit implements coreadapter.Core: a 0200, once.
func (l *Link) Debit(ctx context.Context, d coreadapter.Debit, sendBefore time.Time) coreadapter.Answer {
	numeric, err := checkDebit(&d)
	if err != nil {
		return l.unsent(OpDebit, err)
	}
	c, err := l.newCall(OpDebit, iso8583.DebitRequest, &d, func(e *encoder) { l.fillDebit(e, &d, numeric) })
	if err != nil {
		return l.unsent(OpDebit, err)
	}
	c.numeric = numeric
	c.sendBefore = sendBefore
	return l.run(ctx, c)
}

func (l *Link) fillDebit(e *encoder, d *coreadapter.Debit, numeric int64) {
	e.text(iso8583.FieldAccount, d.Account)
	e.text(iso8583.FieldProcessing, iso8583.ProcessingDebit)
	e.number(iso8583.FieldAmount, d.Minor)
	l.localTime(e)
	e.text(iso8583.FieldAcquirer, l.cfg.Acquirer)
	e.text(iso8583.FieldRRN, d.RRN)
	e.text(iso8583.FieldTerminal, l.cfg.Terminal)
	e.text(iso8583.FieldAcceptor, l.cfg.Acceptor)
	e.additional(additionalOf(d))
	e.number(iso8583.FieldCurrency, numeric)
}

// Inquire implements coreadapter.Core: a 0600. Its own 7 and 11 are new each time; 37 and 48 say what is asked for.
func (l *Link) Inquire(ctx context.Context, ref coreadapter.Reference) coreadapter.Answer {
	if err := checkPaymentID(ref.PaymentID); err != nil {
		return l.unsent(OpInquire, err)
	}
	d := coreadapter.Debit{Reference: l.number(time.Now())}
	d.PaymentID, d.RRN = ref.PaymentID, ref.RRN
	c, err := l.newCall(OpInquire, iso8583.InquiryRequest, &d, func(e *encoder) {
		e.text(iso8583.FieldAcquirer, l.cfg.Acquirer)
		e.text(iso8583.FieldRRN, ref.RRN)
		e.additional(iso8583.Additional{PaymentID: ref.PaymentID})
	})
	if err != nil {
		return l.unsent(OpInquire, err)
	}
	return l.run(ctx, c)
}

// Reverse implements coreadapter.Core: a 0420, or 0421 for a repeat. It bears the debit's own 7, 11 and 37, so that every
// node and every repeat sends the same advice.
func (l *Link) Reverse(ctx context.Context, d coreadapter.Debit, repeat bool) coreadapter.Answer {
	numeric, err := checkDebit(&d)
	if err != nil {
		return l.unsent(OpReverse, err)
	}
	mti := iso8583.ReversalAdvice
	if repeat {
		mti = iso8583.ReversalRepeat
	}
	c, err := l.newCall(OpReverse, mti, &d, func(e *encoder) {
		e.text(iso8583.FieldAccount, d.Account)
		e.text(iso8583.FieldProcessing, iso8583.ProcessingDebit)
		e.number(iso8583.FieldAmount, d.Minor)
		e.text(iso8583.FieldAcquirer, l.cfg.Acquirer)
		e.text(iso8583.FieldRRN, d.RRN)
		e.additional(additionalOf(&d))
		e.number(iso8583.FieldCurrency, numeric)
		e.original(iso8583.Original{MTI: iso8583.DebitRequest, STAN: d.STAN, Transmission: d.Transmission, Acquirer: l.cfg.Acquirer})
	})
	if err != nil {
		return l.unsent(OpReverse, err)
	}
	c.numeric = numeric
	return l.run(ctx, c)
}

// Balance implements coreadapter.Core: a 0100. The error wraps one of this package's, or is a *CodeError.
func (l *Link) Balance(ctx context.Context, account, alpha string) (int64, error) {
	numeric, err := currency(alpha)
	if err != nil {
		return 0, err
	}
	d := coreadapter.Debit{Reference: l.number(time.Now()), Account: account}
	c, err := l.newCall(OpBalance, iso8583.BalanceRequest, &d, func(e *encoder) {
		e.text(iso8583.FieldAccount, account)
		e.text(iso8583.FieldProcessing, iso8583.ProcessingBalance)
		l.localTime(e)
		e.text(iso8583.FieldAcquirer, l.cfg.Acquirer)
		e.text(iso8583.FieldRRN, d.RRN)
		e.text(iso8583.FieldTerminal, l.cfg.Terminal)
		e.text(iso8583.FieldAcceptor, l.cfg.Acceptor)
		e.number(iso8583.FieldCurrency, numeric)
	})
	if err != nil {
		return 0, err
	}
	c.numeric = numeric
	a := l.run(ctx, c)
	if a.Word != coreadapter.Approved {
		return 0, errOf(a)
	}
	return c.minor, nil
}

// Ping implements coreadapter.Core: an 0800 echo on the connection with the fewest messages in flight.
func (l *Link) Ping(ctx context.Context) error {
	c, err := l.networkCall(iso8583.NetworkEcho)
	if err != nil {
		return err
	}
	if a := l.run(ctx, c); a.Word != coreadapter.Approved {
		return errOf(a)
	}
	return nil
}

// run carries a call through within its context, or within Timeouts.Answer when that has no deadline.
func (l *Link) run(ctx context.Context, c *call) coreadapter.Answer {
	deadline, ok := ctx.Deadline()
	if !ok {
		var cancel context.CancelFunc
		deadline = time.Now().Add(l.cfg.Timeouts.Answer)
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	if c.op != OpDebit || deadline.Before(c.sendBefore) {
		c.sendBefore = deadline
	}
	l.exchange(ctx, c)
	l.cfg.Observe(Exchange{Op: c.op, Word: c.answer.Word, Code: c.answer.ResponseCode, Elapsed: c.answer.Elapsed})
	return c.answer
}

// unsent is the answer to a request that cannot be put on the wire.
func (l *Link) unsent(op Op, err error) coreadapter.Answer {
	l.mu.Lock()
	l.stats.NotSent++
	l.mu.Unlock()
	l.cfg.Observe(Exchange{Op: op, Word: coreadapter.NotSent})
	return notSent(err)
}

func errOf(a coreadapter.Answer) error {
	if a.Err != nil {
		return a.Err
	}
	return &CodeError{a.ResponseCode}
}

func (l *Link) localTime(e *encoder) {
	now := time.Now().In(l.cfg.Location)
	var text [10]byte
	now.AppendFormat(text[:0], "1504050102")
	if e.err == nil {
		e.err = e.m.SetBytes(iso8583.FieldLocalTime, text[:6])
	}
	if e.err == nil {
		e.err = e.m.SetBytes(iso8583.FieldLocalDate, text[6:])
	}
}

func additionalOf(d *coreadapter.Debit) iso8583.Additional {
	return iso8583.Additional{PaymentID: d.PaymentID, CreditorAccount: d.CreditorAccount, CreditorName: d.CreditorName, EndToEndID: d.EndToEndID}
}

func currency(alpha string) (int64, error) {
	c, ok := iso8583.CurrencyByAlpha(alpha)
	if !ok {
		return 0, fmt.Errorf("%w: the currency %.8q is not in the list of ISO 4217, such as CNY", ErrBadRequest, alpha)
	}
	return int64(c.Numeric), nil
}

// checkDebit judges what the field table does not, and gives the currency's number.
func checkDebit(d *coreadapter.Debit) (numeric int64, err error) {
	if d.Minor < 1 || d.Minor > iso8583.MaxMinor {
		return 0, fmt.Errorf("%w: the amount in minor units is outside 1 to %d", ErrBadRequest, int64(iso8583.MaxMinor))
	}
	if err := checkPaymentID(d.PaymentID); err != nil {
		return 0, err
	}
	return currency(d.Currency)
}

// checkPaymentID refuses the empty id, which field 48 would leave out. Field 48 judges any other.
func checkPaymentID(id string) error {
	if id == "" {
		return fmt.Errorf("%w: the payment id is empty; it is the core's idempotency key", ErrBadRequest)
	}
	return nil
}

// errContradiction says that an answer does not fit its request. It names the field, never its content.
var errContradiction = errors.New("corelink: the core's answer contradicts its request")

func differs(field int) error {
	spec, _ := iso8583.FieldSpec(field)
	return fmt.Errorf("%w in field %d (%s)", errContradiction, field, spec.Name)
}

// contradiction holds what an answer echoes against the request. A field that is not echoed contradicts nothing: which
// must be there, the message table says.
func (l *Link) contradiction(op Op, d *coreadapter.Debit, numeric int64, m *iso8583.Message) error {
	echoed := func(field int, want string) error {
		if want != "" && m.Has(field) && !m.Is(field, want) {
			return differs(field)
		}
		return nil
	}
	number := func(field int, want int64) error {
		if got, ok := m.Int(field); m.Has(field) && want != 0 && (!ok || got != want) {
			return differs(field)
		}
		return nil
	}
	processing := iso8583.ProcessingDebit
	if op == OpBalance {
		processing = iso8583.ProcessingBalance
	}
	err := errors.Join(
		echoed(iso8583.FieldAccount, d.Account),
		echoed(iso8583.FieldProcessing, processing),
		number(iso8583.FieldAmount, d.Minor),
		echoed(iso8583.FieldRRN, d.RRN),
		number(iso8583.FieldCurrency, numeric),
	)
	if terminal, ok := m.Get(iso8583.FieldTerminal); ok && strings.TrimRight(string(terminal), " ") != strings.TrimRight(l.cfg.Terminal, " ") {
		err = errors.Join(err, differs(iso8583.FieldTerminal))
	}
	if err != nil || !m.Has(iso8583.FieldAdditional) || d.PaymentID == "" {
		return err
	}
	value, _ := m.Get(iso8583.FieldAdditional)
	var echo iso8583.Additional
	if err := echo.Parse(value); err != nil {
		return err
	}
	if echo.PaymentID != d.PaymentID {
		return differs(iso8583.FieldAdditional)
	}
	return nil
}

// answerKey gives the key of an answer, and whether it can have one.
func answerKey(m *iso8583.Message) (key, bool) {
	stan, ok := m.Int(iso8583.FieldSTAN)
	at, okTime := m.Int(iso8583.FieldTransmission)
	return key{answer: m.MTI(), stan: uint32(stan), transmission: uint64(at)}, ok && okTime
}

// judge gives the word that a response code stands for, and the balance of a balance inquiry.
func judge(op Op, numeric int64, m *iso8583.Message) (coreadapter.Answer, int64, error) {
	a := coreadapter.Answer{ResponseCode: m.Text(iso8583.FieldResponse), ApprovalCode: m.Text(iso8583.FieldApproval)}
	switch op {
	case OpDebit:
		a.Word = wordOfDebit(a.ResponseCode)
	case OpInquire:
		a.Word = wordOfInquiry(a.ResponseCode)
	case OpReverse:
		// The core acknowledges; 21 says that it had reversed before. Whatever else it says, the advice is to be repeated.
		if a.ResponseCode == iso8583.CodeApproved || a.ResponseCode == iso8583.CodeReversed {
			a.Word = coreadapter.Approved
		}
	default:
		a.Word = wordOfDebit(a.ResponseCode)
	}
	if a.Word == coreadapter.InDoubt {
		a.Err = &CodeError{a.ResponseCode}
	}
	if op != OpBalance || a.Word != coreadapter.Approved {
		return a, 0, nil
	}
	minor, found, err := available(m, numeric)
	if !found { // of no use, but no reason to distrust the connection
		a.Word, a.Err = coreadapter.InDoubt, ErrNoBalance
	}
	return a, minor, err
}

// wordOfDebit reads field 39 of a 0210. A code that this wire does not define says nothing about the money.
func wordOfDebit(code string) coreadapter.Word {
	switch code {
	case iso8583.CodeApproved:
		return coreadapter.Approved
	case iso8583.CodeDeclined, iso8583.CodeNoAccount, iso8583.CodeInsufficient, iso8583.CodeOverLimit,
		iso8583.CodeUnavailable: // 91: the core says that it did nothing
		return coreadapter.Declined
	case iso8583.CodeReversed:
		return coreadapter.Reversed
	}
	return coreadapter.InDoubt
}

// wordOfInquiry reads field 39 of a 0610.
func wordOfInquiry(code string) coreadapter.Word {
	switch code {
	case iso8583.CodeApproved:
		return coreadapter.Approved
	case iso8583.CodeDeclined:
		return coreadapter.Declined
	case iso8583.CodeReversed:
		return coreadapter.Reversed
	case iso8583.CodeUnknown:
		return coreadapter.Unknown
	case iso8583.CodeRunning:
		return coreadapter.Running
	}
	return coreadapter.InDoubt
}

// available finds the available balance among field 54's amounts.
func available(m *iso8583.Message, numeric int64) (minor int64, found bool, err error) {
	value, ok := m.Get(iso8583.FieldAmounts)
	if !ok {
		return 0, false, nil
	}
	var room [iso8583.MaxAmounts]iso8583.Amount
	amounts, err := iso8583.ParseAmounts(room[:0], value)
	if err != nil {
		return 0, false, err
	}
	for _, a := range amounts {
		if a.AmountType == iso8583.AmountAvailable && int64(a.Currency) == numeric {
			return a.Minor, true, nil
		}
	}
	return 0, false, nil
}
