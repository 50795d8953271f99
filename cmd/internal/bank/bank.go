package bank

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/kek"
	"netbank/cluster/replica"
	"netbank/cluster/scaling/expansion"
	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/corelink"
	"netbank/frontend/customer"
	"netbank/frontend/edge"
	"netbank/frontend/ops"
	"netbank/frontend/partner"
	"netbank/frontend/partner/webhook"
	"netbank/session"
	"netbank/session/breached"
	"netbank/session/derive"
)

// Waits of a start and a stop.
const (
	leaderWait  = 30 * time.Second
	drainLimit  = 10 * time.Second
	rotateEvery = time.Minute // how often the ring is looked at; a key is due once a day
)

// Bank is a running node with its doors.
type Bank struct {
	config   Config
	logger   *slog.Logger
	registry *prometheus.Registry
	key      *kek.Key
	link     *corelink.Link
	node     *cluster.Node
	sessions *session.Store
	signing  atomic.Pointer[session.Store] // the same, for the node's goroutines
	hashing  *derive.Process               // nil: passwords are hashed in this process
	breached *breached.File                // nil: there is no file of passwords that others know
	api      *partner.API
	hooks    *webhook.Dispatcher
	signer   *signer
	leaving  leaving
	port     *ops.Server
	peers    *peers         // nil: a node alone
	keeping  sync.WaitGroup // what looks after the cluster
	kept     context.Context
	unkeep   context.CancelFunc
	pages    atomic.Pointer[customer.Pages]
	pressure atomic.Pointer[expansion.Pressure] // how busy this node is; nil: not known yet
	open     atomic.Bool                        // the doors for customers and partners are open

	customerLimits, partnerLimits edge.Limits
	filesNote                     string
}

// Run opens the bank, serves until ctx is done, and closes it in order. ready is called once, when every door is open.
func Run(ctx context.Context, c Config, logger *slog.Logger, ready func()) error {
	if err := c.check(); err != nil {
		return err
	}
	b := &Bank{config: c, logger: logger, registry: prometheus.NewRegistry()}
	b.kept, b.unkeep = context.WithCancel(context.Background())
	b.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Doors are taken first: a taken address is told before the journal is opened.
	doors, err := b.listen()
	if err != nil {
		return err
	}
	defer doors.close()
	defer b.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before close, which waits for what looks after workers: a door that fails ends that too
	// The operator's port is up before the journal is, whose replay may take long, and answers in full before there is a leader.
	b.port = ops.Serve(doors.operator, doors.operatorTLS, logger)
	if err := b.port.Watch(b.registry); err != nil {
		return err
	}
	if err := b.openJournal(ctx); err != nil {
		return err
	}
	if err := b.openOperator(ctx); err != nil {
		return err
	}
	if err := b.becomeReady(ctx); err != nil {
		return err
	}
	if err := b.openSessions(); err != nil {
		return err
	}
	return b.serve(ctx, doors, ready)
}

// doors are the listeners.
type doors struct {
	customer *edge.Listener
	partner  *partner.Listener
	operator net.Listener

	operatorTLS *tls.Config // nil: plain HTTP
}

func (d *doors) close() {
	for _, l := range []net.Listener{d.customer, d.partner, d.operator} {
		l.Close()
	}
}

func (b *Bank) listen() (*doors, error) {
	c := &b.config
	config, err := c.partnerTLS()
	if err != nil {
		return nil, &Error{Code: ExitUsage, Err: err}
	}
	proxies, err := edge.ParseProxies(c.ProxyFrom)
	if err != nil {
		return nil, usage("--proxy-from: %w", err)
	}
	b.customerLimits, b.partnerLimits, b.filesNote = shareDoors()
	var d doors
	if d.operatorTLS, err = c.operatorTLS(); err != nil {
		return nil, &Error{Code: ExitUsage, Err: err}
	}
	taken := func(flag string, err error) error {
		return &Error{Code: ExitAddress, Err: fmt.Errorf("%w; choose another with %s", err, flag)}
	}
	if d.customer, err = edge.Listen(c.CustomerAddr, b.customerLimits, b.logger); err != nil {
		return nil, taken("--customer-addr", err)
	}
	if d.partner, err = partner.ListenTLS(c.PartnerAddr, config, b.partnerLimits, b.logger); err != nil {
		d.customer.Close()
		return nil, taken("--partner-addr", err)
	}
	if d.operator, err = net.Listen("tcp", c.OperatorAddr); err != nil {
		d.customer.Close()
		d.partner.Close()
		return nil, taken("--operator-addr", fmt.Errorf("bank: cannot listen on %s: %w", c.OperatorAddr, err))
	}
	d.customer.Trust(proxies)
	d.partner.Trust(proxies)
	return &d, nil
}

