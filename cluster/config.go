package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/replica"
	"netbank/cluster/stream"
)

// Defaults of Config.
const (
	CoreLimitDefault = 10 * time.Second
	SendByDefault    = 2 * time.Second
	CloseWaitDefault = 5 * time.Second
)

// Bounds of a node. They are listed in docs/limits.md.
const (
	// BudgetMax is the longest that a confirmation waits; longer budgets count as this.
	BudgetMax = 30 * time.Second
	// BalanceBudget is how long whoever looks at balances waits for them. What the gate does not expect to be answered by then is refused at every door:
	// they are a comfort, and the first work that is left out when the core is slow.
	BalanceBudget = 800 * time.Millisecond
	// WaitMax is the longest that Submit and Await wait; later deadlines count as this.
	WaitMax = time.Minute
	// CommandsMax is the number of calls that may wait for the leader, over all kinds.
	CommandsMax = 16384
	// WaitersMax is the number of callers that may wait for payments to change.
	WaitersMax = 1 << 17
	// ExecutorsMax is the number of payments between "go" and the commit of their outcome. It is above the gate's seats,
	// since a seat is free before its outcome is committed.
	ExecutorsMax = 2 * gate.SeatsMax
	// FollowersMax is the number of callers that may hang on to one confirmation that waits for its seat, and ask for themselves if it is
	// refused. Others wait for the payment's outcome only.
	FollowersMax = 16
	// AsksMax is the number of lookups of a node without a journal that have no answer yet, what it waits for included. Where they are
	// asked more of one node are a fault.
	AsksMax = 16384
	// AskWait is how long a lookup at another node may take, its repetition at the next one included.
	AskWait = time.Second
	// BehindMax is how long a node that is asked may take to apply what the one that asks has seen already.
	BehindMax = 300 * time.Millisecond
	// KnownMax is the number of payments that a node without a journal remembers at least, and half of what it remembers at most.
	KnownMax = 8192
	// EntryCommandsMax is the number of commands in one entry.
	EntryCommandsMax = 1024
	// EntriesInFlight is the number of entries that are being committed at once: one is written while the next one
	// travels, and whatever comes meanwhile makes up the one after.
	EntriesInFlight = 2
	// ResolversMax is the number of payments that are being resolved at once.
	ResolversMax = 8
	// DoubtfulMax is the number of unresolved payments that the resolver keeps a schedule for; the others wait in the
	// journal until there is room.
	DoubtfulMax = 16384
	// CallsAwayMax is the number of this node's calls that another node's leader may have at once; further ones wait here. Outcomes of
	// payments are not counted: they are bounded by ExecutorsMax.
	CallsAwayMax = 8192
	// CallsAwayBytesMax is the size of their commands, beyond which further ones wait here.
	CallsAwayBytesMax = 4 << 20
	// GuestsMax is the number of nodes that a leader looks after at once. Others are turned away.
	GuestsMax = 128
	// GuestCallsMax is the number of calls of one node that a leader has at once. A node that sends more is disconnected.
	GuestCallsMax = 2*CallsAwayMax + ExecutorsMax
	// WithdrawWait is how long an asker whose time is over waits for the word whether its call could be taken back from another node's leader.
	WithdrawWait = 500 * time.Millisecond
	// UnconfirmedWait is how long Unconfirmed waits for the leader's word.
	UnconfirmedWait = 500 * time.Millisecond
	// LeaderlessMax is how long after the loss of its leader a node still lets calls come and wait for the next one: far longer than an election
	// takes. After that, and before a node has ever had a leader, its edge refuses at once.
	LeaderlessMax = 5 * time.Second
	// CatchUpMax is how long a "not found" waits for this node to have applied what the leader has.
	CatchUpMax = time.Second
	// AboutBytesMax is the size of what a node tells of itself.
	AboutBytesMax = 64 << 10
	// whyMax is the length of the reason that travels with a call that could not be sent.
	whyMax = 200
	// ClockDeviationMax is how far the wall clock may be from the journal's time before no more seats are granted.
	ClockDeviationMax = 5 * time.Second
)

// How long finished things are kept in the journal. Payments outlive the partners' retries of webhooks (72 h).
const (
	PaymentsKept        = 96 * time.Hour
	IdempotencyKeysKept = 48 * time.Hour
	NoticesKept         = 72 * time.Hour
	pruneEvery          = time.Hour
	expireEvery         = 500 * time.Millisecond
)

