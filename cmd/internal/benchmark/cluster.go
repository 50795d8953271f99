package benchmark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"netbank/bench/demo"
	"netbank/bench/machine"
	"netbank/bench/scenario"
	"netbank/cmd/internal/balancer"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/lab"
	"netbank/frontend/ops"
)

// How a cluster under load is looked at.
const (
	clusterPoll = 20 * time.Millisecond
	// clusterWait is how long one thing that is done to a node may take.
	clusterWait = 60 * time.Second
	answerMax   = 4 << 20
)

// cluster is a demo cluster under load: a run of `netbank-lab dev` with several nodes, as anybody would start it.
type cluster struct {
	control  string // URL
	operator string // URL of the leader's port
	token    string
	file     string // the token's
	alive    func() error
	client   *http.Client

	lock  sync.Mutex
	ended map[string]time.Duration // processor time of each node's past lives
	last  map[string]int           // the process id of each node
}

// raiseCluster starts a demo cluster and waits until it is seeded.
func (r *rig) raiseCluster(ctx context.Context, d *lab.Dev) (scenario.Cluster, error) {
	base, err := freePorts(lab.ClusterPorts)
	if err != nil {
		return nil, err
	}
	args := []string{
		"dev", "--data-dir", d.DataDir, "--customer-addr", d.CustomerAddr, "--partner-addr", d.PartnerAddr, "--operator-addr", d.OperatorAddr, "--shop-addr", d.ShopAddr,
		"--notify-addr", d.NotifyAddr, "--core-addr", d.CoreAddr, "--core-admin", d.CoreAdmin, "--control-addr", d.ControlAddr, "--core-model", d.CoreModel,
		"--core-seats", strconv.Itoa(d.CoreSeats), "--customers", strconv.Itoa(d.Customers), "--password-hash", d.PasswordHash, "--admission", d.Admission,
		"--nodes", strconv.Itoa(d.Nodes), "--workers", strconv.Itoa(d.Workers), "--node-port", strconv.Itoa(base), "--no-phone",
		"--balancer", d.Balancer, "--worker-sign-ins", fmt.Sprint(d.WorkerSignIns),
	}
	if d.WorkersFirst {
		args = append(args, "--workers-first")
	}
	if d.CoreNoSync {
		args = append(args, "--core-no-sync")
	}
	if d.CoreFixed {
		args = append(args, "--core-fixed")
	}
	if d.Line {
		args = append(args, "--line")
	}
	// The shop opens last of all.
	if err := r.run(ctx, d.DataDir, "balancer", "http://"+d.ShopAddr+"/", args...); err != nil {
		return nil, err
	}
	file, err := demo.Load(d.DataDir)
	if err != nil {
		return nil, err
	}
	token, err := bank.ReadToken(file.Path(file.Operator.TokenFile))
	if err != nil {
		return nil, err
	}
	c := &cluster{
		control: "http://" + d.ControlAddr, operator: file.Operator.URL, token: token, file: file.Path(file.Operator.TokenFile), alive: r.processes[len(r.processes)-1].alive, client: &http.Client{Timeout: 2*ops.ChangeTimeout + 10*time.Second},
		ended: make(map[string]time.Duration), last: make(map[string]int),
	}
	_, err = c.standing(ctx)
	return c, err
}

