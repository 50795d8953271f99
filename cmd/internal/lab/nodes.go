package lab

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"netbank/bench/demo"
	"netbank/cmd/internal/balancer"
	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// How a cluster is watched.
const (
	watchEvery   = 200 * time.Millisecond
	removeWait   = 5 * time.Second // that a leader may take to hear from the others
	watchTimeout = 500 * time.Millisecond
	// The doors that the balancer has, by name.
	customerDoor = "customers"
	partnerDoor  = "partners"
	operatorDoor = "operator"
)

// busyPage is what a customer's browser gets whom no node took.
const busyPage = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 2\r\nConnection: close\r\n\r\n" +
	"No node of the bank can serve you now. You have not been charged. Please try again in a moment.\n现在无法为您服务，您没有被扣款，请稍后再试。\n"

// nodes is a demo cluster that runs: its processes, the balancer in front of them, and demo.json, which says the truth about them.
type nodes struct {
	dev      *Dev
	token    string
	note     func(format string, args ...any)
	balancer *balancer.Balancer
	control  *http.Server
	children []*child
	client   *http.Client
	look     chan struct{} // something has changed
	cancel   context.CancelFunc
	tasks    sync.WaitGroup

	scaled *scaled

	lock sync.Mutex
	file *demo.Demo
}

// openNodes opens the balancer and the control address. Nothing of the bank runs yet.
func (d *Dev) openNodes(ctx context.Context, note func(string, ...any)) (_ *nodes, err error) {
	if err := d.remember(); err != nil {
		return nil, err
	}
	token, err := bank.ReadToken(d.path("operator.token"))
	if err != nil {
		return nil, err
	}
	n := &nodes{dev: d, token: token, note: note, client: &http.Client{Timeout: watchTimeout, Transport: &http.Transport{}}, look: make(chan struct{}, 1), file: d.demoFile()}
	if n.scaled, err = d.openScaled(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.scaled.lives.Close()
		}
	}()
	n.file.Balancer = &demo.Balancer{URL: "http://" + d.ControlAddr}
	fronts := []balancer.Front{{Name: operatorDoor, Addr: d.OperatorAddr, Policy: balancer.ToLeader}}
	if !d.behindHAProxy() {
		fronts = append(fronts, balancer.Front{Name: customerDoor, Addr: d.CustomerAddr, Refusal: []byte(busyPage)}, balancer.Front{Name: partnerDoor, Addr: d.PartnerAddr})
	}
	n.balancer, err = balancer.Listen(balancer.Config{
		Fronts: fronts,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, &bank.Error{Code: bank.ExitAddress, Err: err}
	}
	for _, m := range d.members() {
		n.file.Nodes = append(n.file.Nodes, m.entry())
		n.children = append(n.children, &child{
			name: m.name, args: d.memberArgs(m), dir: d.DataDir, note: note, kept: d.Restart || d.Nodes == 1 && !m.worker, again: make(chan struct{}), changed: n.wake,
		})
	}
	if err := n.route(nil); err != nil {
		n.balancer.Close()
		return nil, err
	}
	l, err := net.Listen("tcp", d.ControlAddr)
	if err != nil {
		n.balancer.Close()
		return nil, &bank.Error{Code: bank.ExitAddress, Err: fmt.Errorf("cannot listen on %s: %w; choose another address with --control-addr", d.ControlAddr, rootCause(err))}
	}
	n.control = &http.Server{Handler: n.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: controlTimeout, MaxHeaderBytes: 16 << 10}
	n.tasks.Go(func() { _ = n.control.Serve(l) })
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.tasks.Go(func() { n.watch(watching) })
	return n, nil
}

// start starts the coordinators, waits until all are ready and one leads, and then lets the workers join.
func (n *nodes) start(ctx context.Context, failures chan error, run func(*child) error) error {
	members := n.dev.members()
	for i, m := range members {
		if !m.worker {
			if err := run(n.children[i]); err != nil {
				return err
			}
		}
	}
	for _, m := range members[:n.dev.Nodes] {
		if err := n.dev.waitFor(ctx, failures, "http://"+m.operator+"/readyz"); err != nil {
			return err
		}
	}
	if err := n.awaitLeader(ctx, failures); err != nil {
		return err
	}
	for i, m := range members {
		if m.worker {
			if err := n.invite(ctx, m); err != nil {
				return err
			}
			if err := run(n.children[i]); err != nil {
				return err
			}
		}
	}
	for _, m := range members[n.dev.Nodes:] {
		if err := n.dev.waitFor(ctx, failures, "http://"+m.operator+"/readyz"); err != nil {
			return err
		}
	}
	for _, c := range n.children {
		c.stands.Store(true)
	}
	return nil
}

// awaitLeader waits until the balancer knows who leads.
func (n *nodes) awaitLeader(ctx context.Context, failures chan error) error {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	for {
		changed := n.balancer.Changed()
		if n.balancer.Status().Leader != "" {
			return nil
		}
		select {
		case <-changed:
		case err := <-failures:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("lab: no node says that it leads; the logs in %s say why", n.dev.DataDir)
		}
	}
}

