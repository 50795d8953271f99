package chaos

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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"netbank/bench/demo"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/lab"
	"netbank/frontend/ops"
)

// Bounds of a rig.
const (
	diskBytes    = 512 << 20 // of a node's file system: a segment of the log is 64 MiB and allocated whole
	restartPause = 200 * time.Millisecond
	askTimeout   = 2 * time.Second
	customers    = 3000
	coreLimit    = 2 * time.Second // of the nodes: what is in doubt is asked for soon
)

// rig is a bank of several processes, and its core.
type rig struct {
	dir     string
	program string // netbank-lab, or a copy with a planted bug
	dev     lab.Dev
	core    *node
	nodes   []*node     // the coordinators, and behind them the workers
	devs    []lab.Dev   // of the nodes
	net     network     // between them; nil: there is one
	spaces  *namespaces // the net, if it is made of them
	delays  bool        // the net can make bytes late
	token   string      // of the operator
	client  *http.Client
	// coordinators is how many of the nodes keep a journal.
	coordinators int
	say          func(format string, args ...any)

	lock sync.Mutex
	ends []string // how processes ended that nobody ended
	bad  []string // of them, those that no fault explains
	over bool     // the run is over: processes are being ended
	done sync.Once
}

// node is a process that is started again whenever it ends.
type node struct {
	rig    *rig
	name   string
	number int // 0: the core
	args   []string
	demo   *demo.Demo   // how clients reach this node
	ready  string       // URL that answers 200 when it can be used
	clock  string       // file of its wrong clock
	disk   *disk        // nil: it shares the machine's
	enter  func() error // brings a thread into the node's namespace; nil: it has none

	lock sync.Mutex
	now  *process // nil: none
	life int
	held bool          // it is not to be started
	wake chan struct{} // held has changed
	kept sync.WaitGroup
}

