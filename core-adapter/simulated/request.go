package simulated

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"netbank/core-adapter/iso8583"
	"netbank/core-adapter/simulated/ledger"
)

// request is one request inside: read, worked on by the model, decided by the ledger, answered.
//
//	take ──> driver ──> WorkDone ──> ledger ──> Decided ──> answer
//	  └ a debit whose reference is running waits for the first, without work of its own
type request struct {
	link      *link
	server    *Server
	message   iso8583.Message
	op        ledger.Op
	lie       ledger.Code // 94 or 96 instead of the truth
	running   bool        // an inquiry whose debit was running when it looked
	followers []*request  // a debit's, guarded by runningDebits
	outcome   ledger.Outcome
}

// runningDebits knows the debits between their arrival and their record, by reference.
type runningDebits struct {
	sync.Mutex
	first map[ledger.Reference]*request
}

// follow lets r wait for a debit of its reference that is running, or makes it the first.
func (d *runningDebits) follow(r *request) (waits bool) {
	d.Lock()
	defer d.Unlock()
	if first, ok := d.first[r.op.Reference]; ok {
		first.followers = append(first.followers, r)
		return true
	}
	d.first[r.op.Reference] = r
	return false
}

func (d *runningDebits) has(ref ledger.Reference) bool {
	d.Lock()
	defer d.Unlock()
	_, ok := d.first[ref]
	return ok
}

// leave ends r's being the first of its reference, and gives those that waited for it; a follower has none.
func (d *runningDebits) leave(r *request) []*request {
	d.Lock()
	defer d.Unlock()
	if d.first[r.op.Reference] != r {
		return nil
	}
	delete(d.first, r.op.Reference)
	return r.followers
}

// take handles one message. An error is bad input, which closes the connection.
func (k *link) take(frame []byte) error {
	r := k.server.requests.Get().(*request)
	if err := iso8583.Parse(frame, &r.message); err != nil {
		return err
	}
	mti := r.message.MTI()
	if mti.IsAnswer() {
		return fmt.Errorf("an answer (%v) where a request is wanted", mti)
	}
	if err := r.message.Check(); err != nil {
		return err
	}
	r.link, r.server = k, k.server
	if mti == iso8583.NetworkRequest {
		defer r.release()
		return k.network(&r.message)
	}
	if !k.signed {
		return fmt.Errorf("%w (%v)", errNotSignedOn, mti)
	}
	faults := &k.server.settings.Load().faults
	if k.server.chance(faults.DropRequests) {
		k.server.counts.dropped.Add(1)
		r.release()
		return nil
	}
	if k.server.inFlight.Add(1) > int64(k.server.cfg.Limits.InFlight) {
		// 96, not 91: the reference may be a repeat of one that is done.
		k.server.counts.overflowed.Add(1)
		r.finish(ledger.Outcome{Code: ledger.CodeSystemError})
		return nil
	}
	mean, err := r.understand()
	if err != nil {
		k.server.cfg.Logger.Warn("core: a request that makes no sense", "peer", k.conn.RemoteAddr().String(), "reason", err.Error())
		if !r.decline() {
			return nil
		}
	}
	if r.op.Kind == ledger.OpDebit && k.server.running.follow(r) {
		return nil
	}
	k.server.driver.Submit(k.server.draw(mean), r)
	return nil
}

var codeRunning = ledger.Code{'0', '9'}

// decline deals with a request that makes no sense, and reports whether it is to go on to the ledger. A debit of a known
// reference must: 05 for it could contradict the first answer. An inquiry or a reversal is told neither yes nor no.
func (r *request) decline() (goesOn bool) {
	switch {
	case r.op.Kind == ledger.OpDebit && r.op.Reference != (ledger.Reference{}):
		r.op.Decline = ledger.CodeDeclined
		return true
	case r.op.Kind == ledger.OpDebit || r.op.Kind == ledger.OpBalance:
		r.finish(ledger.Outcome{Code: ledger.CodeDeclined})
	default:
		r.finish(ledger.Outcome{Code: ledger.CodeSystemError})
	}
	return false
}

