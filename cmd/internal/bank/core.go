package bank

import (
	"context"
	"errors"
	"time"

	"netbank/cluster"
	"netbank/cluster/journal"
	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/corelink"
)

// core makes a coreadapter.Core what package cluster asks for. Neither knows the other; this is the joint.
type core struct{ coreadapter.Core }

// words joins the two vocabularies, which have the same words.
var words = map[coreadapter.Word]cluster.Word{
	coreadapter.InDoubt:  cluster.InDoubt,
	coreadapter.Approved: cluster.Approved,
	coreadapter.Declined: cluster.Declined,
	coreadapter.NotSent:  cluster.NotSent,
	coreadapter.Reversed: cluster.Reversed,
	coreadapter.Unknown:  cluster.Unknown,
	coreadapter.Running:  cluster.Running,
}

func answerOf(a coreadapter.Answer) cluster.Answer {
	return cluster.Answer{
		Word: words[a.Word], ResponseCode: a.ResponseCode, ApprovalCode: a.ApprovalCode, Elapsed: a.Elapsed, Err: a.Err,
		// A full link or an overdue grant is no sign that the core is gone.
		Unreachable: a.Word == coreadapter.NotSent && errors.Is(a.Err, corelink.ErrNotConnected),
	}
}

func referenceOf(r cluster.Reference) coreadapter.Reference {
	return coreadapter.Reference{PaymentID: r.Payment.String(), Transmission: r.Wire.Transmission, STAN: r.Wire.STAN, RRN: r.Wire.RRN}
}

func debitOf(d cluster.Debit) coreadapter.Debit {
	return coreadapter.Debit{
		Reference: referenceOf(d.Reference), Account: d.Account, Minor: d.Amount.Minor, Currency: d.Amount.Currency,
		CreditorAccount: d.CreditorAccount, CreditorName: d.CreditorName, EndToEndID: d.EndToEndID,
	}
}

// lateOf turns a late answer round. A payment id that does not parse cannot be one of ours.
func lateOf(l coreadapter.LateAnswer) (cluster.LateAnswer, bool) {
	id, err := journal.ParsePaymentID(l.PaymentID)
	if err != nil {
		return cluster.LateAnswer{}, false
	}
	wire := journal.WireIdentity{Transmission: l.Transmission, STAN: l.STAN, RRN: l.RRN}
	return cluster.LateAnswer{Reference: cluster.Reference{Payment: id, Wire: wire}, Answer: answerOf(l.Answer)}, true
}

func (c core) Debit(ctx context.Context, d cluster.Debit, sendBefore time.Time) cluster.Answer {
	return answerOf(c.Core.Debit(ctx, debitOf(d), sendBefore))
}

func (c core) Inquire(ctx context.Context, ref cluster.Reference) cluster.Answer {
	return answerOf(c.Core.Inquire(ctx, referenceOf(ref)))
}

func (c core) Reverse(ctx context.Context, d cluster.Debit, repeat bool) cluster.Answer {
	return answerOf(c.Core.Reverse(ctx, debitOf(d), repeat))
}

func (c core) Balance(ctx context.Context, account, currency string) (journal.Money, error) {
	minor, err := c.Core.Balance(ctx, account, currency)
	return journal.Money{Minor: minor, Currency: currency}, err
}
