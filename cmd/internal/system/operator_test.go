package system

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"netbank/cmd/internal/bank"
)

// exitNotNow is EX_TEMPFAIL: the node is not ready, or another one leads.
const exitNotNow = 75

// startBankWith starts the bank with so many open files at most.
func (r *rig) startBankWith(files int) {
	r.t.Helper()
	args := append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files), labProgram}, r.dev.BankArgs()...)
	r.bank = start(r.t, "/bin/sh", r.log("bank"), args...)
	r.await("the bank", func() bool { return r.answers(r.demo.Operator.URL + "/readyz") }, r.bank)
}

// Failures: "metrics and console stay". Who fills the doors for customers and partners takes no file descriptor from the operator.
func TestOperatorPortAnswersWhileTheOtherDoorsAreFull(t *testing.T) {
	const (
		files  = 1_024
		asked  = 1_200 // by strangers, of each door: more than the process has files
		served = 448   // of them; the rest is shed
	)
	r := prepare(t, 2, "fixed:0ms")
	r.startCore()
	r.startBankWith(files)
	var strangers crowd
	t.Cleanup(strangers.leave)
	nothing := func(int) string { return "" }
	strangers.join(r.dev.CustomerAddr, asked, nothing)
	strangers.join(r.dev.PartnerAddr, asked, nothing)

	// Each call comes over a connection of its own.
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 20 {
		for _, path := range []string{"/livez", "/readyz?verbose", "/metrics", "/", "/cluster"} {
			resp, err := client.Get(r.demo.Operator.URL + path)
			if err != nil {
				t.Fatalf("%s: %v\n%s", path, err, r.bank.tail())
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s answered %d", path, resp.StatusCode)
			}
		}
	}
	metrics := string(r.fetch(r.demo.Operator.URL + "/metrics"))
	if open := fmt.Sprintf(`netbank_http_connections_open{listener="customer"} %d`, served); !strings.Contains(metrics, open) {
		t.Errorf("the customers' door is not full: it lacks %q in\n%s", open, metrics)
	}
	out, err := exec.Command(bankProgram, "status", "--operator", r.demo.Operator.URL, "--operator-token-file", r.demo.Path(r.demo.Operator.TokenFile)).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "Payments are getting through.\n") {
		t.Errorf("netbank status: %v\n%s", err, out)
	}
}

// What an operator's script sees: the exit codes of docs/operations.md.
func TestStatusExitsWithWhatTheNodeIs(t *testing.T) {
	r := newRig(t, 2, "fixed:0ms")
	status := func(code int, word string, args ...string) {
		t.Helper()
		args = append([]string{"status", "--operator", r.demo.Operator.URL, "--operator-token-file", r.demo.Path(r.demo.Operator.TokenFile)}, args...)
		cmd := exec.Command(bankProgram, args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), word) {
			t.Errorf("exit code %d, want %d and %q:\n%s", got, code, word, out)
		}
	}
	status(0, "[+] core")
	r.core.stop(t)
	r.await("a bank that says that its core is away", func() bool { return !r.answers(r.demo.Operator.URL + "/readyz") }, r.bank)
	status(75, "[-] core")
	status(77, "token", "--operator-token-file", r.demo.Path("kek"))
	r.bank.stop(t)
	status(69, "does not answer")
	status(bank.ExitUsage, "https", "--operator", "http://192.0.2.1:9090")
}

// The operator's commands at a real cluster, and at what is left of it when the majority is gone.
func TestOperatorCommandsAtAClusterWithAndWithoutALeader(t *testing.T) {
	c := newTrio(t, 2)
	f := func(n *coordinator, code int, words []string, args ...string) {
		t.Helper()
		cmd := exec.Command(bankProgram, append(args, "--operator", "http://"+n.operator, "--operator-token-file", c.demo.Path(c.demo.Operator.TokenFile))...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%q: exit code %d, want %d\n%s", args, got, code, out)
		}
		for _, word := range words {
			if !strings.Contains(string(out), word) {
				t.Errorf("%q does not say %q:\n%s", args, word, out)
			}
		}
	}
	leader := c.leader()
	var others []*coordinator
	for _, n := range c.nodes {
		if n != leader {
			others = append(others, n)
		}
	}
	c.await("answers of all to a leader that is new", func() bool {
		m, err := c.members(leader)
		return err == nil && m.VotersUp == 3
	})
	f(leader, 0, []string{"3 of 3 coordinators answer", others[0].peer}, "cluster", "status")
	f(leader, 0, []string{"Payments are getting through", "3 of 3"}, "status")
	f(leader, 0, []string{"hands the leadership", "Nothing was changed"}, "cluster", "lead", "--reason=a try", "--dry-run")
	f(others[0], exitNotNow, []string{"only the leader can do this"}, "cluster", "remove", "1", "--reason=asked in the wrong place", "--yes")
	f(leader, 1, []string{"no node 99"}, "cluster", "promote", "99", "--reason=a slip", "--yes")

	for _, n := range others {
		n.kill()
	}
	r := c.rig
	r.await("a node that has no leader", func() bool { return !r.answers("http://" + leader.operator + "/readyz") }, leader.process)
	f(leader, exitNotNow, []string{"Payments are not getting through", "no leader takes payments"}, "status")
	r.await("a node that knows that nobody leads", func() bool {
		return strings.Contains(string(r.fetch("http://"+leader.operator+"/cluster")), "No coordinator leads")
	}, leader.process)
	f(leader, exitNotNow, []string{"No coordinator leads: no new money moves. 2 of 3"}, "cluster", "status")
	f(leader, exitNotNow, []string{"no leader is known"}, "cluster", "lead", "--reason=in vain", "--yes")
}
