package bank

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
	"netbank/cluster/kek"
	"netbank/cluster/peer"
	"netbank/cluster/replica"
	"netbank/cluster/scaling/expansion"
	"netbank/frontend/ops"
)

// Waits of a node with others.
const (
	// CommitWithin is how long a change of the membership may take to commit.
	CommitWithin = 8 * time.Second
	// TokenLookWait is how long a coordinator that does not know a token looks whether it is behind.
	TokenLookWait = time.Second
	// TokenLooksMax is how many strangers' tokens are looked for at once in this way.
	TokenLooksMax = 4
)

// peers is a node's part in its cluster: its port for the other nodes, who they are, and what the leader does for them.
type peers struct {
	config *Config
	key    *kek.Key
	logger *slog.Logger

	role   peer.Role // for life
	port   *peer.Port
	roster atomic.Pointer[roster]
	stored atomic.Pointer[peer.Identity] // what the next start would begin with
	about  atomic.Pointer[[]byte]        // what this node tells of itself; nil: nothing yet
	checks func() []ops.Check
	left   func() *int64
	node   atomic.Pointer[cluster.Node] // nil until the journal is open
	// pressure is how busy this node is; nil: it is not known yet.
	pressure *atomic.Pointer[expansion.Pressure]
	looks    chan struct{}
	// removed says that another node has refused this one as no member any more, when it was asked last.
	removed atomic.Bool

	serving atomic.Bool  // a customer has been answered here
	came    atomic.Int64 // when the last one came, in nanoseconds since the epoch
	ending  atomic.Bool  // this node is being stopped

	writing sync.Mutex // guards id
	id      *identity
	seen    seen      // when which node was last heard of, as long as this one leads
	renewed time.Time // a worker last asked for a certificate from the authority that issues; owned by listen
}

// openPeers finds out who this node is and opens its port for the others. nil: it is alone.
func openPeers(ctx context.Context, c *Config, key *kek.Key, pressure *atomic.Pointer[expansion.Pressure], registry prometheus.Registerer, logger *slog.Logger) (*peers, error) {
	if c.PeerAddr == "" && c.Role != peer.Worker.String() {
		if id, err := readIdentity(c.DataDir, key); err == nil && id != nil {
			s := id.shown.Subject()
			return nil, usage("the data directory belongs to node %d of cluster %s; give --cluster %s, and --peer-addr or, for a worker, --role worker", s.Node, s.Cluster, s.Cluster)
		}
		return nil, nil
	}
	p := &peers{config: c, key: key, pressure: pressure, logger: logger, looks: make(chan struct{}, TokenLooksMax)}
	if err := p.identify(ctx); err != nil {
		return nil, err
	}
	p.role = p.id.shown.Subject().Role
	p.roster.Store(p.id.Roster)
	p.stored.Store(p.id.shown)
	var err error
	addr := c.PeerAddr
	if p.worker() {
		addr = ""
	}
	p.port, err = peer.Listen(addr, peer.Config{
		Identity:  p.id.shown,
		Admitted:  func(who peer.Peer) error { return p.roster.Load().admitted(who) },
		AddressOf: func(node journal.NodeID) (string, error) { return p.roster.Load().addressOf(node) },
		Stream:    p.stream, Token: p.token, Enrol: p.enrol, Renew: p.renew, Told: func(coordinators []peer.Member) { p.told(coordinators) },
		Addr:   c.PeerAdvertise,
		Logger: logger, Registerer: registry,
	})
	if err != nil {
		return nil, &Error{Code: ExitAddress, Err: fmt.Errorf("%w; --peer-addr names it", err)}
	}
	logger.Info("this node is one of a cluster", "cluster", c.Cluster, "node", p.self(), "role", p.id.shown.Subject().Role.String(), "peer", c.PeerAdvertise, "members", len(p.id.Roster.Members))
	return p, nil
}

func (p *peers) self() journal.NodeID { return p.port.Identity().Subject().Node }

// worker says whether this node keeps no journal.
func (p *peers) worker() bool { return p.role == peer.Worker }

// told takes up where the coordinators are, and says whether that was news. Only a worker has to be told: the others have the journal.
func (p *peers) told(coordinators []peer.Member) bool {
	old := p.roster.Load()
	if !p.worker() || len(coordinators) == 0 || slices.Equal(old.Members, coordinators) {
		return false
	}
	next := &roster{Next: old.Next, Members: coordinators}
	for _, m := range coordinators {
		next.Next = max(next.Next, m.Node+1)
	}
	p.roster.Store(next)
	return true
}

// open opens the node: with a journal, or without.
func (p *peers) open(c cluster.Config) (*cluster.Node, error) {
	if p.worker() {
		return cluster.NewWorker(c)
	}
	return cluster.Open(c)
}

