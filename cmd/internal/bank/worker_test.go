package bank_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// A worker that stays away leaves the journal, and one that is there stays, however long.
func TestEverythingIsBounded_TheLeaderForgetsAWorkerThatStaysAway(t *testing.T) {
	leader := start(t, func(c *bank.Config) {
		c.Cluster, c.PeerAddr, c.BootstrapExpect, c.Lab.WorkerAway = "main", free(t), 1, 500*time.Millisecond
	})
	stay, leave := joins(t, leader), joins(t, leader)
	states := func() map[uint32]string {
		all := make(map[uint32]string)
		var m ops.Members
		call(t, leader, http.MethodGet, "/api/v1/cluster", nil, &m)
		for _, n := range m.Nodes {
			all[n.Node] = n.State
		}
		return all
	}
	until := func(what string, f func(map[uint32]string) bool) {
		t.Helper()
		limit := time.After(time.Minute)
		for !f(states()) {
			select {
			case <-limit:
				t.Fatalf("%s does not come about: %v", what, states())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	until("two workers", func(all map[uint32]string) bool { return all[2] == ops.NodeUp && all[3] == ops.NodeUp })
	leave()
	until("the end of one", func(all map[uint32]string) bool { return all[2] == ops.NodeUp && all[3] == "" })
	stay()
	until("the end of the other", func(all map[uint32]string) bool { return len(all) == 1 })
}

// joins lets a worker join whose identity is in memory, and waits until it serves; leave stops it.
func joins(t *testing.T, leader *running) (leave func()) {
	t.Helper()
	var made ops.Change
	call(t, leader, http.MethodPost, "/api/v1/cluster/tokens", ops.TokenRequest{Role: ops.RoleWorker, Uses: 1, LifetimeSeconds: 60, Reason: "test"}, &made)
	dir := t.TempDir()
	token := filepath.Join(dir, "join")
	if err := os.WriteFile(token, []byte(made.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := leader.config
	c.DataDir, c.Role, c.JoinTokenFile, c.PeerAddr, c.BootstrapExpect = "", "worker", token, "", 0
	c.OperatorTokenFile = filepath.Join(dir, "token")
	c.CustomerAddr, c.PartnerAddr, c.OperatorAddr = free(t), free(t), free(t)
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- bank.Run(ctx, c, slog.New(slog.NewTextHandler(io.Discard, nil)), func() { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-ended:
		stop()
		t.Fatalf("the worker did not open: %v", err)
	}
	return func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the worker closed with %v", err)
		}
	}
}

// call asks a bank's operator's port.
func call(t *testing.T, r *running, method, path string, in, out any) {
	t.Helper()
	token, err := bank.ReadToken(r.config.OperatorTokenFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://"+r.config.OperatorAddr+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(answer, out) != nil {
		t.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, answer, err)
	}
}
