// Package corelink is the connector to a core that speaks ISO 8583: it implements coreadapter.Core over a few
// connections with many messages in flight on each.
//
//	Debit ──> table ──> queue of one connection ──> writer ──────────> core
//	  ^         │ ^                                 (one write          │
//	  │         │ └──────────── matched by type, 7, 11 <── reader <─────┘
//	  └─ answer ┘
//	            │ deadline passed, or the connection was lost
//	            └──> remembered references ── an answer after all ──> OnLate
//
// What a caller may rely on:
//
//   - NotSent is said only when not one byte of the message has been given to the socket. From the moment the writer
//     has claimed a message, whatever goes wrong is InDoubt.
//   - A call returns by its deadline. What the core has begun goes on; its late answer is reported through OnLate while
//     the reference is remembered (the newest Config.LateMax of them).
//   - An answer that contradicts its request, or bytes that are not a message, close the connection: nothing that comes
//     after them on it can be believed. The calls in flight there are in doubt, and the connection is made anew.
//   - No log line, error or counter holds an account number, a name or an amount.
//
// It never repeats a message by itself: whether to ask, to reverse or to wait is the resolver's decision.
package corelink
