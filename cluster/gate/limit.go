package gate

// Probes is how many calls may be sent into a core that has stopped answering, and be inside it.
const Probes = 4

// limit says how many seats there are: a number that somebody has configured, or the one that seek has found.
type limit struct {
	wished  int
	ceiling int // the operator's; nothing goes above it
	allowed int // what follows from both, kept since every event asks for it
}

func (l *limit) wish(seats int) { *l = l.of(seats, l.ceiling) }

func (l *limit) cap(ceiling int) { *l = l.of(l.wished, ceiling) }

func (limit) of(wished, ceiling int) limit {
	return limit{wished: wished, ceiling: ceiling, allowed: max(1, min(wished, ceiling))}
}

// seats gives the number of seats while the core answers.
func (l *limit) seats() int { return l.allowed }

// probing gives the number of calls that may be tried while the core is silent: enough to notice that it is back, too
// few to bury it when it comes. The limit itself is kept, and still holds: losing capacity does not move the knee.
func (l *limit) probing() int { return min(Probes, l.allowed) }
