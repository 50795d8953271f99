package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/journal"
	"netbank/cluster/scaling"
	"netbank/cluster/scaling/expansion"
	"netbank/frontend/ops"
)

// console is a node as the operator's port sees it.
type console struct {
	ops.Bank
	status  cluster.Status
	refused bool
}

func (c *console) Status() cluster.Status { return c.status }

func (c *console) Refused(class gate.Class) (cluster.Refusal, bool) {
	return cluster.Refusal{Reason: gate.TooLate}, c.refused && class == gate.Confirm
}

// nodes is a cluster to be looked at.
type nodes struct {
	ops.Cluster
	list []ops.ClusterNode
}

func (n nodes) Name() string                      { return "bank-of-demonstration" }
func (n nodes) Nodes() ([]ops.ClusterNode, error) { return n.list, nil }

func (n nodes) Authority() ops.ClusterAuthority {
	return ops.ClusterAuthority{
		Fingerprint: strings.Repeat("0123456789abcdef", 4), End: time.Date(2020, 11, 11, 0, 0, 0, 0, time.UTC),
		Rotation: ops.RotationRenew, Waiting: []journal.NodeID{2}, Known: true,
	}
}

func (n nodes) Leader() (journal.NodeID, string) { return 1, n.list[0].Operator }

// lanes are levers to be looked at.
type lanes struct {
	ops.Levers
	wishes journal.Wishes
	state  scaling.State
	found  expansion.Finding
	auto   int // workers that it goes to by itself
}

func (l *lanes) Wishes() *journal.Wishes          { return &l.wishes }
func (l *lanes) Ceilings() [3]int                 { return [3]int{64, 96, 128} }
func (l *lanes) Workers() (string, scaling.State) { return "local", l.state }
func (l *lanes) Approval() bool                   { return false }

func (l *lanes) Watch() (expansion.Config, *expansion.Finding) {
	return expansion.Config{Max: l.auto}, &l.found
}

// rush is a bank that has expanded by itself, and may go no further; slow is one whose core is slow and whose provider fails.
func rush() *lanes {
	l := &lanes{auto: 8, state: scaling.State{Known: true, Standing: scaling.Standing{Wanted: 8, Running: 8}}}
	l.found = expansion.Finding{Limit: expansion.LimitSignIn, Nodes: 10, Text: "sign-in pool: 96 % busy on 10 of 10 nodes, up to 1.2 s to wait", Doing: "has as many workers as it may have"}
	l.wishes.Workers = journal.Wanted{Fence: 3, Base: 2, Now: journal.Wish{
		Number: 3, Value: 8, At: 1_289_440_800_000, Until: 1_289_462_400_000, Reason: "sign-in pool: 97 % busy on 8 of 8 nodes, up to 1.4 s to wait, for 31 s", Operator: expansion.Operator,
	}}
	return l
}

func slow() *lanes {
	l := rush()
	l.auto, l.wishes.Workers.Pending = 0, journal.Wish{Number: 4, Value: 12, Reason: "the 11th", Operator: `certificate "a rather long name of an operator"`}
	l.state.Problem, l.state.Remedy = "the command /usr/local/bin/standby scale 8 3 ended with code 1", "look at the command"
	l.found = expansion.Finding{Limit: expansion.LimitCore, Nodes: 10, Text: "the core: calls wait for a seat at the gate, or are refused one", Doing: "off"}
	return l
}

func coordinators(change func([]ops.ClusterNode)) nodes {
	since := time.Date(2010, 11, 11, 2, 0, 0, 0, time.UTC)
	var list []ops.ClusterNode
	for i := range 5 {
		n := ops.ClusterNode{
			Node: journal.NodeID(i + 1), Role: ops.RoleCoordinator, Address: fmt.Sprintf("node%d.netbank.bank.example:7000", i+1), Operator: fmt.Sprintf("https://node%d.netbank.bank.example:9090", i+1),
			Voter: true, Leader: i == 0, Self: i == 0, Up: true, Since: since, Applied: 1_234_567, Known: true, Version: "netbank 0123456789ab, go1.26.8", Ready: true,
			CertificateEnd: time.Now().AddDate(0, 0, 20),
		}
		if i > 2 {
			n.Role, n.Voter, n.Known = ops.RoleWorker, false, false
		}
		list = append(list, n)
	}
	if change != nil {
		change(list)
	}
	return nodes{list: list}
}

func troubled(list []ops.ClusterNode) {
	list[1].Up, list[1].Ready = false, false
	list[2].Lag, list[2].Applied, list[2].CertificateEnd, list[2].Version = 48_211, 1_186_356, time.Now().AddDate(0, 0, 2), "netbank fedcba987654, go1.26.9"
	list[3].Ready, list[3].NotReady = false, []string{"the stream to the leader is down since 2010-11-11T02:00:00Z; look at the network between node 4 and node 1"}
	list[4].Up, list[4].Ready = false, false
}