func (c *Config) partnerTLS() (*tls.Config, error) {
	pair, pool, err := readTLS("partner", c.PartnerCert, c.PartnerKey, c.PartnerCA)
	if err != nil {
		return nil, err
	}
	return partner.ServerTLS(pair, pool)
}

// operatorTLS is nil for a port that speaks plain HTTP.
func (c *Config) operatorTLS() (*tls.Config, error) {
	if c.OperatorCert == "" {
		return nil, nil
	}
	pair, pool, err := readTLS("operator", c.OperatorCert, c.OperatorKey, c.OperatorCA)
	if err != nil {
		return nil, err
	}
	return ops.ServerTLS(pair, pool)
}

// readTLS reads the files of a door's flags: its certificate and key, and who signs those of its callers.
func readTLS(door, cert, key, ca string) (tls.Certificate, *x509.CertPool, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return pair, nil, fmt.Errorf("bank: --%s-cert and --%s-key: %w", door, door, err)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return pair, nil, fmt.Errorf("bank: --%s-ca: %w", door, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return pair, nil, fmt.Errorf("bank: --%s-ca: %s holds no certificate in PEM form", door, ca)
	}
	return pair, pool, nil
}

func (c *Config) corePin() (*x509.Certificate, error) {
	if c.CorePin == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.CorePin)
	if err != nil {
		return nil, fmt.Errorf("bank: --core-pin: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("bank: --core-pin: %s holds no certificate in PEM form", c.CorePin)
	}
	return x509.ParseCertificate(block.Bytes)
}

// gate is the gate's configuration for so many seats.
func (c *Config) gate(seats int) gate.Config {
	if c.CoreFixed || c.Lab.AdmissionOff {
		return gate.Config{Limit: seats, Ceiling: seats}
	}
	return gate.Config{Ceiling: seats, Seek: true, SeekSeed: rand.Uint64()}
}

// openJournal opens the link to the core and the node, which replays its journal.
func (b *Bank) openJournal(ctx context.Context) (err error) {
	c := &b.config
	if b.key, err = kek.Load(c.KEKFile); err != nil {
		return &Error{Code: ExitUsage, Err: err}
	}
	if b.peers, err = openPeers(ctx, c, b.key, &b.pressure, b.registry, b.logger); err != nil {
		return err
	}
	pin, err := c.corePin()
	if err != nil {
		return &Error{Code: ExitUsage, Err: err}
	}
	seats := c.CoreSeats
	if c.Lab.AdmissionOff {
		seats = gate.CeilingMax
	}
	// The link may hear a late answer only after the node is there: before that nothing was sent.
	var node *cluster.Node
	opened := make(chan struct{})
	b.link, err = corelink.Open(corelink.Config{
		Addr: c.CoreAddr, Pin: pin, Conns: c.CoreConns, InFlightMax: min(max(corelink.DefaultInFlightMax, 2*max(seats, c.CoreReserve, c.CoreEmergency)/max(c.CoreConns, 1)), corelink.MaxInFlight),
		Acquirer: c.CoreAcquirer, Terminal: c.CoreTerminal, Acceptor: c.CoreAcceptor, Location: time.UTC, Logger: b.logger,
		OnLate: func(l coreadapter.LateAnswer) {
			select {
			case <-opened:
				if late, ok := lateOf(l); ok {
					node.Late(late)
				}
			default:
			}
		},
	})
	if err != nil {
		return &Error{Code: ExitUsage, Err: err}
	}
	config := cluster.Config{
		Replica: replica.Config{Dir: filepath.Clean(c.DataDir), Node: 1, Logger: b.logger, SnapshotBytes: c.SnapshotBytes},
		Core:    core{b.link}, Gate: c.gate(seats), Reserve: c.CoreReserve, Emergency: c.CoreEmergency, CoreLimit: c.CoreLimit, AcceptClock: c.AcceptClock,
		AdmissionOff: c.Lab.AdmissionOff, Wall: c.Lab.Wall, Line: c.Line && !c.Lab.AdmissionOff, SignIns: b.signIns,
		Registerer: b.registry, Logger: b.logger,
	}
	if b.peers != nil {
		if err := b.peers.configure(&config); err != nil {
			return err
		}
	}
	if b.peers != nil {
		node, err = b.peers.open(config)
	} else {
		node, err = cluster.Open(config)
	}
	switch {
	case errors.Is(err, replica.ErrNewer):
		return &Error{Code: ExitNewer, Err: err}
	case errors.Is(err, replica.ErrLocked), errors.Is(err, replica.ErrUnwritable), errors.Is(err, replica.ErrDamaged), errors.Is(err, replica.ErrOtherNode), errors.Is(err, replica.ErrOtherCluster):
		return &Error{Code: ExitDirectory, Err: err}
	case err != nil:
		return err
	}
	b.node = node
	if b.peers != nil {
		b.peers.node.Store(node)
	}
	close(opened)
	return nil
}

