package expansion

import (
	"fmt"
	"time"

	"netbank/cluster/journal"
)

func clock(at journal.Millis) string {
	return time.UnixMilli(int64(at)).UTC().Format("2006-01-02 15:04:05 UTC")
}

// text is what limits, in a few words.
func (e *Expansion) text(s *Sample, f *Finding) string {
	switch f.Limit {
	case LimitUnknown:
		return "not known yet: no node that answers customers has told how busy it is"
	case LimitCore:
		return e.ofCore(s)
	case LimitNone:
		return fmt.Sprintf("nothing: sign-in pools are %d %% busy, processors %d %%, places for connections %d %%", f.Busy[SignIn], f.Busy[Processor], f.Busy[Connections])
	}
	if s.Line == LineForSignIns && f.Limit == LimitSignIn {
		return fmt.Sprintf("sign-in pools: %d %% busy on %d nodes, and customers wait in the line for them", f.Busy[SignIn], f.Nodes)
	}
	return e.ofPart(s, f, Part(f.Limit-LimitSignIn))
}

func (e *Expansion) ofCore(s *Sample) string {
	switch {
	case s.Core == CoreStalled:
		return "the core, which has stopped answering"
	case s.Core == CoreUnreachable:
		return "the core, which no node can reach"
	case s.Line == LineForCore:
		return "the core: customers wait in the line for it"
	}
	return "the core: calls wait for a seat at the gate, or are refused one"
}

// ofPart says how short a part is, and on how many of the nodes.
func (e *Expansion) ofPart(s *Sample, f *Finding, part Part) string {
	short, wait := 0, 0
	for _, n := range inUse(s.Nodes) {
		if n.Of(part) >= e.c.Out {
			short++
		}
		wait = max(wait, n.WaitMillis)
	}
	name := [Parts]string{"sign-in pool", "processors", "places for connections"}[part]
	verb := "busy"
	if part == Connections {
		verb = "taken"
	}
	text := fmt.Sprintf("%s: %d %% %s on %d of %d nodes", name, f.Busy[part], verb, short, f.Nodes)
	if part == SignIn && wait >= 100 {
		text += fmt.Sprintf(", up to %.1f s to wait", float64(wait)/1000)
	}
	return text
}

// lasting adds to a text for how long that has been so. It is a reason as the journal takes it: the longest text has some 130 characters, of 200.
func lasting(text string, long time.Duration) string {
	if long < 2*time.Minute {
		return fmt.Sprintf("%s, for %.0f s", text, long.Seconds())
	}
	return fmt.Sprintf("%s, for %.0f min", text, long.Minutes())
}
