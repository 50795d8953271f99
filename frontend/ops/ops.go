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
	Customer(username string) (journal.Customer, bool, error)
	Payments(f func(journal.Payment) bool) error
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
	Phone(id journal.CustomerID, number string) []byte
}

// Config of the port.
type Config struct {
	Bank        Bank
	Credentials Credentials
	Gatherer    prometheus.Gatherer
	Registerer  prometheus.Registerer // of the port's own metrics; nil: none
	// Why explains a customer's reference; false: this node does not know it. The error says that nobody can be asked.
	Why func(reference string) (Explained, bool, error)
	// Waits counts how the waits in the line compare with what was shown, at this node; nil: nobody counts.
	Waits func() Waits
	// SupportToken lets in who supports customers, and to Why only; of as many characters as Token, or empty: there is none.
	SupportToken string
	// Token is what verbs are asked for: at least 32 characters, or empty on a Server with ServerTLS, where the client's certificate is
	// enough then.
	Token string
	// ClientCertificates says that the Server has ServerTLS.
	ClientCertificates bool
	Checks             []Check
	Cluster            Cluster // nil: a node alone
	Levers             Levers  // nil: a worker
	Version            string  // of the program, as `netbank version` prints it
	BankName           string
	Logger             *slog.Logger
	// Backup begins a backup of this node; nil: it keeps no journal.
	Backup func() (Backup, error)
	// Extra handlers by pattern, such as the demo phone of netbank-lab; a hint on the page leads to each.
	Extra map[string]http.Handler
}

type port struct {
	Config
	token    [32]byte
	reader   [32]byte // the support token
	checkers []*checker
	statuses glance[Status]
	nodes    glance[nodesAnswer]
	opened   time.Time
	changing chan struct{} // holds one: changes of the cluster are made one after the other
	metrics  *metrics
}

// route is a call of the port.
type route struct {
	pattern string
	handle  http.HandlerFunc
	verb    bool // asks who calls
	reads   bool // the support token is enough
	page    bool // for people: a browser asks for the token
	long    bool // may take as long as ReadTimeout, and answers as long as somebody reads
}

// routes are all calls of the port, but for Config.Extra. docs/operator-api.yaml describes them; a test compares.
func (p *port) routes() []route {
	return []route{
		{pattern: "GET /livez", handle: live},
		{pattern: "GET /readyz", handle: p.ready},
		{pattern: "GET /metrics", handle: p.scrape()},
		{pattern: "GET /{$}", handle: p.page},
		{pattern: "GET /cluster", handle: p.clusterPage},
		{pattern: "GET /scale", handle: p.scalePage},
		{pattern: "GET /support", handle: p.supportPage, verb: true, reads: true, page: true},
		{pattern: "GET /style.css", handle: p.style},
		{pattern: "GET /api/v1/status", handle: p.status, verb: true},
		{pattern: "GET /api/v1/cluster", handle: p.cluster, verb: true},
		{pattern: "POST /api/v1/cluster/tokens", handle: p.newToken, verb: true},
		{pattern: "POST /api/v1/cluster/nodes/{node}/remove", handle: p.removeNode, verb: true},
		{pattern: "POST /api/v1/cluster/nodes/{node}/promote", handle: p.promoteNode, verb: true},
		{pattern: "POST /api/v1/cluster/nodes/{node}/drain", handle: p.drainNode, verb: true},
		{pattern: "POST /api/v1/cluster/nodes/{node}/undrain", handle: p.undrainNode, verb: true},
		{pattern: "POST /api/v1/cluster/lead", handle: p.lead, verb: true},
		{pattern: "POST /api/v1/cluster/authority/rotate", handle: p.rotateAuthority, verb: true},
		{pattern: "GET /api/v1/support/{reference}", handle: p.support, verb: true, reads: true},
		{pattern: "GET /api/v1/scale", handle: p.scale, verb: true},
		{pattern: "POST /api/v1/scale/{lever}", handle: p.wish, verb: true},
		{pattern: "POST /api/v1/scale/{lever}/approve", handle: p.approve, verb: true},
		{pattern: "GET /api/v1/policy", handle: p.policy, verb: true},
		{pattern: "POST /api/v1/policy", handle: p.setPolicy, verb: true},
		{pattern: "GET /api/v1/audit", handle: p.acts, verb: true},
		{pattern: "GET /api/v1/payments", handle: p.payments, verb: true, long: true},
		{pattern: "GET /api/v1/backup", handle: p.backup, verb: true, long: true},
		{pattern: "POST /api/v1/partners", handle: p.importPartners, verb: true, long: true},
		{pattern: "POST /api/v1/customers", handle: p.importCustomers, verb: true, long: true},
		{pattern: "POST /api/v1/customers/{name}/unlock", handle: p.unlock, verb: true},
		{pattern: "POST /api/v1/customers/{name}/reset-factors", handle: p.resetFactors, verb: true},
	}
}