// network answers sign-on and echo at once: they take no work of the core.
func (k *link) network(m *iso8583.Message) error {
	code := iso8583.CodeApproved
	switch network := m.Text(iso8583.FieldNetwork); {
	case network == iso8583.NetworkSignOn:
		k.signed = true
	case !k.signed:
		return fmt.Errorf("%w (network code %s)", errNotSignedOn, network)
	case network != iso8583.NetworkEcho:
		code = iso8583.CodeDeclined
	}
	k.queue(iso8583.NetworkAnswer, func(answer *iso8583.Message) {
		echo(answer, m, networkEchoes[:])
		answer.Set(iso8583.FieldResponse, code)
	})
	return nil
}

// understand turns the message into an operation, and gives its mean demand. An error is a request that makes no sense in
// a message that is well formed: see decline.
func (r *request) understand() (time.Duration, error) {
	now := r.server.settings.Load()
	model := &now.model
	switch r.message.MTI() {
	case iso8583.DebitRequest:
		r.server.counts.debits.Add(1)
		r.op.Kind = ledger.OpDebit
		switch now.decline {
		case ledger.CodeDuplicate, ledger.CodeSystemError:
			r.lie = now.decline
		default:
			r.op.Decline = now.decline
		}
		return model.Debit, errors.Join(r.account(iso8583.ProcessingDebit), r.amount(), r.reference())
	case iso8583.ReversalAdvice, iso8583.ReversalRepeat:
		r.server.counts.reversals.Add(1)
		r.op.Kind = ledger.OpReverse
		return model.Reversal, errors.Join(r.account(iso8583.ProcessingDebit), r.amount(), r.reference(), r.original())
	case iso8583.InquiryRequest:
		r.server.counts.inquiries.Add(1)
		r.op.Kind = ledger.OpInquire
		return model.Inquiry, r.reference()
	case iso8583.BalanceRequest:
		r.server.counts.balances.Add(1)
		r.op.Kind = ledger.OpBalance
		return model.Balance, r.account(iso8583.ProcessingBalance)
	}
	return 0, fmt.Errorf("message type %v has no meaning here", r.message.MTI())
}

func (r *request) account(processing string) error {
	if !r.message.Is(iso8583.FieldProcessing, processing) {
		return fmt.Errorf("processing code %s: %s is wanted", r.message.Text(iso8583.FieldProcessing), processing)
	}
	digits, _ := r.message.Get(iso8583.FieldAccount)
	number, err := ledger.ParseNumber(string(digits))
	if err != nil {
		return err
	}
	numeric, _ := r.message.Int(iso8583.FieldCurrency)
	currency, known := iso8583.CurrencyByNumeric(int(numeric))
	if !known {
		return fmt.Errorf("currency %03d is not in ISO 4217", numeric)
	}
	r.op.Number = number
	r.op.Currency = ledger.Currency{currency.Alpha[0], currency.Alpha[1], currency.Alpha[2]}
	return nil
}

func (r *request) amount() error {
	minor, _ := r.message.Int(iso8583.FieldAmount)
	if minor < 1 {
		return errors.New("amount 0: 1 or more is wanted")
	}
	r.op.Minor = minor
	return nil
}

func (r *request) reference() error {
	field, _ := r.message.Get(iso8583.FieldAdditional)
	var additional iso8583.Additional
	if err := additional.Parse(field); err != nil {
		return err
	}
	ref, err := ledger.ParseReference(r.message.Text(iso8583.FieldRRN), additional.PaymentID)
	if err == nil {
		r.op.Reference = ref
	}
	return err
}

func (r *request) original() error {
	field, _ := r.message.Get(iso8583.FieldOriginal)
	var original iso8583.Original
	if err := original.Parse(field); err != nil {
		return err
	}
	if original.MTI != iso8583.DebitRequest {
		return fmt.Errorf("a reversal of a %v: only a debit (0200) can be reversed", original.MTI)
	}
	return nil
}

// WorkDone takes the request from the model to the ledger.
func (r *request) WorkDone() {
	if r.op.Kind == ledger.OpInquire {
		// Looked up before the ledger is: a debit that ends in between is then found there.
		r.running = r.server.running.has(r.op.Reference)
	}
	r.decide()
}

func (r *request) decide() {
	if err := r.server.ledger.Submit(r.op, r); err != nil {
		r.Decided(ledger.Outcome{}, err)
	}
}

// Decided takes the ledger's outcome, whose record is durable.
func (r *request) Decided(out ledger.Outcome, err error) {
	if err != nil {
		out = ledger.Outcome{Code: ledger.CodeSystemError}
	}
	if r.op.Kind == ledger.OpDebit {
		for _, follower := range r.server.running.leave(r) {
			follower.decide()
		}
	}
	if r.running && out.Code == ledger.CodeUnknown {
		out.Code = codeRunning
	}
	if r.lie != (ledger.Code{}) && !out.Repeat {
		out = ledger.Outcome{Code: r.lie}
	}
	r.finish(out)
}

