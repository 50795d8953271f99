package journal

import (
	"bytes"
	"testing"

	"netbank/cluster/journal/command"
)

func TestFoundLimit_IsKeptForTheNextLeader(t *testing.T) {
	b := newBank(t, DefaultLimits())
	f := func(want Verdict, seats uint32, stands int) {
		t.Helper()
		b.must(want, &command.FindLimit{Seats: seats})
		if got := b.m.FoundLimit(); got != stands {
			t.Errorf("after FindLimit %d: %d, want %d", seats, got, stands)
		}
	}
	f(BadCommand, 0, 0)
	f(Done, 64, 64)
	f(BadCommand, LimitMax+1, 64)
	f(Done, 57, 57)

	late := wrap(named("command", "deposed"), &command.FindLimit{Seats: 9})
	if r := b.apply(b.term+1, late); r.Verdict != StaleTerm || b.m.FoundLimit() != 57 {
		t.Errorf("a deposed leader's limit: %v, %d", r.Verdict, b.m.FoundLimit())
	}

	var snapshot bytes.Buffer
	if _, err := b.m.Live().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	restored := New(b.m.store, DefaultLimits())
	if _, err := restored.ReadFrom(&snapshot); err != nil {
		t.Fatal(err)
	}
	if got := restored.FoundLimit(); got != 57 {
		t.Errorf("restored: %d, want 57", got)
	}
}
