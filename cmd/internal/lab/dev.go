package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"netbank/bench/demo"
	"netbank/cluster/kek"
	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
	"netbank/session"
)

// Dev is the command that runs a whole bank on one machine.
type Dev struct {
	DataDir      string `help:"Where everything is kept. Left out: data/dev, or data/dev-cluster for a cluster." type:"path"`
	CustomerAddr string `help:"Customer pages." default:"localhost:8080"`
	PartnerAddr  string `help:"Partner API, mutual TLS." default:"127.0.0.1:8443"`
	OperatorAddr string `help:"Operator port and demo phone." default:"127.0.0.1:9090"`
	ShopAddr     string `help:"The demo shop." default:"127.0.0.1:8081"`
	NotifyAddr   string `help:"Where a program that tries the partner API may listen for notifications; nothing listens here by itself." default:"127.0.0.1:8082"`
	CoreAddr     string `help:"The simulated core host." default:"127.0.0.1:8583"`
	CoreAdmin    string `help:"Its admin port." default:"127.0.0.1:8584"`
	CoreModel    string `help:"How the core behaves under load: ps, servers:K or fixed:LATENCY." default:"ps"`
	CoreSeats    int    `help:"The most calls that may be inside the core at once." default:"64"`
	Line         bool   `help:"Let new customers wait in a line when more come than can be served to the end."`
	CoreFixed    bool   `help:"Always let in as many. Without this the gate finds by trying with how many of them the core does most work."`
	Admission    string `help:"on, or off: every confirmation goes to the core at once, to see what the gate is for." enum:"on,off" default:"on"`
	Customers    int    `help:"How many demo customers to seed." default:"100"`
	PasswordHash string `help:"standard (argon2id, 19 MiB) or cheap, which hides what sign-ins cost and is for measuring only." enum:"standard,cheap" default:"standard"`

	Nodes       int    `help:"Coordinators: 1, 3 or 5. Three survive the death of any one of them, and one is started again; each is a process, and a balancer has the addresses above." default:"1"`
	Workers     int    `help:"Nodes without a journal beside them, up to 8; they stay. Those of 'netbank scale' come and go besides, and are counted apart." default:"0"`
	Alone       bool   `help:"One process, with nothing in front of it: nothing can be added to it. For measuring one node."`
	NodePort    int    `help:"The first port of a cluster's nodes on 127.0.0.1: node 1 has this one and the three behind it, node 2 those ten further on." default:"7110"`
	ControlAddr string `help:"Of a cluster: where the balancer says how it is, and where nodes are started again." default:"127.0.0.1:8085"`
	Restart     bool   `help:"Start a cluster's node again when it dies. Without it the node stays down until 'netbank-lab node start'."`
	Balancer    string `help:"Of a cluster: what stands in front of its nodes, the lab's own balancer or a real haproxy, which is to be installed." enum:"own,haproxy" default:"own"`

	WorkersFirst  bool    `help:"Of a cluster: customers go to workers, and to coordinators only while no worker is ready."`
	WorkerSignIns float64 `help:"How many passwords a worker checks a second at most, so that several on one machine each have a capacity of their own. 0: as many as the machine does."`

	NoPhone    bool `help:"Leave out the demo phone, which keeps every customer in the bank's memory." hidden:""`
	CoreNoSync bool `help:"Let the core answer before its disk has the record: for measuring, and to be disclosed." hidden:""`
	// BehindAddr is where a bank of one process listens to customers when whoever starts it puts something at CustomerAddr.
	BehindAddr string `kong:"-"`
}

// Run runs the bank until it is interrupted.
func (d *Dev) Run() error {
	if err := d.checkNodes(); err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	if d.Customers < 2 || d.Customers > CustomersMax {
		return &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf("--customers is %d; it may be 2 to %d", d.Customers, CustomersMax)}
	}
	if err := d.portsFree(); err != nil {
		return &bank.Error{Code: bank.ExitAddress, Err: err}
	}
	if err := d.Prepare(); err != nil {
		return &bank.Error{Code: bank.ExitDirectory, Err: err}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return d.supervise(ctx, cancel)
}

// portsFree tries each address, so that a taken one is told in one line before anything is started.
func (d *Dev) portsFree() error {
	all := []struct{ flag, addr string }{
		{"--customer-addr", d.CustomerAddr},
		{"--partner-addr", d.PartnerAddr},
		{"--operator-addr", d.OperatorAddr},
		{"--shop-addr", d.ShopAddr},
		{"--core-addr", d.CoreAddr},
		{"--core-admin", d.CoreAdmin},
	}
	for _, m := range d.members() {
		for _, addr := range []string{m.customer, m.partner, m.operator, m.peer} {
			if addr == "" {
				continue
			}
			all = append(all, struct{ flag, addr string }{"--node-port", addr})
		}
	}
	if d.clustered() {
		all = append(all, struct{ flag, addr string }{"--control-addr", d.ControlAddr})
	}
	for _, a := range all {
		l, err := net.Listen("tcp", a.addr)
		if err != nil {
			return fmt.Errorf("cannot listen on %s: %w; is another bank running? Stop it, or choose another address with %s", a.addr, rootCause(err), a.flag)
		}
		l.Close()
	}
	return nil
}

