// Package partner is the API through which payment platforms create payments and learn what became of them: JSON over
// HTTPS with mutual TLS, in the shapes of the Berlin Group's NextGenPSD2 payment initiation.
//
//	connection ──> client certificate ──> partner ──> quota ──> handler ──> Bank (the journal)
//	                 none: 401            unknown: 401  spent: 429
//
// Rules that it keeps:
//
//   - Every answer that is not a success is a problem document (RFC 9457), also when no handler was reached.
//   - A 429 or 503 is given only where it is certain that nothing was done for this call (RefusedMeansNotCharged).
//     Where that is not certain, a create answers 201 with PDNG, and goes on asking the journal with the same command.
//   - An idempotency key takes effect once. The journal decides, so it holds across nodes and restarts; within a node, calls with
//     one key are joined before they reach the journal.
//   - Nothing that a request holds goes into a header of the answer, but an X-Request-ID that is a UUID.
//   - Account numbers are not logged, and the customer's account is never shown to a partner.
//
// It does not speak to the core, and holds no session. What tells partners of changes by themselves is package webhook.
package partner
