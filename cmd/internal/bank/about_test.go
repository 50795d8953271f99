package bank

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"netbank/cluster/journal"
	"netbank/cluster/peer"
	"netbank/cluster/scaling/expansion"
)

func TestWhatANodeTellsOfItselfIsMadeFitToBeShown(t *testing.T) {
	text, err := json.Marshal(about{
		Version: "netbank 1\n\x1b[2J", Operator: "https://10.0.0.2:9090", Ready: true, NotReady: slices.Repeat([]string{strings.Repeat("长", 400)}, 20),
		Led: &led{Coordinators: []peer.Member{{Node: 1, Role: peer.Coordinator, Addr: "a:1"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := readAbout(text)
	if err != nil || a.Version != "netbank 1  [2J" || a.Operator != "https://10.0.0.2:9090" || len(a.NotReady) != AboutReasonsMax || utf8.RuneCountInString(a.NotReady[0]) != AboutTextRunesMax {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := readAbout([]byte(`{"pressure":{"signIn":900,"processor":-1,"waitMillis":-5}}`)); err != nil || *a.Pressure != (expansion.Pressure{SignIn: 100}) {
		t.Errorf("%+v, %v", a.Pressure, err)
	}
	for _, addr := range []string{"javascript:alert(1)", "http://a/?x", "http://a b", "http://$(reboot)", "http://u:p@a", "http://a/path", "http://", "9090"} {
		if operatorAddress(addr) {
			t.Errorf("%q is shown as an operator's port", addr)
		}
	}
	for _, addr := range []string{"http://127.0.0.1:9090", "https://node-1.bank.example:9090", "https://[::1]:9090"} {
		if !operatorAddress(addr) {
			t.Errorf("%q is not shown as an operator's port", addr)
		}
	}
	for _, bad := range []string{
		``, `[]`, `{"trusts":["a","b","c"]}`, `{"led":{"authorities":["","",""]}}`,
		`{"led":{"coordinators":[{"node":0,"role":"coordinator","addr":"a:1"}]}}`, `{"led":{"coordinators":[{"node":1,"role":"worker","addr":"a:1"}]}}`,
		`{"led":{"coordinators":[{"node":1,"role":"coordinator"}]}}`,
	} {
		if _, err := readAbout([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	if a, err := readAbout([]byte(`{"ready":true,"later":{"more":1}}`)); err != nil || !a.Ready {
		t.Errorf("what a later version says more: %v", err)
	}
}

func FuzzWhatANodeTellsIsReadOrRefused(f *testing.F) {
	f.Add([]byte(`{"version":"netbank 1","operator":"http://127.0.0.1:9090","ready":true,"core":{"reachable":true},"trusts":["ab"]}`))
	f.Add([]byte(`{"notReady":["a"],"led":{"authorities":["AAEC"],"issuer":"ab","coordinators":[{"node":1,"role":"coordinator","addr":"a:1"}],"coreShut":true}}`))
	f.Add([]byte(`{"led":null,"serving":true,"pressure":{"signIn":96,"processor":40,"connections":3,"waitMillis":1200}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readAbout(text)
		if err != nil {
			return
		}
		if len(a.NotReady) > AboutReasonsMax || len(a.Trusts) > peer.AuthoritiesMax || a.Operator != "" && strings.ContainsAny(a.Operator, " '\"$`;|&<>\n") {
			t.Errorf("%+v", a)
		}
		for _, line := range append(a.NotReady, a.Version, a.Core.LastError) {
			if utf8.RuneCountInString(line) > AboutTextRunesMax || strings.ContainsAny(line, "\n\r\x1b") {
				t.Errorf("%q", line)
			}
		}
		if p := a.Pressure; p != nil && *p != p.Fit() {
			t.Errorf("%+v", p)
		}
		if l := a.Led; l != nil && (len(l.Authorities) > peer.AuthoritiesMax || len(l.Coordinators) > peer.MembersMax) {
			t.Errorf("%+v", l)
		}
	})
}

// A step before everybody is ready for it would lock nodes out.
func TestARotationWaitsForEveryMember(t *testing.T) {
	old, next := peer.Fingerprint{1}, peer.Fingerprint{2}
	m := &journal.Membership{
		Authorities: []journal.Authority{{ID: 1, Fingerprint: old}, {ID: 2, Fingerprint: next}}, Issuer: 1,
		Nodes: []journal.Node{{ID: 1, Role: journal.RoleCoordinator}, {ID: 2, Role: journal.RoleCoordinator, Removed: 5}, {ID: 3, Role: journal.RoleWorker}},
	}
	both, shows := []string{old.String(), next.String()}, func(f peer.Fingerprint) about {
		return about{Authority: f.String(), Trusts: []string{old.String(), next.String()}}
	}
	f := func(issuer uint32, told map[journal.NodeID]about, want ...journal.NodeID) {
		t.Helper()
		m.Issuer = issuer
		if got := awaited(m, told); !slices.Equal(got, want) {
			t.Errorf("it waits for %v, want %v", got, want)
		}
	}
	f(1, nil, 1, 3)
	f(1, map[journal.NodeID]about{1: {Trusts: both}, 3: {Trusts: both[:1]}}, 3)
	f(1, map[journal.NodeID]about{1: {Trusts: both}, 3: {Trusts: both}})
	f(2, map[journal.NodeID]about{1: shows(next), 3: shows(old)}, 3)
	f(2, map[journal.NodeID]about{1: shows(next)}, 3)
	f(2, map[journal.NodeID]about{1: shows(next), 3: shows(next)})
}

func TestEverythingIsBounded_WorkersThatStayAwayAreForgotten(t *testing.T) {
	now := time.Now()
	f := func(h hearing, away time.Duration, want bool) {
		t.Helper()
		h.since = now.Add(-away)
		if got := h.overdue(now, 0); got != want {
			t.Errorf("%+v after %v: %v", h, away, got)
		}
	}
	f(hearing{up: true}, 10*WorkerForgottenAfter, false)
	f(hearing{}, WorkerForgottenAfter-time.Second, false)
	f(hearing{}, WorkerForgottenAfter, true)
	f(hearing{memory: true}, MemoryWorkerForgottenAfter-time.Second, false)
	f(hearing{memory: true}, MemoryWorkerForgottenAfter, true)
	f(hearing{memory: true, ended: true}, HeardWithin-time.Millisecond, false)
	f(hearing{memory: true, ended: true}, HeardWithin, true) // of one that was stopped in order nothing is left
	f(hearing{ended: true}, time.Hour, false)
	// A new leader has not heard of anybody yet: it counts from its own beginning.
	var s seen
	s.from, s.nodes = now, make(map[journal.NodeID]hearing)
	s.note(7, now.Add(HeardWithin-time.Millisecond), false, time.Time{})
	if _, ok := s.of(7); ok {
		t.Error("a worker is called away before it could come")
	}
	s.note(7, now.Add(HeardWithin), false, time.Time{})
	s.remember(map[journal.NodeID]about{7: {Memory: true}})
	s.note(7, now.Add(time.Hour), false, time.Time{})
	if h, ok := s.of(7); !ok || h.up || !h.memory || !h.since.Equal(now.Add(HeardWithin)) {
		t.Errorf("%+v, %v", h, ok)
	}
	s.note(7, now.Add(2*time.Hour), true, time.Time{})
	if h, _ := s.of(7); !h.up || !h.since.Equal(now.Add(2*time.Hour)) {
		t.Errorf("%+v", h)
	}
}

// One whose certificate comes from an authority that is no longer trusted, as after a restore, has the one that issues in its journal.
func TestACoordinatorMakesItsCertificateOfTheAuthorityThatIssues(t *testing.T) {
	p, key := founder(t)
	next, err := peer.NewAuthority("main", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := next.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	m := &journal.Membership{Authorities: []journal.Authority{{ID: 2, Fingerprint: next.Fingerprint(), Sealed: sealed}}, Issuer: 2}
	if p.certified(m) {
		t.Fatal("it has one already")
	}
	if err := p.trust(m); err != nil {
		t.Fatal(err)
	}
	shown := p.port.Identity()
	if !p.certified(m) || len(shown.Fingerprints()) != 1 || shown.Fingerprints()[0] != next.Fingerprint() || shown.Subject().Node != 1 {
		t.Errorf("it shows a certificate of %v, and trusts %v", shown.Authority(), shown.Fingerprints())
	}
	// What a node tells is what it would be after a restart.
	if p.stored.Load().Authority() == next.Fingerprint() {
		t.Error("it tells of a certificate that it has not stored")
	}
	if err := p.store(nil); err != nil {
		t.Fatal(err)
	}
	again, err := readIdentity(p.config.DataDir, key)
	if err != nil || again.shown.Authority() != next.Fingerprint() || p.stored.Load().Authority() != next.Fingerprint() {
		t.Errorf("stored: %v", err)
	}
}