// New makes the handler of the port.
func New(c Config) (http.Handler, error) {
	switch {
	case c.Token == "" && !c.ClientCertificates:
		return nil, errors.New("ops: the port needs an operator's token, or client certificates")
	case c.SupportToken != "" && len(c.SupportToken) < tokenMin:
		return nil, fmt.Errorf("ops: the support token has %d characters; it must have at least %d", len(c.SupportToken), tokenMin)
	case c.SupportToken != "" && c.SupportToken == c.Token:
		return nil, errors.New("ops: the support token is the operator's token; make another one")
	case c.Token != "" && len(c.Token) < tokenMin:
		return nil, fmt.Errorf("ops: the operator's token has %d characters; it must have at least %d", len(c.Token), tokenMin)
	}
	p := &port{Config: c, token: sha256.Sum256([]byte(c.Token)), reader: sha256.Sum256([]byte(c.SupportToken)), opened: time.Now(), changing: make(chan struct{}, 1)}
	for _, check := range c.Checks {
		p.checkers = append(p.checkers, &checker{Check: check})
	}
	var err error
	if p.metrics, err = newMetrics(c.Registerer); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, r := range p.routes() {
		handle := r.handle
		if r.verb {
			handle = p.authenticated(r, handle)
		}
		if !r.long {
			handle = soon(handle)
		}
		mux.HandleFunc(r.pattern, handle)
	}
	for pattern, handler := range c.Extra {
		mux.Handle(pattern, handler)
	}
	return harden(mux), nil
}

// tokenMin is how many characters a token must have.
const tokenMin = 32

func (p *port) scrape() http.HandlerFunc {
	return promhttp.HandlerFor(p.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: ScrapesMax, Timeout: 5 * time.Second}).ServeHTTP
}

// soon bounds a call that has no reason to take long.
func soon(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limit := time.Now().Add(AnswerTimeout)
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(limit)
		_ = control.SetWriteDeadline(limit)
		next(w, r)
	}
}

// patient is the writer of a long answer: its reader may take as long as it likes, as long as it takes some.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func patiently(w http.ResponseWriter) patient {
	return patient{w, http.NewResponseController(w)}
}

func (p patient) Write(text []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(StreamTimeout))
	return p.ResponseWriter.Write(text)
}

