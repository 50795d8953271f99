// Package cluster is the engine that carries a confirmed payment to the core banking system once, and never more often.
//
// Before a payment may touch the core it needs two things: a durable record that it is about to, or a crash could
// debit it twice; and a free seat in the core, or the core collapses under everybody's payments at once. Here the two
// are one act: the journal is the gate. The leader's gate grants a seat by putting the payment's Authorise into the
// journal, and the journal frees it again with the outcome.
//
//	Confirm ──> inbox ──> leader: gate ──> entry ──> commit ──> "go, send by t" ──> executor ──> Core.Debit
//	   ▲                    ▲   ▲  seat, or refusal                                    │
//	   │                    │   └───────────── the core's answer frees the seat ───────┤
//	   │                    └── Settle ──> entry ──> commit                            │
//	   │                                                │                              │
//	   └────────────── outcome, told by the commit ─────┘             NotSent, Settle ─┘
//
// From that follow the promises that the pages make:
//
//   - The number of payments inside the core is exact, and a new leader knows it: every authorised payment without an
//     outcome, until its core limit has passed.
//   - A refusal is certain. What was never granted was never sent, so "not charged" is a fact and no guess.
//   - A doubt is shown as a doubt. What the core has not answered is resolved by inquiry, and by a reversal that is
//     decided in the journal before it is sent; until then nobody is told that a payment has failed.
//   - What was answered is committed, and what is committed survives.
//
// Where another node leads, the same calls travel to it over a stream, and the "go" comes back over it: the executor is always the
// process that was asked. A node without a journal, a worker, looks things up at one that has it, over a second stream. DESIGN.md has a table of
// what may break, and what happens then.
//
// # Who does what
//
// One goroutine, the leader, owns the gate and packs entries: whatever waits goes into the next entry of at most 64 KiB,
// with two entries in flight and no timer. So a quiet bank commits each command at once, and a busy one commits
// hundreds together, without a setting. A second goroutine waits for Raft and hands the results out. Each granted payment
// has an executor, a goroutine that calls the core once. The resolver looks into the journal for payments that nobody
// answers for. Everybody else only asks and waits.
//
// # What it never does
//
// It never sends a payment whose grant is not committed, is of an older term, or is older than its send-by time. It never
// lets a second process send. It never ends a payment because the core does not know it. It never tells an outcome
// before its commit. It holds no queue without a limit; the limits are the constants in config.go.
//
// DESIGN.md beside this file says why it is built this way, and what was left out on purpose.
package cluster