// inviteLifetime is how long a worker's token is good for, which is used at once.
const inviteLifetime = 5 * time.Minute

// invite has the leader make a token for a worker that has not joined yet.
func (n *nodes) invite(ctx context.Context, m member) error {
	if _, err := os.Stat(filepath.Join(m.dir, "identity")); err == nil {
		return nil
	}
	return n.letIn(ctx, m)
}

// letIn has the leader make a token that lets a member in once.
func (n *nodes) letIn(ctx context.Context, m member) error {
	made, err := n.change(ctx, "/api/v1/cluster/tokens", ops.TokenRequest{
		Role: m.role(), Uses: 1, LifetimeSeconds: int64(inviteLifetime / time.Second), Reason: "netbank-lab starts " + m.name,
	})
	if err == nil && made.Token == "" {
		err = errors.New("the leader gave none")
	}
	if err != nil {
		return fmt.Errorf("lab: a token for %s: %w", m.name, err)
	}
	if err := os.WriteFile(n.dev.tokenFile(m), []byte(made.Token+"\n"), 0o600); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// errNoLeader says that whoever was asked for a change does not lead.
var errNoLeader = errors.New("no node leads")

// errNotAllowed says that the leader refuses a change because of how the cluster stands.
var errNotAllowed = errors.New("not allowed")

// change has the leader change the cluster. While none leads it asks again, as a person would.
func (n *nodes) change(ctx context.Context, path string, request any) (made ops.Change, err error) {
	ctx, cancel := context.WithTimeout(ctx, ops.ChangeTimeout)
	defer cancel()
	text, err := json.Marshal(request)
	if err != nil {
		return made, err
	}
	for {
		made, err = n.ask(ctx, path, text)
		if !errors.Is(err, errNoLeader) {
			return made, err
		}
		select {
		case <-ctx.Done():
			return made, err
		case <-time.After(watchEvery):
		}
	}
}

// ask asks the node that the balancer takes for the leader for a change.
func (n *nodes) ask(ctx context.Context, path string, request []byte) (made ops.Change, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.dev.OperatorAddr+path, bytes.NewReader(request))
	if err != nil {
		return made, err
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return made, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return made, err
	case resp.StatusCode == http.StatusConflict && bytes.Contains(answer, []byte(`"not-leader"`)), resp.StatusCode == http.StatusServiceUnavailable:
		return made, fmt.Errorf("%w: the answer was %d: %s", errNoLeader, resp.StatusCode, answer)
	case resp.StatusCode == http.StatusConflict && bytes.Contains(answer, []byte(`"not-allowed"`)):
		return made, fmt.Errorf("%w: the leader answered: %s", errNotAllowed, answer)
	case resp.StatusCode != http.StatusOK:
		return made, fmt.Errorf("the leader answered %d: %s", resp.StatusCode, answer)
	}
	return made, json.Unmarshal(answer, &made)
}

// route tells the balancer of all nodes.
func (n *nodes) route(scaled []member) error {
	var backends []balancer.Backend
	for _, m := range append(n.dev.members(), scaled...) {
		b := balancer.Backend{Name: m.name, Ready: "http://" + m.operator + "/readyz", Doors: map[string]string{operatorDoor: m.operator}}
		if !n.dev.behindHAProxy() {
			b.Doors[customerDoor], b.Doors[partnerDoor] = m.customer, m.partner
		}
		if n.dev.WorkersFirst && !m.worker {
			b.Reserve = []string{customerDoor}
		}
		backends = append(backends, b)
	}
	return n.balancer.Set(backends)
}

// endScaled ends the workers that `netbank scale` has started.
func (n *nodes) endScaled() {
	if n == nil {
		return
	}
	if err := n.scaled.end(); err != nil {
		n.note("%v", err)
	}
}

// stop lets no new connections in. It does nothing for a bank of one node, which has no nodes.
func (n *nodes) stop() {
	if n != nil {
		n.balancer.Stop()
	}
}

// close ends what is left once the nodes have ended, and says so in demo.json.
func (n *nodes) close() {
	if n == nil {
		return
	}
	n.control.Close()
	n.balancer.Close()
	n.cancel()
	n.tasks.Wait()
	n.see(context.Background()) // nobody runs any more
	n.scaled.lives.Close()
	n.client.CloseIdleConnections()
}

// wake has the nodes looked at soon.
func (n *nodes) wake() {
	select {
	case n.look <- struct{}{}:
	default:
	}
}

// watch keeps demo.json and the balancer's idea of the leader true.
func (n *nodes) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.look:
		}
		n.see(ctx)
	}
}