func rootCause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func (d *Dev) path(name ...string) string {
	return filepath.Join(append([]string{d.DataDir}, name...)...)
}

// Prepare makes what the bank needs and does not make itself: folder, key-encryption key, operator's token, certificates.
func (d *Dev) Prepare() error {
	if err := os.MkdirAll(d.DataDir, 0o700); err != nil {
		return fmt.Errorf("cannot use the data directory %s: %w; choose another with --data-dir", d.DataDir, rootCause(err))
	}
	probe := d.path(".probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("cannot write to the data directory %s: %w; choose another with --data-dir", d.DataDir, rootCause(err))
	}
	os.Remove(probe)
	if _, err := os.Stat(d.path("kek")); errors.Is(err, os.ErrNotExist) {
		if err := kek.Generate(d.path("kek")); err != nil {
			return err
		}
	}
	if err := bank.EnsureToken(d.path("operator.token")); err != nil {
		return err
	}
	if err := bank.EnsureToken(d.path(gatewayToken)); err != nil {
		return err
	}
	return makePKI(d.path("pki"))
}

// gatewayToken is the file of the token that the demo's message gateway asks for.
const gatewayToken = "gateway.token"

// BankArgs is the command line of the bank: netbank-lab's hidden command "bank" and its flags.
func (d *Dev) BankArgs() []string {
	return d.bankArgs(d.path("bank"), cmp.Or(d.BehindAddr, d.CustomerAddr), d.PartnerAddr, d.OperatorAddr)
}

// bankArgs is the command line of a bank that listens at addresses of its own. Customers reach it at the demo's address all the same.
func (d *Dev) bankArgs(dir, customer, partner, operator string) []string {
	args := []string{
		"bank", "--data-dir", dir, "--kek-file", d.path("kek"), "--operator-token-file", d.path("operator.token"),
		"--bank-name", "Demo Bank 示例银行", "--customer-addr", customer, "--customer-url", "http://" + d.CustomerAddr,
		"--partner-addr", partner, "--partner-cert", d.path("pki", serverCertFile), "--partner-key", d.path("pki", serverKeyFile), "--partner-ca", d.path("pki", caFile),
		"--operator-addr", operator, "--core-addr", d.CoreAddr, "--core-seats", strconv.Itoa(d.CoreSeats),
		"--password-hash", d.PasswordHash,
		"--message-gateway", "http://" + d.ShopAddr + messagesPath, "--message-gateway-token-file", d.path(gatewayToken),
	}
	if !d.NoPhone {
		args = append(args, "--demo-file", d.path(demo.Name))
	}
	if d.CoreFixed {
		args = append(args, "--core-fixed")
	}
	if d.Line {
		args = append(args, "--line")
	}
	if d.Admission != "" {
		args = append(args, "--admission", d.Admission)
	}
	if d.WorkerSignIns > 0 {
		args = append(args, "--worker-sign-ins", fmt.Sprint(d.WorkerSignIns))
	}
	return args
}

// CoreArgs is the command line of the simulated core host: netbank-lab's command "core" and its flags.
func (d *Dev) CoreArgs() []string {
	args := []string{"core", "--addr", d.CoreAddr, "--admin", d.CoreAdmin, "--dir", d.path("core"), "--model", d.CoreModel}
	if d.CoreNoSync {
		args = append(args, "--no-sync")
	}
	return args
}

