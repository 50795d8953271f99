package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryNodeHasItsOwnDoorsAndKnowsAllFounders(t *testing.T) {
	d := &Dev{DataDir: t.TempDir(), Nodes: 5, Workers: 2, NodePort: 7110, CustomerAddr: "localhost:8080"}
	seen := make(map[string]bool)
	for _, m := range d.members() {
		for _, addr := range []string{m.customer, m.partner, m.operator, m.peer, m.dir} {
			if seen[addr] && addr != "" {
				t.Errorf("%s shares %s with another", m.name, addr)
			}
			seen[addr] = true
		}
		args := d.memberArgs(m)
		flag := func(name string) string { return args[slices.Index(args, name)+1] }
		if m.worker {
			if flag("--role") != "worker" || flag("--join-token-file") != d.tokenFile(m) || slices.Contains(args, "--peer-addr") {
				t.Errorf("%s is run with %v", m.name, args)
			}
		} else if got := flag("--join"); len(strings.Split(got, ",")) != 5 || !strings.Contains(got, m.peer) {
			t.Errorf("%s joins %s", m.name, got)
		}
		if flag("--data-dir") != m.dir || flag("--customer-addr") != m.customer || flag("--operator-addr") != m.operator || flag("--customer-url") != "http://localhost:8080" {
			t.Errorf("%s is run with %v", m.name, args)
		}
	}
	d.Nodes, d.Workers = 1, 0
	if all := d.members(); len(all) != 1 || !slices.Contains(d.memberArgs(all[0]), "--scale") {
		t.Error("workers cannot be added to one coordinator")
	}
	d.Alone = true
	if len(d.members()) != 0 || slices.Contains(d.BankArgs(), "--peer-addr") {
		t.Error("one node alone is run as a cluster")
	}
}

func TestADataDirectoryIsThatOfOneKindOfBank(t *testing.T) {
	f := func(d Dev, word string) {
		t.Helper()
		err := d.checkNodes()
		if word == "" && err != nil || word != "" && (err == nil || !strings.Contains(err.Error(), word)) {
			t.Errorf("%v, it should say %q", err, word)
		}
	}
	dir := t.TempDir()
	three := Dev{DataDir: dir, Nodes: 3, NodePort: 7110}
	f(three, "")
	f(Dev{DataDir: dir, Nodes: 1, NodePort: 7110}, "")
	f(Dev{DataDir: dir, Nodes: 1, Alone: true}, "")
	f(Dev{DataDir: dir, Nodes: 3, Alone: true}, "--alone")
	f(Dev{DataDir: dir, Nodes: 2}, "--nodes is 2")
	f(Dev{DataDir: dir, Nodes: 0}, "--nodes is 0")
	f(Dev{DataDir: dir, Nodes: 3, NodePort: 65_535}, "--node-port is 65535")
	f(Dev{DataDir: dir, Nodes: 3, NodePort: 7110, Workers: 9}, "--workers is 9")
	if err := three.remember(); err != nil {
		t.Fatal(err)
	}
	f(three, "")
	f(Dev{DataDir: dir, Nodes: 3, NodePort: 7110, Workers: 2}, "")
	f(Dev{DataDir: dir, Nodes: 1, NodePort: 7110}, "--nodes 3")
	f(Dev{DataDir: dir, Nodes: 1, Alone: true}, "leave --alone out")
	f(Dev{DataDir: dir, Nodes: 3, NodePort: 8110}, "--node-port 7110")
	if err := os.WriteFile(filepath.Join(dir, clusterFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(three, "reset")
	alone := t.TempDir()
	if err := os.Mkdir(filepath.Join(alone, "bank"), 0o700); err != nil {
		t.Fatal(err)
	}
	f(Dev{DataDir: alone, Nodes: 3, NodePort: 7110}, "--alone")
	f(Dev{DataDir: alone, Nodes: 1, Alone: true}, "")

	for want, d := range map[string]Dev{oneDir: {Nodes: 1}, aloneDir: {Nodes: 1, Alone: true}, clusterDir: {Nodes: 3}} {
		d.NodePort = 7110
		if err := d.checkNodes(); err != nil || !strings.HasSuffix(d.DataDir, want) || !filepath.IsAbs(d.DataDir) {
			t.Errorf("%d nodes are kept in %s (%v)", d.Nodes, d.DataDir, err)
		}
	}
}
