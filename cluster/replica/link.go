package replica

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

// refusalEvery is how often a node logs that it refuses another's messages.
const refusalEvery = 10 * time.Second

// carrier is what Raft's messages travel with: Config.Transport.
type carrier interface {
	raft.Transport
	raft.WithPreVote
}

// link stands between Raft and the transport of a node that has a cluster id. It addresses every message to the
// receiver's disk and takes only what is addressed to this one (greeting.go); it asks and answers hellos, before and
// beside Raft; and it sees how far the others' logs have come, which Raft does not tell.
type link struct {
	inner   carrier
	cluster string
	node    journal.NodeID
	disk    string
	logger  *slog.Logger
	mine    []byte        // expected(cluster, disk)
	rpcs    chan raft.RPC // what is addressed to this node
	known   func(disk string) bool

	beginning atomic.Value // state: what this node says of itself while it has no journal
	founders  string
	journal   atomic.Bool // this node has, or is being given, a journal

	stop chan struct{}
	once sync.Once

	mu      sync.Mutex
	peers   map[raft.ServerID]*peer
	moved   chan struct{} // closed when a peer was heard of, if somebody waits
	waiting int
	refused time.Time // when the last refusal was logged
}

// peer is what this node knows of another one to which it sends.
type peer struct {
	target   raft.ServerAddress
	greeting []byte // for target
	term     uint64 // in which matched was learnt
	matched  uint64 // up to here its log is this node's
	contact  time.Time
	answered time.Time // when the newest request was sent, of those that it answered in that term
}

var (
	_ carrier        = (*link)(nil)
	_ raft.WithClose = (*link)(nil)
)

func newLink(c Config, id identity, hasJournal bool, known func(disk string) bool) *link {
	l := &link{
		inner: c.Transport.(carrier), cluster: id.cluster, node: c.Node, disk: id.disk, logger: c.Logger,
		mine: expected(id.cluster, id.disk), rpcs: make(chan raft.RPC), known: known,
		founders: digestOf(c.Founders), stop: make(chan struct{}),
		peers: make(map[raft.ServerID]*peer), moved: make(chan struct{}),
	}
	l.beginning.Store(stateJoining)
	if c.Beginning == Founding {
		l.beginning.Store(stateFounding)
	}
	l.journal.Store(hasJournal)
	go l.receive()
	return l
}

// receive hands on what is addressed to this node.
func (l *link) receive() {
	for {
		select {
		case <-l.stop:
			return
		case rpc := <-l.inner.Consumer():
			if !l.admit(rpc) {
				continue
			}
			select {
			case l.rpcs <- rpc:
			case <-l.stop:
				rpc.Respond(nil, raft.ErrTransportShutdown)
				return
			}
		}
	}
}

// headerOf gives the header of a message of Raft.
func headerOf(message any) *raft.RPCHeader {
	switch m := message.(type) {
	case *raft.AppendEntriesRequest:
		return &m.RPCHeader
	case *raft.RequestVoteRequest:
		return &m.RPCHeader
	case *raft.RequestPreVoteRequest:
		return &m.RPCHeader
	case *raft.InstallSnapshotRequest:
		return &m.RPCHeader
	case *raft.TimeoutNowRequest:
		return &m.RPCHeader
	}
	return nil
}

// admit tells whether Raft may see a message, and answers it otherwise.
func (l *link) admit(rpc raft.RPC) bool {
	header := headerOf(rpc.Command)
	if header == nil {
		l.refuse(rpc, errGreeting)
		return false
	}
	if from, ok := bytes.CutPrefix(header.Addr, l.mine); ok && len(from) > 0 {
		header.Addr = from // the sender made this copy for this node
		switch m := rpc.Command.(type) {
		case *raft.AppendEntriesRequest:
			if len(m.Entries) > 0 {
				l.journal.Store(true)
			}
		case *raft.InstallSnapshotRequest:
			l.journal.Store(true)
		}
		return true
	}
	if bytes.HasPrefix(header.Addr, []byte(helloMark)) {
		l.answer(rpc, header.Addr)
		return false
	}
	l.refuse(rpc, misaddressed(header.Addr, l.cluster, l.disk, l.node))
	return false
}

