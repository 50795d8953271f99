package system

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"netbank/bench/audit"
	"netbank/bench/demo"
	"netbank/bench/flow"
	"netbank/cmd/internal/lab"
)

// Waits of the tests. They bound what is awaited; nothing is timed by them.
const (
	upWait      = 60 * time.Second
	resolveWait = 60 * time.Second // the issue's: all that is in doubt is resolved within a minute
	pollPause   = 20 * time.Millisecond
)

// rig is a bank and its core as processes, and those who use them.
type rig struct {
	t        *testing.T
	dev      lab.Dev
	bankArgs []string // beside those of dev
	random   *rand.Rand
	idle     time.Duration // how long clients keep a connection that they do not use; 0: the default

	core, bank *process
	demo       *demo.Demo
	partner    *flow.Partner
	site       *flow.Site
	receiver   *flow.Receiver
	auditor    *audit.Bank
	people     *people
	told       *told
	client     *http.Client
}

// seedOf gives the seed of a test's choices, and prints it.
func seedOf(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("NETBANK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("NETBANK_SEED is %q: %v", text, err)
		}
	}
	t.Logf("seed: NETBANK_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// times gives how often a test kills, from the environment or the normal run's number.
func times(t *testing.T, variable string, normal int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return normal
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; it is a number from 1", variable, text)
	}
	return n
}