// waitForLeader waits until the node leads. A log that is still replayed is no reason to give up, however long it is: a bank that gave
// up would replay it from the beginning at the next start, and never open.
func waitForLeader(ctx context.Context, leading func() bool, applied func() uint64) error {
	limit := time.NewTimer(leaderWait)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for last := applied(); !leading(); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			now := applied()
			if now == last {
				return errNoLeader
			}
			last = now
			limit.Reset(leaderWait)
		case <-look.C:
		}
	}
	return nil
}

// signIns tells how many passwords this node can check a second; 0 before it has sessions.
func (b *Bank) signIns() float64 {
	if s := b.signing.Load(); s != nil {
		return s.SignInsPerSecond()
	}
	return 0
}

func (b *Bank) openSessions() error {
	lab := b.config.Lab
	site, err := session.NewPasskeySite(b.config.CustomerURL, b.config.PasskeyDomain, b.config.BankName)
	if err != nil {
		return err
	}
	lists, here, err := b.openBreached()
	if err != nil {
		return err
	}
	c := session.Config{
		Directory: b.node, Opener: b.key, Sealer: b.key, CodeClock: time.Now, Params: lab.Params, AllowCheapHash: lab.AllowCheapHash, Registerer: b.registry,
		Breached: lists, Listed: here, Bank: b.config.BankName, Passkeys: site,
	}
	if b.hashing != nil {
		c.Deriver = b.hashing
	}
	if most := lab.SignInsPerSecond; most > 0 && c.Deriver != nil {
		c.Deriver = newPaced(c.Deriver, most)
	}
	if b.sessions, err = session.New(c); err == nil {
		b.signing.Store(b.sessions)
	}
	return err
}

// openBreached opens the lists of passwords that others know, and says which of them are here.
func (b *Bank) openBreached() (lists, here []session.Breached, err error) {
	common, err := breached.Common()
	if err != nil {
		return nil, nil, err
	}
	lists = []session.Breached{common}
	if path := b.config.BreachedFile; path != "" {
		if b.breached, err = breached.Open(path); err != nil {
			return nil, nil, usage("--breached-file: %w", err)
		}
		lists = append(lists, b.breached)
	}
	here = lists[:len(lists):len(lists)]
	if address := b.config.BreachedRange; address != "" {
		service, err := breached.NewRange(address)
		if err != nil {
			return nil, nil, usage("--breached-range: %w", err)
		}
		lists = append(lists, service)
	}
	return lists, here, nil
}

func (b *Bank) close() {
	if b.unkeep != nil {
		b.unkeep()
	}
	b.keeping.Wait()
	if b.port != nil {
		b.port.Close()
	}
	if b.api != nil {
		b.api.Close()
	}
	if b.sessions != nil {
		b.sessions.Close()
	}
	if b.breached != nil {
		b.breached.Close()
	}
	if b.hashing != nil {
		b.hashing.Close()
	}
	if b.node != nil {
		if err := b.node.Close(); err != nil {
			b.logger.Error("bank: closing the node", "error", err)
		}
	}
	if b.peers != nil {
		b.peers.close(b.logger) // behind Raft, which has its connections from there
	}
	if b.link != nil {
		b.link.Close()
	}
}

