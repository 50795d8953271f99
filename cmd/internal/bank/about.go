package bank

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"netbank/cluster/journal"
	"netbank/cluster/peer"
	"netbank/cluster/scaling/expansion"
	"netbank/frontend/ops"
)

// Bounds of what nodes tell each other of themselves.
const (
	// AboutEvery is the time between two looks at what has changed of it.
	AboutEvery = 200 * time.Millisecond
	// AboutTextRunesMax is the length of each text in it, in characters; longer ones are cut.
	AboutTextRunesMax = 300
	// AboutReasonsMax is how many reasons a node gives why it is not ready.
	AboutReasonsMax = 16
)

// about is what a node tells of itself over its streams: to the leader, or to those who follow. Fields that are not known are ignored, since
// versions run side by side.
type about struct {
	Version        string         `json:"version,omitempty"`
	Operator       string         `json:"operator,omitempty"` // where its operator's port is
	Ready          bool           `json:"ready"`
	NotReady       []string       `json:"notReady,omitempty"`
	Core           ops.CoreStatus `json:"core"` // its own connection
	CertificateEnd time.Time      `json:"certificateEnd"`
	// Authority signed the certificate that it would show after a restart, and Trusts are those that it would trust, by their fingerprints.
	Authority string   `json:"authority,omitempty"`
	Trusts    []string `json:"trusts,omitempty"`
	Memory    bool     `json:"memory,omitempty"` // its identity ends with its process
	Ending    bool     `json:"ending,omitempty"` // it is being stopped in order
	// Serving says that it has answered a request at its door for customers.
	Serving bool `json:"serving,omitempty"`
	// Left is who is left of a drained node: connections, and payments inside the core. nil: it is not drained, or balancers may not have noticed yet.
	Left *int64 `json:"left,omitempty"`
	// Customers and Partners are where its doors are, host:port, for balancers; empty: it listens on all addresses, and does not know its own.
	Customers string `json:"customers,omitempty"`
	Partners  string `json:"partners,omitempty"`

	// Pressure is how busy it is; nil: it does not know yet.
	Pressure *expansion.Pressure `json:"pressure,omitempty"`

	Led *led `json:"led,omitempty"` // what only a leader tells
}

// led is what a leader tells those who follow. Who has the journal knows most of it; workers have it from here.
type led struct {
	Authorities  [][]byte      `json:"authorities"` // that are to be trusted: certificates, DER
	Issuer       string        `json:"issuer"`      // the fingerprint of the one that certificates come from
	Coordinators []peer.Member `json:"coordinators"`
	CoreShut     bool          `json:"coreShut,omitempty"` // no node can reach the core
}

// readAbout reads what another node tells, and makes it fit to be shown and used.
func readAbout(text []byte) (a about, err error) {
	if err := json.Unmarshal(text, &a); err != nil {
		return about{}, fmt.Errorf("bank: what a node tells of itself cannot be read: %w", err)
	}
	a.Version, a.Core.LastError = plain(a.Version), plain(a.Core.LastError)
	if !operatorAddress(a.Operator) {
		a.Operator = ""
	}
	a.Customers, a.Partners = doorOf(a.Customers), doorOf(a.Partners)
	if a.Pressure != nil {
		fit := a.Pressure.Fit()
		a.Pressure = &fit
	}
	a.NotReady = a.NotReady[:min(len(a.NotReady), AboutReasonsMax)]
	for i, why := range a.NotReady {
		a.NotReady[i] = plain(why)
	}
	if len(a.Trusts) > peer.AuthoritiesMax {
		return about{}, fmt.Errorf("bank: a node says that it trusts %d authorities, at most %d are", len(a.Trusts), peer.AuthoritiesMax)
	}
	if l := a.Led; l != nil {
		if len(l.Authorities) > peer.AuthoritiesMax || len(l.Coordinators) > peer.MembersMax {
			return about{}, fmt.Errorf("bank: a leader tells of %d authorities, of %d, and %d coordinators, of %d", len(l.Authorities), peer.AuthoritiesMax, len(l.Coordinators), peer.MembersMax)
		}
		for _, m := range l.Coordinators {
			if err := peer.CheckAddr(m.Addr); err != nil || m.Role != peer.Coordinator || m.Node == 0 {
				return about{}, fmt.Errorf("bank: a leader tells of a coordinator that is none: %v, %w", m.Node, err)
			}
		}
	}
	return a, nil
}

