package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"netbank/bench/demo"
	"netbank/frontend/ops"
)

// What a demo cluster can be.
const (
	nodesMax   = 5
	workersMax = 8
	// workerSignInsMax is more than any machine does.
	workerSignInsMax = 1_000_000
	// NodePorts is how far the ports of one node of a cluster are from those of the next.
	NodePorts = 10
	// ClusterPorts is how many ports from --node-port on a cluster may use: its own nodes', and those of a dozen workers that come.
	ClusterPorts = (nodesMax + workersMax + 12) * NodePorts
	// memberNotice is how long the balancer takes to notice that a node leaves: it asks ten times a second, and a busy machine answers late.
	memberNotice = 500 * time.Millisecond
	// Data directories when none is named. Banks of different kinds never share one: each has a journal of its own, and a core that has seen
	// the references of only one.
	oneDir     = "data/dev"
	aloneDir   = "data/dev-alone"
	clusterDir = "data/dev-cluster"
	// clusterFile remembers how the cluster of a data directory was founded.
	clusterFile = "cluster.json"
)

// member is a node of the demo cluster and the addresses that it listens on. A worker has none for other nodes.
type member struct {
	worker                            bool
	name, dir                         string
	customer, partner, operator, peer string
}

// founded is how a cluster was begun. Its founders know each other by their addresses, which therefore stay.
type founded struct {
	Nodes    int    `json:"nodes"`
	NodePort int    `json:"nodePort"`
	Balancer string `json:"balancer,omitempty"` // behind HAProxy nodes have other addresses; empty: the lab's own
}

func (d *Dev) founding() founded {
	f := founded{Nodes: d.Nodes, NodePort: d.NodePort}
	if d.behindHAProxy() {
		f.Balancer = d.Balancer
	}
	return f
}

// clustered says whether others can join the demo bank, which then has a balancer in front of it.
func (d *Dev) clustered() bool { return !d.Alone }

// checkNodes refuses what cannot be a cluster, and fills in the data directory.
func (d *Dev) checkNodes() error {
	if d.Nodes != 1 && d.Nodes != 3 && d.Nodes != nodesMax {
		return fmt.Errorf("--nodes is %d; it may be 1, 3 or %d: an even number survives no more deaths than one less", d.Nodes, nodesMax)
	}
	if d.Workers < 0 || d.Workers > workersMax {
		return fmt.Errorf("--workers is %d; it may be 0 to %d", d.Workers, workersMax)
	}
	if d.WorkerSignIns < 0 || d.WorkerSignIns > workerSignInsMax {
		return fmt.Errorf("--worker-sign-ins is %v; it may be 0 to %d", d.WorkerSignIns, workerSignInsMax)
	}
	if d.Alone && (d.Nodes > 1 || d.Workers > 0 || d.WorkersFirst || d.behindHAProxy()) {
		return errors.New("--alone is one process; leave out --nodes, --workers, --workers-first and --balancer")
	}
	room := (d.Nodes + d.Workers) * NodePorts
	if last := 1 << 16; d.clustered() && (d.NodePort < 1 || d.NodePort+room > last) {
		return fmt.Errorf("--node-port is %d; it may be 1 to %d", d.NodePort, last-room)
	}
	if d.DataDir == "" {
		switch {
		case d.Alone:
			d.DataDir = aloneDir
		case d.Nodes > 1 || d.Workers > 0:
			d.DataDir = clusterDir
		default:
			d.DataDir = oneDir
		}
	}
	dir, err := filepath.Abs(d.DataDir)
	if err != nil {
		return fmt.Errorf("--data-dir is %s: %w", d.DataDir, err)
	}
	d.DataDir = dir
	if err := d.checkHAProxy(); err != nil {
		return err
	}
	return d.checkFounded()
}

// checkFounded refuses a data directory that belongs to another kind of bank.
func (d *Dev) checkFounded() error {
	var was founded
	text, err := os.ReadFile(d.path(clusterFile))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // whoever makes the directory will say what is wrong with it
		if _, err := os.Stat(d.path("bank")); err == nil && d.clustered() {
			return fmt.Errorf("%s holds a bank of one process; go on with --alone, choose another --data-dir, or begin anew after `netbank-lab reset --data-dir %s`", d.DataDir, d.DataDir)
		}
		return nil
	case err != nil:
		return fmt.Errorf("cannot read how the cluster was founded: %w", rootCause(err))
	case d.Alone:
		return fmt.Errorf("%s holds a cluster; leave --alone out, choose another --data-dir, or begin anew after `netbank-lab reset --data-dir %s`", d.DataDir, d.DataDir)
	}
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("%s: %w; begin anew after `netbank-lab reset --data-dir %s`", d.path(clusterFile), err, d.DataDir)
	}
	if was != d.founding() {
		return fmt.Errorf("%s holds a cluster that was founded with --nodes %d --node-port %d%s; go on with those, choose another --data-dir, or begin anew after `netbank-lab reset --data-dir %s`",
			d.DataDir, was.Nodes, was.NodePort, strings.TrimSuffix(" --balancer "+was.Balancer, " --balancer "), d.DataDir)
	}
	return nil
}