// supervise runs core, bank and shop, and ends them in the reverse order.
func (d *Dev) supervise(ctx context.Context, cancel context.CancelFunc) error {
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	// The bank is ended before the core, so that what is inside the core is still answered.
	coreCtx, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCore()
	bankCtx, stopBank := context.WithCancel(coreCtx)
	failures := make(chan error, 3+nodesMax+workersMax)
	var coreDone, bankDone sync.WaitGroup
	start := func(ctx context.Context, done *sync.WaitGroup, c *child) error {
		log, err := openLog(c.log())
		if err != nil {
			return err
		}
		c.out = log
		done.Go(func() {
			defer log.Close()
			if err := c.run(ctx); err != nil {
				failures <- err
			}
		})
		return nil
	}
	err := start(coreCtx, &coreDone, &child{name: "core", args: d.CoreArgs(), dir: d.DataDir, note: say})
	if err == nil {
		err = d.waitFor(ctx, failures, "http://"+d.CoreAdmin+"/status")
	}
	var people []demo.Identity
	if err == nil {
		// The bank's demo phone reads the customers from demo.json when it starts.
		people, err = d.WriteDemo()
	}
	var nodes *nodes
	switch {
	case err != nil:
	case d.clustered():
		nodes, err = d.openNodes(ctx, say)
		if err == nil && d.behindHAProxy() {
			var c *child
			if c, err = d.haproxy(say); err == nil {
				err = start(bankCtx, &bankDone, c)
			}
		}
		if err == nil {
			err = nodes.start(ctx, failures, func(c *child) error { return start(bankCtx, &bankDone, c) })
		}
	default:
		if err = start(bankCtx, &bankDone, &child{name: "bank", args: d.BankArgs(), dir: d.DataDir, note: say}); err == nil {
			err = d.waitFor(ctx, failures, "http://"+d.OperatorAddr+"/readyz")
		}
	}
	if err == nil {
		err = d.Seed(ctx)
	}
	var shop *http.Server
	if err == nil {
		shop, err = d.startShop(failures)
	}
	if err == nil {
		d.welcome(os.Stdout, people)
		select {
		case <-ctx.Done():
			say("\nStopping. What has been paid stays; the same command goes on from here.")
		case err = <-failures:
		}
	}
	cancel()
	if shop != nil {
		shop.Close()
	}
	nodes.stop()
	stopBank()
	nodes.endScaled()
	bankDone.Wait()
	nodes.endScaled() // one that a leader had just started again
	nodes.close()
	stopCore()
	coreDone.Wait()
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	// An error with an exit code of its own says why already.
	if coded := new(bank.Error); err != nil && !errors.As(err, &coded) {
		printTail(os.Stderr, d.logs()...)
	}
	return err
}

// logs are the files in which the children's last words stand.
func (d *Dev) logs() []string {
	all := []string{d.path("core.log")}
	for _, m := range d.members() {
		all = append(all, d.path(m.name+".log"))
	}
	if !d.clustered() {
		all = append(all, d.path("bank.log"))
	}
	return all
}

func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return f, nil
}

// printTail shows the last lines of the children's logs, which say more than an exit code.
func printTail(w io.Writer, paths ...string) {
	for _, path := range paths {
		if line := LastLine(path); line != "" {
			fmt.Fprintf(w, "%s: %s\n", filepath.Base(path), line)
		}
	}
}

// waitFor asks an address until it answers 200, or a child has failed.
func (d *Dev) waitFor(ctx context.Context, failures chan error, url string) error {
	err := Await(ctx, url, func() error {
		select {
		case err := <-failures:
			return err
		default:
			return nil
		}
	})
	if errors.Is(err, ErrSilent) {
		return fmt.Errorf("%w; the logs in %s say why", err, d.DataDir)
	}
	return err
}

func (d *Dev) passwordHash() (string, error) {
	params := session.Standard
	if d.PasswordHash == "cheap" {
		params = session.Cheap
	}
	return session.HashPassword(Password, params)
}

// WriteDemo writes demo.json, which the bank's demo phone reads when the bank starts.
func (d *Dev) WriteDemo() ([]demo.Identity, error) {
	file := d.demoFile()
	return file.Customers, file.Write(d.DataDir)
}

// demoFile is demo.json, without what changes while a cluster runs.
func (d *Dev) demoFile() *demo.Demo {
	people := make([]demo.Identity, 0, d.Customers)
	for n := 1; n <= d.Customers; n++ {
		people = append(people, person(n, "").Identity)
	}
	shop := "http://" + d.ShopAddr
	return &demo.Demo{
		Version: demo.Version, Customer: demo.Customer{URL: "http://" + d.CustomerAddr},
		Partner: demo.Partner{
			URL: "https://" + d.PartnerAddr, CA: "pki/" + caFile, Cert: "pki/" + programCert, Key: "pki/" + programKey,
			RedirectURI: shop + "/return", NotificationURI: "http://" + d.NotifyAddr + "/webhook",
		},
		Operator: demo.Operator{URL: "http://" + d.OperatorAddr, TokenFile: "operator.token"},
		Core:     demo.Core{Addr: d.CoreAddr, Admin: "http://" + d.CoreAdmin}, Shop: demo.Shop{URL: shop}, Customers: people,
	}
}

// seeded is what an earlier start has already brought in.
type seeded struct {
	Customers    int    `json:"customers"`
	PasswordHash string `json:"passwordHash"`
}

