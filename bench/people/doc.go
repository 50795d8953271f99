// Package people is who makes requests of a bank: customers with browsers, the shops and platforms that send them, those who only ask
// how a payment stands, and those who only sign in.
//
//	Job ──> Prepare ──> Prepared.Run ──> Outcome ──> audit
//	(JSON)  payments    load.Crowd:      load.Result, and what
//	        created,    one goroutine    everyone was told
//	        sessions    a visit
//	        opened
//
// A Job says who comes, when, how often and with what Habits; a process that is given one with a Share makes its part of the requests, and
// all parts together are the same requests, byte for byte, as one process would make: who comes, with which payment, under which key and
// after how much thought follows from the job's seed and the visit's number. Only what depends on the bank differs: its tokens,
// and the one-time codes of the hour.
//
// A customer does what a browser without scripts can do: he asks for no address that no page and no answer has named, sends forms with
// the fields that they have, keeps cookies, and follows redirects and the pages that reload themselves. When no answer comes within
// his patience he closes the connection and sends the same again, while the bank goes on with the first: that is what a retry storm is made of. What
// he knows at last is kept for the audit, which holds the bank to it: charged, not charged, or not known.
//
// The parts can be used alone: a Maker writes requests, a Browser makes a customer's way through the pages over one connection, and a
// Checkout is how far he got.
//
// The package knows a bank by its doors only, and imports nothing of it.
package people
