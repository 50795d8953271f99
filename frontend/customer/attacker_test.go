package customer

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// attacked is a bank of several doors over one journal, and what its core was told to debit.
type attacked struct {
	*house
	doors []*house
	lock  sync.Mutex
	sent  map[journal.PaymentID]int
}

// newAttacked opens four doors: each a node with pages, sessions and memories of its own.
func newAttacked(t *testing.T) *attacked {
	t.Helper()
	a := &attacked{house: newHouse(t), sent: map[journal.PaymentID]int{}}
	a.bank.core = func(id journal.PaymentID) {
		a.lock.Lock()
		a.sent[id]++
		a.lock.Unlock()
		a.bank.settle(id, command.Outcome_OUTCOME_APPROVED, "00")
	}
	a.doors = []*house{a.house}
	for range 3 {
		a.doors = append(a.doors, newHouseOver(t, a.bank, "https://pay.bank.example"))
	}
	return a
}

// at is the same browser at another door.
func (v *visitor) at(door *house) *visitor {
	other := &visitor{h: door, cookies: map[string]string{}, header: v.header}
	for name, value := range v.cookies {
		other.cookies[name] = value
	}
	return other
}

// paid expects how often the core was told to debit, in all.
func (a *attacked) paid(what string, want int) {
	a.t.Helper()
	a.lock.Lock()
	defer a.lock.Unlock()
	total := 0
	for id, n := range a.sent {
		if total += n; n > 1 {
			a.t.Errorf("%s: payment %s was sent %d times", what, id, n)
		}
	}
	if total != want {
		a.t.Errorf("%s: the core was told to debit %d times, want %d", what, total, want)
	}
}

// everywhere does something at all doors at once, several times.
func (a *attacked) everywhere(times int, do func(door *house, n int)) {
	var all sync.WaitGroup
	for i, door := range a.doors {
		for n := range times {
			all.Go(func() { do(door, i*times+n) })
		}
	}
	all.Wait()
}

func TestAttacker_GuessingPasswordsAtManyDoorsAtOnceGetsNothing(t *testing.T) {
	a := newAttacked(t)
	_, link := a.pay()
	owner := a.visitor()
	owner.toPaid(link)
	_, next := a.pay()
	var in sync.Map
	a.everywhere(6, func(door *house, n int) {
		v := door.visitor()
		v.send("POST", strings.Replace(next, "?", "/sign-in?", 1), form("username", "anna", "password", fmt.Sprintf("guess number %d", n)))
		if v.cookies["__Host-netbank"] != "" {
			in.Store(n, true)
		}
	})
	// The lane is full: not even the right password is looked at, at any door.
	for _, door := range a.doors {
		v := door.visitor()
		v.send("POST", strings.Replace(next, "?", "/sign-in?", 1), form("username", "anna", "password", password))
		if v.cookies["__Host-netbank"] != "" {
			t.Error("a stranger signed in with a lane that is locked")
		}
	}
	in.Range(func(n, _ any) bool { t.Errorf("guess %d signed in", n); return true })
	access, _, _ := a.bank.Access(anna)
	if n := access.Lanes[journal.LaneUnknownDevice].Failures; n != journal.LockAfter {
		t.Errorf("%d guesses were looked at, want %d", n, journal.LockAfter)
	}
	a.bank.pass(time.Minute)
	owner.toPaid(next) // whose own device is not locked by strangers
	a.paid("guessing passwords", 2)
}

func TestAttacker_GuessingCodesAtManyDoorsAtOnceGetsNothing(t *testing.T) {
	a := newAttacked(t)
	id, link := a.pay()
	thief := a.visitor() // who knows the password
	code := thief.toCode(link)
	address, fields := code.form(t, "code")
	guesses := a.wrongCodes(11)
	a.everywhere(3, func(door *house, n int) {
		v := thief.at(door)
		if n < len(guesses) {
			v.send("POST", address, and(fields, "code", guesses[n]))
		}
	})
	for _, door := range a.doors { // and then the right one
		thief.at(door).send("POST", address, and(fields, "code", a.code(0)))
	}
	if a.state(id) != journal.StateReceived {
		t.Errorf("the payment is %v", a.state(id))
	}
	for _, door := range a.doors {
		thief.at(door).open(link).want(t, 200, `name="password"`) // the session is over at every door
	}
	a.paid("guessing codes", 0)
}

func TestAttacker_ReplayingACookieAfterSignOutGetsNothingAtAnyDoor(t *testing.T) {
	a := newAttacked(t)
	id, link := a.pay()
	owner := a.visitor()
	code := owner.toCode(link)
	address, fields := code.form(t, "code")
	stolen := owner.at(a.doors[1])
	owner.send("POST", "/sign-out", and(fields, "code", ""))
	for _, door := range a.doors {
		v := stolen.at(door)
		v.open("/payments").want(t, 200, `name="password"`)
		v.open("/security").want(t, 200, `name="password"`)
		v.send("POST", address, and(fields, "code", a.code(0)))
		v.send("POST", passwordAction, and(fields, "present", password, "chosen", chosen, "again", chosen))
	}
	if a.state(id) != journal.StateReceived {
		t.Errorf("the payment is %v", a.state(id))
	}
	if c, _, _ := a.bank.CustomerByID(anna); c.PasswordChanged != 0 {
		t.Error("the password was changed")
	}
	a.paid("replaying a cookie", 0)
}

