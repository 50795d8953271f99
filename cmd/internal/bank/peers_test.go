package bank

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/kek"
	"netbank/cluster/peer"
)

func TestFlagsOfAClusterThatDoNotFitAreRefused(t *testing.T) {
	refuse := func(want string, change func(c *Config)) {
		t.Helper()
		c := Config{PeerAddr: "10.0.0.1:7000"}
		change(&c)
		var e *Error
		if err := c.checkCluster(); !errors.As(err, &e) || e.Code != ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want code %d and %q", c, err, ExitUsage, want)
		}
	}
	three := []string{"10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.3:7000"}
	refuse("--peer-addr", func(c *Config) { c.PeerAddr, c.BootstrapExpect = "", 3 })
	refuse("--peer-advertise", func(c *Config) { c.PeerAddr = "0.0.0.0:7000" })
	refuse("--peer-advertise", func(c *Config) { c.PeerAddr = ":7000" })
	refuse("one of them", func(c *Config) { c.BootstrapExpect, c.Join, c.JoinTokenFile = 3, three, "token" })
	refuse("even number", func(c *Config) { c.BootstrapExpect, c.Join = 2, three[:2] })
	refuse("names 2 founders", func(c *Config) { c.BootstrapExpect, c.Join = 3, three[:2] })
	refuse("names 2 founders", func(c *Config) { c.BootstrapExpect, c.Join = 3, []string{three[0], three[1], three[1]} })
	refuse("does not name this node", func(c *Config) { c.PeerAddr, c.BootstrapExpect, c.Join = "10.0.0.9:7000", 3, three })
	refuse("--join-token-file", func(c *Config) { c.Join = three })
	refuse("cluster id", func(c *Config) { c.Cluster = "Main!" })
	refuse("--join-token-file", func(c *Config) { c.PeerAddr, c.Role = "", "worker" })
	refuse("--role", func(c *Config) { c.Role = "king" })
	refuse("only coordinators found", func(c *Config) { c.Role, c.BootstrapExpect, c.Join = "worker", 3, three })
	c := Config{PeerAddr: "0.0.0.0:7000", PeerAdvertise: three[1], BootstrapExpect: 3, Join: []string{three[2], three[0], three[1]}}
	if err := c.checkCluster(); err != nil || c.founders()[1] != three[1] {
		t.Errorf("%v, founders %v", err, c.founders())
	}
}

func TestARosterAdmitsMembersAndThoseWhoJoinedSince(t *testing.T) {
	r := &roster{Next: 4, Members: []peer.Member{{Node: 1, Role: peer.Coordinator, Addr: "a:1"}, {Node: 3, Role: peer.Worker}}}
	f := func(node journal.NodeID, role peer.Role, want error) {
		t.Helper()
		if err := r.admitted(peer.Peer{Node: node, Role: role}); !errors.Is(err, want) {
			t.Errorf("node %d as %v: %v, want %v", node, role, err, want)
		}
	}
	f(1, peer.Coordinator, nil)
	f(1, peer.Worker, peer.ErrRemoved) // a role is for life
	f(2, peer.Coordinator, peer.ErrRemoved)
	f(3, peer.Worker, nil)
	f(4, peer.Coordinator, nil)
	if _, err := r.addressOf(3); err == nil {
		t.Error("a worker without an address has one")
	}
}

// The first leader records the founders one by one. Meanwhile nobody may forget where the others are.
func TestARosterKeepsFoundersUntilTheJournalHasThem(t *testing.T) {
	r := &roster{Next: 4, Members: []peer.Member{{Node: 1, Role: peer.Coordinator, Addr: "a:1"}, {Node: 2, Role: peer.Coordinator, Addr: "b:1"}, {Node: 3, Role: peer.Coordinator, Addr: "c:1"}}}
	m := &journal.Membership{Version: 2, NextNode: 2, Nodes: []journal.Node{{ID: 1, Role: journal.RoleCoordinator, Address: "a:1"}}}
	next := r.following(m)
	if got := next.coordinators(3); len(got) != 3 || got[0].Node != 3 || next.Next != 4 || next.Version != 2 {
		t.Errorf("%+v", next)
	}
	m = &journal.Membership{Version: 9, NextNode: 6, Nodes: []journal.Node{
		{ID: 1, Role: journal.RoleCoordinator, Address: "a:1", Removed: 5}, {ID: 2, Role: journal.RoleCoordinator, Address: "b:1"}, {ID: 5, Role: journal.RoleWorker},
	}}
	last := next.following(m)
	if last.find(1) != nil || last.find(3) != nil || last.find(5) == nil || last.Next != 6 {
		t.Errorf("%+v", last)
	}
}

func TestAnIdentityIsKeptSealedAndWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kek")
	if err := kek.Generate(path); err != nil {
		t.Fatal(err)
	}
	key, err := kek.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if id, err := readIdentity(data, key); id != nil || err != nil {
		t.Fatalf("an empty directory gave %v, %v", id, err)
	}
	p := &peers{config: &Config{Cluster: "main", DataDir: data, PeerAdvertise: "a:1"}, key: key}
	if err := p.found([]string{"a:1", "b:1", "c:1"}); err != nil {
		t.Fatal(err)
	}
	again, err := readIdentity(data, key)
	if err != nil || again.node() != 1 || again.Beginning != "founding" || again.Founders != 3 || len(again.Roster.Members) != 3 {
		t.Fatalf("%+v, %v", again, err)
	}
	if info, _ := os.Stat(filepath.Join(data, identityName)); info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	// Of two founders with the same key-encryption key each trusts the other's certificate.
	other := &peers{config: &Config{Cluster: "main", DataDir: filepath.Join(dir, "other"), PeerAdvertise: "b:1"}, key: key}
	if err := other.found([]string{"a:1", "b:1", "c:1"}); err != nil {
		t.Fatal(err)
	}
	if other.id.node() != 2 || other.id.shown.Fingerprints()[0] != again.shown.Fingerprints()[0] {
		t.Error("two founders have made two authorities")
	}
	if err := kek.Generate(path + "2"); err != nil {
		t.Fatal(err)
	}
	stranger, _ := kek.Load(path + "2")
	var e *Error
	if _, err := readIdentity(data, stranger); !errors.As(err, &e) || e.Code != ExitDirectory || !errors.Is(err, kek.ErrSealed) {
		t.Errorf("under another key: %v", err)
	}
	text, _ := os.ReadFile(filepath.Join(data, identityName))
	if err := os.WriteFile(filepath.Join(data, identityName), text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readIdentity(data, key); !errors.As(err, &e) || e.Code != ExitDirectory {
		t.Errorf("cut off: %v", err)
	}
}

func TestACoordinatorThatWasOffForLongMakesItselfACertificate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kek")
	if err := kek.Generate(path); err != nil {
		t.Fatal(err)
	}
	key, err := kek.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &peers{config: &Config{Cluster: "main", DataDir: dir, PeerAdvertise: "a:1"}, key: key, logger: discard()}
	if err := p.found([]string{"a:1", "b:1", "c:1"}); err != nil {
		t.Fatal(err)
	}
	authority, err := p.derived()
	if err != nil {
		t.Fatal(err)
	}
	old, err := authority.Identity(p.id.shown.Subject(), time.Now().Add(-2*peer.CertificateLifetime))
	if err != nil {
		t.Fatal(err)
	}
	p.id.shown = old
	if err := p.recertify(); err != nil {
		t.Fatal(err)
	}
	if p.id.shown.NotAfter().Before(time.Now()) || p.id.node() != 1 {
		t.Errorf("it shows one that ends at %v", p.id.shown.NotAfter())
	}
	if again, err := readIdentity(dir, key); err != nil || again.shown.Serial() != p.id.shown.Serial() {
		t.Errorf("it was not kept: %v", err)
	}
}

// founder is node 1 of three, whose port only dials.
func founder(t *testing.T) (*peers, *kek.Key) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "kek")
	if err := kek.Generate(path); err != nil {
		t.Fatal(err)
	}
	key, err := kek.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &peers{config: &Config{Cluster: "main", DataDir: filepath.Join(dir, "data"), PeerAdvertise: "a:1"}, key: key, logger: discard()}
	if err := p.found([]string{"a:1", "b:1", "c:1"}); err != nil {
		t.Fatal(err)
	}
	p.roster.Store(p.id.Roster)
	p.stored.Store(p.id.shown)
	p.port, err = peer.Listen("", peer.Config{
		Identity: p.id.shown, Admitted: func(peer.Peer) error { return nil }, AddressOf: func(journal.NodeID) (string, error) { return "", errors.ErrUnsupported },
		Logger: discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.port.Close() })
	return p, key
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
