package system

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"netbank/cluster/scaling"
	"netbank/cluster/scaling/expansion"
	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// expanding is one coordinator that expands by itself, to two workers at most, behind doors that give each node its share.
type expanding struct {
	*trio
	lead *coordinator
}

func newExpanding(t *testing.T, customers int) *expanding {
	t.Helper()
	c := prepareTrio(t, customers)
	c.dev.CoreSeats = 2
	c.dev.PasswordHash = "standard" // what a sign-in costs is what this is about
	addr := ports(t, c.random, 4)
	first := c.portsInARow(2 * bank.WorkerPorts)
	dir := filepath.Join(c.dev.DataDir, "scaled")
	x := &expanding{trio: c}
	x.lead = c.add("coordinator", addr, "--bootstrap-expect=1", "--join="+addr[3], "--scale=local", "--scale-dir="+dir, "--scale-port="+strconv.Itoa(first),
		"--scale-auto=max=2,out-after=1s,out-pause=2s,in-after=1s,in-pause=1s", "--while-locked="+x.locked(), "--drain-notice=200ms")
	for slot := range 2 {
		var of [4]string
		for door := range 3 {
			of[door] = net.JoinHostPort("127.0.0.1", strconv.Itoa(first+slot*bank.WorkerPorts+door))
		}
		c.add("worker", of[:])
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), upWait)
		defer cancel()
		if err := (&scaling.Local{Dir: dir}).EndAll(ctx); err != nil {
			t.Error(err)
		}
	})
	c.open(x.lead)
	return x
}

// locked gives a file that is locked as long as the test runs: its workers are nobody's children, and end with it.
func (x *expanding) locked() string {
	x.t.Helper()
	f, err := os.Create(filepath.Join(x.dev.DataDir, "lives"))
	if err != nil {
		x.t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { f.Close() })
	return f.Name()
}

func (x *expanding) scale() (s ops.Scale) {
	x.t.Helper()
	if err := x.call(x.lead, "GET", "/api/v1/scale", nil, &s); err != nil {
		x.t.Fatal(err)
	}
	return s
}

// wishes lists what automatic expansion has wished for, by the journal's audit.
func (x *expanding) wishes() (all []ops.Act) {
	x.t.Helper()
	var out struct{ Acts []ops.Act }
	if err := x.call(x.lead, "GET", "/api/v1/audit", nil, &out); err != nil {
		x.t.Fatal(err)
	}
	return slices.DeleteFunc(out.Acts, func(a ops.Act) bool { return a.Operator != expansion.Operator })
}

// rush has so many customers sign in again and again until stop is called.
func (x *expanding) rush(customers int) (stop func()) {
	ctx, cancel := context.WithCancel(x.t.Context())
	var all sync.WaitGroup
	for range customers {
		all.Go(func() {
			c := <-x.people.free
			defer x.people.give(c)
			for ctx.Err() == nil {
				c.Forget()
				if err := c.SignIn(); err == nil {
					continue
				}
				select { // refused, as the bank is busy
				case <-ctx.Done():
				case <-time.After(pollPause):
				}
			}
		})
	}
	stop = func() { cancel(); all.Wait() }
	x.t.Cleanup(stop)
	return stop
}

// A slow core is not answered with workers, and a rush of sign-ins is; when it is over they go again.
func TestItExpandsForARushOfSignInsAndNotForASlowCore(t *testing.T) {
	x := newExpanding(t, 80)
	x.faults(`{"extraLatencyMillis":1000}`)
	l := x.startLoad(24)
	looks := 0
	x.await("the core to be found slow", func() bool {
		s := x.scale()
		if s.Limit != nil && s.Limit.What == "core" {
			looks++
		}
		return looks >= 100 && l.orders.Load() > 30
	}, x.lead.process)
	if s := x.scale(); len(x.wishes()) > 0 || s.Limit.WorkersHelp {
		t.Errorf("while the core was slow: %v; %+v", x.wishes(), s.Limit)
	}
	l.end()
	x.faults("{}")

	stop := x.rush(16)
	x.await("two workers that serve", func() bool {
		s := x.scale()
		ready := 0
		for _, n := range s.Nodes {
			if n.Ready && n.Serving {
				ready++
			}
		}
		return s.Workers.Value == 2 && ready == 2
	}, x.lead.process)
	stop()
	x.await("no worker", func() bool {
		s := x.scale()
		return s.Workers.Value == 0 && s.Provider.Running == 0 && s.Provider.Leaving == 0
	}, x.lead.process)

	wishes := x.wishes()
	text, _ := json.MarshalIndent(wishes, "", " ")
	t.Logf("%s", text)
	if len(wishes) != 3 || wishes[0].To != 2 || wishes[1].To != 1 || wishes[2].To != 0 || wishes[2].Until != nil {
		t.Errorf("it wished for:\n%s", text)
	} else if !strings.Contains(wishes[0].Reason, "sign-in pool: ") || !strings.Contains(wishes[0].Reason, " % busy on ") {
		t.Errorf("its reason is %q", wishes[0].Reason)
	}
}
