package system

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"netbank/bench/flow"
	"netbank/cluster/journal"
)

// A scripted attacker at the doors of three coordinators and two workers at once, past the balancer, gets nothing; and the audit of core and journal finds
// nothing afterwards.
func TestAttacker_GetsNothingAtFiveNodes(t *testing.T) {
	c := newTrio(t, 10)
	c.works("worker1")
	c.works("worker2")
	c.guessPasswords()
	c.guessCodes()
	c.replayCookie()
	c.forgeLinks()
	c.swapPayee()
	c.raceConfirmations()
	c.bank = c.leader().process
	if report := c.audit(); report.Settled != 1 {
		t.Errorf("%d payments were settled, want the one of the race", report.Settled)
	}
}

// everywhere does something at all doors at once, several times.
func (c *trio) everywhere(times int, do func(door string, n int)) {
	var all sync.WaitGroup
	for i, node := range c.nodes {
		for n := range times {
			all.Go(func() { do(node.customers, i*times+n) })
		}
	}
	all.Wait()
}

// tries sends something in the name of somebody, whatever is answered.
func (h *hand) tries(method, address string, form url.Values) *shown {
	p, err := h.send(method, address, form)
	if err != nil {
		h.t.Error(err)
		return &shown{}
	}
	return p
}

func (c *trio) guessPasswords() {
	c.t.Helper()
	victim := c.demo.Customers[0]
	link := c.order("guess-passwords", nil).Link
	guess := func(door, word string) {
		h := c.hand(door)
		p := h.tries(http.MethodGet, link, nil)
		f := p.Asks("current-password")
		if f == nil {
			c.t.Errorf("%s asks for no password: %d", door, p.Status)
			return
		}
		h.tries(http.MethodPost, address(p, f), filled(f, map[string]string{"username": victim.Username, "current-password": word}))
		if h.cookies["netbank"] != "" {
			c.t.Errorf("a guess at %s signed in", door)
		}
	}
	c.everywhere(2, func(door string, n int) { guess(door, fmt.Sprintf("guess number %d", n)) })
	for _, node := range c.nodes {
		guess(node.customers, victim.Password) // the lane is full, at every door
	}
}

func (c *trio) guessCodes() {
	c.t.Helper()
	victim := c.demo.Customers[1]
	created := c.order("guess-codes", nil)
	thief := c.hand(c.nodes[0].customers) // who knows the password
	to, form := thief.toCode(created.Link, victim)
	guesses := wrongCodes(c.t, victim, 10)
	c.everywhere(2, func(door string, n int) { thief.at(door).tries(http.MethodPost, to, typed(form, guesses[n])) })
	for _, node := range c.nodes {
		thief.at(node.customers).tries(http.MethodPost, to, typed(form, codeOf(c.t, victim, 0)))
	}
	c.stays(created, "guessing codes")
	for _, node := range c.nodes {
		c.out(thief.at(node.customers), created.Link)
	}
}

// out waits until a session is over at a door: the node hears of its end as soon as it has the entry.
func (c *trio) out(h *hand, page string) {
	c.t.Helper()
	c.await("the end of a session at "+h.door, func() bool { return h.at(h.door).open(page).Asks("current-password") != nil })
}

func (c *trio) stays(created flow.Created, what string) {
	c.t.Helper()
	if s := c.stands(created.PaymentID); s != "RCVD" {
		c.t.Errorf("%s: the payment is %s", what, s)
	}
}

func (c *trio) replayCookie() {
	c.t.Helper()
	victim := c.demo.Customers[2]
	created := c.order("replay", nil)
	owner := c.hand(c.nodes[4].customers)
	to, form := owner.toCode(created.Link, victim)
	stolen := owner.at(c.nodes[1].customers)
	if p := stolen.open("/payments"); p.Asks("current-password") != nil {
		c.t.Error("a session is good at one node only")
	}
	owner.goOn(http.MethodPost, "/sign-out", url.Values{"csrf": form["csrf"]})
	for _, node := range c.nodes {
		// At once: what money moves by goes through the journal, wherever this node is.
		stolen.at(node.customers).tries(http.MethodPost, to, typed(form, codeOf(c.t, victim, 0)))
	}
	c.stays(created, "replaying a cookie")
	for _, node := range c.nodes {
		c.out(stolen.at(node.customers), "/payments")
		c.out(stolen.at(node.customers), "/security")
	}
}

