// Package expansion decides when a bank gets more workers by itself, and when it gives them back.
//
// It is for pressure of the front end: passwords that wait to be checked, processors, connections. It is never for a slow core. A core that is
// slow makes everything wait at the gate, and more workers would only bring it more who wait. So the core is looked at first: while it is
// what limits, nothing is expanded however busy the nodes are, and operators read that more workers would not help.
//
//	nodes ── Reading ──> Meter ── Pressure, smoothed, a few bytes ──┐
//	gate ── Core ───────────────────────────────────────────────────┼──> Expansion.Look ──> Finding: what limits, and perhaps a Move
//	journal ── the wish in force; provider ── what runs ────────────┘                                  │
//	                                                        committed as a wish, with its reason <─────┘
//
// # Rules
//
//   - Out when the mean of the nodes has been above Out for OutAfter; in when every part has been below In for InAfter. In is at most half of Out, so
//     that taking one of two away does not bring it straight back.
//   - After any change of the lever, whoever made it, nothing moves for OutPause or InPause. A new leader begins with that pause: it knows
//     nothing of what its predecessor saw.
//   - At most Step more at a time, one fewer at a time, and not before what was asked for last serves.
//   - Between Min and Max, and never below what operators have wished for without an end.
//   - An operator's wish that has an end stands until then: nothing moves. So does one that waits for a second operator.
//   - Only its own wishes are taken back. They end by themselves after Lease, and are renewed as long as they are needed: turned off, or gone
//     wrong, it leaves nothing behind for ever.
//   - Where wishes need a second operator, its wish for more is a proposal to which one operator agrees (docs/decisions/0012-automatic-expansion.md).
//
// Nothing here has a goroutine, a clock or a file: Expansion is a state machine over samples, and testdata/*.txt teach it.
package expansion
