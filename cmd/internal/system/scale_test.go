package system

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"netbank/bench/demo"
)

// scale runs `netbank scale` as an operator does, and expects that it is done.
func (r *rig) scale(args ...string) string {
	r.t.Helper()
	args = append([]string{"scale"}, args...)
	args = append(args, "--operator", r.demo.Operator.URL, "--operator-token-file", r.demo.Path(r.demo.Operator.TokenFile))
	out, err := exec.Command(bankProgram, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("netbank %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// scaled lists the workers that the leader has started, by demo.json.
func (r *rig) scaled() (all []demo.Node) {
	r.t.Helper()
	for _, n := range r.nodes() {
		if strings.HasPrefix(n.Name, "scaled-") && n.PID != 0 {
			all = append(all, n)
		}
	}
	return all
}

// What one bank did by closing for an hour: three workers come and go under load, and nobody has to try anything twice.
func TestScaleOutAndIn_NobodyHasToTryAnythingTwice(t *testing.T) {
	r := newDemoCluster(t, 4000)
	r.honest(4)
	o := r.startOnce(shoppers)
	o.progress(20)
	out := r.scale("out", "3", "--reason", "the 11th", "--for", "2h", "--yes", "--wait", "1m")
	t.Log(out)
	if strings.Count(out, "serving: node") != 3 {
		t.Errorf("three nodes should serve:\n%s", out)
	}
	r.await("three workers in demo.json", func() bool { return len(r.scaled()) == 3 }, r.bank)
	o.progress(60)
	t.Log(r.scale("in", "--reason", "it is over", "--yes", "--wait", "1m"))
	r.await("no worker in demo.json", func() bool { return len(r.scaled()) == 0 }, r.bank)
	o.progress(20)
	close(o.stop)
	o.shoppers.Wait()
	o.end()
	if o.repeated.Load() > 0 || o.again.Load() > 0 {
		t.Errorf("%d shoppers had to try again, of %d", o.repeated.Load(), o.whole.Load())
	}
	r.audit()
}

// What somebody gets who types `make run`: workers come and go without another word.
func TestADemoBankOfOneNodeTakesWorkers(t *testing.T) {
	r := newDemo(t, 40, "Begin here, at the shop")
	out := r.scale("out", "2", "--reason", "to see it", "--for", "10m", "--yes", "--wait", "1m")
	if strings.Count(out, "serving: node") != 2 || len(r.scaled()) != 2 {
		t.Errorf("two workers should serve: %v\n%s", r.scaled(), out)
	}
	r.scale("in", "--reason", "seen", "--yes", "--wait", "1m")
}

// The leader dies as soon as the wish is committed, before its workers have come.
func TestTheWishSurvivesTheLeadersDeath_TheNumberAskedAndNotMore(t *testing.T) {
	r := newDemoCluster(t, 40)
	r.honest(4)
	r.scale("out", "1", "--reason", "a beginning", "--yes", "--wait", "1m")
	old := r.leads(func(demo.Node) bool { return true })
	r.scale("out", "--to", "4", "--reason", "the 11th", "--yes", "--wait", "0s")
	if err := syscall.Kill(old.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.leads(func(n demo.Node) bool { return n.Name != old.Name })
	most := 0
	r.await("four workers that are ready", func() bool {
		now := r.scaled()
		most = max(most, len(now))
		ready := 0
		for _, n := range now {
			if r.answers(n.OperatorURL + "/readyz") {
				ready++
			}
		}
		return ready == 4
	}, r.bank)
	r.await("the next leader to say that it is done", func() bool {
		out, err := exec.Command(bankProgram, "scale", "status", "--operator", r.demo.Operator.URL, "--operator-token-file", r.demo.Path(r.demo.Operator.TokenFile)).CombinedOutput()
		most = max(most, len(r.scaled()))
		return err == nil && strings.Contains(string(out), "4 wanted, 4 running, 0 leaving")
	}, r.bank)
	if most > 4 {
		t.Errorf("%d workers ran at once, and 4 were asked for", most)
	}
}
