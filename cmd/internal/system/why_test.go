package system

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netbank/bench/demo"
	"netbank/bench/flow"
	"netbank/frontend/ops"
)

// shownReference is at the foot of every page: the request's name and, where something was refused, why.
var shownReference = regexp.MustCompile(`class="ref">([^ <]+)(?: ([^ <]+))?<`)

// One word for why, wherever it is read: at the foot of the customer's page, in the metric, in the log, in `netbank why`, in its call and on the page of those
// who support customers; by a payment's number at every node, by a page's reference at the node that showed it.
func TestWhy_PageMetricLogCallAndCommandSayTheSame(t *testing.T) {
	c := prepareNodes(t, 12)
	c.forward(c.dev.PartnerAddr, func(n *coordinator) string { return n.partners })
	c.dev.CoreSeats, c.dev.CoreFixed = 1, true
	addr := ports(t, c.random, 12)
	founders := []string{addr[3], addr[7], addr[11]}
	more := []string{"--core-limit=1s", "--support-token-file=" + c.dev.DataDir + "/support.token"}
	for i := range 3 {
		c.add(fmt.Sprintf("founder%d", i+1), addr[4*i:4*i+4], append(more, "--bootstrap-expect=3", "--join="+strings.Join(founders, ","))...)
	}
	c.open(c.nodes...)
	worker := c.add("worker1", append(ports(t, c.random, 3), ""), append(more, "--role=worker", "--join-token-file", c.invite("worker1", ops.RoleWorker, 1))...)
	c.launch(worker)
	c.awaitReady(worker)
	leader := c.leader()
	follower := c.nodes[(slices.Index(c.nodes, leader)+1)%3]
	last := c.nodes[(slices.Index(c.nodes, leader)+2)%3]

	c.whyRefused(follower, c.demo.Customers[:4])
	paid := c.order("paid", nil)
	c.confirms(worker, paid, c.demo.Customers[5])
	c.why(paid.PaymentID, "settled", c.nodes...)
	c.faults(`{"decline":"51"}`)
	declined := c.order("declined", nil)
	c.confirms(last, declined, c.demo.Customers[6])
	c.why(declined.PaymentID, "declined", c.nodes...)
	c.faults(`{"dropAnswers":1}`)
	doubtful := c.order("doubtful", nil)
	c.confirms(worker, doubtful, c.demo.Customers[7])
	c.why(doubtful.PaymentID, "no-answer", c.nodes...)
	c.faults(`{}`)
	expired := c.order("expired", func(o *flow.Order) { o.ExpiresAt = time.Now().Add(2 * time.Second) })
	c.await("a payment to expire", func() bool { return c.stands(expired.PaymentID) == "RJCT" })
	c.why(expired.PaymentID, "expired", c.nodes...)

	// Without a leader: nobody may be told that it is known, and nobody is told more than that.
	open := map[*coordinator]func() *shown{}
	for i, n := range []*coordinator{last, worker} {
		h := c.hand(n.customers)
		to, form := h.toCode(c.order("led-"+n.name, nil).Link, c.demo.Customers[8+i])
		open[n] = func() *shown {
			return h.goOn(http.MethodPost, to, typed(form, codeOf(t, c.demo.Customers[8+i], 0)))
		}
	}
	// Who is left must have the sign-ins: a node that has not heard of one takes it for another's after a while.
	after := c.order("after", nil).PaymentID
	c.await(last.name+" to have heard of all that", func() bool {
		return c.call(last, http.MethodGet, "/api/v1/support/"+after, nil, &ops.Case{}) == nil
	})
	c.doors.Store(&[]*coordinator{})
	leader.kill()
	follower.kill()
	for n, press := range open {
		c.await(n.name+" to miss its leader", func() bool { return !c.answers("http://" + n.operator + "/readyz") })
		c.refusedAs(n, press(), "no-leader")
	}
	c.why(paid.PaymentID, "settled", last)
}

