package bank

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/peer"
	"netbank/cluster/replica"
)

// derivedAuthority is the purpose of the secret from which a cluster's first authority is made.
const derivedAuthority = "cluster-authority-seed"

// checkCluster refuses flags that do not go together, and fills in the advertised address.
func (c *Config) checkCluster() error {
	worker := c.Role == peer.Worker.String()
	alone := c.PeerAddr == "" && !worker
	switch {
	case alone && (c.PeerAdvertise != "" || c.BootstrapExpect != 0 || len(c.Join) > 0 || c.JoinTokenFile != "" || c.Role != ""):
		return usage("--peer-advertise, --bootstrap-expect, --join, --join-token-file and --role are for a node with others; give --peer-addr too, where they reach this one (a worker needs none, but --role worker)")
	case alone:
		return nil
	case c.BootstrapExpect != 0 && c.JoinTokenFile != "":
		return usage("--bootstrap-expect founds a cluster, and --join-token-file joins one; give one of them")
	case c.Role != "" && c.Role != peer.Coordinator.String() && c.Role != peer.Worker.String():
		return usage("--role is %q; the roles are coordinator and worker", c.Role)
	case worker && c.BootstrapExpect != 0:
		return usage("--role is worker, and only coordinators found a cluster; give --join-token-file")
	case worker && c.DataDir == "" && c.JoinTokenFile == "":
		return usage("a worker without --data-dir has its identity in memory only, and joins at each start; give --join-token-file, with a token of as many uses")
	}
	if c.Cluster == "" {
		c.Cluster = "netbank"
	}
	if err := peer.CheckCluster(c.Cluster); err != nil {
		return usage("--cluster: %w", err)
	}
	if worker {
		return nil // nobody dials it
	}
	if c.PeerAdvertise == "" {
		c.PeerAdvertise = c.PeerAddr
	}
	host, _, err := net.SplitHostPort(c.PeerAdvertise)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		return usage("the others cannot reach this node at %q; give --peer-advertise host:port as they know it", c.PeerAdvertise)
	}
	if err := peer.CheckAddr(c.PeerAdvertise); err != nil {
		return usage("--peer-advertise: %w", err)
	}
	return c.checkFounders()
}

func (c *Config) checkFounders() error {
	switch {
	case c.BootstrapExpect == 0 && len(c.Join) > 0:
		return usage("--join names the founders of a new cluster, and goes with --bootstrap-expect; a node that joins an existing cluster needs --join-token-file")
	case c.BootstrapExpect == 0:
		return nil
	case c.BootstrapExpect != 1 && c.BootstrapExpect != 3 && c.BootstrapExpect != replica.VotersMax:
		return usage("--bootstrap-expect is %d; a cluster is founded by 1, 3 or %d coordinators: an even number survives no more losses than one less", c.BootstrapExpect, replica.VotersMax)
	}
	if c.BootstrapExpect == 1 && len(c.Join) == 0 {
		c.Join = []string{c.PeerAdvertise}
	}
	for _, addr := range c.Join {
		if err := peer.CheckAddr(addr); err != nil {
			return usage("--join: %w", err)
		}
	}
	founders := c.founders()
	if len(founders) != c.BootstrapExpect || len(c.Join) != c.BootstrapExpect {
		return usage("--join names %d founders, --bootstrap-expect is %d; name each founder once, this one among them, the same list on all of them", len(founders), c.BootstrapExpect)
	}
	if !slices.Contains(founders, c.PeerAdvertise) {
		return usage("--join does not name this node, which the others reach at %s; name it, or correct --peer-advertise", c.PeerAdvertise)
	}
	return nil
}

// founders gives the founders' addresses in their order: a founder's number is its place, from 1.
func (c *Config) founders() []string {
	all := slices.Clone(c.Join)
	slices.Sort(all)
	return slices.Compact(all)
}

// identify finds out who this node is: by its data directory, by its token, or as a founder.
func (p *peers) identify(ctx context.Context) error {
	c := p.config
	id, err := readIdentity(c.DataDir, p.key)
	if err != nil {
		return err
	}
	if c.DataDir == "" {
		return p.join(ctx)
	}
	node, _, err := replica.Whose(c.DataDir)
	if err != nil {
		return &Error{Code: ExitDirectory, Err: err}
	}
	// Founders whose flags were wrong have no journal yet, and may be given others.
	again := id != nil && id.Beginning == "founding" && id.Roster.Version == 0 && c.BootstrapExpect > 1
	switch {
	case id != nil && !again:
		p.id = id
		if id.lapsedWorker() && c.JoinTokenFile != "" {
			return p.join(ctx)
		}
		if s := id.shown.Subject(); s.Cluster != c.Cluster {
			return usage("--cluster is %s, and the data directory belongs to node %d of cluster %s; name that cluster, or another directory", c.Cluster, s.Node, s.Cluster)
		} else if c.Role != "" && c.Role != s.Role.String() {
			return usage("--role is %s, and the data directory belongs to a %s; a node keeps its role for life: name an empty directory, and let a new node join", c.Role, s.Role)
		}
		if id.lapsedWorker() {
			return usage("this worker was off for longer than its certificate ran, until %s; give --join-token-file with a new token, and it joins again under another number", id.shown.NotAfter().Format(time.RFC3339))
		}
		return p.recertify()
	case c.JoinTokenFile != "" && node == 0:
		return p.join(ctx)
	case c.BootstrapExpect > 1 && (node == 0 || again):
		return p.found(c.founders())
	}
	if c.Role == peer.Worker.String() {
		return usage("a worker joins with a token, and this one has neither a token nor an identity; give --join-token-file, and an empty data directory")
	}
	// A node alone that others may join, with or without a journal of its own.
	return p.begin("alone", max(node, 1), []peer.Member{{Node: max(node, 1), Role: peer.Coordinator, Addr: c.PeerAdvertise}})
}

