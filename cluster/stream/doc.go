// Package stream is what two nodes say to each other about calls: messages in frames over one long-lived connection.
//
//	node                                            leader
//	  Hello(version, cluster, node, life, term) ──────>
//	  <──────────── Welcome(term, levels), or Elsewhere
//	  Call, Call, … (what has no answer yet) ─────────>
//	  Open(seats inside the core) ────────────────────>
//	  Call, Withdraw, Answered ───────────────────────>
//	  <───────────────────────── Go, Result, Levels
//	  <───────────────── Heartbeat, both ways ────────>
//
// A frame is four bytes of length and a sequence of messages. Whoever sends a message appends it to a buffer; one
// goroutine writes the buffer out, and whatever has come meanwhile makes up the next frame. Before it writes it lets
// others run once: who is about to add something does, and a frame carries many messages where it carried one.
//
// # What it never does
//
// It does not know what a message means: package cluster does, and nobody else. It never holds more than
// OutgoingBytesMax for a peer that does not read: it closes the connection, because a call that is repeated over the next
// one costs less than memory without end. It reads no clock that another machine has set: times travel as durations.
package stream
