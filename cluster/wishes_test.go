package cluster

import (
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// wishFor moves a lever of a bank.
func (r *rig) wishFor(lever command.Lever, value uint32, ends time.Duration) {
	r.t.Helper()
	w := r.node.Wishes().Of(journal.Lever(lever))
	put := &command.PutWish{Lever: lever, Fence: w.Fence, Value: value, Reason: "the 11th", Operator: "ann"}
	if ends > 0 {
		put.UntilMs = int64(r.node.Now()) + ends.Milliseconds()
	}
	got, err := r.node.Submit(&journal.Command{Body: &command.Command_PutWish{PutWish: put}}, time.Now().Add(time.Second))
	if err != nil || got.Verdict != journal.Done {
		r.t.Fatalf("%v, %v", got.Verdict, err)
	}
}

// insideAtMost confirms twelve payments at once, and wants exactly so many to have been inside the core together, and no more.
func (r *rig) insideAtMost(want int) {
	r.t.Helper()
	r.core.set(func() { r.core.insideMax = 0 })
	ended := make(chan error)
	for range 12 {
		x := r.create()
		go func() {
			_, err := r.node.Confirm(x)
			ended <- err
		}()
	}
	for range 12 {
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	}
	r.core.set(func() {
		if r.core.insideMax != want {
			r.t.Errorf("%d were inside at most, want %d", r.core.insideMax, want)
		}
	})
}

// The lanes of the highway: while the level is in force more are inside, and never more than it allows, whoever leads.
func TestSeatsAreExact_ALevelRaisesTheCeilingAndLapsesByItself(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.cfg.Gate.Limit, r.cfg.Gate.Ceiling, r.cfg.Reserve, r.cfg.Emergency = 2, 2, 5, 3
		r.core.script = func(Debit) script { return script{work: 400 * time.Millisecond} }
		r.boot()
		r.insideAtMost(2)
		r.wishFor(command.Lever_LEVER_LEVEL, journal.LevelReserve, time.Minute)
		time.Sleep(coarseTick)
		r.insideAtMost(5)
		r.wishFor(command.Lever_LEVER_LEVEL, journal.LevelEmergency, time.Minute)
		time.Sleep(coarseTick)
		r.insideAtMost(5) // an emergency is never less than the reserve
		r.log.depose(vanishes)
		r.log.elect()
		synctestWait(r)
		r.insideAtMost(5) // the next leader finds it in the journal
		time.Sleep(time.Minute + time.Second)
		if w := r.node.Wishes().Level; w.Now.Value != journal.LevelNormal || w.Now.Operator != "" {
			t.Errorf("after its end: %+v", w)
		}
		r.insideAtMost(2)
		acts, err := r.node.Acts(10)
		if err != nil || len(acts) != 3 || acts[2].Verb != "level-lapsed" {
			t.Errorf("%+v, %v", acts, err)
		}
	})
}