func (p *peers) found(founders []string) error {
	var members []peer.Member
	for i, addr := range founders {
		members = append(members, peer.Member{Node: journal.NodeID(i + 1), Role: peer.Coordinator, Addr: addr})
	}
	self := journal.NodeID(slices.Index(founders, p.config.PeerAdvertise) + 1)
	if node, _, _ := replica.Whose(p.config.DataDir); node != 0 && node != self {
		return usage("the data directory was begun as that of node %d, and with this --join this is node %d; name an empty directory", node, self)
	}
	return p.begin("founding", self, members)
}

// begin makes the identity of a node whose cluster has the authority that the key-encryption key gives.
func (p *peers) begin(beginning string, self journal.NodeID, members []peer.Member) error {
	authority, err := p.derived()
	if err != nil {
		return err
	}
	shown, err := authority.Identity(peer.Subject{Cluster: p.config.Cluster, Node: self, Role: peer.Coordinator}, time.Now())
	if err != nil {
		return err
	}
	next := self
	for _, m := range members {
		next = max(next, m.Node)
	}
	p.id = &identity{Beginning: beginning, Roster: &roster{Next: next + 1, Members: members}, shown: shown}
	if beginning == "founding" {
		p.id.Founders = len(members)
	}
	return p.id.write(p.config.DataDir, p.key)
}

// derived gives the authority that all founders make of the same key-encryption key.
func (p *peers) derived() (*peer.Authority, error) {
	secret, err := p.key.Derive(derivedAuthority, peer.DerivedSecretBytesMin)
	if err != nil {
		return nil, err
	}
	return peer.DeriveAuthority(p.config.Cluster, secret)
}

// join asks the cluster that made the token for a number and a certificate. It waits for coordinators that cannot answer yet.
func (p *peers) join(ctx context.Context) error {
	c := p.config
	line, err := readPrivate("join token", c.JoinTokenFile)
	if err != nil {
		return &Error{Code: ExitUsage, Err: err}
	}
	token, err := peer.ParseToken(line)
	if err != nil {
		return &Error{Code: ExitUsage, Err: err}
	}
	switch {
	case token.Cluster != c.Cluster:
		return usage("--cluster is %s, and the token is one of cluster %s", c.Cluster, token.Cluster)
	case c.Role != "" && c.Role != token.Role.String():
		return usage("--role is %s, and the token lets in a %s; ask for another token, or leave --role out", c.Role, token.Role)
	case token.Role == peer.Coordinator && c.PeerAddr == "":
		return usage("the token lets in a coordinator; give --peer-addr, where the others reach it")
	}
	addr := c.PeerAdvertise
	if token.Role == peer.Worker {
		addr = ""
	}
	p.logger.Info("this node asks to join", "cluster", token.Cluster, "token", token.ID.String(), "coordinators", token.Addrs)
	shown, members, err := peer.Join(ctx, peer.JoinConfig{Token: token, Addr: addr, Logger: p.logger})
	for _, hopeless := range []error{peer.ErrTokenRefused, peer.ErrTokenExpired, peer.ErrTokenUsed, peer.ErrRefused} {
		if errors.Is(err, hopeless) {
			return &Error{Code: ExitUsage, Err: err}
		}
	}
	if err != nil {
		return err
	}
	next := shown.Subject().Node
	for _, m := range members {
		next = max(next, m.Node)
	}
	p.id = &identity{Beginning: "joining", Roster: &roster{Next: next + 1, Members: members}, shown: shown}
	p.logger.Info("this node has joined", "cluster", token.Cluster, "node", shown.Subject().Node)
	return p.id.write(c.DataDir, p.key)
}

// readPrivate reads one line from a file that only its owner may read.
func readPrivate(what, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("bank: the %s: %w", what, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("bank: the %s %s can be read by others (mode %04o); run `chmod 600 %s`", what, path, info.Mode().Perm(), path)
	}
	if info.Size() > peer.TokenBytesMax {
		return "", fmt.Errorf("bank: the %s %s has %d bytes, at most %d are read", what, path, info.Size(), peer.TokenBytesMax)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("bank: the %s: %w", what, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// recertify makes a coordinator that was off for longer than its certificate ran a new one: it has the authority.
func (p *peers) recertify() error {
	now := time.Now()
	if now.Before(p.id.shown.NotAfter()) || p.id.shown.Subject().Role != peer.Coordinator {
		return nil
	}
	authority, err := p.derived()
	if sealed, ok := p.id.Authorities[p.id.Issuer]; ok {
		authority, err = peer.OpenAuthority(p.key, sealed)
	}
	if err != nil {
		return err
	}
	trusted := p.id.shown.Authorities()
	shown, err := authority.Identity(p.id.shown.Subject(), now)
	if err == nil {
		p.id.shown, err = shown.Trusting(trusted...)
	}
	if err != nil {
		return fmt.Errorf("bank: this node's certificate has lapsed, and it cannot make itself another: %w", err)
	}
	p.logger.Info("this node's certificate had lapsed; it has made itself another", "until", p.id.shown.NotAfter())
	return p.id.write(p.config.DataDir, p.key)
}
