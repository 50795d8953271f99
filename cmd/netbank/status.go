package main

import (
	"fmt"
	"net/http"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

type status struct {
	operator
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is what `netbank status --help` says first.
func (*status) Help() string {
	return `Examples:
  netbank status --operator-token-file /etc/netbank/operator.token
  netbank status --json | jq .verdict
  netbank status --operator https://node2.bank.example:9090 --operator-ca ca.pem --operator-cert me.pem --operator-key me-key.pem

Exit codes: 0 the node is ready for customers; 75 it is not, and the lines say why; 69 it does not answer; 77 it refused the token or
the certificate; 64 a flag or file is wrong.`
}

// Run prints one screen.
func (s *status) Run(t *terminal) error {
	text, err := s.call(http.MethodGet, "/api/v1/status", nil)
	if err != nil {
		return err
	}
	var v ops.Status
	if err := answerInto(text, &v); err != nil {
		return err
	}
	if err := t.print(s.JSON, text, func() { t.printStatus(&v) }); err != nil {
		return err
	}
	if !v.Ready {
		return &bank.Error{Code: exitNotNow, Err: fmt.Errorf("the node is not ready for customers")}
	}
	return nil
}

func (t *terminal) printStatus(v *ops.Status) {
	t.say("%s.", v.Verdict)
	for _, line := range v.Advice {
		t.say("  ! %s", line)
	}
	t.say("")
	if v.Role == ops.RoleWorker {
		t.say("node      %d, a worker: gate and journal are the coordinators'", v.Node)
	} else {
		t.say("node      %d, %s in term %d, entry %d, stamped %s", v.Node, v.Role, v.Term, v.Applied, v.Stamp.Format(time.RFC3339))
	}
	if v.Version != "" {
		t.say("version   %s", v.Version)
	}
	if v.Role == "leader" {
		t.say("gate      %d of %d seats taken", v.Seats, v.Limit)
	}
	if v.Role != ops.RoleWorker {
		t.say("journal   not yet final: %d payments; in doubt: %d; notifications under way: %d", v.Open, v.InDoubt, v.Outbox)
	}
	if l := v.Line; l != nil {
		t.printLine(l)
	}
	for _, c := range v.Classes {
		if c.Refused != "" {
			t.say("          refused now: %s (%s)", c.Class, c.Refused)
		}
	}
	if v.Core.Reachable {
		t.say("core      reachable from this node since %s", v.Core.Since.Format(time.RFC3339))
	} else {
		t.say("core      not reachable from this node since %s: %s", v.Core.Since.Format(time.RFC3339), v.Core.LastError)
	}
	if r := v.Reads; r != nil && r.Node != 0 {
		t.say("reads     at node %d since %s", r.Node, r.Since.Format(time.RFC3339))
	} else if r != nil {
		t.say("reads     nowhere since %s", r.Since.Format(time.RFC3339))
	}
	for _, c := range v.Checks {
		if c.OK {
			t.say("check     [+] %s", c.Name)
		} else {
			t.say("check     [-] %s", c.Name)
		}
	}
	if v.Cluster != nil {
		t.say("")
		t.printMembers(v.Cluster)
	}
}

// printLine says where the waiting line stands.
func (t *terminal) printLine(l *ops.LineStatus) {
	carried := ""
	if pace := l.Pace(); pace != "" {
		carried = "; " + pace + " can be carried"
	}
	if l.Closed {
		t.say("line      %d wait, %.3g a second are called, as far as who came before %s%s", l.Waiting, l.PerSecond, l.Watermark.Format(time.RFC3339), carried)
	} else {
		t.say("line      open: customers come in as they come%s", carried)
	}
	t.say("          %s", l.Waits.Told())
}