func (c *trio) forgeLinks() {
	c.t.Helper()
	created, other := c.order("forged", nil), c.order("other", func(o *flow.Order) { o.CreditorName = "Somebody else" })
	link, mac, _ := strings.Cut(created.Link, "?s=")
	otherLink, otherMAC, _ := strings.Cut(other.Link, "?s=")
	forged := []string{link, link + "?s=", link + "?s=" + otherMAC, otherLink + "?s=" + mac, created.Link + "A", link + "?s=" + mac[1:]}
	c.everywhere(len(forged), func(door string, n int) {
		h := c.hand(door)
		at := forged[n%len(forged)]
		for _, p := range []*shown{h.tries(http.MethodGet, at, nil), h.tries(http.MethodPost, strings.Replace(at, "?", "/cancel?", 1), nil)} {
			if p.Status < 400 || strings.Contains(string(p.Body), "System Shop") || strings.Contains(string(p.Body), "Somebody else") {
				c.t.Errorf("a forged link is answered with %d at %s", p.Status, door)
			}
		}
	})
	c.stays(created, "forging links")
	c.stays(other, "forging links")
}

// swapPayee sends what was agreed to for one payment with the address of another one, and the other way round.
func (c *trio) swapPayee() {
	c.t.Helper()
	victim := c.demo.Customers[3]
	seen := c.order("seen", nil)
	thiefs := c.order("thief", func(o *flow.Order) {
		o.CreditorName, o.CreditorAccount, o.Amount = "Thief", "6228480000000000666", "90.00"
	})
	h := c.hand(c.nodes[2].customers)
	to, form := h.toCode(seen.Link, victim)
	at, err := url.Parse(to)
	if err != nil {
		c.t.Fatal(err)
	}
	swapped := strings.Replace(thiefs.Link, "?", "/code?", 1) + "&c=" + url.QueryEscape(at.Query().Get("c"))
	c.everywhere(1, func(door string, _ int) {
		h.at(door).tries(http.MethodPost, swapped, typed(form, codeOf(c.t, victim, 0)))
		h.at(door).tries(http.MethodPost, swapped+"&f=totp&amount=0.01", typed(form, codeOf(c.t, victim, 1)))
	})
	c.stays(thiefs, "swapping the payee")
	c.stays(seen, "swapping the payee")
}

// raceConfirmations sends one code for two payments, at four doors at once: as many attempts as there may be in a row. One more, and it would be a lock
// that holds the rest.
func (c *trio) raceConfirmations() {
	c.t.Helper()
	victim := c.demo.Customers[4]
	first, second := c.order("race-1", nil), c.order("race-2", nil)
	h := c.hand(c.nodes[3].customers)
	to, form := h.toCode(first.Link, victim)
	otherTo, otherForm := h.toCode(second.Link, victim)
	code := codeOf(c.t, victim, 0)
	c.everywhere(1, func(door string, n int) {
		switch {
		case n >= journal.LockAfter-1:
		case n%2 == 0:
			h.at(door).tries(http.MethodPost, to, typed(form, code))
		default:
			h.at(door).tries(http.MethodPost, otherTo, typed(otherForm, code))
		}
	})
	states := func() (both []string) {
		for _, one := range []flow.Created{first, second} {
			both = append(both, c.stands(one.PaymentID))
		}
		return both
	}
	c.await("one of two payments to be settled", func() bool {
		both := states()
		return both[0] == "ACSC" || both[1] == "ACSC"
	})
	if both := states(); both[0] == both[1] {
		c.t.Errorf("one code for two payments: %v", both)
	}
}
