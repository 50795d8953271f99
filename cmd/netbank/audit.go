package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"netbank/frontend/ops"
)

type auditVerb struct {
	operator
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is what `netbank audit --help` says first.
func (*auditVerb) Help() string {
	return `Examples:
  netbank audit
  netbank audit --json | jq '.acts[] | select(.verb == "unlock")'

The newest 1,000 things that operators have done, from the journal: the same at every coordinator, and in every backup. What was tried and refused is
in the nodes' logs alone.`
}

// Run lists the audit.
func (c *auditVerb) Run(t *terminal) error {
	text, err := c.call(http.MethodGet, "/api/v1/audit", nil)
	if err != nil {
		return err
	}
	var all struct{ Acts []ops.Act }
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("the node's answer is not of this version's form: %w", err)
	}
	return t.print(c.JSON, text, func() {
		table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "TIME\tWHAT\tWHO\tWHY")
		for _, a := range all.Acts {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.At.Format(time.DateTime), actText(a), whoText(a), a.Reason)
		}
		_ = table.Flush()
	})
}

func actText(a ops.Act) string {
	switch {
	case a.Node > 0:
		return fmt.Sprintf("%s node %d", a.Verb, a.Node)
	case a.Detail != "":
		return a.Verb + " (" + a.Detail + ")"
	case a.From == a.To && a.Until == nil: // it was about no lever
		return a.Verb
	case a.Until != nil:
		return fmt.Sprintf("%s %d → %d until %s", a.Verb, a.From, a.To, a.Until.Format(time.DateTime))
	}
	return fmt.Sprintf("%s %d → %d", a.Verb, a.From, a.To)
}

func whoText(a ops.Act) string {
	switch {
	case a.Operator == "":
		return "by itself"
	case a.Approver != "":
		return a.Operator + ", and " + a.Approver
	}
	return a.Operator
}