// ports gives addresses on loopback that nobody listens on, below those that the kernel gives to outgoing connections: a
// program that is started again must find its own free.
func ports(t *testing.T, r *rand.Rand, n int) []string {
	t.Helper()
	var all []string
	for port := 20_000 + r.IntN(8_000); len(all) < n; port++ {
		if port > 32_000 {
			t.Fatal("no free ports between 20,000 and 32,000")
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		all = append(all, addr)
	}
	return all
}

// prepare makes a data directory, and starts nothing.
func prepare(t *testing.T, customers int, model string) *rig {
	t.Helper()
	random := seedOf(t)
	addr := ports(t, random, 7)
	r := &rig{t: t, random: random, told: new(told), client: &http.Client{Timeout: 30 * time.Second}}
	r.dev = lab.Dev{
		DataDir: t.TempDir(), CustomerAddr: addr[0], PartnerAddr: addr[1], OperatorAddr: addr[2], ShopAddr: addr[3], NotifyAddr: addr[4],
		CoreAddr: addr[5], CoreAdmin: addr[6], CoreModel: model, CoreSeats: 64, Customers: customers, PasswordHash: "cheap",
	}
	if err := r.dev.Prepare(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.dev.WriteDemo(); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.demo, err = demo.Load(r.dev.DataDir); err != nil {
		t.Fatal(err)
	}
	return r
}

// newRig starts a core, a bank and those who use them.
func newRig(t *testing.T, customers int, model string, bankArgs ...string) *rig {
	t.Helper()
	r := prepare(t, customers, model)
	r.bankArgs = bankArgs
	r.open()
	return r
}

// open starts and seeds what prepare has prepared.
func (r *rig) open() {
	t := r.t
	t.Helper()
	r.startCore()
	r.startBank()
	ctx, cancel := context.WithTimeout(t.Context(), upWait)
	defer cancel()
	if err := r.dev.Seed(ctx); err != nil {
		t.Fatal(err)
	}
	r.meet()
}

// meet makes those who use a bank that is open and seeded.
func (r *rig) meet() {
	t := r.t
	t.Helper()
	var err error
	options := flow.Options{Timeout: 20 * time.Second, Idle: r.idle}
	if r.partner, err = flow.NewPartner(r.demo, options); err != nil {
		t.Fatal(err)
	}
	if r.site, err = flow.NewSite(r.demo, options); err != nil {
		t.Fatal(err)
	}
	if r.auditor, err = audit.NewBank(r.demo); err != nil {
		t.Fatal(err)
	}
	if r.people, err = newPeople(r.site, r.demo.Customers); err != nil {
		t.Fatal(err)
	}
	r.receiver, err = flow.Listen(r.demo.Partner.NotificationURI, r.partner.Keys, func(n flow.Notification) {
		r.told.add(audit.Told{Payment: n.PaymentID, Source: audit.ByWebhook, Status: n.Status.Status, Version: n.Version})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.receiver.Close()
		r.partner.Close()
		r.site.Close()
	})
}

func (r *rig) log(name string) string { return filepath.Join(r.dev.DataDir, name+".log") }

func (r *rig) startCore() {
	r.t.Helper()
	r.core = start(r.t, labProgram, r.log("core"), r.dev.CoreArgs()...)
	r.await("the core", func() bool { return r.answers(r.demo.Core.Admin + "/status") }, r.core)
}

func (r *rig) startBank() {
	r.t.Helper()
	r.bank = r.launchBank()
	r.await("the bank", func() bool { return r.answers(r.demo.Operator.URL + "/readyz") }, r.bank)
}

// launchBank starts the bank and does not wait for it.
func (r *rig) launchBank() *process {
	r.t.Helper()
	return start(r.t, labProgram, r.log("bank"), append(r.dev.BankArgs(), r.bankArgs...)...)
}

func (r *rig) answers(url string) bool {
	resp, err := r.client.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// await waits for a condition, or fails the test: at the limit, or when one of the processes ends.
func (r *rig) await(what string, ok func() bool, alive ...*process) {
	r.t.Helper()
	limit := time.After(upWait)
	for !ok() {
		for _, p := range alive {
			if p.ended() {
				r.t.Fatalf("waiting for %s: the process has ended (%v)\n%s", what, p.err, p.tail())
			}
		}
		select {
		case <-limit:
			for _, p := range alive {
				r.t.Log(p.tail())
			}
			r.t.Fatalf("%s: not within %v", what, upWait)
		case <-time.After(pollPause):
		}
	}
}

// faults sets what is wrong with the core; "{}" heals it.
func (r *rig) faults(json string) {
	r.t.Helper()
	r.put(r.demo.Core.Admin+"/faults", json)
}

func (r *rig) put(url, json string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader([]byte(json)))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("PUT %s %s: %d %s", url, json, resp.StatusCode, text)
	}
}

// audit waits for the resolver and the webhooks, and fails the test on any finding.
func (r *rig) audit() *audit.Report {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), resolveWait)
	defer cancel()
	waited := time.Now()
	if err := r.auditor.Await(ctx, true); err != nil {
		r.t.Errorf("%v\n%s", err, r.bank.tail())
	}
	took := time.Since(waited)
	report, err := r.auditor.Collect(r.t.Context(), r.told.all(), true)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("resolved and told in %v; %s", took.Round(10*time.Millisecond), report)
	if !report.OK() {
		r.t.Errorf("the audit found %d disagreements", report.FindingsCount)
	}
	if s, err := r.auditor.Standing(r.t.Context()); err != nil || s.Disagreements > 0 {
		r.t.Errorf("the core contradicted %d final states (%v)", s.Disagreements, err)
	}
	// Invariant SeatsAreExact: a seat whose call is over would be lost for ever.
	r.await("every seat to be free", func() bool {
		s, err := r.auditor.Standing(r.t.Context())
		return err == nil && s.Seats == 0
	}, r.bank)
	return report
}

// withinAMinute holds each payment, from its grant to its end, to the minute.
func (r *rig) withinAMinute(report *audit.Report) {
	r.t.Helper()
	if report.LongestMs > resolveWait.Milliseconds() {
		r.t.Errorf("a payment was without its end for %d ms; a minute is allowed", report.LongestMs)
	}
}

// told is what all clients were told, in the order in which they were.
type told struct {
	lock sync.Mutex
	list []audit.Told
	// newest is set where several nodes answer: who asks one after the other ignores what is older than what it has (rule 8).
	newest map[string]uint32
}

func (t *told) add(one audit.Told) {
	t.lock.Lock()
	if t.newest != nil && one.Source == audit.ByAPI {
		if one.Version < t.newest[one.Payment] {
			t.lock.Unlock()
			return
		}
		t.newest[one.Payment] = one.Version
	}
	t.list = append(t.list, one)
	t.lock.Unlock()
}

func (t *told) all() []audit.Told {
	t.lock.Lock()
	defer t.lock.Unlock()
	return append([]audit.Told(nil), t.list...)
}
