package bank

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster"
	"netbank/cluster/gate"
	"netbank/cluster/kek"
	"netbank/cluster/replica"
	"netbank/frontend/ops"
	"netbank/session"
)

// A founder of three whose companions never come has no leader, ever.
func TestOperatorPortAnswersWithoutALeader(t *testing.T) {
	dir := t.TempDir()
	if err := kek.Generate(filepath.Join(dir, "kek")); err != nil {
		t.Fatal(err)
	}
	key, err := kek.Load(filepath.Join(dir, "kek"))
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	_, transport := raft.NewInmemTransport("one")
	node, err := cluster.Open(cluster.Config{
		Replica: replica.Config{
			Dir: filepath.Join(dir, "journal"), Node: 1, Logger: logger, Cluster: "test", Beginning: replica.Founding, Transport: transport,
			Founders: []replica.Founder{{Node: 1, Address: "one"}, {Node: 2, Address: "two"}, {Node: 3, Address: "three"}},
		},
		Core: core{}, Gate: gate.Config{Limit: 8, Ceiling: 8}, Logger: logger, ClusterID: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bank{
		config: Config{OperatorTokenFile: filepath.Join(dir, "token"), Lab: Lab{Params: session.Cheap, AllowCheapHash: true}}, logger: logger, registry: prometheus.NewRegistry(),
		key: key, node: node, port: ops.Serve(l, nil, logger),
	}
	defer b.close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := b.openOperator(ctx); err != nil {
		t.Fatal(err)
	}
	token, err := ReadToken(b.config.OperatorTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	f := func(path, bearer string, code int, words ...string) {
		t.Helper()
		r, err := http.NewRequest("GET", "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != code {
			t.Errorf("%s answered %d: %s", path, resp.StatusCode, text)
		}
		for _, word := range words {
			if !strings.Contains(string(text), word) {
				t.Errorf("%s does not say %q:\n%s", path, word, text)
			}
		}
	}
	f("/livez", "", 200, "ok")
	f("/readyz", "", 503, "[-]leader failed: no leader takes payments; look at the disk", "[-]serving failed")
	f("/metrics", "", 200, "netbank_operator_unauthorised_total")
	f("/", "", 200, "Payments are not getting through", "no leader takes payments")
	f("/cluster", "", 200, "No coordinator leads")
	f("/api/v1/status", "", 401)
	f("/api/v1/status", token, 200, `"verdict":"Payments are not getting through"`, `"role":"follower"`)
	f("/api/v1/cluster", token, 200, `"leader":0`)
	f("/api/v1/payments", token, 200)
}
