package cluster

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/stream"
	"netbank/cluster/stream/wire"
)

func TestNodesTellTheLeaderOfThemselvesAndHearOfIt(t *testing.T) {
	inFive(t, func(t *testing.T, r *trio) {
		says := func(i int, want string) {
			t.Helper()
			if got := string(r.nodes[i].LeaderSays()); got != want {
				t.Errorf("node %d has heard %q of the leader, want %q", i+1, got, want)
			}
		}
		hears := func(leader int, want ...string) {
			t.Helper()
			all := r.nodes[leader].Followers()
			if len(all) != len(want) {
				t.Fatalf("%d nodes follow, want %d", len(all), len(want))
			}
			for i, f := range all {
				up := want[i] != "away"
				if f.Up != up || up && string(f.About) != want[i] {
					t.Errorf("node %d is up: %v, and says %q, want %q", f.Node, f.Up, f.About, want[i])
				}
			}
		}
		r.tells(0, "first")
		r.tells(1, "second")
		r.tells(4, "fifth")
		time.Sleep(time.Second)
		says(0, "")
		says(1, "first")
		says(4, "first")
		hears(0, "second", "", "", "fifth")
		r.tells(4, "fifth anew")
		r.tells(0, "first anew")
		time.Sleep(time.Second)
		says(3, "first anew")
		hears(0, "second", "", "", "fifth anew")
		if r.nodes[1].Followers() != nil {
			t.Error("nobody follows a node that does not lead")
		}
		r.kill(4)
		time.Sleep(time.Second)
		hears(0, "second", "", "", "away")
		r.lead(1)
		time.Sleep(time.Second)
		says(0, "second")
		hears(1, "first anew", "", "")
		if r.nodes[0].Followers() != nil {
			t.Error("a node that does not lead any more has followers")
		}
	})
}

func TestEverythingIsBounded_ANodeThatTellsTooMuchOfItselfIsNotHeard(t *testing.T) {
	text := bytes.Repeat([]byte("x"), AboutBytesMax+1)
	all := understand(stream.Identity{Node: journal.NodeID(2)}, []*wire.Message{{Body: &wire.Message_About{About: &wire.About{Text: text}}}}, 0)
	if len(all) != 1 || !errors.Is(all[0].err, stream.ErrFrame) || all[0].about != nil {
		t.Errorf("%d bytes were taken", len(text))
	}
}
