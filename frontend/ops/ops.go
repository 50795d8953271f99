package ops

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
)

// Limits of the port.
const (
	// HeaderBytesMax bounds a request's header.
	HeaderBytesMax = 16 << 10
	// LineBytesMax bounds one line of an import.
	LineBytesMax = 16 << 10
	// ImportLinesMax bounds the lines of one import.
	ImportLinesMax = 2_000_000
	// ImportParallel is how many lines of an import are under way in the journal at once.
	ImportParallel = 256
	// ConnectionsMax bounds the connections of the port.
	ConnectionsMax = 256
	// ReadTimeout bounds the sending of a request; a million customers are imported in one.
	ReadTimeout = 10 * time.Minute
	// ScrapesMax bounds the scrapes of /metrics at once.
	ScrapesMax = 2
)

// Bank is what the operator's port needs of a node.
type Bank interface {
	Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error)
	Customer(username string) (journal.Customer, bool)
	Payments(f func(journal.Payment) bool)
	Status() cluster.Status
	Refused(class gate.Class) (cluster.Refusal, bool)
}

// Credentials seals what customers sign in with, before it reaches the journal.
type Credentials interface {
	// Password hashes and seals a password.
	Password(id journal.CustomerID, plain string) ([]byte, error)
	// PasswordHash seals a PHC string, or refuses it as too weak.
	PasswordHash(id journal.CustomerID, phc string) ([]byte, error)
	// TOTP seals a raw seed.
	TOTP(id journal.CustomerID, seed []byte) []byte
}

// Check is one line of /readyz: a name and, when it is not well, what to do.
type Check struct {
	Name string
	Ask  func() error
}

// Config of the port.
type Config struct {
	Bank        Bank
	Credentials Credentials
	Gatherer    prometheus.Gatherer
	Token       string // at least 32 characters
	Checks      []Check
	Cluster     Cluster // nil: a node alone
	Version     string  // of the program, as `netbank version` prints it
	BankName    string
	Logger      *slog.Logger
	// Extra handlers by pattern, such as the demo phone of netbank-lab; a hint on the page leads to each.
	Extra map[string]http.Handler
}

type port struct {
	Config
	token [32]byte
}

// New makes the handler of the port.
func New(c Config) (http.Handler, error) {
	if len(c.Token) < 32 {
		return nil, fmt.Errorf("ops: the operator's token has %d characters; it must have at least 32", len(c.Token))
	}
	p := &port{Config: c, token: sha256.Sum256([]byte(c.Token))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", p.live)
	mux.HandleFunc("GET /readyz", p.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: ScrapesMax, Timeout: 5 * time.Second}))
	mux.HandleFunc("GET /{$}", p.page)
	mux.HandleFunc("GET /style.css", p.style)
	mux.HandleFunc("GET /api/v1/status", p.authenticated(p.status))
	mux.HandleFunc("GET /api/v1/payments", p.authenticated(p.payments))
	mux.HandleFunc("POST /api/v1/partners", p.authenticated(p.importPartners))
	mux.HandleFunc("POST /api/v1/customers", p.authenticated(p.importCustomers))
	mux.HandleFunc("POST /api/v1/customers/{name}/unlock", p.authenticated(p.unlock))
	for pattern, handler := range c.Extra {
		mux.Handle(pattern, handler)
	}
	return harden(mux), nil
}

// Starting is the port before the bank is open: alive, and not ready.
func Starting() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", new(port).live)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "starting", "the node is reading its journal; customers should not be sent here yet")
	})
	return harden(mux)
}

// harden sets the headers that every answer bears. The port listens on loopback, so a request that names another host comes from a page
// that had its own name point here (DNS rebinding).
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			fail(w, http.StatusForbidden, "forbidden", "this port answers to localhost and loopback addresses only")
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func loopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (p *port) authenticated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		sum := sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(sum[:], p.token[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="netbank operator"`)
			fail(w, http.StatusUnauthorized, "unauthorized", "this call needs the operator's token: send it as \"Authorization: Bearer …\"; the file's path is in the start-up lines")
			return
		}
		next(w, r)
	}
}

// problem is an error of this port, in the form of RFC 9457.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func fail(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{status, code, detail})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// live says that the process turns its wheels. It looks at nothing that can block.
func (p *port) live(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// ready says whether customers should be sent here; with ?verbose, why not and what to do.
func (p *port) ready(w http.ResponseWriter, r *http.Request) {
	var lines strings.Builder
	status := http.StatusOK
	for _, c := range p.Checks {
		if err := c.Ask(); err != nil {
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&lines, "[-] %s: %v\n", c.Name, err)
		} else {
			fmt.Fprintf(&lines, "[+] %s\n", c.Name)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	switch {
	case r.URL.Query().Has("verbose"):
		fmt.Fprint(w, lines.String())
	case status == http.StatusOK:
		fmt.Fprintln(w, "ok")
	default:
		fmt.Fprintln(w, "not ready; ask /readyz?verbose")
	}
}

func (p *port) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, p.statusNow())
}

func (p *port) unlock(w http.ResponseWriter, r *http.Request) {
	customer, ok := p.Bank.Customer(r.PathValue("name"))
	if !ok {
		fail(w, http.StatusNotFound, "not-found", "no customer of that name")
		return
	}
	cmd := &journal.Command{Body: unlockOf(customer.ID)}
	if _, err := p.Bank.Submit(cmd, time.Now().Add(5*time.Second)); err != nil {
		fail(w, http.StatusServiceUnavailable, "unavailable", err.Error())
		return
	}
	p.Logger.Info("ops: a customer was unlocked", "customer", customer.ID)
	answer(w, http.StatusOK, map[string]string{"result": "unlocked"})
}

var errTooManyLines = errors.New("ops: more lines than one import may have")