// harden sets the headers that every answer bears, and refuses what a hostile page would send. A port without TLS listens on loopback, so
// a request that names another host comes from a page that had its own name point here (DNS rebinding).
func harden(next http.Handler) http.Handler {
	own := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if r.TLS == nil && !loopback(r.Host) {
			fail(w, problem{
				Status: http.StatusForbidden, Code: "forbidden", Detail: "this port answers to localhost and loopback addresses only",
				Remedy: "use such an address, through an SSH tunnel if need be",
			})
			return
		}
		// A browser would show the operator's certificate for any page.
		if err := own.Check(r); err != nil {
			fail(w, problem{Status: http.StatusForbidden, Code: "forbidden", Detail: "this call comes from a page of another site", Remedy: "use netbank's command line"})
			return
		}
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

// authenticated lets in who bears the token that a route asks for. Where there is none, the certificate that the connection was made with is enough.
func (p *port) authenticated(asked route, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if asked.page {
			// A browser sends a password by itself, also when another site's page made it ask; so it opens what is only read.
			if _, password, ok := r.BasicAuth(); ok {
				r.Header.Set("Authorization", "Bearer "+password)
			}
		}
		if !p.known(r) && !(asked.reads && p.supports(r)) {
			p.metrics.strangers.Inc()
			if asked.page {
				w.Header().Set("WWW-Authenticate", `Basic realm="netbank support: any name, and the support token as the password", charset="UTF-8"`)
				http.Error(w, "This page needs the support token: give any name, and as the password the line of the node's --support-token-file.", http.StatusUnauthorized)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="netbank operator"`)
			fail(w, problem{
				Status: http.StatusUnauthorized, Code: "unauthorized", Detail: "this call needs the operator's token",
				Remedy: `send it as "Authorization: Bearer …"; it stands in the node's --operator-token-file`,
			})
			return
		}
		next(w, r)
	}
}

func (p *port) known(r *http.Request) bool {
	if p.Token == "" {
		return r.TLS != nil && len(r.TLS.VerifiedChains) > 0
	}
	return bears(r, &p.token)
}

// supports tells whether a call bears the support token.
func (p *port) supports(r *http.Request) bool { return p.SupportToken != "" && bears(r, &p.reader) }

func bears(r *http.Request, token *[32]byte) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], token[:]) == 1 && ok
}

// caller names who calls, for the audit.
func caller(r *http.Request) string {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return fmt.Sprintf("certificate %.64q", r.TLS.PeerCertificates[0].Subject.CommonName)
	}
	return "token"
}

// audit logs that an operator has begun or ended something. No attribute may be a secret.
func (p *port) audit(r *http.Request, verb, outcome string, attributes ...any) {
	p.metrics.verbs.WithLabelValues(verb, outcome).Inc()
	all := append([]any{"verb", verb, "outcome", outcome, "who", caller(r), "from", r.RemoteAddr}, attributes...)
	p.Logger.Info("ops: audit", all...)
}

// problem is an error of this port, in the form of RFC 9457.
type problem struct {
	Status   int    `json:"status"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
	Remedy   string `json:"remedy,omitempty"`
	Leader   uint32 `json:"leader,omitempty"`   // the node that can do it
	Operator string `json:"operator,omitempty"` // where that is
}

func fail(w http.ResponseWriter, p problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *port) status(w http.ResponseWriter, _ *http.Request) {
	now, ok := p.statusNow()
	if !ok {
		fail(w, problem{
			Status: http.StatusServiceUnavailable, Code: "silent", Detail: fmt.Sprintf("the node does not say within %v how it is", GlanceTimeout),
			Remedy: "look at its disk and at its log; a node whose disk hangs ends by itself within 15 s",
		})
		return
	}
	answer(w, http.StatusOK, now)
}

func (p *port) unlock(w http.ResponseWriter, r *http.Request) {
	reason, err := reasonOf(r)
	if err != nil {
		failWith(w, err)
		return
	}
	customer, ok := p.customerOf(w, r)
	if !ok {
		return
	}
	cmd := &journal.Command{Body: unlockOf(customer.ID)}
	if _, err := p.Bank.Submit(cmd, time.Now().Add(5*time.Second)); err != nil {
		p.audit(r, "unlock", "failed", "customer", customer.ID, "error", err)
		fail(w, problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: err.Error(), Remedy: "do it again; it takes effect once"})
		return
	}
	p.audit(r, "unlock", "done", "customer", customer.ID, "reason", reason)
	p.note(r, "unlock", reason, []any{"customer", customer.ID})
	answer(w, http.StatusOK, map[string]string{"result": "unlocked"})
}

var errTooManyLines = errors.New("ops: more lines than one import may have")