// finish answers, with the faults that concern answers, and gives the request back.
func (r *request) finish(out ledger.Outcome) {
	r.outcome = out
	faults := r.server.settings.Load().faults
	if faults.ExtraLatency > 0 {
		time.AfterFunc(faults.ExtraLatency, func() { r.reply(faults) })
		return
	}
	r.reply(faults)
}

func (r *request) reply(faults Faults) {
	times := 1
	if r.server.chance(faults.DropAnswers) {
		times = 0
		r.server.counts.dropped.Add(1)
	} else if r.server.chance(faults.DuplicateAnswers) {
		times = 2
		r.server.counts.doubled.Add(1)
	}
	for range times {
		if r.link.queue(r.message.MTI().Answer(), r.fill) {
			r.server.counts.answered.Add(1)
		} else {
			r.server.counts.unsent.Add(1)
		}
	}
	r.server.inFlight.Add(-1)
	r.release()
}

func (r *request) release() {
	pool := &r.server.requests
	r.link, r.server, r.op, r.lie, r.running, r.outcome = nil, nil, ledger.Op{}, ledger.Code{}, false, ledger.Outcome{}
	clear(r.followers)
	r.followers = r.followers[:0]
	pool.Put(r)
}

// The fields of a request that its answer repeats.
var (
	networkEchoes  = [...]int{iso8583.FieldTransmission, iso8583.FieldSTAN, iso8583.FieldNetwork}
	debitEchoes    = [...]int{iso8583.FieldAccount, iso8583.FieldProcessing, iso8583.FieldAmount, iso8583.FieldTransmission, iso8583.FieldSTAN, iso8583.FieldAcquirer, iso8583.FieldRRN, iso8583.FieldTerminal, iso8583.FieldCurrency}
	balanceEchoes  = [...]int{iso8583.FieldAccount, iso8583.FieldProcessing, iso8583.FieldTransmission, iso8583.FieldSTAN, iso8583.FieldAcquirer, iso8583.FieldRRN, iso8583.FieldTerminal, iso8583.FieldCurrency}
	reversalEchoes = [...]int{iso8583.FieldAccount, iso8583.FieldProcessing, iso8583.FieldAmount, iso8583.FieldTransmission, iso8583.FieldSTAN, iso8583.FieldAcquirer, iso8583.FieldRRN, iso8583.FieldCurrency, iso8583.FieldOriginal}
	inquiryEchoes  = [...]int{iso8583.FieldTransmission, iso8583.FieldSTAN, iso8583.FieldAcquirer, iso8583.FieldRRN, iso8583.FieldAdditional}
)

func echo(answer, request *iso8583.Message, fields []int) {
	for _, field := range fields {
		if value, ok := request.Get(field); ok {
			answer.SetBytes(field, value) // was read under the same table
		}
	}
}

func (r *request) fill(answer *iso8583.Message) {
	switch answer.MTI() {
	case iso8583.DebitAnswer:
		echo(answer, &r.message, debitEchoes[:])
	case iso8583.ReversalAnswer:
		echo(answer, &r.message, reversalEchoes[:])
	case iso8583.InquiryAnswer:
		echo(answer, &r.message, inquiryEchoes[:])
	case iso8583.BalanceAnswer:
		echo(answer, &r.message, balanceEchoes[:])
		if r.outcome.Code == ledger.CodeApproved {
			numeric, _ := r.message.Int(iso8583.FieldCurrency)
			amounts, err := iso8583.AppendAmount(nil, iso8583.Amount{
				AccountType: iso8583.AccountUnspecified, AmountType: iso8583.AmountAvailable, Currency: int(numeric), Minor: r.outcome.Balance,
			})
			if err != nil {
				r.outcome.Code = ledger.CodeSystemError
			} else {
				answer.SetBytes(iso8583.FieldAmounts, amounts)
			}
		}
	}
	answer.SetBytes(iso8583.FieldResponse, r.outcome.Code[:])
	if code := r.outcome.ApprovalCode(); code != "" && r.outcome.Code == ledger.CodeApproved {
		answer.Set(iso8583.FieldApproval, code)
	}
}