func (l *link) refuse(rpc raft.RPC, err error) {
	l.mu.Lock()
	tell := time.Since(l.refused) >= refusalEvery
	if tell {
		l.refused = time.Now()
	}
	l.mu.Unlock()
	if tell {
		l.logger.Warn("a message from another node was refused", "error", err)
	}
	if rpc.Reader == nil {
		rpc.Respond(nil, err)
		return
	}
	// The transport reads the next message behind the snapshot, so that it has to be read to its end.
	go func() {
		_, _ = io.Copy(io.Discard, rpc.Reader)
		rpc.Respond(nil, err)
	}()
}

// hello is what this node says of itself.
func (l *link) hello() hello {
	h := hello{cluster: l.cluster, node: l.node, disk: l.disk, state: stateMember}
	if !l.journal.Load() {
		h.state = l.beginning.Load().(state)
	}
	if h.state == stateFounding {
		h.founders = l.founders
	}
	return h
}

func (l *link) answer(rpc raft.RPC, question []byte) {
	q, err := parseHello(question)
	if err != nil {
		l.refuse(rpc, err)
		return
	}
	a := l.hello()
	a.known = l.known(q.disk)
	rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, Addr: a.encode()}}, nil)
}

// ask says hello to the node at an address, and gives its answer. It takes as long as the transport does.
func (l *link) ask(node journal.NodeID, address string) (hello, error) {
	question := &raft.RequestPreVoteRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(serverID(l.node)), Addr: l.hello().encode(),
	}}
	var answer raft.RequestPreVoteResponse
	if err := l.inner.RequestPreVote(serverID(node), raft.ServerAddress(address), question, &answer); err != nil {
		return hello{}, fmt.Errorf("%w: node %d at %s: %w", ErrUnreachable, node, address, err)
	}
	h, err := parseHello(answer.Addr)
	switch {
	case err != nil:
		return hello{}, fmt.Errorf("%w: node %d at %s answers, but %w; give it a cluster id", ErrUnreachable, node, address, err)
	case h.cluster != l.cluster:
		return hello{}, fmt.Errorf("%w: %s is node %d of cluster %q, this is cluster %q; name the addresses of one cluster only", ErrOtherCluster, address, h.node, h.cluster, l.cluster)
	case h.node != node:
		return hello{}, fmt.Errorf("%w: %s is node %d, not node %d; correct the address or the number", ErrOtherNode, address, h.node, node)
	}
	return h, nil
}

// to gives the address of a member for the transport, and the header with which a message reaches its disk.
func (l *link) to(id raft.ServerID, target raft.ServerAddress, header raft.RPCHeader) (raft.ServerAddress, raft.RPCHeader) {
	plain, disk := cutDisk(target)
	l.mu.Lock()
	p := l.peer(id)
	if p.target != target || !bytes.HasSuffix(p.greeting, header.Addr) {
		if p.target != target {
			*p = peer{} // another disk, another log
		}
		p.target, p.greeting = target, append(expected(l.cluster, disk), header.Addr...)
	}
	header.Addr = p.greeting
	l.mu.Unlock()
	return plain, header
}

// peer is called with the lock held.
func (l *link) peer(id raft.ServerID) *peer {
	p := l.peers[id]
	if p == nil {
		if len(l.peers) >= 2*MembersMax { // removed ones
			clear(l.peers)
		}
		p = &peer{}
		l.peers[id] = p
	}
	return p
}

// heard notes that a member answered, and what is known of its log: matched is 0 when the answer says nothing of it. sent is when a
// request was sent to which the answer says that it knows no later term; or zero.
func (l *link) heard(id raft.ServerID, term, matched uint64, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peer(id)
	p.contact = time.Now()
	if term > p.term {
		p.term, p.matched, p.answered = term, 0, time.Time{}
	}
	if term == p.term && matched > p.matched {
		p.matched = matched
	}
	if term == p.term && sent.After(p.answered) {
		p.answered = sent
	}
	if l.waiting > 0 {
		close(l.moved)
		l.moved = make(chan struct{})
	}
}

// progress tells up to which entry a member's log is this leader's, as far as its answers in this term have shown, and
// when it last answered.
func (l *link) progress(id raft.ServerID, term uint64) (matched uint64, contact time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[id]
	if p == nil {
		return 0, time.Time{}
	}
	if p.term == term {
		matched = p.matched
	}
	return matched, p.contact
}

