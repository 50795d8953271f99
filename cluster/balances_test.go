package cluster

import (
	"testing"
	"time"

	"netbank/cluster/gate"
)

// Optional work is left out first: while confirmations wait for a slow core, balances are refused at the door, and the core is not asked.
func TestRefusedMeansNotCharged_BalancesAreLeftOutFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit, r.cfg.Gate.Ceiling = 2, 2
		r.core.script = func(Debit) script { return script{work: 600 * time.Millisecond} }
		r.boot()
		time.Sleep(r.node.cfg.silence())
		if _, refused := r.node.Refused(gate.Inquiry); refused {
			t.Fatal("an idle bank shows no balances")
		}
		ended := make(chan error)
		for range 8 {
			x := r.create()
			go func() {
				_, err := r.node.Confirm(x)
				ended <- err
			}()
		}
		time.Sleep(50 * time.Millisecond)
		if refusal, refused := r.node.Refused(gate.Inquiry); !refused || refusal.Reason != gate.TooLate || refusal.RetryAfter < 250*time.Millisecond {
			t.Errorf("%+v, %v", refusal, refused)
		}
		if refusal, refused := r.node.Refused(gate.Confirm); refused {
			t.Errorf("confirmations are refused: %+v", refusal)
		}
		for range 8 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(coarseTick)
		if refusal, refused := r.node.Refused(gate.Inquiry); refused {
			t.Errorf("when they are through: %+v", refusal)
		}
	})
}
