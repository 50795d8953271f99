package stream

import (
	"fmt"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/stream/wire"
)

// Micros gives a duration as it travels. What does not fit a duration again counts as the nearest that does.
func Micros(d time.Duration) int64 { return d.Microseconds() }

// Duration reads a duration that has travelled.
func Duration(micros int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Microsecond)
	return time.Duration(min(max(micros, -most), most)) * time.Microsecond
}

// PutPayment gives a payment as it travels.
func PutPayment(p *journal.Payment) *wire.Payment {
	if p.State == journal.StateNone {
		return nil
	}
	id := p.ID
	return &wire.Payment{
		Id: id[:], Partner: uint32(p.Partner), State: uint32(p.State), Reason: uint32(p.Reason), Version: p.Version,
		AmountMinor: p.Amount.Minor, Currency: p.Amount.Currency,
		CreditorAccount: p.CreditorAccount, CreditorName: p.CreditorName, DebtorAccount: p.DebtorAccount,
		EndToEndId: p.EndToEndID, Remittance: p.Remittance,
		RedirectUri: p.RedirectURI, NokRedirectUri: p.NokRedirectURI, NotificationUri: p.NotificationURI,
		CreatedMs: int64(p.Created), ExpiresMs: int64(p.Expires), ChangedMs: int64(p.Changed), GrantedMs: int64(p.Granted),
		Customer: uint64(p.Customer), SessionEpoch: uint64(p.SessionEpoch),
		ExecutorNode: uint32(p.Executor.Node), ExecutorIncarnation: p.Executor.Incarnation,
		Transmission: p.Wire.Transmission, Stan: p.Wire.STAN, Rrn: p.Wire.RRN,
		ResponseCode: p.ResponseCode, ApprovalCode: p.ApprovalCode,
	}
}

// TakePayment reads a payment that has travelled; nil is the zero Payment.
func TakePayment(w *wire.Payment) (journal.Payment, error) {
	if w == nil {
		return journal.Payment{}, nil
	}
	if len(w.Id) != len(journal.PaymentID{}) || w.State == 0 || w.State > uint32(journal.StateReversing) || w.Reason > 255 {
		return journal.Payment{}, fmt.Errorf("%w: a payment with an id of %d bytes, state %d and reason %d", ErrFrame, len(w.Id), w.State, w.Reason)
	}
	return journal.Payment{
		ID: journal.PaymentID(w.Id), Partner: journal.PartnerID(w.Partner),
		State: journal.State(w.State), Reason: journal.Reason(w.Reason), Version: w.Version,
		Amount:          journal.Money{Minor: w.AmountMinor, Currency: w.Currency},
		CreditorAccount: w.CreditorAccount, CreditorName: w.CreditorName, DebtorAccount: w.DebtorAccount,
		EndToEndID: w.EndToEndId, Remittance: w.Remittance,
		RedirectURI: w.RedirectUri, NokRedirectURI: w.NokRedirectUri, NotificationURI: w.NotificationUri,
		Created: journal.Millis(w.CreatedMs), Expires: journal.Millis(w.ExpiresMs),
		Changed: journal.Millis(w.ChangedMs), Granted: journal.Millis(w.GrantedMs),
		Customer: journal.CustomerID(w.Customer), SessionEpoch: journal.Epoch(w.SessionEpoch),
		Executor:     journal.Executor{Node: journal.NodeID(w.ExecutorNode), Incarnation: w.ExecutorIncarnation},
		Wire:         journal.WireIdentity{Transmission: w.Transmission, STAN: w.Stan, RRN: w.Rrn},
		ResponseCode: w.ResponseCode, ApprovalCode: w.ApprovalCode,
	}, nil
}

// PutAccess gives what is known of a customer's sign-in as it travels.
func PutAccess(a *journal.Access) *wire.Access {
	if *a == (journal.Access{}) {
		return nil
	}
	w := &wire.Access{
		Epoch: uint64(a.Epoch), SignedInMs: int64(a.SignedIn), Ended: a.Ended, TotpStep: a.TOTPStep,
		Lanes: make([]*wire.Lane, len(a.Lanes)),
	}
	for i, l := range a.Lanes {
		w.Lanes[i] = &wire.Lane{Failures: uint32(l.Failures), LastAttemptMs: int64(l.LastAttempt)}
	}
	return w
}

// TakeAccess reads it again; nil is the zero Access.
func TakeAccess(w *wire.Access) (a journal.Access, err error) {
	if w == nil {
		return a, nil
	}
	if len(w.Lanes) > len(a.Lanes) {
		return a, fmt.Errorf("%w: %d lanes of attempts, known are %d", ErrFrame, len(w.Lanes), len(a.Lanes))
	}
	a = journal.Access{
		Epoch: journal.Epoch(w.Epoch), SignedIn: journal.Millis(w.SignedInMs), Ended: w.Ended, TOTPStep: w.TotpStep,
	}
	for i, l := range w.Lanes {
		a.Lanes[i] = journal.Lane{Failures: uint8(min(l.GetFailures(), 255)), LastAttempt: journal.Millis(l.GetLastAttemptMs())}
	}
	return a, nil
}
