package cluster

import (
	"fmt"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

// visitMessage is one thing that a guest says, decoded and looked through on its stream's own goroutine.
type visitMessage struct {
	call     *call
	answered *wire.Answered
	withdraw *wire.Withdraw
	open     *wire.Open
	beat     *wire.Heartbeat
	leaving  bool
	about    []byte
	err      error
}

// understand reads what a guest says. now is when it was read: not before any of it was sent.
func understand(who stream.Identity, all []*wire.Message, now gate.Time) []visitMessage {
	out := make([]visitMessage, 0, len(all))
	for _, m := range all {
		switch body := m.GetBody().(type) {
		case *wire.Message_Call:
			out = append(out, visitMessage{call: visitor(who, body.Call, now)})
		case *wire.Message_Answered:
			v := visitMessage{answered: body.Answered}
			if next := body.Answered.GetNext(); next != nil {
				v.call = visitor(who, next, now)
			}
			out = append(out, v)
		case *wire.Message_Withdraw:
			out = append(out, visitMessage{withdraw: body.Withdraw})
		case *wire.Message_Open:
			out = append(out, visitMessage{open: body.Open})
		case *wire.Message_Leaving:
			out = append(out, visitMessage{leaving: true})
		case *wire.Message_About:
			text, err := takeAbout(body.About)
			out = append(out, visitMessage{about: text, err: err})
		case *wire.Message_Heartbeat:
			out = append(out, visitMessage{beat: body.Heartbeat})
		case nil:
		default:
			return append(out, visitMessage{err: fmt.Errorf("%w: a guest does not say %T", stream.ErrFrame, body)})
		}
	}
	return out
}

// visitor makes a call of this leader's of a guest's. One that no node would make of itself is answered as bad: its deadline is its
// budget until it is called.
func visitor(who stream.Identity, m *wire.Call, now gate.Time) *call {
	v := &visit{id: m.Id, command: m.Command, sent: m.SentUs, arrived: now}
	c := &call{
		urgent: m.Urgent, class: gate.Class(min(m.Class, uint32(gate.Classes-1))), tier: uint8(min(m.Tier, gate.Tiers-1)),
		partner: m.Partner, weight: m.Weight, deadline: min(max(stream.Duration(m.BudgetUs), 0), WaitMax),
		within: max(stream.Duration(m.WithinUs), 0), visit: v,
	}
	switch m.Kind {
	case wire.Kind_KIND_SEAT:
		c.kind = kindSeat
		return c
	case wire.Kind_KIND_APPLIED:
		c.kind = kindApplied
		return c
	case wire.Kind_KIND_AUTHORISE:
		c.kind = kindAuthorise
	}
	c.size = sizeOf(len(m.Command))
	c.cmd = new(journal.Command)
	if err := c.cmd.UnmarshalVT(m.Command); err != nil || len(c.cmd.Id) != len(journal.CommandID{}) || c.cmd.Body == nil ||
		len(c.cmd.ProtoReflect().GetUnknown()) > 0 || m.Kind == wire.Kind_KIND_UNSPECIFIED {
		v.bad = true
		return c
	}
	// Rule 1: a node names itself as executor, and only itself.
	switch body := c.cmd.Body.(type) {
	case *command.Command_Authorise:
		a := body.Authorise
		v.bad = c.kind != kindAuthorise || len(a.GetPaymentId()) != len(c.payment) ||
			journal.NodeID(a.GetNode()) != who.Node || a.GetIncarnation() != who.Incarnation
		if !v.bad {
			c.payment = journal.PaymentID(a.PaymentId)
		}
	case *command.Command_NotSent:
		v.bad = c.kind != kindCommand || journal.NodeID(body.NotSent.GetNode()) != who.Node || body.NotSent.GetIncarnation() != who.Incarnation
	default:
		v.bad = c.kind != kindCommand
	}
	return c
}
