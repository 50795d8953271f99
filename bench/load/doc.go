// Package load makes requests as many customers do: without waiting for each other.
//
// Two ways of loading a server answer two questions, and mixing them up has hidden many a stall.
//
//   - Closed asks how much a server can do: every connection sends its next request when the last is answered. A server
//     that stalls is then simply asked less, so the latencies of a closed run say little about customers. Busy asks the same
//     with whole flows.
//
//   - Open asks what customers meet at a given rate: requests come by a Schedule that was drawn beforehand from a seed, and
//     do not care how the server is doing. Latency counts from the moment at which a request was meant to start (Gil Tene,
//     "How NOT to Measure Latency"; wrk2), so those that had to wait behind a stall tell of it. Crowd asks the same with
//     flows: customers who make several requests and think between them.
//
// An open run of requests:
//
//	schedule ──> pacer ──> backlog ──> connections ──> server
//	(seed)        │          │             │
//	             lag      dropped       latency, from the intended start
//
// And of flows, each in a goroutine of its own, which takes a line to the server only while it makes a request:
//
//	schedule ──> pacer ──> flow: step, think, step, think, step ──> verdict
//	(seed)        │         │     │ ↑    │                             │
//	             lag     dropped  ↓ │   lag                         latency of the flow
//	                              lines ──> server
//	                              latency of the step, from the end of the thinking
//
// The generator reports on itself: how late its pacer and its timers were (Result.Lag) and how many requests or flows it had no
// room for (Result.Dropped). A run with more than DroppedMax of them is void: Result.Void. Ceiling says how much it can do at most.
//
// Several processes are one generator: each draws the same Schedule and takes its Share of it, and their Results are sent as JSON
// and merged. What they offer together is what one would have offered, to the request; Bursts are drawn beforehand too, as part of
// the Curve.
//
// Requests go over kept-alive connections, one at a time on each, by a client of its own that knows as much of HTTP/1.1 as the
// servers measured here speak, so that thousands of connections cost little: in Lines under 2 KiB each while idle and under 6
// with a request waiting on it, or 8 and 13 with TLS. It is strict: an answer that it does not understand is a failure, never a guess.
//
// What the package never does: draw anything from a clock or from an unseeded source. The same seed and curve give the
// same requests at the same offsets, to the request, and the same draws to each visit.
package load