// freePorts finds so many ports of the loopback, one after the other, that nobody listens on, below those that the kernel gives to outgoing
// connections.
func freePorts(n int) (base int, err error) {
	for base = 20_000; base < 32_000; base += n {
		free := true
		for port := base; port < base+n && free; port++ {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, fmt.Errorf("benchmark: no %d free ports one after the other between 20,000 and 32,000", n)
}

// call asks the demo cluster's control address.
func (c *cluster) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.control+path, nil)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.client.Do(req)
	if err != nil {
		return errors.Join(c.alive(), fmt.Errorf("benchmark: the demo cluster: %w", err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	switch {
	case err != nil:
		return fmt.Errorf("benchmark: the demo cluster: %w", err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("benchmark: the demo cluster answered %d to %s: %s", resp.StatusCode, path, bytes.TrimSpace(text))
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}

// standing tells how the nodes stand, and remembers their process ids.
func (c *cluster) standing(ctx context.Context) (s lab.Standing, err error) {
	if err = c.call(ctx, http.MethodGet, "/", &s); err != nil {
		return s, err
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, n := range s.Nodes {
		c.last[n.Name] = n.PID
	}
	return s, nil
}

// Nodes tells the nodes as they stand.
func (c *cluster) Nodes(ctx context.Context) ([]demo.Node, error) {
	s, err := c.standing(ctx)
	return s.Nodes, err
}

// await looks at a node until it is as it should be.
func (c *cluster) await(ctx context.Context, name, what string, ok func(n *demo.Node, k *balancer.BackendStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, clusterWait)
	defer cancel()
	for {
		s, err := c.standing(ctx)
		if err != nil {
			return err
		}
		for i := range s.Nodes {
			for j := range s.Balancer.Backends {
				n, k := &s.Nodes[i], &s.Balancer.Backends[j]
				if n.Name == name && k.Name == name && !k.Leaving && ok(n, k) {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("benchmark: %s: %s: %w", name, what, ctx.Err())
		case <-time.After(clusterPoll):
		}
	}
}

// Kill ends a node at once.
func (c *cluster) Kill(ctx context.Context, name string) error {
	return c.end(ctx, name, syscall.SIGKILL)
}

// Stop asks a node to end.
func (c *cluster) Stop(ctx context.Context, name string) error {
	return c.end(ctx, name, syscall.SIGTERM)
}

func (c *cluster) end(ctx context.Context, name string, signal syscall.Signal) error {
	c.lock.Lock()
	pid := c.last[name]
	if pid != 0 {
		c.ended[name] += machine.Used(pid).CPU
	}
	c.last[name] = 0
	c.lock.Unlock()
	if pid == 0 {
		return fmt.Errorf("benchmark: %s does not run", name)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("benchmark: ending %s: %w", name, err)
	}
	return c.await(ctx, name, "waiting for its end", func(n *demo.Node, _ *balancer.BackendStatus) bool { return n.PID == 0 })
}

func ready(n *demo.Node, k *balancer.BackendStatus) bool {
	return n.PID != 0 && k.State == balancer.Ready
}

// Start starts a node that has ended.
func (c *cluster) Start(ctx context.Context, name string) error {
	if err := c.call(ctx, http.MethodPost, "/nodes/"+name+"/start", nil); err != nil {
		return err
	}
	return c.await(ctx, name, "waiting until it is ready", ready)
}

// Replace puts a new node in the place of one that has ended.
func (c *cluster) Replace(ctx context.Context, name string) error {
	if err := c.call(ctx, http.MethodPost, "/nodes/"+name+"/replace", nil); err != nil {
		return err
	}
	if err := c.await(ctx, name, "waiting until it is ready", ready); err != nil {
		return err
	}
	var at string
	err := c.await(ctx, name, "", func(n *demo.Node, _ *balancer.BackendStatus) bool { at = n.OperatorURL; return true })
	if err != nil {
		return err
	}
	return c.voter(ctx, at)
}

// voter waits until a node is a voter, unless it is a worker.
func (c *cluster) voter(ctx context.Context, operator string) error {
	ctx, cancel := context.WithTimeout(ctx, clusterWait)
	defer cancel()
	for {
		var m ops.Members
		one := &cluster{control: operator, token: c.token, alive: c.alive, client: c.client}
		if err := one.call(ctx, http.MethodGet, "/api/v1/cluster", &m); err != nil {
			return err
		}
		for _, n := range m.Nodes {
			if n.Self && (n.Voter || n.Role == ops.RoleWorker) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("benchmark: waiting for a vote: %w", ctx.Err())
		case <-time.After(clusterPoll):
		}
	}
}

// Scale runs the operator's command, of the program that lies beside this one.
func (c *cluster) Scale(ctx context.Context, words ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("benchmark: %w", err)
	}
	program := filepath.Join(filepath.Dir(self), "netbank")
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("benchmark: the operator's command is %s, and it is not there: %w; `make build` makes both programs", program, err)
	}
	words = append(append([]string{"scale"}, words...), "--reason", "a measurement", "--yes", "--wait", clusterWait.String(), "--operator", c.operator, "--operator-token-file", c.file)
	out, err := exec.CommandContext(ctx, program, words...).CombinedOutput()
	if err != nil {
		return string(out), errors.Join(c.alive(), fmt.Errorf("benchmark: netbank %s: %w: %s", strings.Join(words[:4], " "), err, bytes.TrimSpace(out)))
	}
	return string(out), nil
}

// Scaled asks the leader.
func (c *cluster) Scaled(ctx context.Context) (scenario.Scaled, error) {
	var s ops.Scale
	leader := &cluster{control: c.operator, token: c.token, alive: c.alive, client: c.client}
	if err := leader.call(ctx, http.MethodGet, "/api/v1/scale", &s); err != nil {
		return scenario.Scaled{}, err
	}
	out := scenario.Scaled{Wished: int(s.Workers.Value), Wanted: -1}
	if s.Provider.Known {
		out.Wanted, out.Running, out.Leaving = s.Provider.Wanted, s.Provider.Running, s.Provider.Leaving
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		out.Workers = append(out.Workers, scenario.ScaledWorker{Node: n.Node, Operator: n.Operator, Up: n.State == ops.NodeUp, Ready: n.Ready, Serving: n.Serving})
	}
	return out, nil
}

// Used is what each node has used in all its lives.
func (c *cluster) Used() map[string]machine.Process {
	c.lock.Lock()
	defer c.lock.Unlock()
	all := make(map[string]machine.Process, len(c.last))
	for name, pid := range c.last {
		var p machine.Process
		if pid != 0 {
			p = machine.Used(pid)
		}
		p.CPU += c.ended[name]
		all[name] = p
	}
	return all
}

// bareNodes is how many nodes a bare Raft group has.
const bareNodes = 3

// BareRaft commits entries through a group of bare Raft nodes, in place of what was raised before.
func (r *rig) BareRaft(ctx context.Context, entryBytes, inFlight int, during time.Duration) (float64, error) {
	r.lower()
	defer r.lower()
	addrs, err := freeAddrs(2 * bareNodes)
	if err != nil {
		return 0, err
	}
	peers, admins := addrs[:bareNodes], addrs[bareNodes:]
	for i, addr := range peers {
		name := fmt.Sprintf("raft-%d", i+1)
		err := r.run(ctx, r.dir, name, "http://"+admins[i]+"/", "raw-raft", "--dir", filepath.Join(r.dir, name), "--addr", addr, "--peers", strings.Join(peers, ","), "--admin", admins[i])
		if err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, clusterWait+during)
	defer cancel()
	for {
		for _, admin := range admins {
			one := &cluster{control: "http://" + admin, alive: r.Alive, client: http.DefaultClient}
			if one.call(ctx, http.MethodGet, "/leader", nil) != nil {
				continue
			}
			var done rawDone
			err := one.call(ctx, http.MethodPost, fmt.Sprintf("/load?bytes=%d&inFlight=%d&ms=%d", entryBytes, inFlight, during.Milliseconds()), &done)
			if err != nil || done.Seconds <= 0 {
				return 0, err
			}
			return float64(done.Entries) / done.Seconds, nil
		}
		select {
		case <-ctx.Done():
			return 0, errors.Join(r.Alive(), fmt.Errorf("benchmark: no bare Raft node leads: %w", ctx.Err()))
		case <-time.After(clusterPoll):
		}
	}
}
