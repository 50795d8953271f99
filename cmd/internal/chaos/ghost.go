package chaos

import (
	"net/http"
	"sync"
	"time"

	"netbank/bench/flow"
)

// haunt is a session that ends before it confirms, or while it does: its customer signs in again elsewhere. Money must not
// move by it from then on.
func (e *errand) haunt() {
	if !e.create() {
		return
	}
	var p *person
	select {
	case p = <-e.load.ghosts:
	default:
		return
	}
	defer func() { e.load.ghosts <- p }()
	spent := *p.codes
	if _, wait, ok := spent.Next(time.Now()); !ok && !pause(e.ctx, wait) {
		return
	}
	session := int(e.load.session.Add(1))
	p.browser.Forget()
	form, page, err := e.reachCode(p)
	if err != nil {
		return
	}
	elsewhere := e.door()
	end := func() {
		o := e.begin(SignOut, elsewhere)
		o.Key, o.Session = "", session
		other, err := e.load.doors[elsewhere].site.NewCustomer(p.who)
		if err != nil {
			return
		}
		if _, err := e.signIn(p, other, e.at(elsewhere)); err == nil {
			e.load.note(o)
			e.load.haunted.Add(1)
		}
	}
	var both sync.WaitGroup
	if e.load.dice.intN(2) == 0 {
		both.Go(end)
	} else {
		end()
	}
	o := e.begin(Confirm, p.home)
	o.Session, o.Return = session, Never // what it is told, any session may be told
	if code, _, ok := p.codes.Next(time.Now()); ok {
		fill(form, "one-time-code", code)
		_, _ = p.browser.Submit(page, form)
		e.load.note(o)
	}
	both.Wait()
	e.read()
	e.cancel()
	e.read()
}

// signIn opens a link in a browser without a session, and signs in.
func (e *errand) signIn(p *person, browser *flow.Customer, link string) (*flow.Page, error) {
	page, err := browser.Open(link)
	if err != nil {
		return nil, err
	}
	form := page.Asks("current-password")
	if form == nil {
		return nil, flow.ErrSignIn
	}
	fill(form, "username", p.who.Username)
	fill(form, "current-password", p.who.Password)
	if page, err = browser.Submit(page, form); err != nil {
		return nil, err
	}
	if page.Status != http.StatusOK || page.Asks("current-password") != nil {
		return nil, flow.ErrSignIn
	}
	return page, nil
}

// reachCode signs in and goes on to the form that asks for the code.
func (e *errand) reachCode(p *person) (*flow.Form, *flow.Page, error) {
	page, err := e.signIn(p, p.browser, e.at(p.home))
	if err != nil {
		return nil, nil, err
	}
	if form := page.Offers(); form != nil {
		choose(form)
		if page, err = p.browser.Submit(page, form); err != nil {
			return nil, nil, err
		}
	}
	form := page.Asks("one-time-code")
	if form == nil {
		return nil, nil, flow.ErrLost
	}
	return form, page, nil
}

// fill types into the field with an autocomplete token.
func fill(f *flow.Form, token, text string) {
	for i := range f.Fields {
		if f.Fields[i].Autocomplete == token {
			f.Fields[i].Value = text
		}
	}
}

// choose takes the first choice of a form that has none.
func choose(f *flow.Form) {
	first := -1
	for i := range f.Fields {
		switch {
		case f.Fields[i].Type != "radio":
		case f.Fields[i].Checked:
			return
		case first < 0:
			first = i
		}
	}
	if first >= 0 {
		f.Fields[first].Checked = true
	}
}
