package gate

// Probes is how many calls may be sent into a core that has stopped answering, and be inside it.
const Probes = 4

// limit says how many seats there are. Today the number is configured; a limit that finds the core's knee by itself
// takes the place of this type, with the same two questions asked of it.
type limit struct {
	configured int
	ceiling    int // the operator's; nothing goes above it
}

// seats gives the number of seats while the core answers.
func (l limit) seats() int { return max(1, min(l.configured, l.ceiling)) }

// probing gives the number of calls that may be tried while the core is silent: enough to notice that it is back, too
// few to bury it when it comes. The limit itself is kept, and still holds: losing capacity does not move the knee.
func (l limit) probing() int { return min(Probes, l.seats()) }