// plain makes a text of another node's fit for one line of a page, a log or a terminal.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	if utf8.RuneCountInString(text) > AboutTextRunesMax {
		text = string([]rune(text)[:AboutTextRunesMax-1]) + "…"
	}
	return text
}

// operatorAddress says whether a text may be shown as the address of an operator's port: it becomes part of commands.
func operatorAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.String() == u.Scheme+"://"+u.Host &&
		!strings.ContainsFunc(u.Host, func(r rune) bool {
			return r != '.' && r != ':' && r != '-' && r != '[' && r != ']' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
		})
}

// doorOf gives an address at which others may reach a door. Empty: it names no host.
func doorOf(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host == "" || len(addr) > peer.AddrBytesMax || ip != nil && ip.IsUnspecified() {
		return ""
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII }) {
		return ""
	}
	return addr
}

// quiet says whether no customer has come for QuietAfter.
func (p *peers) quiet() bool { return time.Since(time.Unix(0, p.came.Load())) > QuietAfter }

// answering notes that customers are answered here, and when the last one came.
func (p *peers) answering(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		p.came.Store(ctx.Time().UnixNano())
		if !p.serving.Load() && ctx.Response.StatusCode() < fasthttp.StatusInternalServerError {
			p.serving.Store(true)
		}
	}
}

// compose writes what this node tells of itself now, if it has changed.
func (p *peers) compose() {
	n := p.node.Load()
	status := n.Status()
	shown, stored := p.port.Identity(), p.stored.Load()
	a := about{
		Version: p.config.Version, Operator: p.config.operatorURL(), Core: ops.CoreStatusOf(status.Core), CertificateEnd: shown.NotAfter().UTC(),
		Authority: stored.Authority().String(), Memory: p.config.DataDir == "", Ending: p.ending.Load(),
		Pressure: p.pressure.Load(), Serving: p.serving.Load(), Customers: doorOf(p.config.CustomerAddr), Partners: doorOf(p.config.PartnerAddr),
	}
	for _, f := range stored.Fingerprints() {
		a.Trusts = append(a.Trusts, f.String())
	}
	a.Ready, a.Left = true, p.left()
	for _, c := range p.checks() {
		if err := c.Ask(); err != nil {
			a.Ready, a.NotReady = false, append(a.NotReady, plain(err.Error()))
		}
	}
	if n.Leading() {
		a.Led = p.leads(n.Membership(), status.CoreShut)
	}
	text, err := json.Marshal(a)
	if err != nil {
		p.logger.Error("what this node tells of itself cannot be written", "error", err)
		return
	}
	if old := p.about.Load(); old == nil || !slices.Equal(*old, text) {
		p.about.Store(&text)
	}
}

func (p *peers) leads(m *journal.Membership, coreShut bool) *led {
	certificates, err := p.certificates(m)
	issuer := m.Authority(m.Issuer)
	if err != nil || issuer == nil {
		return nil
	}
	return &led{
		Authorities: certificates, Issuer: peer.Fingerprint(issuer.Fingerprint).String(),
		Coordinators: p.roster.Load().following(m).coordinators(0), CoreShut: coreShut,
	}
}

// tells gives what this node tells of itself: cluster.Config.About.
func (p *peers) tells() []byte {
	if text := p.about.Load(); text != nil {
		return *text
	}
	return nil
}

// leaderTells gives what the leader that this node follows tells of itself.
func (p *peers) leaderTells() (about, bool) {
	text := p.node.Load().LeaderSays()
	if text == nil {
		return about{}, false
	}
	a, err := readAbout(text)
	return a, err == nil
}

// followers gives what the nodes that follow this leader tell of themselves.
func (p *peers) followers() map[journal.NodeID]about {
	all := make(map[journal.NodeID]about)
	for _, f := range p.node.Load().Followers() {
		if f.About == nil {
			continue
		}
		if a, err := readAbout(f.About); err == nil {
			all[f.Node] = a
		}
	}
	return all
}

// everybody adds what this node tells.
func (p *peers) everybody() map[journal.NodeID]about {
	told := p.followers()
	if own, err := readAbout(p.tells()); err == nil {
		told[p.self()] = own
	}
	return told
}

// coreElsewhere says whether customers should be sent to another node while this one cannot reach the core: not when no node can, since
// then any node's pages are better than none.
func (p *peers) coreElsewhere() bool {
	leader, ok := p.leaderTells()
	return !ok || leader.Led == nil || !leader.Led.CoreShut
}
