// Package audit compares three accounts of the same payments: what the journal holds, what the core's ledger moved, and what
// clients were told. A run whose audit finds anything has failed, whatever its speed.
//
//	journal (operator port) ─┐
//	ledger  (core's admin)  ─┼──> Check ──> Report: what disagrees, payment by payment
//	told    (clients)       ─┘
//
// What it holds, by the invariants' names:
//
//   - AtMostOneDebit: a payment is debited under one reference, once, with its own amount.
//   - NothingAcknowledgedIsLost: what a client was told of is in the journal, settled payments are debited, and nothing
//     is left in doubt.
//   - RefusedMeansNotCharged: what was rejected, expired, cancelled, refused or never confirmed is not debited, and the core debited
//     nobody that the journal does not know.
//   - StatusNeverGoesBack: a version means one status, a final status stays, and the journal ends where clients were told.
//   - ToldOnceCommitted: where webhooks are expected, each payment's last state was told by one.
//   - Postings sum to zero, and the clearing account holds the sum of what was settled.
//
// Check is a pure function over readers. Collect feeds it from a running bank over HTTP.
package audit
