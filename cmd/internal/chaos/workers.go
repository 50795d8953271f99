package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"netbank/frontend/ops"
)

// Bounds of what concerns workers.
const (
	// A worker may be killed after its token was used, and before it knows who it is.
	inviteUses     = 20
	inviteLifetime = time.Hour
	replaceLimit   = 30 * time.Second // until there is a leader that lets another one in
)

func (n *node) dir() string   { return filepath.Join(n.rig.dir, n.name) }
func (n *node) token() string { return filepath.Join(n.rig.dir, n.name+".token") }

// invite has the leader make the token with which a worker joins.
func (r *rig) invite(ctx context.Context, n *node) error {
	var made ops.Change
	terms := ops.TokenRequest{Role: ops.RoleWorker, Uses: inviteUses, LifetimeSeconds: int64(inviteLifetime / time.Second), Reason: "chaos"}
	if err := r.atLeader(ctx, http.MethodPost, "/api/v1/cluster/tokens", terms, &made); err != nil {
		return fmt.Errorf("chaos: a token for %s: %w", n.name, err)
	}
	if err := os.WriteFile(n.token(), []byte(made.Token+"\n"), 0o600); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return nil
}

// atLeader asks whoever leads, again and again while leaders come and go.
func (r *rig) atLeader(ctx context.Context, method, path string, in, out any) error {
	for {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		if err = r.operate(leader, method, path, in, out); err == nil {
			return nil
		}
		if !pause(ctx, restartPause) {
			return err
		}
	}
}

// replace kills a worker, and undone removes it from the cluster and lets another one join in its place: at the same doors, under another
// number, with an empty directory.
func (r *rig) replace(n *node) func() error {
	var old ops.Members
	_ = r.operate(n, http.MethodGet, "/api/v1/cluster", nil, &old) // one that does not answer stays in the list
	n.hold(true)
	n.signal(syscall.SIGKILL)
	return func() error {
		defer n.hold(false)
		ctx, cancel := context.WithTimeout(context.Background(), replaceLimit)
		defer cancel()
		if p := n.process(); p != nil {
			<-p.done
		}
		if err := r.invite(ctx, n); err != nil {
			return err // it goes on as it was
		}
		if old.Self != 0 {
			var done ops.Change
			if err := r.atLeader(ctx, http.MethodPost, fmt.Sprintf("/api/v1/cluster/nodes/%d/remove", old.Self), ops.NodeRequest{Reason: "chaos"}, &done); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(n.dir()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("chaos: %w", err)
		}
		return nil
	}
}
