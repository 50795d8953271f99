package bank

import (
	"context"
	"testing"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/scaling"
	"netbank/cluster/scaling/expansion"
)

// Whatever a slow core makes wait or has refused says so: it is what more workers do not help against.
func TestTheGateSaysWhetherTheCoreIsFull(t *testing.T) {
	open := func(gate.Class) (cluster.Refusal, bool) { return cluster.Refusal{}, false }
	f := func(want expansion.Core, change func(s *cluster.Status), doors func(gate.Class) (cluster.Refusal, bool)) {
		t.Helper()
		var s cluster.Status
		s.Gate.Counts[gate.Express][gate.TooLate] = 7 // long ago
		g := gateLook{refusals: 7}
		if got := g.look(&s, open); got != expansion.CoreFree {
			t.Fatalf("an idle core is %v", got)
		}
		change(&s)
		if got := g.look(&s, doors); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	refusing := func(reason gate.Reason) func(gate.Class) (cluster.Refusal, bool) {
		return func(class gate.Class) (cluster.Refusal, bool) {
			return cluster.Refusal{Reason: reason}, class == gate.Confirm
		}
	}
	nothing := func(*cluster.Status) {}
	f(expansion.CoreFree, nothing, open)
	f(expansion.CoreFree, func(s *cluster.Status) { s.Gate.QueuedBy[gate.Resolve] = 3; s.Gate.Taken = 64 }, open)
	f(expansion.CoreFull, func(s *cluster.Status) { s.Gate.QueuedBy[gate.Confirm] = 1 }, open)
	f(expansion.CoreFull, func(s *cluster.Status) { s.Gate.Counts[gate.Confirm][gate.TooLate]++ }, open)
	f(expansion.CoreFull, func(s *cluster.Status) { s.Gate.Counts[gate.SignIn][gate.QueueFull]++ }, open)
	f(expansion.CoreFree, func(s *cluster.Status) { s.Gate.Counts[gate.Confirm][gate.Quota]++ }, open)
	f(expansion.CoreFull, nothing, refusing(gate.TooLate))
	f(expansion.CoreFree, nothing, refusing(gate.NoLeader))
	f(expansion.CoreStalled, func(s *cluster.Status) { s.Gate.Stalled = true; s.Gate.QueuedBy[gate.Confirm] = 1 }, open)
	f(expansion.CoreUnreachable, func(s *cluster.Status) { s.Gate.Breaker, s.Gate.Stalled = true, true }, open)
	f(expansion.CoreUnreachable, func(s *cluster.Status) { s.CoreShut = true }, open)
}

// owned is a provider whose workers belong to an autoscaler.
type owned struct{ scaling.Provider }

func (owned) Free(context.Context) error {
	return &scaling.Fault{What: "the workers belong to the autoscaler evening", Remedy: "delete it"}
}

// It is asked before the wish: one that is committed and cannot be had would stand for hours.
func TestAutomaticExpansionLeavesTheWorkersOfAnAutoscalerAlone(t *testing.T) {
	w := &watch{levers: &levers{reconciler: scaling.NewReconciler(nil, owned{}, nil)}} // and no node to which a wish could go
	err := w.move(t.Context(), &expansion.Move{From: 2, To: 4, Reason: "sign-in pool: 97 % busy"})
	if got, want := errorText(err), "scaling: the workers belong to the autoscaler evening; delete it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAutomaticExpansionIsToldWhatItCannotDo(t *testing.T) {
	f := func(scale, auto, want string) {
		t.Helper()
		c := Config{OperatorAddr: "127.0.0.1:9090", OperatorTokenFile: "t", CustomerURL: "http://localhost:8080", DataDir: "d", CoreSeats: 64, Scaling: Scaling{Scale: scale, ScaleAuto: auto}}
		err := c.check()
		if got := errorText(err); got != want {
			t.Errorf("%q: %q, want %q", auto, got, want)
		}
	}
	f("", "", "")
	f("local", "max=8", "")
	f("", "max=8", "--scale-auto is given without --scale; say who runs workers: --scale local, exec or kubernetes")
	f("local", "max=8,min=9", "--scale-auto: min is 9; it may be 0 to 8")
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