// newRig prepares a bank and starts nothing.
func newRig(c *Command, say func(string, ...any)) (_ *rig, err error) {
	dir, coordinators := c.DataDir, c.Nodes
	addr, err := freePorts(4 + 5*coordinators + 3*c.Workers)
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, program: c.Program, say: say, client: &http.Client{Timeout: askTimeout}, coordinators: coordinators}
	defer func() {
		if err != nil && r.net != nil {
			r.net.close()
		}
	}()
	take := func() string {
		next := addr[0]
		addr = addr[1:]
		return next
	}
	r.dev = lab.Dev{
		DataDir: dir, ShopAddr: take(), NotifyAddr: take(), CoreAddr: take(), CoreAdmin: take(),
		CoreModel: c.CoreModel, CoreSeats: 32, Customers: customers, PasswordHash: "cheap",
	}
	r.core = r.newNode("core", 0, r.dev.CoreArgs())
	r.core.ready = "http://" + r.dev.CoreAdmin + "/status"
	peers, founders, err := r.lay(c, take)
	if err != nil {
		return nil, err
	}
	if err := r.dev.Prepare(); err != nil {
		return nil, err
	}
	if r.token, err = bank.ReadToken(filepath.Join(dir, "operator.token")); err != nil {
		return nil, err
	}
	for i := range coordinators + c.Workers {
		d := r.dev
		d.CustomerAddr, d.PartnerAddr, d.OperatorAddr = take(), take(), take()
		n := r.newNode(fmt.Sprintf("node-%d", i+1), i+1, nil)
		if i >= coordinators {
			n.name = fmt.Sprintf("worker-%d", i+1-coordinators)
		}
		if err := n.reachedBy(&d); err != nil {
			return nil, err
		}
		switch {
		case i >= coordinators:
			n.args = append(n.args, "--role", ops.RoleWorker, "--join-token-file", n.token())
		case r.net != nil:
			n.args = append(n.args, "--peer-addr", peers[i], "--peer-advertise", founders[i],
				"--bootstrap-expect", strconv.Itoa(coordinators), "--join", strings.Join(founders, ","))
		}
		r.nodes, r.devs = append(r.nodes, n), append(r.devs, d)
		if err := r.connect(n, &d); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// reachedBy makes a node's command line, and what its clients need.
func (n *node) reachedBy(d *lab.Dev) (err error) {
	if _, err := d.WriteDemo(); err != nil {
		return err
	}
	if n.demo, err = demo.Load(d.DataDir); err != nil {
		return err
	}
	n.clock = filepath.Join(d.DataDir, n.name+".clock")
	n.ready = n.demo.Operator.URL + "/readyz"
	args := d.BankArgs()
	// The demo phone would hold every customer in the node's memory.
	if i := slices.Index(args, "--demo-file"); i >= 0 {
		args = slices.Delete(args, i, i+2)
	}
	args[slices.Index(args, "--data-dir")+1] = filepath.Join(d.DataDir, n.name)
	n.args = append(args, "--clock-file", n.clock, "--core-limit", coreLimit.String(), "--snapshot-bytes", "1048576")
	return nil
}

// opener tells which node has opened a connection.
func (r *rig) opener(client, server net.Addr) int {
	var pids []int
	for _, n := range r.nodes {
		if p := n.process(); p != nil {
			pids = append(pids, p.cmd.Process.Pid)
		} else {
			pids = append(pids, 0)
		}
	}
	owner := ownerOf(client, server, pids)
	if owner == 0 {
		return 0
	}
	return slices.Index(pids, owner) + 1
}

// leader is the node that says that it leads.
func (r *rig) leader(ctx context.Context) (*node, error) {
	for {
		for _, n := range r.nodes[:r.coordinators] {
			var m ops.Members
			if err := r.operate(n, http.MethodGet, "/api/v1/cluster", nil, &m); err == nil && (m.Alone || m.Leader != 0 && m.Leader == m.Self) {
				return n, nil
			}
		}
		if !pause(ctx, 50*time.Millisecond) {
			return nil, fmt.Errorf("chaos: nobody leads: %w", ctx.Err())
		}
	}
}

// operate asks a node's operator's port. in may be nil.
func (r *rig) operate(n *node, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	req, err := http.NewRequest(method, n.demo.Operator.URL+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("chaos: %s %s answered %d: %.300s", method, path, resp.StatusCode, text)
	}
	return json.Unmarshal(text, out)
}

func (r *rig) newNode(name string, number int, args []string) *node {
	return &node{rig: r, name: name, number: number, args: args, wake: make(chan struct{}, 1)}
}

// freePorts finds addresses of the loopback that nobody listens on, below those that the kernel gives to outgoing connections: a process that is
// started again must find its own free.
func freePorts(n int) ([]string, error) {
	var all []string
	for port := 12_000 + os.Getpid()%8000; len(all) < n+1; port++ {
		if port > 32_000 {
			return nil, errors.New("chaos: no free ports between 12,000 and 32,000")
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			all = append(all, addr)
		}
	}
	return all, nil
}

// mountDisks gives each coordinator a file system of its own. A worker's holds nothing but who it is.
func (r *rig) mountDisks() error {
	for _, n := range r.nodes[:r.coordinators] {
		d, err := newDisk(filepath.Join(r.dir, n.name+".image"), filepath.Join(r.dir, n.name))
		if err != nil {
			return err
		}
		n.disk = d
		// The node refuses a folder that is not its own; what mkfs made in it goes.
		_ = os.Remove(filepath.Join(d.dir, "lost+found"))
	}
	return nil
}

// start starts core and nodes and waits until all can be used.
func (r *rig) start(ctx context.Context) error {
	coordinators, workers := r.nodes[:r.coordinators], r.nodes[r.coordinators:]
	if err := r.startAll(ctx, r.core); err != nil {
		return err
	}
	if err := r.startAll(ctx, coordinators...); err != nil {
		return err
	}
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	if err := r.devs[leader.number-1].Seed(ctx); err != nil {
		return err
	}
	for _, n := range workers {
		if err := r.invite(ctx, n); err != nil {
			return err
		}
	}
	return r.startAll(ctx, workers...)
}

func (r *rig) startAll(ctx context.Context, all ...*node) error {
	for _, n := range all {
		n.kept.Go(n.keep)
	}
	for _, n := range all {
		if err := r.await(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// await waits until a node can be used.
func (r *rig) await(ctx context.Context, n *node) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !r.answers(n.ready) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("chaos: %s cannot be used: %w; its last line: %s", n.name, ctx.Err(), lab.LastLine(n.log()))
		case <-tick.C:
		}
	}
	return nil
}

// autopsy makes a process that cannot be used say where each of its goroutines is, into its log, and gives what it says of itself.
func (r *rig) autopsy(n *node) string {
	var verdict string
	if resp, err := r.client.Get(n.ready + "?verbose"); err != nil {
		verdict = err.Error()
	} else {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		resp.Body.Close()
		verdict = strings.Join(strings.Fields(string(text)), " ")
	}
	n.hold(true)
	n.signal(syscall.SIGQUIT)
	return verdict
}

func (r *rig) answers(url string) bool {
	resp, err := r.client.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// close ends all processes, and gives the disks back.
func (r *rig) close() { r.done.Do(r.finish) }

func (r *rig) finish() {
	r.lock.Lock()
	r.over = true
	r.lock.Unlock()
	for _, n := range r.nodes {
		if n.disk != nil {
			_ = n.disk.thaw()
		}
		n.end()
	}
	r.core.end()
	if r.net != nil {
		r.net.close()
	}
	for _, n := range r.nodes {
		if n.disk != nil {
			n.disk.close()
		}
	}
}

func (n *node) log() string { return filepath.Join(n.rig.dir, n.name+".log") }

// keep starts the process, again and again, until the run is over.
func (n *node) keep() {
	for {
		n.lock.Lock()
		held := n.held
		n.lock.Unlock()
		if n.rig.isOver() {
			return
		}
		if held {
			<-n.wake
			continue
		}
		p, err := start(n.enter, n.log(), n.rig.program, n.args...)
		if err != nil {
			n.rig.ended(n, err.Error(), true)
			return
		}
		n.lock.Lock()
		n.now = p
		n.life++
		n.lock.Unlock()
		<-p.done
		n.lock.Lock()
		n.now, held = nil, n.held
		n.lock.Unlock()
		if n.rig.isOver() {
			return
		}
		if code := p.exit(); !held && code != -1 {
			// A disk that fails, or hangs, ends a node; a full one may not let it begin.
			n.rig.ended(n, fmt.Sprintf("by itself, with code %d: %s", code, lastPlain(n.log())), code != bank.ExitFatal && code != bank.ExitDirectory)
		}
		time.Sleep(restartPause)
	}
}

func lastPlain(log string) string {
	line := lab.LastLine(log)
	return strings.ToValidUTF8(line[:min(len(line), 300)], "")
}

func (r *rig) isOver() bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.over
}

func (r *rig) ended(n *node, how string, bad bool) {
	text := fmt.Sprintf("%s ended %s", n.name, how)
	r.say("%s", text)
	r.lock.Lock()
	defer r.lock.Unlock()
	if len(r.ends) < 1000 {
		r.ends = append(r.ends, text)
		if bad {
			r.bad = append(r.bad, text)
		}
	}
}

func (n *node) process() *process {
	n.lock.Lock()
	defer n.lock.Unlock()
	return n.now
}

// lives is how often the node was started.
func (n *node) lives() int {
	n.lock.Lock()
	defer n.lock.Unlock()
	return n.life
}

func (n *node) signal(s syscall.Signal) {
	if p := n.process(); p != nil {
		p.signal(s)
	}
}

// hold says that the node is not to be started until it is let go.
func (n *node) hold(held bool) {
	n.lock.Lock()
	n.held = held
	n.lock.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// end ends the process for good.
func (n *node) end() {
	n.hold(false)
	if p := n.process(); p != nil {
		p.stop()
		if code := p.exit(); code != 0 {
			n.rig.ended(n, fmt.Sprintf("when it was asked to, with code %d: %s", code, lastPlain(n.log())), true)
		}
	}
	n.kept.Wait()
}

// putClock sets how far a node's clock is off.
func (n *node) putClock(off time.Duration) error {
	if err := os.WriteFile(n.clock+".new", []byte(off.String()), 0o600); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return os.Rename(n.clock+".new", n.clock)
}

// coreFaults sets what is wrong with the core; "{}" heals it.
func (r *rig) coreFaults(json string) error {
	return r.ask(http.MethodPut, "/faults", json)
}

func (r *rig) ask(method, path, json string) error {
	req, err := http.NewRequest(method, "http://"+r.dev.CoreAdmin+path, strings.NewReader(json))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return fmt.Errorf("chaos: the core answered %d: %s", resp.StatusCode, text)
	}
	return nil
}
