package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

var (
	// ErrBusy says that QueueMax operations are waiting; the operation was not done.
	ErrBusy = errors.New("ledger: the queue of operations is full; nothing was done, send less at once")
	// ErrClosed says that the ledger is closed, or broke down. What became of the operation is known after a restart.
	ErrClosed = errors.New("ledger: closed")
)

// Waiter is told what its operation came to, once its record is durable. It is called from the ledger's one goroutine and
// must not block. With an error nothing is known of the operation until the ledger has been opened again.
type Waiter interface {
	Decided(Outcome, error)
}

// Options are the settings of a Ledger.
type Options struct {
	Dir    string
	NoSync bool         // answer before the disk has it: a crash of the machine (not of the process) loses acknowledged debits. Disclose it with every figure.
	Logger *slog.Logger // nil: none
}

// Ledger is a durable Book. It is safe for concurrent use.
type Ledger struct {
	opts Options
	lock *os.File
	file logFile

	state sync.Mutex // guards book; held while operations are decided, never while the disk works
	book  *Book

	queue   sync.Mutex // guards the four below
	waiting []queued
	broken  error // why the ledger takes no more operations
	closing bool
	signal  chan struct{} // holds one token when waiting or closing has changed

	done chan struct{} // closed when the goroutine has ended
}

// logFile is what the ledger needs of its file; a test puts its own in.
type logFile interface {
	Write([]byte) (int, error)
	Sync() error
	Close() error
}

type queued struct {
	op Op
	to Waiter
}

// Open opens the ledger in opts.Dir, which it makes if need be, and replays its file. ErrInUse, ErrDamaged, ErrNotALedger
// and ErrRecord say what is wrong with the directory.
func Open(opts Options) (*Ledger, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	lock, err := lockDirectory(opts.Dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{opts: opts, lock: lock, book: NewBook(), signal: make(chan struct{}, 1), done: make(chan struct{})}
	file, read, err := openLog(opts.Dir, l.book.Apply)
	if err != nil {
		lock.Close()
		return nil, err
	}
	l.file = file
	if read.torn > 0 {
		opts.Logger.Warn("ledger: cut off a torn tail that no answer had been given for", "bytes", read.torn)
	}
	opts.Logger.Info("ledger: open", "records", read.records, "bytes", read.good, "sync", !opts.NoSync)
	go l.run()
	return l, nil
}

// Submit queues an operation. It fails with ErrBusy or ErrClosed, and then to is not called.
func (l *Ledger) Submit(op Op, to Waiter) error {
	l.queue.Lock()
	if l.broken != nil || l.closing {
		err := l.broken
		l.queue.Unlock()
		if err == nil {
			err = ErrClosed
		}
		return err
	}
	if len(l.waiting) >= QueueMax {
		l.queue.Unlock()
		return ErrBusy
	}
	l.waiting = append(l.waiting, queued{op: op, to: to})
	l.queue.Unlock()
	l.wake()
	return nil
}

func (l *Ledger) wake() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

type waiterChan chan reply

type reply struct {
	outcome Outcome
	err     error
}

func (c waiterChan) Decided(o Outcome, err error) { c <- reply{o, err} }

// Do submits an operation and waits for its outcome.
func (l *Ledger) Do(op Op) (Outcome, error) {
	c := make(waiterChan, 1)
	if err := l.Submit(op, c); err != nil {
		return Outcome{}, err
	}
	r := <-c
	return r.outcome, r.err
}

// Debit moves minor units from the account to the clearing account of its currency, once per reference.
func (l *Ledger) Debit(ref Reference, from Number, minor int64, currency Currency) (Outcome, error) {
	return l.Do(Op{Kind: OpDebit, Reference: ref, Number: from, Minor: minor, Currency: currency})
}

// Reverse undoes the debit of a reference, or sees to it that none can come.
func (l *Ledger) Reverse(ref Reference, from Number, minor int64, currency Currency) (Outcome, error) {
	return l.Do(Op{Kind: OpReverse, Reference: ref, Number: from, Minor: minor, Currency: currency})
}

// Inquire says what became of a reference: 00 debited, 05 declined, 21 reversed, 25 unknown.
func (l *Ledger) Inquire(ref Reference) (Outcome, error) {
	return l.Do(Op{Kind: OpInquire, Reference: ref})
}

// Balance gives an account's balance in minor units.
func (l *Ledger) Balance(of Number, currency Currency) (Outcome, error) {
	return l.Do(Op{Kind: OpBalance, Number: of, Currency: currency})
}

// OpenAccounts opens accounts, OpenBatchMax to a group commit. One that is there already is left as it is.
func (l *Ledger) OpenAccounts(accounts []Account) (Outcome, error) {
	var sum Outcome
	for len(accounts) > 0 {
		n := min(len(accounts), OpenBatchMax)
		out, err := l.Do(Op{Kind: OpOpen, Accounts: accounts[:n]})
		if err != nil {
			return sum, err
		}
		sum.Opened += out.Opened
		sum.Existing += out.Existing
		sum.Refused += out.Refused
		accounts = accounts[n:]
	}
	sum.Code = CodeApproved
	return sum, nil
}

// Sums gives the counters, and the balances by currency.
func (l *Ledger) Sums() (Sums, map[Currency]CurrencySum) {
	l.state.Lock()
	defer l.state.Unlock()
	return l.book.Sums(), l.book.Balances()
}

// References hands over every reference in the order of arrival, in portions that it must not keep. What it tells is
// durable. It ends early with the error of each.
func (l *Ledger) References(each func([]Entry) error) error {
	l.state.Lock()
	end := l.book.Sums().References
	l.state.Unlock()
	if _, err := l.Do(Op{Kind: OpBarrier}); err != nil {
		return err
	}
	portion := make([]Entry, 1024)
	for from := 0; from < end; {
		l.state.Lock()
		n := l.book.Entries(from, portion[:min(len(portion), end-from)])
		l.state.Unlock()
		if err := each(portion[:n]); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// Broken is closed when the ledger has ended: by Close, or because its disk failed.
func (l *Ledger) Broken() <-chan struct{} { return l.done }

// Err says why the ledger ended; nil while it runs and after Close.
func (l *Ledger) Err() error {
	l.queue.Lock()
	defer l.queue.Unlock()
	return l.broken
}

// Close answers what is queued, and lets go of the directory.
func (l *Ledger) Close() error {
	l.queue.Lock()
	l.closing = true
	l.queue.Unlock()
	l.wake()
	<-l.done
	return errors.Join(l.Err(), l.file.Close(), l.lock.Close())
}
