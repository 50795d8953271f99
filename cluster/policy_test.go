package cluster

import (
	"testing"
	"time"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// setPolicy sets a policy of a bank.
func (r *rig) setPolicy(change func(*command.PutPolicy)) {
	r.t.Helper()
	put := &command.PutPolicy{Fence: r.node.Policy().Version, Shares: []uint32{0, 0, 100, 50, 0}, Reason: "the 11th", Operator: "ann", Detail: "something"}
	change(put)
	got, err := r.node.Submit(&journal.Command{Body: &command.Command_PutPolicy{PutPolicy: put}}, time.Now().Add(time.Second))
	if err != nil || got.Verdict != journal.Done {
		r.t.Fatalf("%v, %v", got.Verdict, err)
	}
	time.Sleep(2 * coarseTick)
}

// What operators have set counts at once, for the next leader before it grants anything, and until they set it otherwise.
func TestSeatsAreExact_APolicyHoldsAcrossALeaderChange(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit, r.cfg.Gate.Ceiling, r.cfg.Reserve = 5, 5, 8
		r.core.script = func(Debit) script { return script{work: 400 * time.Millisecond} }
		r.boot()
		r.insideAtMost(5)
		r.setPolicy(func(p *command.PutPolicy) { p.Seats = 2 })
		r.insideAtMost(2)
		if r.node.Ceiling(journal.LevelNormal) != 2 || r.node.Ceiling(journal.LevelReserve) != 8 {
			t.Errorf("levels of %d and %d seats", r.node.Ceiling(journal.LevelNormal), r.node.Ceiling(journal.LevelReserve))
		}
		r.log.depose(vanishes)
		r.log.elect()
		synctestWait(r)
		r.insideAtMost(2)
		r.setPolicy(func(*command.PutPolicy) {})
		r.insideAtMost(5)
	})
}

// A closed class is refused at the door, with the word for it, and comes back when it is opened.
func TestRefusedMeansNotCharged_AClassThatIsClosedIsRefusedAtTheDoor(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.boot()
		time.Sleep(r.node.cfg.silence())
		r.setPolicy(func(p *command.PutPolicy) { p.Closed = 1 << gate.Inquiry })
		if refusal, refused := r.node.Refused(gate.Inquiry); !refused || refusal.Reason != gate.Plan || refusal.RetryAfter <= 0 {
			t.Errorf("%+v, %v", refusal, refused)
		}
		if _, refused := r.node.Refused(gate.Confirm); refused {
			t.Error("confirmations are refused too")
		}
		if _, refusal, err := r.node.Balance(gate.Inquiry, "6228480000000000017", "CNY", time.Second); err != nil || refusal == nil || refusal.Reason != gate.Plan {
			t.Errorf("%+v, %v", refusal, err)
		}
		r.log.depose(vanishes)
		r.log.elect()
		synctestWait(r)
		time.Sleep(coarseTick)
		if refusal, refused := r.node.Refused(gate.Inquiry); !refused || refusal.Reason != gate.Plan {
			t.Errorf("under the next leader: %+v, %v", refusal, refused)
		}
		r.setPolicy(func(*command.PutPolicy) {})
		if refusal, refused := r.node.Refused(gate.Inquiry); refused {
			t.Errorf("it is open again, and refused: %+v", refusal)
		}
	})
}
