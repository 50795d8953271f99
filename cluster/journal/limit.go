package journal

import (
	"encoding/binary"

	"netbank/cluster/journal/command"
)

// LimitMax is the highest limit that can be kept, in calls.
const LimitMax = 4096

// findLimit keeps the leader's limit. A deposed one's is not taken: the present leader knows better.
func (m *Machine) findLimit(termHolds bool, c *command.FindLimit, out *Result) {
	switch {
	case c.GetSeats() < 1 || c.GetSeats() > LimitMax:
		out.Verdict = BadCommand
	case !termHolds:
		out.Verdict = StaleTerm
	default:
		m.limit = c.GetSeats()
	}
}

// FoundLimit gives how many calls the core works best with, as a leader has found it lately. 0: none has.
func (m *Machine) FoundLimit() int { return int(m.limit) }

// writeLimit writes nothing where no limit was found.
func writeLimit(w *snapshotWriter, limit uint32) {
	if limit > 0 {
		w.record(kindFound, binary.AppendUvarint(nil, uint64(limit)))
	}
}

func (t *tables) readLimit(p *parser) bool {
	once := t.limit == 0
	t.limit = uint32(p.atMost(LimitMax))
	return once && t.limit > 0
}
