package benchmark

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows people how a run goes on: a bar where there is a terminal, and the lines of scenario.Progress in any case.
type progress struct {
	w    io.Writer
	bar  *progressbar.ProgressBar // nil: no terminal, or no plan yet
	tty  bool
	lock sync.Mutex
	from time.Time
	plan time.Duration
	what string
	stop chan struct{}
	done sync.WaitGroup
}

// newProgress begins to show progress on w.
func newProgress(w io.Writer, tty bool) *progress {
	p := &progress{w: w, tty: tty, stop: make(chan struct{})}
	if tty {
		p.done.Go(p.run)
	}
	return p
}

// progressEvery is how often the bar moves.
const progressEvery = 200 * time.Millisecond

func (p *progress) run() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.lock.Lock()
		if p.bar != nil {
			// A plan is a guess: the bar does not end before the run does.
			_ = p.bar.Set64(min(time.Since(p.from).Milliseconds(), p.plan.Milliseconds()*99/100))
		}
		p.lock.Unlock()
	}
}

// Plan says how long the run will take from now on.
func (p *progress) Plan(d time.Duration) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.from, p.plan = time.Now(), d
	if !p.tty {
		fmt.Fprintf(p.w, "about %v\n", d.Round(time.Second))
		return
	}
	p.bar = progressbar.NewOptions64(max(1, d.Milliseconds()), progressbar.OptionSetWriter(p.w), progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionSetTheme(progressbar.ThemeASCII))
}

// Do says what is being done.
func (p *progress) Do(what string) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if what == p.what {
		return
	}
	p.what = what
	if p.bar == nil {
		fmt.Fprintln(p.w, what)
		return
	}
	p.bar.Describe(fmt.Sprintf("%-48.48s", what))
}

// Say gives a line that stays.
func (p *progress) Say(format string, args ...any) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.w, format+"\n", args...)
	if p.bar != nil {
		_ = p.bar.RenderBlank()
	}
}

// end takes the bar away.
func (p *progress) end() {
	close(p.stop)
	p.done.Wait()
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
