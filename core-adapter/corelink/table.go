package corelink

import (
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

// key is what an answer is matched by: fields 7 and 11, and the type of the answer, because a reversal bears the same 7
// and 11 as its debit, and an inquiry's own may equal some debit's. Field 32 is the link's own for every message; an
// answer with another one is nobody's.
type key struct {
	answer       iso8583.MTI
	stan         uint32
	transmission uint64 // field 7 read as a number
}

// call is one exchange under way. Link.mu guards all of it but done and frame; once the call is out of the table and of
// its connection's queue, nobody but its caller refers to it.
type call struct {
	key     key
	op      Op
	debit   coreadapter.Debit // what the answer is held against; only what op sends is filled
	numeric int64             // field 49
	frame   []byte            // the message as it goes out; the writer copies it under Link.mu

	sendBefore time.Time
	conn       *conn     // where it is queued or was written
	claimed    bool      // the writer has taken it: bytes may be on the wire
	written    time.Time // just before the write; zero before
	ended      bool
	answer     coreadapter.Answer
	minor      int64 // the balance that the core told

	done chan struct{} // capacity 1; one send when it ends
}

// late is a debit that returned in doubt, and whose answer may still come.
type late struct {
	debit   coreadapter.Debit
	numeric int64
	written time.Time
	place   int // in lateBook.order
}

// lateBook remembers the newest debits that returned in doubt; an older one gives way.
type lateBook struct {
	byKey map[key]late
	order []key // a ring; a place may hold a key that is gone or stands elsewhere
	next  int
	max   int
}

func newLateBook(limit int) lateBook { return lateBook{byKey: make(map[key]late), max: limit} }

func (b *lateBook) remember(k key, l late) {
	l.place = b.next
	if b.next == len(b.order) {
		b.order = append(b.order, k)
	} else {
		oldest := b.order[b.next]
		if e, ok := b.byKey[oldest]; ok && e.place == b.next {
			delete(b.byKey, oldest)
		}
		b.order[b.next] = k
	}
	b.byKey[k] = l
	if b.next++; b.next == b.max {
		b.next = 0
	}
}

func (b *lateBook) forget(k key) { delete(b.byKey, k) }

// waiter is a call that found no connection with room.
type waiter struct {
	c     *call
	ready chan struct{} // capacity 1; sent to when c has been put in a connection's queue
}