// Config is what a node is made of.
type Config struct {
	// Replica says where the journal lives and which node this is. Its OnApplied is called after the node's own.
	// Limits left zero are journal.DefaultLimits.
	Replica replica.Config
	// Core is the core banking system; it is called for granted work only. One that also has Ping(context.Context)
	// error is asked by it whether it can be reached.
	Core Core
	// Gate configures the gate. Its CoreLimit is set from this Config.
	Gate gate.Config
	// Reserve and Emergency are the gate's ceilings while an operator has it at these levels: up to gate.CeilingMax. What is lower than the
	// level below, such as 0, counts as that.
	Reserve, Emergency int
	// CoreLimit is how long a call may be inside the core, from its write, before its seat is given away: 1 s to 60 s;
	// 0 means CoreLimitDefault. The same on every node.
	CoreLimit time.Duration
	// SendBy is how long a grant may be used: 100 ms up to CoreLimit; 0 means SendByDefault.
	SendBy time.Duration
	// CloseWait is how long Close lets running calls finish: up to a minute; 0 means CloseWaitDefault.
	CloseWait time.Duration
	// AcceptClock says that an operator has looked at the machine's clock and accepts it, although it is far from the
	// journal's last stamp.
	AcceptClock bool
	// AdmissionOff takes the limit away, up to gate.CeilingMax seats, and admits to a core that has stopped answering. For experiments that show what the gate is for.
	AdmissionOff bool
	// Wall is the machine's clock; nil means time.Now. netbank-lab sets it wrong, to see what happens.
	Wall func() time.Time
	// ClusterID tells clusters apart; nodes of one cluster have the same. Empty where there is only one.
	ClusterID string
	// Role is what this node presents itself as to others; 0 means stream.Coordinator.
	Role stream.Role
	// Leader tells which node leads as far as is known here, and in which term; 0 if none is known. It must not block. nil: no
	// other node ever leads.
	Leader func() (journal.NodeID, uint64)
	// Dial connects to a node's stream port, where its Serve hears. The connection is authenticated in both directions. It is
	// needed with Leader.
	Dial func(ctx context.Context, node journal.NodeID) (net.Conn, error)
	// Coordinators lists the nodes that have a journal, for NewWorker: it looks things up at any of them. It must not block.
	Coordinators func() []journal.NodeID
	// Members lists the nodes that may have calls in the core, this one included: once all of them have reported theirs, a new
	// leader starts balances without waiting for the core limit. It must not block. nil: not known.
	Members func() []journal.NodeID
	// About is what this node tells of itself, to the leader that it follows or to those who follow it: see Followers and LeaderSays. It is
	// asked for at every heartbeat of every stream, must not block, and what it gives must not change; more than AboutBytesMax is not told.
	// nil: nothing is.
	About func() []byte
	// Line has new flows wait in a line when more come than can be carried. Without it they are let in, and refused where it is full. It counts on the node that
	// leads.
	Line bool
	// SignIns tells how many passwords this node can check a second; 0: not known. It must not block. nil: not known.
	SignIns func() float64
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
	// Logger; nil means that nothing is logged.
	Logger *slog.Logger

	wall func() time.Time // the machine's clock; tests set it
}

func (c Config) withDefaults() Config {
	if c.CoreLimit == 0 {
		c.CoreLimit = CoreLimitDefault
	}
	if c.SendBy == 0 {
		c.SendBy = min(SendByDefault, c.CoreLimit)
	}
	if c.Role == 0 {
		c.Role = stream.Coordinator
	}
	if c.CloseWait == 0 {
		c.CloseWait = CloseWaitDefault
	}
	if c.Replica.Limits == (journal.Limits{}) {
		c.Replica.Limits = journal.DefaultLimits()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	if c.wall == nil {
		c.wall = c.Wall
	}
	if c.wall == nil {
		c.wall = time.Now
	}
	if c.Gate.Ceiling == 0 {
		c.Gate.Ceiling = gate.CeilingMax
	}
	if c.AdmissionOff {
		c.Gate.Limit, c.Gate.Ceiling, c.Gate.IgnoreStalls = gate.CeilingMax, gate.CeilingMax, true
	}
	// A grant may lie unused for SendBy before the core limit begins.
	c.Gate.CoreLimit = c.SendBy + c.CoreLimit
	return c
}

func (c Config) validate() error {
	switch {
	case c.Core == nil:
		return fmt.Errorf("cluster: Config.Core is nil; give the node a core banking system to call")
	case c.Leader != nil && c.Dial == nil:
		return fmt.Errorf("cluster: Config.Leader is set and Config.Dial is nil; say how to connect to the leader")
	case c.Replica.Node == 0:
		return fmt.Errorf("cluster: Config.Replica.Node is 0; nodes are numbered from 1")
	case c.CoreLimit < time.Second || c.CoreLimit > time.Minute:
		return fmt.Errorf("cluster: core limit %v is not between 1s and 1m; leave it 0 for %v", c.CoreLimit, CoreLimitDefault)
	case c.SendBy < 100*time.Millisecond || c.SendBy > c.CoreLimit:
		return fmt.Errorf("cluster: send-by %v is not between 100ms and the core limit %v; leave it 0 for %v", c.SendBy, c.CoreLimit, SendByDefault)
	case c.Reserve < 0 || c.Reserve > gate.CeilingMax || c.Emergency < 0 || c.Emergency > gate.CeilingMax:
		return fmt.Errorf("cluster: the ceilings of reserve and emergency are %d and %d; each may be 0 to %d", c.Reserve, c.Emergency, gate.CeilingMax)
	case c.CloseWait < 0 || c.CloseWait > time.Minute:
		return fmt.Errorf("cluster: close wait %v is not between 0 and 1m; leave it 0 for %v", c.CloseWait, CloseWaitDefault)
	}
	if err := c.Gate.Validate(); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// driftShift bounds how much the monotonic clocks of two nodes may differ in speed: 2^-10, a thousand in a million; crystals stay
// below fifty.
const driftShift = 10

// silence is how long after its grant a payment may still be inside the core, or on its way there.
func (c Config) silence() time.Duration { return c.SendBy + c.CoreLimit }
