package ledger

import "fmt"

// batch is one group commit: what was decided together and becomes durable together.
type batch struct {
	frame    []byte
	records  []Record // of one OpOpen
	waiters  []Waiter
	outcomes []Outcome
}

// run is the ledger's goroutine. While the disk works on one batch, the next gathers in the queue: the slower the disk,
// the larger the batches, and no timer is needed.
func (l *Ledger) run() {
	defer close(l.done)
	var taken []queued
	b := &batch{frame: make([]byte, frameHeader, frameHeader+frameMax)}
	for range l.signal {
		for {
			l.queue.Lock()
			taken, l.waiting = l.waiting, taken[:0]
			closing := l.closing
			l.queue.Unlock()
			if len(taken) == 0 {
				if closing {
					return
				}
				break
			}
			err := l.commitAll(b, taken)
			clear(taken)
			if err != nil {
				l.fail(err)
				return
			}
		}
	}
}

// commitAll commits what was taken, in as many frames as it needs.
func (l *Ledger) commitAll(b *batch, taken []queued) error {
	for len(taken) > 0 {
		n, err := l.decide(b, taken)
		if err == nil {
			err = l.write(b)
		}
		for i, to := range b.waiters {
			if err != nil {
				to.Decided(Outcome{}, err)
			} else {
				to.Decided(b.outcomes[i], nil)
			}
		}
		clear(b.waiters)
		taken = taken[n:]
		if err != nil {
			for i := range taken {
				taken[i].to.Decided(Outcome{}, err)
			}
			return err
		}
	}
	return nil
}

// decide decides as many operations as fit into one frame, and says how many those are.
func (l *Ledger) decide(b *batch, taken []queued) (int, error) {
	b.frame, b.waiters, b.outcomes = b.frame[:frameHeader], b.waiters[:0], b.outcomes[:0]
	l.state.Lock()
	defer l.state.Unlock()
	first := l.book.records
	n := 0
	for ; n < len(taken); n++ {
		op := &taken[n].op
		if need := max(recordMax, openMax*len(op.Accounts)); n > 0 && len(b.frame)+need > frameHeader+frameMax {
			break
		}
		out, err := l.apply(b, op)
		if err != nil {
			b.waiters = append(b.waiters, taken[n].to)
			return n + 1, err
		}
		b.waiters = append(b.waiters, taken[n].to)
		b.outcomes = append(b.outcomes, out)
	}
	if len(b.frame) > frameHeader {
		sealFrame(b.frame, first)
	}
	return n, nil
}

func (l *Ledger) apply(b *batch, op *Op) (Outcome, error) {
	if op.Kind != OpOpen {
		out, record := l.book.Decide(op)
		if record.Kind == 0 {
			return out, nil
		}
		b.frame = appendRecord(b.frame, &record)
		return out, l.book.Apply(&record)
	}
	out := Outcome{Code: CodeApproved}
	if len(op.Accounts) > OpenBatchMax {
		out.Code, out.Refused = CodeDeclined, len(op.Accounts)
		return out, nil
	}
	for i := range op.Accounts {
		b.records = l.book.DecideOpen(op.Accounts[i], &out, b.records[:0])
		for k := range b.records {
			b.frame = appendRecord(b.frame, &b.records[k])
			if err := l.book.Apply(&b.records[k]); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// write makes the batch durable. A batch of questions alone needs no disk: all before it is durable already.
func (l *Ledger) write(b *batch) error {
	if len(b.frame) == frameHeader {
		return nil
	}
	if _, err := l.file.Write(b.frame); err != nil {
		return fmt.Errorf("ledger: writing %s: %w; free the disk and start again", FileName, err)
	}
	if l.opts.NoSync {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("ledger: syncing %s: %w; check the disk and start again", FileName, err)
	}
	return nil
}

// fail ends the ledger. After a failed write or sync nobody knows what the disk holds, and the Book is ahead of it: only
// a new start, with what can be read, brings back the truth.
func (l *Ledger) fail(err error) {
	l.queue.Lock()
	l.broken = err
	left := l.waiting
	l.waiting = nil
	l.queue.Unlock()
	l.opts.Logger.Error("ledger: broken", "err", err)
	for i := range left {
		left[i].to.Decided(Outcome{}, err)
	}
}
