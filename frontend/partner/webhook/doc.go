// Package webhook tells partners what became of their payments, from the journal's outbox, in the form of Standard
// Webhooks (https://www.standardwebhooks.com) with Ed25519 signatures (v1a).
//
//	outbox ──> line of a partner ──> at most 8 deliveries at once ──> POST to the payment's notification address
//	  ▲           │  fresh: in order                                      2xx: done      410: nothing more, ever
//	  │           │  waiting: failed before, due later                    429, 503: as Retry-After says
//	  └── OutboxDone, many at a time                                      else: again, over three days
//
// It runs on the leader only, and holds no state that matters: a notice leaves the outbox when its delivery has been
// committed, so what is lost with a leader is sent again (ToldOnceCommitted: at least once, never before it is committed). The age of
// a notice alone says when it is tried next, so a new leader goes on where the old one was.
//
// A partner whose address fails three times in a row is held to be down: one delivery at a time probes it, and the rest
// stays in the outbox. No partner waits for another, and no customer for any of them.
package webhook