// followed tells whether a member has answered, in a term, what was sent to it after a moment.
func (l *link) followed(id raft.ServerID, term uint64, since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[id]
	return p != nil && p.term == term && p.answered.After(since)
}

// news gives a channel that is closed when a member is heard of. done must be called.
func (l *link) news() (moved <-chan struct{}, done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting++
	return l.moved, func() {
		l.mu.Lock()
		l.waiting--
		l.mu.Unlock()
	}
}

// Consumer implements raft.Transport.
func (l *link) Consumer() <-chan raft.RPC { return l.rpcs }

// LocalAddr implements raft.Transport.
func (l *link) LocalAddr() raft.ServerAddress { return withDisk(string(l.inner.LocalAddr()), l.disk) }

// AppendEntriesPipeline implements raft.Transport: a follower can wedge with pipelining.
func (l *link) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport. The request is copied: Raft uses it again, and another node may have it.
func (l *link) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	request := *args
	var plain raft.ServerAddress
	plain, request.RPCHeader = l.to(id, target, args.RPCHeader)
	sent := time.Now()
	if err := l.inner.AppendEntries(id, plain, &request, resp); err != nil {
		return err
	}
	var matched uint64
	if resp.Success && resp.Term == args.Term {
		// A heartbeat has neither, and says nothing of the log.
		matched = args.PrevLogEntry
		if n := len(args.Entries); n > 0 {
			matched = args.Entries[n-1].Index
		}
	}
	if resp.Term != args.Term {
		sent = time.Time{}
	}
	l.heard(id, args.Term, matched, sent)
	return nil
}

// RequestVote implements raft.Transport.
func (l *link) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	request := *args
	var plain raft.ServerAddress
	plain, request.RPCHeader = l.to(id, target, args.RPCHeader)
	return l.inner.RequestVote(id, plain, &request, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (l *link) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	request := *args
	var plain raft.ServerAddress
	plain, request.RPCHeader = l.to(id, target, args.RPCHeader)
	return l.inner.RequestPreVote(id, plain, &request, resp)
}

// InstallSnapshot implements raft.Transport.
func (l *link) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	request := *args
	var plain raft.ServerAddress
	plain, request.RPCHeader = l.to(id, target, args.RPCHeader)
	if err := l.inner.InstallSnapshot(id, plain, &request, resp, data); err != nil {
		return err
	}
	var matched uint64
	if resp.Success && resp.Term == args.Term {
		matched = args.LastLogIndex
	}
	l.heard(id, args.Term, matched, time.Time{})
	return nil
}

// TimeoutNow implements raft.Transport.
func (l *link) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	request := *args
	var plain raft.ServerAddress
	plain, request.RPCHeader = l.to(id, target, args.RPCHeader)
	return l.inner.TimeoutNow(id, plain, &request, resp)
}

// EncodePeer implements raft.Transport.
func (l *link) EncodePeer(_ raft.ServerID, address raft.ServerAddress) []byte { return []byte(address) }

// DecodePeer implements raft.Transport.
func (l *link) DecodePeer(address []byte) raft.ServerAddress { return raft.ServerAddress(address) }

// SetHeartbeatHandler implements raft.Transport.
func (l *link) SetHeartbeatHandler(handle func(raft.RPC)) {
	if handle == nil {
		l.inner.SetHeartbeatHandler(nil)
		return
	}
	l.inner.SetHeartbeatHandler(func(rpc raft.RPC) {
		if l.admit(rpc) {
			handle(rpc)
		}
	})
}

// Close implements raft.WithClose.
func (l *link) Close() error {
	l.once.Do(func() { close(l.stop) })
	if closer, ok := l.inner.(raft.WithClose); ok {
		return closer.Close()
	}
	return nil
}

// nodeOf gives the number in Raft's id of a member.
func nodeOf(id raft.ServerID) (journal.NodeID, error) {
	digits, _ := strings.CutPrefix(string(id), "node-")
	number, err := strconv.ParseUint(digits, 10, 32)
	node := journal.NodeID(number)
	if err != nil || node == 0 || serverID(node) != id {
		return 0, fmt.Errorf("replica: %.80q is not the id of a node", id)
	}
	return node, nil
}