// Seed brings the demo partner, the accounts and the customers in, each by the door that a real bank would use. What was seeded by an
// earlier start is not repeated.
func (d *Dev) Seed(ctx context.Context) error {
	var done seeded
	if text, err := os.ReadFile(d.path("seeded.json")); err == nil {
		_ = json.Unmarshal(text, &done)
	}
	if done.PasswordHash != d.PasswordHash {
		done.Customers = 0
	}
	if err := d.seedPartners(ctx); err != nil {
		return err
	}
	if done.Customers >= d.Customers {
		return nil
	}
	hash, err := d.passwordHash()
	if err != nil {
		return err
	}
	accounts, customers := new(bytes.Buffer), new(bytes.Buffer)
	toAccounts, toCustomers := json.NewEncoder(accounts), json.NewEncoder(customers)
	for n := done.Customers + 1; n <= d.Customers; n++ {
		p := person(n, hash)
		for _, a := range p.Customer.Accounts {
			_ = toAccounts.Encode(map[string]any{"number": a.Number, "currency": a.Currency, "balanceMinor": balanceMinor})
		}
		_ = toCustomers.Encode(p.Customer)
	}
	if err := d.send(ctx, "http://"+d.CoreAdmin+"/accounts", "", accounts); err != nil {
		return err
	}
	if err := d.post(ctx, "/api/v1/customers", customers); err != nil {
		return err
	}
	text, err := json.Marshal(seeded{Customers: d.Customers, PasswordHash: d.PasswordHash})
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return os.WriteFile(d.path("seeded.json"), text, 0o600)
}

// seedPartners registers the shop, and beside it a partner for programs: what a program does to its own webhooks must not delay the shop's.
func (d *Dev) seedPartners(ctx context.Context) error {
	shop := "http://" + d.ShopAddr
	lines := new(bytes.Buffer)
	for id, p := range []struct{ name, cert, notify string }{
		{"Demo Shop 示例商店", shopCertFile, shop + "/webhook"},
		{"Demo partner", programCert, "http://" + d.NotifyAddr + "/webhook"},
	} {
		sum, err := fingerprint(d.path("pki", p.cert))
		if err != nil {
			return err
		}
		err = json.NewEncoder(lines).Encode(ops.Partner{
			ID: uint32(id + 1), Name: p.name, Fingerprints: []string{sum}, RedirectURIs: []string{shop + "/return"}, NotificationURIs: []string{p.notify},
			OpenPaymentsMax: 1_000_000, CreatesPerSecond: 100_000, PollsPerSecond: 1_000_000,
		})
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	return d.post(ctx, "/api/v1/partners", lines)
}

// post sends lines to the operator's port.
func (d *Dev) post(ctx context.Context, path string, body io.Reader) error {
	token, err := os.ReadFile(d.path("operator.token"))
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return d.send(ctx, "http://"+d.OperatorAddr+path, strings.TrimSpace(string(token)), body)
}

func (d *Dev) send(ctx context.Context, url, token string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("lab: seeding: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("lab: seeding: %s answered %d: %s", url, resp.StatusCode, text)
	}
	return nil
}

func (d *Dev) startShop(failures chan error) (*http.Server, error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	shop, err := NewShop("http://"+d.ShopAddr, "https://"+d.PartnerAddr, d.path("pki", caFile), d.path("pki", shopCertFile), d.path("pki", shopKeyFile), logger)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", d.ShopAddr)
	if err != nil {
		return nil, &bank.Error{Code: bank.ExitAddress, Err: fmt.Errorf("cannot listen on %s: %w; choose another address with --shop-addr", d.ShopAddr, rootCause(err))}
	}
	token, err := bank.ReadToken(d.path(gatewayToken))
	if err != nil {
		return nil, err
	}
	doors := http.NewServeMux() // the message gateway stands beside the shop, as another house that the bank has a contract with
	doors.Handle("/", shop.Handler())
	doors.Handle(messagesPath, &gateway{token: token})
	server := &http.Server{Handler: doors, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failures <- fmt.Errorf("lab: the shop: %w", err)
		}
	}()
	return server, nil
}

func (d *Dev) welcome(w io.Writer, people []demo.Identity) {
	fmt.Fprintf(w, `
  The demo bank runs on this machine%s.

    Begin here, at the shop     http://%s
    Sign in as                  %s or %s, password %s
    Codes and messages          http://%s/demo-phone
    The operator's page         http://%s/
    The partner API             https://%s  (certificates in %s)
    For programs                %s

  Real: pages, sessions, journal on disk, gate, ISO 8583 to the core, webhooks.
  Simulated: the core banking system (%s), the shop, the phone that shows codes.
  Password hashes: %s. Admission control: %s.

%s  Ctrl-C stops everything. What was paid stays in %s.

`, d.asCluster(), d.ShopAddr, people[0].Username, people[1].Username, Password, d.OperatorAddr, d.OperatorAddr, d.PartnerAddr, d.path("pki"),
		d.path(demo.Name), d.CoreModel, d.PasswordHash, d.Admission, d.aboutNodes(), d.DataDir)
}