// see asks every node that runs who it is, and tells what has changed.
func (n *nodes) see(ctx context.Context) {
	heard := make([]*ops.Status, len(n.children))
	scaled, processes := n.scaled.now(ctx)
	if n.scaled.changed(scaled) {
		if err := n.route(scaled); err != nil {
			n.note("%v", err)
		}
	}
	var asking sync.WaitGroup
	for i, m := range n.dev.members() {
		if n.children[i].process.Load() != 0 {
			asking.Go(func() { heard[i] = n.status(ctx, m) })
		}
	}
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	leader, term := "", uint64(0)
	for i, s := range heard {
		if s != nil && s.Role == "leader" && s.Term >= term {
			leader, term = n.children[i].name, s.Term
		}
	}
	n.lock.Lock()
	before := slices.Clone(n.file.Nodes)
	for i, c := range n.children {
		node := &n.file.Nodes[i]
		node.PID = int(c.process.Load())
		if heard[i] != nil {
			node.Number = heard[i].Node
		}
		// Who led and says nothing now may lead still; who is gone does not.
		node.Leader = node.PID != 0 && (node.Name == leader || leader == "" && node.Leader && heard[i] == nil)
	}
	now := slices.Clone(n.file.Nodes[:len(n.children)])
	for i, m := range scaled {
		now = append(now, m.scaledEntry(processes[i]))
	}
	n.file.Nodes = slices.Clone(now)
	n.lock.Unlock()
	i := slices.IndexFunc(now, func(node demo.Node) bool { return node.Leader })
	if i < 0 {
		n.balancer.Lead("")
	} else {
		n.balancer.Lead(now[i].Name)
	}
	if !slices.Equal(before, now) {
		if err := n.file.Write(n.dev.DataDir); err != nil {
			n.note("%v", err)
		}
	}
}

// status gives a node's status, or nil when it gives none.
func (n *nodes) status(ctx context.Context, m member) *ops.Status {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.operator+"/api/v1/status", nil)
	if err != nil {
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	resp, err := n.client.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	s := new(ops.Status)
	if resp.StatusCode != http.StatusOK || json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(s) != nil {
		return nil
	}
	return s
}

// Standing is what the control address tells: the nodes as demo.json has them, and the balancer.
type Standing struct {
	Nodes    []demo.Node     `json:"nodes"`
	Balancer balancer.Status `json:"balancer"`
}

// handler answers at the control address: GET / tells how it stands, POST /nodes/{name}/start starts a node that is down, and
// POST /nodes/{name}/replace puts a new one in its place.
func (n *nodes) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		n.lock.Lock()
		s := Standing{Nodes: slices.Clone(n.file.Nodes)}
		n.lock.Unlock()
		s.Balancer = n.balancer.Status()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s)
	})
	for verb, do := range map[string]func(context.Context, string) error{"start": n.again, "replace": n.replace} {
		mux.HandleFunc("POST /nodes/{name}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			if subtle.ConstantTimeCompare([]byte(given), []byte(n.token)) != 1 {
				http.Error(w, "this needs the operator's token", http.StatusUnauthorized)
				return
			}
			if err := do(r.Context(), r.PathValue("name")); err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
			}
		})
	}
	return mux
}

// Errors of starting a node again.
var (
	errNoNode  = errors.New("the cluster has no such node")
	errRunning = errors.New("the node runs already")
)

// down finds a node that does not run.
func (n *nodes) down(name string) (int, error) {
	i := slices.IndexFunc(n.children, func(c *child) bool { return c.name == name })
	if i < 0 {
		return 0, fmt.Errorf("%w: %.64q", errNoNode, name)
	}
	if pid := n.children[i].process.Load(); pid != 0 {
		return 0, fmt.Errorf("%w: %s is process %d", errRunning, name, pid)
	}
	return i, nil
}

// again starts a node that is down.
func (n *nodes) again(ctx context.Context, name string) error {
	i, err := n.down(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restartAfter*10)
	defer cancel()
	select {
	case n.children[i].again <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s is being started already, or the demo bank is being stopped", name)
	}
}

// remove has the leader remove a node. One that has just been elected has not heard from the others yet, and refuses since it takes them for down:
// it is asked again for a while.
func (n *nodes) remove(ctx context.Context, number uint32, reason string) error {
	for limit := time.Now().Add(removeWait); ; {
		_, err := n.change(ctx, fmt.Sprintf("/api/v1/cluster/nodes/%d/remove", number), ops.NodeRequest{Reason: reason})
		if !errors.Is(err, errNotAllowed) || time.Now().After(limit) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(watchEvery):
		}
	}
}

// replace removes a node that is down from the cluster, with all its data, and lets a new one join at its addresses.
func (n *nodes) replace(ctx context.Context, name string) error {
	i, err := n.down(name)
	if err != nil {
		return err
	}
	m := n.dev.members()[i]
	n.lock.Lock()
	number := n.file.Nodes[i].Number
	n.lock.Unlock()
	if number != 0 {
		if err := n.remove(ctx, number, name+" is replaced"); err != nil {
			return fmt.Errorf("removing node %d: %w", number, err)
		}
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := n.letIn(ctx, m); err != nil {
		return err
	}
	// The child reads its arguments when it has heard that it is to start. Later starts find the identity that this one leaves, and ignore how it came.
	n.children[i].args = n.dev.joinArgs(m)
	return n.again(ctx, name)
}
