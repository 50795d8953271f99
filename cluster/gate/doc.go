// Package gate decides who may enter the core, in which order, and who is told at once that it is not worth waiting.
//
// It is a pure state machine: events with a time go in (an offer, an answer, a tick), decisions come out (start, or
// refuse with a reason). It holds no goroutine, clock, socket or lock; the leader of the cluster owns the one gate
// that counts and calls it from one goroutine.
//
//	offer ──> feasible? ──> queue by class, share, deadline ──> seat ──> core
//	             │ no              │ too late                     ▲        │
//	             ▼                 ▼                              └────────┘ answer, in time or late,
//	          refuse            refuse                                       or the core limit
package gate