// checks are the lines of /readyz.
func (b *Bank) checks() []ops.Check {
	checks := []ops.Check{
		{Name: "serving", Ask: func() error {
			if err := b.leaving.check(); err != nil {
				return err
			}
			if !b.open.Load() {
				return &ops.Fault{What: "the doors for customers and partners are not open yet", Remedy: "wait; they open once there is a leader"}
			}
			return nil
		}},
		{Name: "leader", Ask: func() error {
			// An election is no reason for balancers to have no node left: calls wait for its end.
			if !b.node.Led() && !b.node.BetweenLeaders() {
				return &ops.Fault{What: "no leader takes payments", Remedy: "look at the disk, the clock and the log, and at the other coordinators"}
			}
			return nil
		}},
		{Name: "core", Ask: func() error {
			if s := b.node.Status(); !s.Core.Reachable && (b.peers == nil || b.peers.coreElsewhere()) {
				return &ops.Fault{
					What:   fmt.Sprintf("the core at %s cannot be reached since %s: %s", b.config.CoreAddr, s.Core.Since.UTC().Format(time.RFC3339), s.Core.LastError),
					Remedy: "ask the core's operators, and look at the network; it is tried again all the time",
				}
			}
			return nil
		}},
		{Name: "clock", Ask: func() error {
			if s := b.node.Status(); s.Clock.Stopped {
				return errors.New(s.Clock.Remedy)
			}
			return nil
		}},
	}
	if b.peers != nil {
		checks = append(checks, ops.Check{Name: "member", Ask: b.peers.waits})
	}
	return checks
}

// left is about.Left.
func (b *Bank) left() *int64 {
	n, known := b.leaving.remaining(b.config.DrainNotice)
	if !known {
		return nil
	}
	n += b.node.Executing()
	return &n
}

// tokenOf reads a token file, which is made if missing; an empty path has none.
func tokenOf(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	if err := EnsureToken(path); err != nil {
		return "", err
	}
	token, err := ReadToken(path)
	if err != nil {
		return "", &Error{Code: ExitUsage, Err: err}
	}
	return token, nil
}

// why explains a customer's reference, once the pages are open.
func (b *Bank) why(reference string) (ops.Explained, bool, error) {
	pages := b.pages.Load()
	if pages == nil {
		return ops.Explained{}, false, cluster.ErrUnavailable
	}
	e, ok, err := pages.Why(reference)
	return ops.Explained(e), ok, err
}

// waits counts how the waits of those whom this node has let in compare with what they were shown.
func (b *Bank) waits() ops.Waits {
	pages := b.pages.Load()
	if pages == nil {
		return ops.Waits{}
	}
	return ops.Waits(pages.Waits())
}

// openOperator lets the operator's port answer in full.
func (b *Bank) openOperator(ctx context.Context) error {
	c := &b.config
	token, err := tokenOf(c.OperatorTokenFile)
	if err != nil {
		return err
	}
	supportToken, err := tokenOf(c.SupportTokenFile)
	if err != nil {
		return err
	}
	params := c.Lab.Params
	if params == (session.Params{}) {
		params = session.Standard
	}
	var deriver session.Deriver
	if c.Deriving != nil {
		b.hashing = derive.New(c.Deriving, b.logger)
		deriver = b.hashing
	}
	var members ops.Cluster
	if b.peers != nil {
		members = operated{b.peers}
	}
	levers, err := b.openLevers(ctx)
	if err != nil {
		return err
	}
	handler, err := ops.New(ops.Config{
		Cluster: members, Levers: levers,
		Bank: b.node, Credentials: newCredentials(b.key, params, c.Lab.AllowCheapHash, deriver), Gatherer: b.registry, Registerer: b.registry,
		Why: b.why, Waits: b.waits, SupportToken: supportToken,
		Token: token, ClientCertificates: c.OperatorCert != "", Checks: b.checks(), Version: c.Version, BankName: c.BankName, Logger: b.logger,
		Extra: c.Lab.Operator, Backup: b.backup,
	})
	if err != nil {
		return err
	}
	b.port.Handle(handler)
	return nil
}