// confirms pays, at a node's own door.
func (c *trio) confirms(n *coordinator, created flow.Created, who demo.Identity) {
	c.t.Helper()
	h := c.hand(n.customers)
	to, form := h.toCode(created.Link, who)
	code := codeOf(c.t, who, 0)
	c.await("a confirmation at "+n.name, func() bool { // the gate remembers for a while how slow the core was
		p := h.goOn(http.MethodPost, to, typed(form, code))
		if p.Asks("one-time-code") != nil {
			c.t.Fatalf("%s: %s:\n%s", n.name, p.URL, p.Body)
		}
		return p.Status == http.StatusOK
	})
}

// whyRefused has several customers press at once where the core takes one at a time and needs longer than anybody may wait.
func (c *trio) whyRefused(n *coordinator, people []demo.Identity) {
	c.t.Helper()
	c.faults(`{"extraLatencyMillis":900}`)
	defer c.faults(`{}`)
	var all sync.WaitGroup
	pages := make([]*shown, len(people))
	for i, who := range people {
		h := c.hand(n.customers)
		to, form := h.toCode(c.order("refused-"+who.Username, nil).Link, who)
		all.Go(func() { pages[i] = h.tries(http.MethodPost, to, typed(form, codeOf(c.t, who, 0))) })
	}
	all.Wait()
	c.await("the core to be free again", func() bool {
		s, err := c.auditor.Standing(c.t.Context())
		return err == nil && s.Seats == 0
	})
	refused := 0
	for _, p := range pages {
		if strings.Contains(p.location, "/busy") {
			refused++
			c.refusedAs(n, c.hand(n.customers).open(p.location), "")
		}
	}
	if refused == 0 {
		c.t.Error("nobody was refused by a core that takes one at a time")
	}
}

// refusedAs holds a page that refuses something to its one word, which is this one, or if that is empty whichever the page has.
func (c *trio) refusedAs(n *coordinator, p *shown, want string) {
	c.t.Helper()
	m := shownReference.FindSubmatch(p.Body)
	if m == nil || len(m[2]) == 0 || want != "" && string(m[2]) != want {
		c.t.Errorf("%s: the page %s (%d) is no refusal as %q: %q", n.name, p.URL, p.Status, want, m)
		return
	}
	reference, code := string(m[1]), string(m[2])
	metrics := string(c.fetch("http://" + n.operator + "/metrics"))
	if line := fmt.Sprintf("netbank_pages_refused_total{code=%q} ", code); !strings.Contains(metrics, line) || strings.Contains(metrics, line+"0\n") {
		c.t.Errorf("%s: %s is not counted", n.name, code)
	}
	text, err := os.ReadFile(n.log)
	if err != nil || !strings.Contains(string(text), fmt.Sprintf(`"msg":"customer: refused","code":%q`, code)) {
		c.t.Errorf("%s: the log does not say %s (%v)", n.name, code, err)
	}
	c.why(reference, code, n)
	c.why(reference+" "+code, code, n) // as a customer reads it out
}

// why asks some nodes why, and the last of them in every way that there is.
func (c *trio) why(reference, want string, nodes ...*coordinator) {
	c.t.Helper()
	token := c.dev.DataDir + "/support.token"
	for _, n := range nodes {
		c.await(n.name+" to explain "+reference+" as "+want, func() bool { // it may be behind by an entry
			var e ops.Case
			err := c.call(n, http.MethodGet, "/api/v1/support/"+url.PathEscape(reference), nil, &e)
			return err == nil && e.Code == want && e.Meaning != ""
		})
	}
	n := nodes[len(nodes)-1]
	out, err := exec.Command(bankProgram, "why", reference, "--operator", "http://"+n.operator, "--operator-token-file", token).CombinedOutput()
	if first, _, _ := strings.Cut(string(out), "\n"); err != nil || !strings.HasSuffix(first, ": "+want) {
		c.t.Errorf("%s: netbank why %s says (%v), want %s:\n%s", n.name, reference, err, want, out)
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+n.operator+"/support?reference="+url.QueryEscape(reference), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth("support", strings.TrimSpace(string(secret)))
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(page), want) {
		c.t.Errorf("%s: the page of support is %d (%v) and does not say %q of %s", n.name, resp.StatusCode, err, want, reference)
	}
}