// remember writes down how the cluster is founded.
func (d *Dev) remember() error {
	text, err := json.Marshal(d.founding())
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := os.WriteFile(d.path(clusterFile), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// members are the nodes of a cluster; one node alone is none.
func (d *Dev) members() []member {
	if !d.clustered() {
		return nil
	}
	var all []member
	for i := range d.Nodes + d.Workers {
		addr := func(door int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.NodePort+i*NodePorts+door)) }
		if d.behindHAProxy() {
			addr = func(door int) string { return net.JoinHostPort(haproxyHost(i), strconv.Itoa(d.NodePort+door)) }
		}
		m := member{name: fmt.Sprintf("node-%d", i+1), customer: addr(0), partner: addr(1), operator: addr(2), peer: addr(3)}
		if i >= d.Nodes {
			m.worker, m.name, m.peer = true, fmt.Sprintf("worker-%d", i-d.Nodes+1), ""
		}
		m.dir = d.path(m.name)
		all = append(all, m)
	}
	return all
}

// memberArgs is the command line of a node of a cluster.
func (d *Dev) memberArgs(m member) []string {
	if m.worker {
		return d.joinArgs(m)
	}
	var founders []string
	for _, other := range d.members() {
		if !other.worker {
			founders = append(founders, other.peer)
		}
	}
	args := append(d.nodeArgs(m), "--peer-addr", m.peer, "--bootstrap-expect", strconv.Itoa(d.Nodes), "--join", strings.Join(founders, ","))
	return append(args, d.scaleArgs()...)
}

// nodeArgs is what the command lines of all nodes begin with.
func (d *Dev) nodeArgs(m member) []string {
	notice := memberNotice
	args := d.bankArgs(m.dir, m.customer, m.partner, m.operator)
	if d.behindHAProxy() {
		notice, args = haproxyNotice, append(args, "--proxy-from", haproxyFrom)
	}
	return append(args, "--drain-notice", notice.String())
}

// joinArgs is the command line of a node that joins a cluster which stands, by its token.
func (d *Dev) joinArgs(m member) []string {
	args := append(d.nodeArgs(m), "--role", m.role(), "--join-token-file", d.tokenFile(m))
	if m.worker {
		return args
	}
	return append(append(args, "--peer-addr", m.peer), d.scaleArgs()...)
}

func (m member) role() string {
	if m.worker {
		return ops.RoleWorker
	}
	return ops.RoleCoordinator
}

// tokenFile is where the token lies that lets a worker in.
func (d *Dev) tokenFile(m member) string { return d.path(m.name + ".token") }

// entry is a member as demo.json names it.
func (m member) entry() demo.Node {
	return demo.Node{
		Name: m.name, Role: m.role(), CustomerURL: "http://" + m.customer, PartnerURL: "https://" + m.partner, OperatorURL: "http://" + m.operator,
		PeerAddr: m.peer, DataDir: m.name, Log: m.name + ".log",
	}
}

// asCluster and aboutNodes are what the welcome says of a cluster.
func (d *Dev) asCluster() string {
	if !d.clustered() {
		return ""
	}
	if d.Nodes+d.Workers == 1 {
		return ""
	}
	return fmt.Sprintf(", as a cluster of %d nodes behind a balancer", d.Nodes+d.Workers)
}

func (d *Dev) aboutNodes() string {
	if !d.clustered() {
		return ""
	}
	expand := fmt.Sprintf(`  More workers while customers pay, and fewer again by themselves:

    bin/netbank scale out 3 --reason "to see it" --for 10m --operator http://%s --operator-token-file %s

`, d.OperatorAddr, d.path("operator.token"))
	if d.Nodes+d.Workers == 1 {
		return expand
	}
	return fmt.Sprintf(`  Each node is a process, with its number, its doors and its log in the file for programs. Kill one, even the
  leader, and go on paying:

    netbank-lab node list --data-dir %s
    kill -9 <process id>
    netbank-lab node start <name> --data-dir %s

`, d.DataDir, d.DataDir) + expand
}
