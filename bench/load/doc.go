// Package load makes requests as many customers do: without waiting for each other.
//
// Two ways of loading a server answer two questions, and mixing them up has hidden many a stall.
//
//   - Closed asks how much a server can do: every connection sends its next request when the last is answered. A server
//     that stalls is then simply asked less, so the latencies of a closed run say little about customers.
//
//   - Open asks what customers meet at a given rate: requests come by a Schedule that was drawn beforehand from a seed, and
//     do not care how the server is doing. Latency counts from the moment at which a request was meant to start (Gil Tene,
//     "How NOT to Measure Latency"; wrk2), so those that had to wait behind a stall tell of it.
//
//     schedule ──> pacer ──> backlog ──> connections ──> server
//     (seed)        │          │             │
//     lag      dropped       latency, from the intended start
//
// The generator reports on itself: how late its pacer was (Result.Lag) and how many requests it had no room for
// (Result.Dropped). A run with more than DroppedMax of them is void: Result.Void.
//
// Requests go over kept-alive connections, one at a time on each, by a client of its own that knows as much of HTTP/1.1 as the
// servers measured here speak, so that thousands of connections cost little. It is strict: an answer that it does not
// understand is a failure, never a guess.
//
// What the package never does: draw anything from a clock or from an unseeded source. The same seed and curve give the
// same requests at the same offsets, to the request.
package load
