package ops

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Check is one line of /readyz. Ask gives nil, a *Fault, or an error that says what is wrong and what to do. An Ask that does not return
// within GlanceTimeout counts as failed.
type Check struct {
	Name string
	Ask  func() error
}

// Fault is what a check has found.
type Fault struct {
	What   string // what is wrong
	Remedy string // what the operator can do
}

func (f *Fault) Error() string { return f.What + "; " + f.Remedy }

// Checked is the answer of one check.
type Checked struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	What   string `json:"what,omitempty"`   // what is wrong
	Remedy string `json:"remedy,omitempty"` // what to do; empty when What says it
}

// Readiness is the answer of /readyz as JSON.
type Readiness struct {
	Ready  bool      `json:"ready"`
	Checks []Checked `json:"checks"`
}

// Problem gives what is wrong and what to do in one line; empty: nothing.
func (c Checked) Problem() string {
	switch {
	case c.OK:
		return ""
	case c.Remedy == "":
		return c.What
	}
	return c.What + "; " + c.Remedy
}

// checker asks one check, which may hang.
type checker struct {
	Check
	glance glance[error]
}

func (c *checker) look() Checked {
	err, since, ok := c.glance.ask(c.Ask)
	var fault *Fault
	switch {
	case !ok:
		return Checked{
			Name: c.Name, What: fmt.Sprintf("the node has not been able to say so since %s", since.UTC().Format(time.RFC3339)),
			Remedy: "look at its disk and at its log; a node whose disk hangs ends by itself within 15 s",
		}
	case err == nil:
		return Checked{Name: c.Name, OK: true}
	case errors.As(err, &fault):
		return Checked{Name: c.Name, What: fault.What, Remedy: fault.Remedy}
	}
	return Checked{Name: c.Name, What: err.Error()}
}

// readiness asks every check at the same time.
func (p *port) readiness() Readiness {
	out := Readiness{Ready: true, Checks: make([]Checked, len(p.checkers))}
	done := make(chan struct{}, len(p.checkers))
	for i, c := range p.checkers {
		go func() {
			out.Checks[i] = c.look()
			done <- struct{}{}
		}()
	}
	for range p.checkers {
		<-done
	}
	for _, c := range out.Checks {
		out.Ready = out.Ready && c.OK
	}
	return out
}

// live says that the process turns its wheels. It looks at nothing that can block.
func live(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// ready says whether customers should be sent here; with ?verbose, or when they should not, check by check. The lines are those of
// Kubernetes' health endpoints, with the reason.
func (p *port) ready(w http.ResponseWriter, r *http.Request) { tellReady(w, r, p.readiness()) }

func tellReady(w http.ResponseWriter, r *http.Request, now Readiness) {
	status := http.StatusOK
	if !now.Ready {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") || r.URL.Query().Get("format") == "json" {
		answer(w, status, now)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if now.Ready && !r.URL.Query().Has("verbose") {
		fmt.Fprintln(w, "ok")
		return
	}
	verdict := "passed"
	for _, c := range now.Checks {
		if c.OK {
			fmt.Fprintf(w, "[+]%s ok\n", c.Name)
			continue
		}
		verdict = "failed"
		fmt.Fprintf(w, "[-]%s failed: %s\n", c.Name, c.Problem())
	}
	fmt.Fprintln(w, "readyz check", verdict)
}

// Starting is the port before the bank is open: alive, and not ready.
func Starting() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", live)
	starting := Fault{"the node is reading its journal", "wait; customers should not be sent here yet"}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		tellReady(w, r, Readiness{Checks: []Checked{{Name: "started", What: starting.What, Remedy: starting.Remedy}}})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		fail(w, problem{Status: http.StatusServiceUnavailable, Code: "starting", Detail: starting.What, Remedy: starting.Remedy})
	})
	return harden(mux)
}
