package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// far is a gateway that answers as a test says.
type far struct {
	mu     sync.Mutex
	bodies []string
	seen   []*http.Request
	answer func(n int) (*http.Response, error) // n from 1
}

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.bodies = append(f.bodies, string(body))
	f.seen = append(f.seen, r)
	n := len(f.seen)
	f.mu.Unlock()
	return f.answer(n)
}

func (f *far) tries() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

func says(status int, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("some words"))}, nil
}

var message = Message{ID: "a1", To: "+8613800001234", Text: "482913 is your code"}

// open starts a gateway over a far one, in a bubble of synthetic time.
func open(t *testing.T, f *far) (*Gateway, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	g, err := New(Config{
		URL: "https://gateway.example/messages", Token: "a-secret-token", Transport: f, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, log
}

func TestMessage_IsPostedOnceWithItsIDAndTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answer: func(int) (*http.Response, error) { return says(202) }}
		g, _ := open(t, f)
		if err := g.Send(message); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var got Message
		if f.tries() != 1 || json.Unmarshal([]byte(f.bodies[0]), &got) != nil || got != message {
			t.Fatalf("%d tries: %v", f.tries(), f.bodies)
		}
		r := f.seen[0]
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer a-secret-token" || r.Header.Get("Idempotency-Key") != "a1" || r.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s with %v", r.Method, r.Header)
		}
		if n := testutil.ToFloat64(g.metrics.results.WithLabelValues("taken")); n != 1 {
			t.Fatalf("%v were taken", n)
		}
	})
}

func TestMessage_IsTriedAgainWithTheSameIDUntilItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answer: func(n int) (*http.Response, error) {
			switch n {
			case 1:
				return nil, errors.New("connection refused")
			case 2:
				return says(503, "Retry-After", "3")
			}
			return says(409) // it had the first one
		}}
		g, _ := open(t, f)
		began := time.Now()
		if err := g.Send(message); err != nil {
			t.Fatal(err)
		}
		time.Sleep(TryFor)
		if f.tries() != 3 || f.bodies[0] != f.bodies[2] || f.seen[0].Header.Get("Idempotency-Key") != f.seen[2].Header.Get("Idempotency-Key") {
			t.Fatalf("%d tries in %v: %v", f.tries(), time.Since(began), f.bodies)
		}
	})
}

func TestMessage_RefusedForGoodIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answer: func(int) (*http.Response, error) { return says(422) }}
		g, _ := open(t, f)
		for range 2 * FailuresMax {
			if err := g.Send(message); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(TryFor)
		if f.tries() != 2*FailuresMax {
			t.Fatalf("%d tries", f.tries())
		}
		if err := g.Ready(); err != nil { // it is the messages' fault, not the gateway's
			t.Fatal(err)
		}
	})
}

func TestGatewayThatIsDown_IsSaidToBeAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		f := &far{answer: func(int) (*http.Response, error) {
			if up.Load() {
				return says(200)
			}
			return says(500)
		}}
		g, _ := open(t, f)
		if err := g.Send(message); err != nil {
			t.Fatal(err)
		}
		time.Sleep(TryFor - time.Second)
		if err := g.Send(message); !errors.Is(err, ErrDown) {
			t.Fatalf("Send = %v", err)
		}
		time.Sleep(DownFor + TryAgainMax)
		up.Store(true)
		if err := g.Send(message); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := g.Ready(); err != nil {
			t.Fatal(err)
		}
		if n := testutil.ToFloat64(g.metrics.results.WithLabelValues("late")); n != 1 {
			t.Fatalf("%v were late", n)
		}
	})
}

func TestEverythingIsBounded_MessagesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		f := &far{answer: func(int) (*http.Response, error) { <-held; return says(200) }}
		g, _ := open(t, f)
		sent := 0
		for ; g.Send(message) == nil; sent++ {
			synctest.Wait()
		}
		if sent != QueueMax+Senders {
			t.Fatalf("%d were taken", sent)
		}
		if err := g.Send(message); !errors.Is(err, ErrFull) {
			t.Fatalf("Send = %v", err)
		}
		if err := g.Send(Message{Text: strings.Repeat("x", TextMax+1)}); err == nil || errors.Is(err, ErrFull) {
			t.Fatalf("Send = %v", err)
		}
		close(held)
	})
}

func TestMessages_LeaveNeitherTextNorNumberNorTokenInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answer: func(n int) (*http.Response, error) {
			return says([]int{401, 422, 500}[n%3])
		}}
		g, log := open(t, f)
		for range 3 {
			_ = g.Send(message)
		}
		time.Sleep(2 * TryFor)
		g.Close()
		for _, secret := range []string{"482913", "13800001234", "a-secret-token", "some words"} {
			if strings.Contains(log.String(), secret) {
				t.Fatalf("the log has %q:\n%s", secret, log)
			}
		}
		if !strings.Contains(log.String(), "id=a1") {
			t.Fatalf("the log does not name the message:\n%s", log)
		}
	})
}

func TestGatewayAddress_IsSecureOrOnLoopback(t *testing.T) {
	f := func(address string, good bool) {
		t.Helper()
		if err := CheckURL(address); (err == nil) != good {
			t.Fatalf("CheckURL(%q) = %v", address, err)
		}
	}
	f("https://sms.example/v1/messages", true)
	f("http://127.0.0.1:8086/messages", true)
	f("http://localhost:8086/messages", true)
	f("http://sms.example/messages", false)
	f("https://user:password@sms.example/", false)
	f("sms.example", false)
	f("", false)
}
