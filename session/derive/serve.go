package derive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Serve is the hashing process: it lowers its own priority, then answers what comes from in to out, until in ends. It ignores the
// signals by which a terminal or a supervisor ends a whole group of processes: the bank still has customers to answer, and ends
// it by closing in.
func Serve(in io.Reader, out io.Writer) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	if err := lowerPriority(); err != nil {
		// Confirmations may be slower while many sign in, and that is all: go on.
		fmt.Fprintf(os.Stderr, "derive: the hashing process keeps an ordinary priority: %v\n", err)
	}
	return answer(in, out)
}

// answer works on at most PendingMax requests at once; a further one waits unread.
func answer(in io.Reader, out io.Writer) error {
	var (
		all    sync.WaitGroup
		mu     sync.Mutex // holds out and failed
		failed error
	)
	from := bufio.NewReader(in)
	places := make(chan struct{}, PendingMax)
	for {
		places <- struct{}{}
		number, r, err := readRequest(from)
		if err != nil {
			all.Wait()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, failed)
		}
		all.Go(func() {
			key := r.Key()
			clear(r.Password)
			mu.Lock()
			if failed == nil {
				_, failed = out.Write(appendAnswer(nil, number, key))
			}
			mu.Unlock()
			<-places
		})
	}
}
