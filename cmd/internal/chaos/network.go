package chaos

import (
	"time"

	"netbank/cmd/internal/lab"
)

// What carries the bytes between nodes.
const (
	byLinks      = "links"      // of this process, on the loopback: no rights are needed
	byNamespaces = "namespaces" // of the kernel: packets are lost for real
)

// network is what carries the bytes between nodes, and can be made worse.
type network interface {
	stop(from, to int) (resume func()) // counted: it goes on when all of them have resumed
	slow(node int, by time.Duration)
	heal()
	close()
}

// lay makes the network, and gives each coordinator's address for other nodes: where it listens, and where they reach it, in rising order.
func (r *rig) lay(c *Command, take func() string) (peers, founders []string, err error) {
	if c.Network == byNamespaces {
		all, err := newNamespaces(c.Nodes+c.Workers, r.say)
		if err != nil {
			return nil, nil, err
		}
		r.net, r.spaces, r.delays = all, all, all.delays
		for i := range c.Nodes {
			peers = append(peers, all.address(i+1))
		}
		return peers, peers, nil
	}
	for range c.Nodes {
		peers = append(peers, take())
	}
	for range c.Nodes {
		founders = append(founders, take())
	}
	r.delays = true
	if c.Nodes+c.Workers < 2 {
		return peers, founders, nil
	}
	all := newLinks(r.opener)
	r.net = all
	for i := range peers {
		if err := all.open(founders[i], i+1, peers[i]); err != nil {
			return nil, nil, err
		}
	}
	return peers, founders, nil
}

// connect lets clients reach a node in a namespace, and it the core and the webhooks' receiver.
func (r *rig) connect(n *node, d *lab.Dev) error {
	if r.spaces == nil {
		return nil
	}
	n.enter = func() error { return r.spaces.enter(n.number) }
	for _, addr := range []string{d.CustomerAddr, d.PartnerAddr, d.OperatorAddr} {
		if err := r.spaces.open(addr, n.number); err != nil {
			return err
		}
	}
	for _, addr := range []string{d.CoreAddr, d.NotifyAddr} {
		if err := r.spaces.offer(addr, n.number); err != nil {
			return err
		}
	}
	return nil
}