// configure fills in what a node with others is made of.
func (p *peers) configure(c *cluster.Config) error {
	c.ClusterID, c.Replica.Node = p.config.Cluster, p.self()
	c.Dial = func(ctx context.Context, node journal.NodeID) (net.Conn, error) {
		conn, err := p.port.Dial(ctx, node, peer.ALPNStream)
		p.removed.Store(errors.Is(err, peer.ErrRemoved))
		if err != nil {
			return nil, err // not a nil *peer.Conn, which would be a net.Conn
		}
		return conn, nil
	}
	c.About = p.tells
	if p.worker() {
		c.Coordinators = func() []journal.NodeID { return p.roster.Load().numbers() }
		return nil
	}
	transport, err := p.port.RaftTransport(peer.RaftConfig{})
	if err != nil {
		return err
	}
	c.Replica.Cluster, c.Replica.Transport = p.config.Cluster, transport
	c.Replica.Beginning = beginnings[p.id.Beginning]
	if p.id.Roster.Version > 0 {
		// It has had a journal. If that is gone, it must never begin another one.
		c.Replica.Beginning = replica.Joining
	}
	if c.Replica.Beginning == replica.Founding {
		for _, m := range p.id.Roster.Members {
			if int(m.Node) <= p.id.Founders {
				c.Replica.Founders = append(c.Replica.Founders, replica.Founder{Node: m.Node, Address: peer.Name(m.Node)})
			}
		}
	}
	c.Leader = func() (journal.NodeID, uint64) {
		if n := p.node.Load(); n != nil {
			return n.Replica().Leader()
		}
		return 0, 0
	}
	c.Members = func() []journal.NodeID { return p.roster.Load().numbers() }
	return nil
}

// stream serves a node that has connected to this one.
func (p *peers) stream(who peer.Peer, conn net.Conn) {
	n := p.node.Load()
	if n == nil {
		return
	}
	if err := n.Serve(conn, who.Node); err != nil {
		p.logger.Debug("a stream was not served", "node", who.Node, "error", err)
	}
}

// commit proposes a change of the membership, here or at the leader.
func (p *peers) commit(c *journal.Command) (journal.Verdict, error) {
	n := p.node.Load()
	if n == nil {
		return 0, cluster.ErrNoLeader
	}
	result, err := n.Submit(c, time.Now().Add(CommitWithin))
	if result.Verdict == journal.Repeated {
		result.Verdict = journal.Done
	}
	return result.Verdict, err
}

// token looks up a join token. One that is not known may have been made a moment ago, and not be here yet.
func (p *peers) token(id peer.TokenID) (peer.TokenRecord, bool) {
	n := p.node.Load()
	if n == nil {
		return peer.TokenRecord{}, false
	}
	found := n.Membership().Token(journal.TokenID(id))
	if found == nil {
		select {
		case p.looks <- struct{}{}:
			n.CatchUp(TokenLookWait)
			<-p.looks
			found = n.Membership().Token(journal.TokenID(id))
		default:
		}
	}
	if found == nil {
		return peer.TokenRecord{}, false
	}
	return peer.TokenRecord{
		ID: peer.TokenID(found.ID), Hash: found.Hash, Role: peer.Role(found.Role), Expires: time.UnixMilli(int64(found.Expires)), Multiple: found.Uses > 1,
	}, true
}

// enrol lets a new node in: the journal decides and draws its number, then its certificate is issued.
func (p *peers) enrol(_ context.Context, e peer.Enrolment) (peer.Granted, error) {
	if n := p.node.Load(); n == nil || n.Membership().Issuer == 0 {
		return peer.Granted{}, fmt.Errorf("%w (the cluster has not recorded its founders yet)", peer.ErrUnavailable)
	}
	body := &command.Enrol{Token: e.Token[:], Key: e.Key[:], Address: e.Addr}
	verdict, err := p.commit(&journal.Command{Body: &command.Command_Enrol{Enrol: body}})
	switch {
	case err != nil:
		return peer.Granted{}, fmt.Errorf("%w (%w)", peer.ErrUnavailable, err)
	case verdict == journal.TokenUsed:
		return peer.Granted{}, peer.ErrTokenUsed
	case verdict == journal.TokenExpired:
		return peer.Granted{}, peer.ErrTokenExpired
	case verdict == journal.NotFound:
		return peer.Granted{}, peer.ErrTokenRefused
	case verdict == journal.TooMany:
		return peer.Granted{}, fmt.Errorf("%w: the cluster has as many nodes, or as many coordinators, as it may have; remove one that is gone", peer.ErrRefused)
	case verdict != journal.Done:
		return peer.Granted{}, fmt.Errorf("%w: the journal says %s", peer.ErrRefused, verdict)
	}
	n := p.node.Load()
	n.CatchUp(TokenLookWait)
	m := n.Membership()
	node := m.NodeByKey(e.Key)
	if node == nil {
		return peer.Granted{}, fmt.Errorf("%w (this coordinator has not applied the new node's entry yet)", peer.ErrUnavailable)
	}
	p.logger.Info("a node joins", "node", node.ID, "role", node.Role.String(), "token", e.Token.String(), "addr", node.Address, "from", e.From)
	return p.grant(m, peer.Subject{Cluster: p.config.Cluster, Node: node.ID, Role: peer.Role(node.Role)}, e.Request)
}

