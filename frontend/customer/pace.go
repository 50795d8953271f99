package customer

import (
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"netbank/frontend/edge"
	"netbank/frontend/web"
)

// How often one may come, far above what a person does and far below what costs the others anything. No limit is on an address: behind a carrier's
// there may be a hundred thousand customers. What an address is held to are wrong sign-ins only (session.AddressFailuresMax).
const (
	// LinkEvery is the rate of one payment's link, whoever opens it: ten a second.
	LinkEvery = 100 * time.Millisecond
	// LinkBurstMax is how often it may be opened at once.
	LinkBurstMax = 100
	// CustomerEvery is the rate of one customer's pages: twenty a second.
	CustomerEvery = 50 * time.Millisecond
	// CustomerBurstMax is how many of them may be asked for at once.
	CustomerBurstMax = 200
	// RatesMax is of how many links, and of how many customers, a node remembers when they came: of those that came least it forgets.
	RatesMax = 65_536
)

// pace makes the tables.
func (c *Pages) pace() {
	c.links = edge.NewRates(LinkEvery, LinkBurstMax, RatesMax)
	c.customers = edge.NewRates(CustomerEvery, CustomerBurstMax, RatesMax)
}

// hold answers who comes too often: nothing was looked up and nothing done.
func (c *Pages) hold(q *request, wait time.Duration, again string) {
	c.refused.add(q, CodeRate)
	q.Response.Header.Set("Retry-After", strconv.Itoa(seconds(wait)))
	c.tell(q, fasthttp.StatusTooManyRequests, telling{
		tone: "wait", page: "hasty", code: CodeRate, said: []string{c.site.Text(q.locale, "busy-wait", "Seconds", seconds(wait))},
		primary: &web.Link{Href: again, Text: c.site.Text(q.locale, "try-again")},
	})
}

// seconds gives a wait as a page and Retry-After say it.
func seconds(wait time.Duration) int { return min(max(int(math.Ceil(wait.Seconds())), 1), WaitMax) }

// sameLink is the address under which the payment of a link is looked up again.
func (c *Pages) sameLink(q *request, id string) string {
	return "/pay/" + url.PathEscape(id) + "?s=" + url.QueryEscape(string(q.QueryArgs().Peek("s")))
}