// The operator's pages are read at night, on a phone, by who was woken.
func TestTheOperatorsPagesInABrowser(t *testing.T) {
	browser := startBrowser(t)
	source := axe(t)
	well := cluster.Status{Node: 1, Role: "leader", Core: cluster.CoreStatus{Reachable: true, Since: time.Now()}, Gate: gate.Snapshot{Taken: 12, Limit: 64}}
	sick := well
	sick.Counts.Contradictions = 2
	sick.Counts.ByState[journal.StateInDoubt] = 7
	gone := ops.Check{Name: "core", Ask: func() error {
		return &ops.Fault{What: "the core at core.bank.example:8583 cannot be reached since 2010-11-11T02:00:00Z: dial tcp 10.20.30.40:8583: connect: connection refused", Remedy: "ask the core's operators, and look at the network"}
	}}
	fine := ops.Check{Name: "leader", Ask: func() error { return nil }}
	look := func(name string, bank *console, members ops.Cluster, levers ops.Levers, checks ...ops.Check) {
		t.Helper()
		h, err := ops.New(ops.Config{
			Levers: levers, Bank: bank, Gatherer: prometheus.NewRegistry(), Token: "0123456789abcdef0123456789abcdef", Checks: checks, Cluster: members, BankName: "Bank of Demonstration", Version: "netbank 0123456789ab, go1.26.8",
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(h)
		defer server.Close()
		pages := []string{"payments", "cluster"}
		if levers != nil {
			pages = append(pages, "scale")
		}
		for _, page := range pages {
			lookAt(t, browser, source, name+"-"+page, server.URL+"/"+strings.TrimPrefix(page, "payments"))
		}
	}
	look("console-well", &console{status: well}, coordinators(nil), rush(), fine)
	look("console-troubled", &console{status: sick, refused: true}, coordinators(troubled), slow(), fine)
	look("console-down", &console{status: sick}, coordinators(func(list []ops.ClusterNode) { list[0].Leader = false }), nil, ops.Check{Name: "leader", Ask: func() error { return errors.New("no leader takes payments; look at the disk") }}, gone)
	look("console-alone", &console{status: well}, nil, nil, fine)
	supportPage(t, browser, source)
}

// supportPage lets a browser look up what a customer reads out.
func supportPage(t *testing.T, browser context.Context, source string) {
	t.Helper()
	at := time.Date(2010, 11, 11, 2, 0, 0, 0, time.UTC)
	const secret = "fedcba9876543210fedcba9876543210"
	h, err := ops.New(ops.Config{
		Bank: &console{}, Gatherer: prometheus.NewRegistry(), Token: "0123456789abcdef0123456789abcdef", SupportToken: secret, BankName: "Bank of Demonstration", Logger: slog.New(slog.DiscardHandler),
		Why: func(reference string) (ops.Explained, bool, error) {
			return ops.Explained{
				Reference: reference, Code: "queue-full", Payment: "019ab0c4-5b7e-7c3a-9d2f-0123456789ab", Partner: 3, Payee: "Zhōnghuá Handicraft and Household Goods Trading Cooperative 上海分公司 Ltd",
				Amount: "CNY 9,999,999,999.99", State: "in-doubt", Status: "PDNG", ResponseCode: "96", Shown: at, Created: at, Granted: at, Changed: at,
				Told: map[string][]string{"en": {"Many payments at this moment", "Your payment was not started, and nothing was charged."}, "zh-CN": {"当前付款人数较多", "您的付款尚未开始，未扣款。"}},
				Tell: map[string][]string{"en": {"Not yet known", "Do not pay again."}, "zh-CN": {"结果尚未确定", "请勿重复付款。"}},
			}, reference == "7KQ2M-X9R4T", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	address := strings.Replace(server.URL, "http://", "http://support:"+secret+"@", 1) + "/support"
	lookAt(t, browser, source, "support", address)
	lookAt(t, browser, source, "support-known", address+"?reference=7KQ2M-X9R4T")
	lookAt(t, browser, source, "support-unknown", address+"?reference=other")
}

// lookAt lets axe-core look at a page in light and dark, at the widths of a phone and of a desk, and takes pictures if asked to.
func lookAt(t *testing.T, browser context.Context, source, name, address string) {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	defer cancel()
	i := &inspector{visitor: &visitor{t: t, ctx: ctx}, axe: source, language: "en", pictures: os.Getenv("NETBANK_SCREENSHOTS")}
	i.run(chromedp.EmulateViewport(320, 700, chromedp.EmulateMobile))
	call(i.visitor, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}) // for axe-core
	i.open(address)
	i.sees("h1")
	evaluate[float64](i.visitor, i.axe+";0")
	for _, width := range []int64{320, 390, 820, 1280} {
		i.run(chromedp.EmulateViewport(width, 900))
		if wide := evaluate[float64](i.visitor, `document.documentElement.scrollWidth`); wide > float64(width) {
			t.Errorf("%s: %v pixels wide on a screen of %d", name, wide, width)
		}
		for _, scheme := range []string{"light", "dark"} {
			if width == 320 || width == 1280 {
				i.scheme(scheme)
				i.findsNothing(fmt.Sprintf("%s at %d pixels, %s", name, width, scheme))
			}
		}
	}
	if i.pictures != "" {
		i.picture(name, "phone", 320, 740, "light")
		i.picture(name, "desk", 1280, 900, "light")
		i.picture(name, "phone-dark", 390, 740, "dark")
		i.picture(name, "desk-dark", 1280, 900, "dark")
	}
}
