// Package sim plays the gate in virtual time: the very code of cluster/gate, or another limiter in its place, before a model of a
// core, with customers who think, lose patience and try again. An hour of a bank's day takes seconds, and the same seed brings
// the same run to the last event.
//
//	customers ──> node ──delay──> Admission ──delay──> node ──> core (congestion.Station)
//	   ▲  think, try again            ▲                           │
//	   └──────────────────────────────┴─────────── answer ────────┘
//
// It holds no goroutine and looks at no clock.
//
// # Who comes
//
// Three kinds of customer. A flow signs in, sees its payment (view), thinks for 11 s in the mean, and nine of ten confirm. An
// express debit and an inquiry are one call each. Every call asks the core for a lognormal amount of work (mean in
// Operations), whoever admits it: arrivals, thoughts and demands are drawn from the seed and the customer's number, so that all
// policies meet the same customers.
//
// A customer gives up when no answer has come for as long as his patience lasts; what he asked for goes on in the core. After
// a refusal he tries again as his habits say. A further try of a confirmation or an express debit joins the first while that is under way, or finds its answer,
// as at a bank's node; what only reads is asked anew. Each offered customer ends in one Outcome.
//
// # What it is worth
//
// A sign-in in time is worth 2, a confirmation 10, an express debit 8, an inquiry 1; a view, and whatever comes late, nothing.
// In time means within 3, 2, 5 and 1 seconds of the start of the try that was answered (and a view within 2). A sign-in's
// time begins when the line has released it; without one that is when he comes.
//
// A policy with a line has the real room before its gate. Orders live longer than runs, so nobody loses patience in the line, and the clairvoyant may
// have a flow wait there for as long as he likes.
//
// The sum over the whole run, its first seconds included, is set against what a clairvoyant could have had at most: see Clairvoyant.
//
// # Seeds
//
// TuningSeeds are for finding constants. JudgingSeeds are for the tables that go into documents, and nobody tunes on them.
package sim
