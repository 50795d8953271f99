// Package journal is the replicated state machine: which payments exist, which may be inside the core, what the core
// said, which sessions are in force, and what partners have yet to be told.
//
// It is pure. Time, terms and commands come in as arguments of Apply; results go out as values; what is finished is
// kept behind the narrow interface Store. There is no goroutine, clock, socket, file or random number in here, so
// that the same log gives the same state on every node, for ever, and every rule can be tested by a scenario file.
//
//	Batch (one Raft entry) ──> Apply ──> []Result, []Change
//	                             │
//	      open payments, access, partners, keys: pointer-free tables in memory
//	      finished payments, customers, idempotency keys, outbox: Store
//
// A payment's life:
//
//	         cancel ┌──> cancelled          not sent ┌──> rejected
//	                │                                │        ▲
//	create ──> received ──> authorised ──────────────┴────────┤ declined
//	                │            │  └── approved ──> settled  │
//	        expire  └──> expired │                      ▲     │
//	                             └──> in doubt ─────────┴─────┤
//	                                     └──> reversing ──────┘
package journal