func TestAttacker_ForgedLinksShowAndDoNothing(t *testing.T) {
	a := newAttacked(t)
	id, link := a.pay()
	other, otherLink := a.pay(func(c *command.CreatePayment) { c.CreditorName = "Somebody else" })
	_, mac, _ := strings.Cut(link, "?s=")
	_, otherMAC, _ := strings.Cut(otherLink, "?s=")
	unknown := journal.PaymentID(uuid.Must(uuid.NewV7()))
	for i, forged := range []string{
		"/pay/" + other.String() + "?s=" + mac, "/pay/" + id.String() + "?s=" + otherMAC, "/pay/" + id.String() + "?", "/pay/" + id.String() + "?s=",
		"/pay/" + id.String() + "?s=" + mac[1:], "/pay/" + id.String() + "?s=" + mac + "A", "/pay/" + strings.ToUpper(id.String()) + "?s=" + otherMAC, "/pay/" + unknown.String() + "?s=" + mac,
	} {
		v := a.doors[i%len(a.doors)].visitor()
		p := v.get(forged)
		p.want(t, 404, a.says("not-found-title"))
		p.wantNot(t, "Shop 店", "Somebody else", "128.00", "shop.example")
		v.send("POST", strings.Replace(forged, "?", "/cancel?", 1), form()).want(t, 404)
		v.send("POST", strings.Replace(forged, "?", "/sign-in?", 1), form("username", "anna", "password", password)).want(t, 404)
		if len(v.cookies) > 0 {
			t.Errorf("%s signs in", forged)
		}
	}
	for _, p := range []journal.PaymentID{id, other} {
		if a.state(p) != journal.StateReceived {
			t.Errorf("a forged link made the payment %v", a.state(p))
		}
	}
}

// Who stands in the browser shows one payment, and sends the confirmation of another one; or the journal says something else than was shown.
func TestAttacker_SwappingThePayeeBetweenViewAndConfirmGetsNothing(t *testing.T) {
	a := newAttacked(t)
	_, shown := a.pay()
	swapped, otherLink := a.pay(func(c *command.CreatePayment) { c.CreditorName, c.CreditorAccount = "Thief", "6225880000000666" })
	v := a.visitor()
	code := v.toCode(shown)
	address, fields := code.form(t, "code")
	_, query, _ := strings.Cut(address, "?")
	_, consent, _ := strings.Cut(query, "&c=")
	for _, door := range a.doors {
		p := v.at(door).send("POST", strings.Replace(otherLink, "?", "/code?", 1)+"&c="+consent, and(fields, "code", a.code(0)))
		if strings.Contains(p.location, "/result") {
			t.Errorf("%s leads to %s", p.address, p.location)
		}
	}
	if a.state(swapped) != journal.StateReceived {
		t.Errorf("the payment to the thief is %v", a.state(swapped))
	}
	a.paid("swapping the payment", 0)
	// The page shows a payee that the journal does not have: what was shown is what is compared.
	id, link := a.pay()
	a.bank.lies = func(p journal.Payment) journal.Payment { p.CreditorName = "Shop that is trusted"; return p }
	code = v.choose(v.open(link))
	address, fields = code.form(t, "code")
	a.bank.lies = nil
	v.follow(v.send("POST", address, and(fields, "code", a.code(0)))).want(t, 200, a.says("alert-consent-old"))
	if a.state(id) != journal.StateReceived {
		t.Errorf("the payment is %v", a.state(id))
	}
	a.paid("showing another payee", 0)
}

func TestAttacker_RacingConfirmationsPayOnce(t *testing.T) {
	a := newAttacked(t)
	id, link := a.pay()
	_, other := a.pay()
	v := a.visitor()
	first := v.toCode(link)
	second := v.choose(v.open(other))
	address, fields := first.form(t, "code")
	otherAddress, otherFields := second.form(t, "code")
	code := a.code(0) // one code, for two payments, at four doors: one attempt more than these could be a lock that holds the rest
	a.everywhere(1, func(door *house, n int) {
		if n%2 == 0 {
			v.at(door).send("POST", address, and(fields, "code", code))
		} else {
			v.at(door).send("POST", otherAddress, and(otherFields, "code", code))
		}
	})
	a.paid("racing", 1)
	if p, _, _ := a.bank.Payment(id); p.State == journal.StateSettled && p.Customer != anna {
		t.Error("paid by nobody")
	}
}

// toPaid pays a link, as anna or in the session that there is.
func (v *visitor) toPaid(link string) {
	v.h.t.Helper()
	p := v.open(link)
	if strings.Contains(p.body, `name="password"`) {
		p = v.follow(v.submit(p, "sign-in", "username", "anna", "password", password))
	}
	v.follow(v.submit(v.choose(p), "code", "code", v.h.code(0))).want(v.h.t, 200, v.h.says("settled-title"))
}

// wrongCodes gives different codes of which none is right.
func (h *house) wrongCodes(n int) (all []string) {
	for i := 0; len(all) < n; i++ {
		if code := fmt.Sprintf("%06d", i); code != h.code(-1) && code != h.code(0) && code != h.code(1) {
			all = append(all, code)
		}
	}
	return all
}

// form makes a form's fields of names and values in turn.
func form(with ...string) url.Values {
	fields := url.Values{}
	for i := 0; i+1 < len(with); i += 2 {
		fields.Set(with[i], with[i+1])
	}
	return fields
}

// and is the same form with other values; each goroutine has its own.
func and(fields url.Values, change ...string) url.Values {
	out := maps.Clone(fields)
	for i := 0; i+1 < len(change); i += 2 {
		out[change[i]] = []string{change[i+1]}
	}
	return out
}
