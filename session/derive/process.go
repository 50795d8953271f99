package derive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"time"
)

// Bounds of a Process.
const (
	// PendingMax is the number of requests that one hashing process has at once. All of them (at most 590 bytes each) fit into a
	// pipe's 64 KiB, so a process that has stopped reading does not hold up who writes.
	PendingMax = 100
	// answerTimeout ends a hashing process that has not answered a request for so long: it hangs. At the lowest priority, with every
	// processor busy, a hash of 20 ms takes about 1.5 s.
	answerTimeout = 10 * time.Second
	// restartAfter is the least time between two starts.
	restartAfter = time.Second
	// closeTimeout is how long Close lets the process end by itself.
	closeTimeout = 5 * time.Second
)

// ErrGone says that there is no hashing process that answers. Another is started with one of the next requests.
var ErrGone = errors.New("derive: the hashing process is gone; look for why in the bank's log, just above")

// Process is a hashing process, started again when it ends. It is safe for concurrent use.
type Process struct {
	command func() *exec.Cmd
	logger  *slog.Logger
	places  chan struct{}
	lives   sync.WaitGroup // those whose end has not been said yet

	mu      sync.Mutex
	life    *life     // the last one started; nil before
	started time.Time // when
	closed  bool
}

// New starts a hashing process. command makes the command that runs Serve on its standard input and output, each time anew. That it
// cannot be started is logged, and tried again when a key is asked for. Close it.
func New(command func() *exec.Cmd, logger *slog.Logger) *Process {
	p := &Process{command: command, logger: logger, places: make(chan struct{}, PendingMax)}
	_, _ = p.running()
	return p
}

// Key computes a key in the hashing process. It fails with ErrRequest, or with ErrGone if the process ends meanwhile, has just ended, or
// does not answer within 10 s. It waits while PendingMax requests are under way.
func (p *Process) Key(r *Request) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p.places <- struct{}{}
	defer func() { <-p.places }()
	l, err := p.running()
	if err != nil {
		return nil, err
	}
	key, err := l.ask(r)
	if err == nil && len(key) != int(r.KeySize) {
		return nil, fmt.Errorf("%w: it answered %d bytes for a key of %d", ErrGone, len(key), r.KeySize)
	}
	return key, err
}

// Close lets the process finish what it was asked for, and ends it. Later keys fail with ErrGone.
func (p *Process) Close() {
	p.mu.Lock()
	l := p.life
	p.closed = true
	p.mu.Unlock()
	if l == nil {
		return
	}
	l.in.Close()
	limit := time.AfterFunc(closeTimeout, l.kill)
	defer limit.Stop()
	p.lives.Wait()
}

// PID is the process's number, or 0 if there is none.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil || p.life.ended() {
		return 0
	}
	return p.life.cmd.Process.Pid
}

// running gives the process, and starts one if there is none.
func (p *Process) running() (*life, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil && !p.life.ended() {
		return p.life, nil
	}
	if p.closed || !p.started.IsZero() && time.Since(p.started) < restartAfter {
		return nil, ErrGone
	}
	p.started = time.Now()
	l, err := begin(p.command())
	if err != nil {
		p.logger.Error("derive: the hashing process cannot be started; passwords are hashed by the bank itself, and confirmations wait for them", "error", err)
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	p.life = l
	p.lives.Go(func() {
		err := l.listen()
		p.mu.Lock()
		closed := p.closed
		p.mu.Unlock()
		if !closed {
			p.logger.Error("derive: the hashing process has ended, and is started again", "error", err)
		}
	})
	return l, nil
}

// life is a hashing process from its start to its end.
type life struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.Reader
	gone chan struct{} // closed when it has ended

	mu      sync.Mutex
	last    uint32                 // number of the last request
	waiting map[uint32]chan []byte // at most PendingMax
}

func begin(cmd *exec.Cmd) (*life, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &life{cmd: cmd, in: in, out: out, gone: make(chan struct{}), waiting: make(map[uint32]chan []byte)}, nil
}

// listen hands answers to who waits for them until the process ends, and says how it did.
func (l *life) listen() error {
	from := bufio.NewReader(l.out)
	for {
		number, key, err := readAnswer(from)
		if err != nil {
			break
		}
		l.mu.Lock()
		waiter := l.waiting[number]
		delete(l.waiting, number)
		l.mu.Unlock()
		if waiter != nil {
			waiter <- key
		}
	}
	// Its output has ended, or makes no sense: nothing more can come of it.
	l.in.Close()
	limit := time.AfterFunc(closeTimeout, l.kill)
	defer limit.Stop()
	err := l.cmd.Wait()
	close(l.gone)
	return err
}

func (l *life) ask(r *Request) ([]byte, error) {
	// The limit stands before the request is written, since that may wait as well.
	limit := time.AfterFunc(answerTimeout, l.kill)
	defer limit.Stop()
	waiter := make(chan []byte, 1)
	l.mu.Lock()
	l.last++
	number := l.last
	l.waiting[number] = waiter
	// A failure shows below: who does not read any more ends.
	_, _ = l.in.Write(appendRequest(nil, number, r))
	l.mu.Unlock()
	select {
	case key := <-waiter:
		return key, nil
	case <-l.gone:
		return nil, ErrGone
	}
}

func (l *life) ended() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

func (l *life) kill() { _ = l.cmd.Process.Kill() }