// renew issues a member's next certificate. A coordinator that has moved says so with it.
func (p *peers) renew(_ context.Context, r peer.Renewal) (peer.Granted, error) {
	n := p.node.Load()
	if n == nil {
		return peer.Granted{}, peer.ErrUnavailable
	}
	if known := n.Membership().Node(r.From.Node); known != nil && r.From.Role == peer.Coordinator && r.Addr != "" && r.Addr != known.Address {
		if err := p.moved(r.From.Node, r.Addr); err != nil {
			return peer.Granted{}, fmt.Errorf("%w (%w)", peer.ErrUnavailable, err)
		}
	}
	return p.grant(n.Membership(), peer.Subject{Cluster: p.config.Cluster, Node: r.From.Node, Role: r.From.Role}, r.Request)
}

// moved records a coordinator's new address. Who said so has shown the coordinator's own certificate.
func (p *peers) moved(node journal.NodeID, addr string) error {
	put := &command.PutNode{Node: uint32(node), Role: command.Role_ROLE_COORDINATOR, Address: addr}
	if err := p.must(&journal.Command{Body: &command.Command_PutNode{PutNode: put}}); err != nil {
		return fmt.Errorf("bank: recording that %s is at %s now: %w", peer.Name(node), addr, err)
	}
	p.logger.Info("a coordinator has another address", "node", node, "addr", addr)
	return nil
}

// grant issues a certificate, and tells what the node has to know.
func (p *peers) grant(m *journal.Membership, to peer.Subject, request []byte) (peer.Granted, error) {
	issuer := m.Authority(m.Issuer)
	if issuer == nil {
		return peer.Granted{}, fmt.Errorf("%w (the cluster has not recorded its authority yet)", peer.ErrUnavailable)
	}
	authority, err := peer.OpenAuthority(p.key, issuer.Sealed)
	if err != nil {
		return peer.Granted{}, err
	}
	issued, err := authority.Issue(request, to, time.Now())
	if err != nil {
		return peer.Granted{}, err
	}
	granted := peer.Granted{Node: to.Node, Certificate: issued.Certificate}
	if granted.Authorities, err = p.certificates(m); err != nil {
		return peer.Granted{}, err
	}
	granted.Members = p.roster.Load().following(m).coordinators(0)
	return granted, nil
}

// certificates gives those of the trusted authorities, in DER.
func (p *peers) certificates(m *journal.Membership) (all [][]byte, err error) {
	for _, a := range m.Authorities {
		authority, err := peer.OpenAuthority(p.key, a.Sealed)
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(authority.Certificate()) != a.Fingerprint {
			return nil, fmt.Errorf("bank: authority %d of the cluster is not the one that was recorded", a.ID)
		}
		all = append(all, authority.Certificate())
	}
	return all, nil
}

// store writes what the node must know at its next start. shown nil: as it is.
func (p *peers) store(shown *peer.Identity) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if shown != nil {
		p.id.shown = shown
	}
	p.id.Roster = p.roster.Load()
	if err := p.id.write(p.config.DataDir, p.key); err != nil {
		return err
	}
	p.stored.Store(p.id.shown)
	return nil
}

func (p *peers) close(logger *slog.Logger) {
	if err := p.port.Close(); err != nil {
		logger.Error("bank: closing the port for other nodes", "error", err)
	}
}

// waits tells what a node waits for that is in no cluster, or whose cluster has no leader. nil: nothing.
func (p *peers) waits() error {
	n := p.node.Load()
	if n == nil {
		return errors.New("the journal is being opened")
	}
	if p.removed.Load() && !n.Led() {
		return errors.New("the others say that this node is no member any more: it was removed, or it is a worker that was away for too long; let it join anew, with a join token and an empty data directory")
	}
	if p.worker() {
		if !n.Joined() {
			return errors.New("no coordinator has told what a worker must know, or none leads; a majority of the coordinators must run, and this node must reach them")
		}
		return nil
	}
	if err := n.Replica().Waiting(); err != nil {
		return err
	}
	if n.Led() && n.Membership().Issuer == 0 {
		return errors.New("the leader has not recorded the cluster's founders yet")
	}
	if !n.Led() && !n.BetweenLeaders() {
		leader, term := n.Replica().Leader()
		if leader == 0 {
			return fmt.Errorf("no coordinator leads in term %d; a majority of them must run and reach each other", term)
		}
		return fmt.Errorf("%s leads in term %d, and there is no stream to it yet", peer.Name(leader), term)
	}
	return nil
}
