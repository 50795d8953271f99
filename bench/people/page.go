package people

import (
	"bytes"
	"html"
	"net/url"
	"strconv"
	"strings"
	"time"

	"netbank/bench/load"
)

// kind is what a page asks of the customer.
type kind uint8

const (
	tells   kind = iota // nothing: it says how the payment stands, or leads on
	signIn              // user name and password
	choose              // the account to pay from
	oneTime             // the code
)

// known is what a page says of the payment, by the way back to the shop that it offers.
type known uint8

const (
	unsaid    known = iota // the page leads to no shop
	settled                // charged
	rejected               // not charged, for good
	cancelled              // not charged, for good
	expired                // not charged, for good
	uncharged              // not charged by this try; the payment can still be made
	unknown                // a confirmation is on its way, and nobody knows yet what became of it
)

// sheet is what a customer has before him: what he needs of a page, taken out of the answer.
type sheet struct {
	kind   kind
	known  known
	status int
	at     string // the page's own address
	step   string // name of the step that the address bears
	why    string // why the customer was led here, where the address says so

	action        string // where the page's form goes
	csrf, account string // its fields
	again         string // where the page's main link leads, within the bank
	wait          time.Duration
	late          bool   // of the line: the turn would come too late
	follows       string // where the page goes by itself after wait, within the bank
}

// pageWaitMax bounds the wait that a page asks for.
const pageWaitMax = 10 * time.Minute

// readSheet reads an answer that is no redirect. shop is what ways back begin with. A page is read by what a browser without
// scripts would find in it: the forms by their fields' autocomplete tokens, the outcome by the way back to the shop.
func readSheet(at string, r *load.Response, shop string) sheet {
	p := readPage(at, r.Status, r.Body, shop)
	if seconds, err := strconv.Atoi(string(r.Header("Retry-After"))); err == nil {
		p.pause(seconds)
	}
	p.refresh(string(r.Header("Refresh")))
	return p
}

func readPage(at string, status int, body []byte, shop string) sheet {
	p := sheet{at: at, status: status}
	p.step, p.why = stepOf(at)
	for rest := body; p.kind == tells; {
		_, after, _ := bytes.Cut(rest, []byte("<form "))
		form, after, ended := bytes.Cut(after, []byte("</form>"))
		if !ended {
			break
		}
		rest = after
		switch {
		case bytes.Contains(form, []byte(`autocomplete="current-password"`)):
			p.kind = signIn
		case bytes.Contains(form, []byte(`autocomplete="one-time-code"`)):
			p.kind = oneTime
		case bytes.Contains(form, []byte(`type="radio"`)):
			p.kind = choose
			p.account = text(between(form, `name="account" value="`, `"`))
		default:
			continue
		}
		p.action = local(text(between(form, `action="`, `"`)))
		p.csrf = text(between(form, `name="csrf" value="`, `"`))
	}
	p.late = p.waits() && bytes.Contains(body, []byte(`class="state bad"`))
	p.known = wayBack(body, shop)
	p.again = local(text(between(body, `<a class="go" href="`, `"`)))
	return p
}

// refresh reads where the page goes by itself, and when. To the shop it goes without the customer of a bank.
func (p *sheet) refresh(header string) {
	seconds, address, _ := strings.Cut(header, "; url=")
	n, err := strconv.Atoi(seconds)
	if err != nil || local(address) == "" {
		return
	}
	p.follows = address
	p.pause(n)
}

func (p *sheet) pause(seconds int) {
	p.wait = time.Duration(min(max(seconds, 0), int(pageWaitMax/time.Second))) * time.Second
}

// waits reports whether the page shows a place in the waiting line.
func (p *sheet) waits() bool { return p.step == "wait" && p.status == 200 && p.kind == tells }

// turnedAway reports whether the page says that the bank is too busy.
func (p *sheet) turnedAway() bool { return p.status == 503 || p.status == 429 }

// text decodes what stands in an attribute.
func text(b []byte) string {
	if bytes.IndexByte(b, '&') < 0 {
		return string(b)
	}
	return html.UnescapeString(string(b))
}

// local gives an address of the bank itself, or nothing: a customer's way through a payment leaves it only for the shop. What could
// not stand in the first line of a request is no address.
func local(address string) string {
	if !strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//") {
		return ""
	}
	for i := range len(address) {
		if address[i] <= ' ' || address[i] >= 0x7f {
			return ""
		}
	}
	return address
}

// wayBack finds what the way back to the shop says of the payment.
func wayBack(body []byte, shop string) known {
	const href = `href="`
	for {
		i := bytes.Index(body, []byte(href))
		if i < 0 || shop == "" {
			return unsaid
		}
		body = body[i+len(href):]
		end := bytes.IndexByte(body, '"')
		if end < 0 {
			return unsaid
		}
		// Most links of a page lead elsewhere, and are told by their first letter.
		if end == 0 || body[0] != shop[0] {
			continue
		}
		link := text(body[:end])
		if !strings.HasPrefix(link, shop) {
			continue
		}
		_, raw, _ := strings.Cut(link, "?")
		query, err := url.ParseQuery(raw)
		if err != nil || query.Get("paymentId") == "" {
			continue
		}
		switch query.Get("error") {
		case "":
			return settled
		case "rejected":
			return rejected
		case "cancelled":
			return cancelled
		case "expired":
			return expired
		case "not-completed":
			return uncharged
		case "pending":
			return unknown
		}
	}
}
