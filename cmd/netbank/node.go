package main

import (
	"fmt"

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
}

// Help is what `netbank node drain --help` says first.
func (*nodeDrain) Help() string {
	return `Examples:
  netbank node drain 2 --reason "a new kernel" --dry-run
  netbank node drain 2 --reason "a new kernel" --yes --json

The node says that it is not ready, so that balancers send nobody there; who is there is served, and leaves with the answer. If it leads, it lets
another one lead. It stays drained, also when it is started again, until it is undrained. Its /readyz says how many connections are left.`
}

// Run drains a node.
func (c *nodeDrain) Run(t *terminal) error {
	return c.change(t, fmt.Sprintf("/api/v1/cluster/nodes/%d/drain", c.Node), ops.NodeRequest{Force: c.Force, Reason: c.Reason}, nil)
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
