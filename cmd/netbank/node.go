package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

type nodeVerb struct {
	Drain   nodeDrain   `cmd:"" help:"Keep customers away from a node; no request fails."`
	Undrain nodeUndrain `cmd:"" help:"Let customers come to a node again."`
}

// Help is what `netbank node --help` says first.
func (*nodeVerb) Help() string {
	return `Examples:
  netbank node drain 2 --reason "a new kernel"
  netbank node undrain 2 --reason "the kernel is in"

Any node of the cluster can be asked. Exit codes: see "netbank --help"; 75 means: the outcome is not known yet, do it again.`
}

type nodeDrain struct {
	changing
	Node  uint32 `arg:"" help:"The node's number."`
	Force bool   `help:"Even if no other node can take its customers, and payments stop."`

	Wait time.Duration `help:"How long to wait until nobody is left there, connections and payments; 0s: not at all." default:"0s"`
}

// Help is what `netbank node drain --help` says first.
func (*nodeDrain) Help() string {
	return `Examples:
  netbank node drain 2 --reason "a new kernel" --dry-run
  netbank node drain 2 --reason "a new kernel" --yes --wait 1m && ssh node2 systemctl stop netbank-coordinator
  netbank node drain 2 --reason "a new kernel" --yes --wait 1m --json

The node says that it is not ready, so that balancers send nobody there; who is there is served, and leaves with the answer. If it leads, it lets
another one lead. It stays drained, also when it is started again, until it is undrained. Its /readyz says how many connections are left.

With --wait it returns when nobody is left: balancers have had their time to notice, all connections of customers and partners have ended, and no payment
of the node's is inside the core. Ask the leader, or the node itself: no other hears who is left. Exit codes: 0 nobody is left; 75 somebody still is,
or this node cannot know; the node stays drained all the same.`
}

// Run drains a node, and waits until nobody is left there.
func (c *nodeDrain) Run(t *terminal) error {
	if c.Wait < 0 {
		return usage("--wait is %v; it may not be negative", c.Wait)
	}
	var after func(*ops.Change) error
	if c.Wait > 0 {
		after = func(*ops.Change) error { return c.await(t, time.Now()) }
	}
	return c.change(t, fmt.Sprintf("/api/v1/cluster/nodes/%d/drain", c.Node), ops.NodeRequest{Force: c.Force, Reason: c.Reason}, after)
}

// await returns when nobody is left at the node.
func (c *nodeDrain) await(t *terminal, began time.Time) error {
	say := func(format string, args ...any) {
		if !c.JSON {
			t.say("%6.1f s  %s", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
		}
	}
	var told *int64
	for {
		left, err := c.left()
		switch {
		case err != nil:
			return err
		case left != nil && *left == 0:
			say("nobody is left at node %d", c.Node)
			return nil
		case left != nil && (told == nil || *told != *left):
			say("%d are left at node %d: connections, and payments inside the core", *left, c.Node)
			told = left
		}
		if time.Since(began) > c.Wait {
			return &bank.Error{Code: exitNotNow, Err: fmt.Errorf("somebody is still left at node %d after %v; it stays drained: `netbank cluster status` shows it, and the same command waits again", c.Node, c.Wait)}
		}
		time.Sleep(scaleLookEvery)
	}
}

// left asks who is left at the node; nil: it has not said so yet.
func (c *nodeDrain) left() (*int64, error) {
	text, err := c.call(http.MethodGet, "/api/v1/cluster", nil)
	if err != nil {
		return nil, err
	}
	var m ops.Members
	if err := answerInto(text, &m); err != nil {
		return nil, err
	}
	leader := ""
	for i := range m.Nodes {
		if n := &m.Nodes[i]; n.Leader {
			leader = n.Operator
		}
	}
	i := slices.IndexFunc(m.Nodes, func(n ops.Node) bool { return n.Node == c.Node })
	switch {
	case i < 0:
		return nil, fmt.Errorf("the cluster has no node %d any more", c.Node)
	case m.Nodes[i].State == ops.NodeDown:
		return new(int64), nil // it does not run
	case m.Leader != 0 && m.Leader != m.Self && c.Node != m.Self:
		err := fmt.Errorf("node %d is drained, and node %d cannot know who is left there", c.Node, m.Self)
		if leader != "" {
			err = &elsewhere{err: err, node: m.Leader, operator: leader}
		}
		return nil, &bank.Error{Code: exitNotNow, Err: err}
	}
	return m.Nodes[i].Left, nil
}

type nodeUndrain struct {
	changing
	Node uint32 `arg:"" help:"The node's number."`
}

// Help is what `netbank node undrain --help` says first.
func (*nodeUndrain) Help() string {
	return `Examples:
  netbank node undrain 2 --reason "the kernel is in"

Balancers send customers to the node again as soon as it says that it is ready.`
}

// Run undrains a node.
func (c *nodeUndrain) Run(t *terminal) error {
	return c.change(t, fmt.Sprintf("/api/v1/cluster/nodes/%d/undrain", c.Node), ops.NodeRequest{Reason: c.Reason}, nil)
}
