package replica

import (
	"errors"
	"flag"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"netbank/cluster/journal"
)

// acknowledgement is an entry that a node answered for.
type acknowledgement struct {
	node        journal.NodeID
	index, term uint64
	customer    uint64
}

// history is what happened to a cluster.
type history struct {
	mu    sync.Mutex
	acks  []acknowledgement
	never []uint64 // certainly not appended
	next  uint64
}

// load proposes at every node that says it leads, and notes the answers, until stop is closed.
func (h *history) load(c *cluster, stop <-chan struct{}) {
	for {
		for _, r := range c.running() {
			if _, leading := r.Leadership(); !leading {
				continue
			}
			h.mu.Lock()
			h.next++
			n := h.next
			h.mu.Unlock()
			outcome, err := r.Propose(encode(c.t, customer(n))).Wait()
			h.mu.Lock()
			switch {
			case err == nil:
				h.acks = append(h.acks, acknowledgement{r.cfg.Node, outcome.Index, outcome.Term, n})
			case !errors.Is(err, ErrUnknown):
				h.never = append(h.never, n)
			}
			h.mu.Unlock()
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// fault is one random event, and a short while in which it has its effect.
func (c *cluster) fault(t *rapid.T) {
	node := journal.NodeID(rapid.IntRange(1, 3).Draw(t, "node"))
	other := node%3 + 1
	s := c.nodes[node]
	switch kind := rapid.SampledFrom([]string{"part", "one way", "heal", "crash", "restart", "snapshot", "transfer"}).Draw(t, "fault"); kind {
	case "part":
		c.part(node)
	case "one way":
		c.cut[[2]journal.NodeID{node, other}] = true
		c.connect()
	case "heal":
		c.heal()
	case "crash":
		c.stop(node)
	case "restart":
		c.stop(node)
		c.open(node)
	case "snapshot":
		if s.Replica != nil {
			if err := s.raft.ReloadConfig(withoutTrailingLogs(s.Replica)); err != nil {
				t.Fatal(err)
			}
			_ = s.Snapshot() // it may be refused while the members' entry is not applied
		}
	case "transfer":
		if s.Replica != nil {
			_ = s.TransferLeadership(short(c.t), 0)
		}
	}
	time.Sleep(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
}

// check looks at what all nodes have made of it.
func (h *history) check(t *rapid.T, c *cluster) {
	leads := make(map[uint64]journal.NodeID)
	at := make(map[uint64]acknowledgement)
	for _, a := range h.acks {
		if other, ok := leads[a.term]; ok && other != a.node {
			t.Errorf("nodes %d and %d both acknowledged entries of term %d", other, a.node, a.term)
		}
		leads[a.term] = a.node
		if other, ok := at[a.index]; ok {
			t.Errorf("entry %d was acknowledged as customer %d and as customer %d", a.index, other.customer, a.customer)
		}
		at[a.index] = a
		for node, s := range c.nodes {
			if !has(s.Replica, a.customer) {
				t.Errorf("customer %d, entry %d of term %d, was acknowledged by node %d, and node %d has lost it", a.customer, a.index, a.term, a.node, node)
			}
		}
	}
	for _, n := range h.never {
		for node, s := range c.nodes {
			if has(s.Replica, n) {
				t.Errorf("customer %d was certainly never appended, and node %d has it", n, node)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	terms := make(map[uint64]uint64)
	for node, entries := range c.applied {
		if !slices.IsSortedFunc(entries, func(a, b Applied) int { return int(a.Index) - int(b.Index) }) {
			t.Errorf("node %d applied entries out of order", node)
		}
		for _, e := range entries {
			if term, ok := terms[e.Index]; ok && term != e.Term {
				t.Errorf("entry %d is of term %d on node %d and of term %d on another", e.Index, e.Term, node, term)
			}
			terms[e.Index] = e.Term
		}
	}
}

// Random partitions, one-way losses, crashes, restarts, snapshots and transfers, under load.
func TestNothingAcknowledgedIsLost_InRandomHistoriesOfThreeNodes(t *testing.T) {
	fewChecks(t, 6)
	rapid.Check(t, func(rt *rapid.T) {
		c := smallSegments(newCluster(t, 3))
		for node := range c.nodes {
			c.open(node)
		}
		propose(t, c.leader().Replica, partner())
		h := &history{}
		stop := make(chan struct{})
		var load sync.WaitGroup
		for range 2 {
			load.Go(func() { h.load(c, stop) })
		}
		for range rapid.IntRange(3, 10).Draw(rt, "faults") {
			c.fault(rt)
		}
		c.heal()
		for node := range c.nodes {
			if c.nodes[node].Replica == nil {
				c.open(node)
			}
		}
		c.leader()
		close(stop)
		load.Wait()
		c.same()
		h.check(rt, c)
		rt.Logf("%d entries were acknowledged, %d certainly not appended, %d proposed", len(h.acks), len(h.never), h.next)
		for node := range c.nodes {
			c.stop(node)
		}
	})
}

// fewChecks sets how many histories are tried, unless the command line does. They take real time, so a failed one is not
// made smaller: it would hardly fail in the same way.
func fewChecks(t *testing.T, checks int) {
	t.Helper()
	values := map[string]string{"rapid.checks": strconv.Itoa(checks), "rapid.shrinktime": "0s"}
	flag.Visit(func(f *flag.Flag) { delete(values, f.Name) })
	for name, value := range values {
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flag.Set(name, before) })
	}
}
