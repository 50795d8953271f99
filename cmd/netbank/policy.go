package main

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"netbank/frontend/ops"
)

type policyVerb struct {
	Show policyShow `cmd:"" help:"What the gate goes by."`
	Set  policySet  `cmd:"" help:"Change it, without a restart."`
}

// Help is what `netbank policy --help` says first.
func (*policyVerb) Help() string {
	return `Examples:
  netbank policy show
  netbank policy set --close inquiry --reason "the core is slow"       no balances
  netbank policy set --open inquiry --reason "it is over"
  netbank policy set --weight 7=3 --reason "their campaign"            partner 7 gets three turns of each class
  netbank policy set --share express=0.2 --reason "the 11th" --dry-run

What is set is in the journal: every node goes by it at once, also under the next leader and after a restart. Any coordinator can be asked. What
changes something shows its effect first and asks; --yes does not ask, --dry-run changes nothing. Exit codes: see "netbank --help"; 75 means: the
outcome is not known yet, look with "netbank policy show".`
}

type policyShow struct {
	operator
	JSON bool `name:"json" help:"Print JSON."`
}

// ruled asks for the policy.
func (o *operator) ruled() (p ops.Policy, text []byte, err error) {
	if text, err = o.call(http.MethodGet, "/api/v1/policy", nil); err == nil {
		err = answerInto(text, &p)
	}
	return p, text, err
}

// Run prints the policy.
func (c *policyShow) Run(t *terminal) error {
	p, text, err := c.ruled()
	if err != nil {
		return err
	}
	return t.print(c.JSON, text, func() { t.printPolicy(&p) })
}

// classOrder is the gate's order of the classes, best first.
var classOrder = []string{"resolve", "confirm", "express", "sign-in", "inquiry"}

func (t *terminal) printPolicy(p *ops.Policy) {
	if p.At == nil {
		t.say("policy    nothing was ever set: as the coordinators were started")
	} else {
		t.say("policy    %d, set at %s by %s: %s", p.Version, p.At.Format(time.RFC3339), p.Operator, p.Reason)
	}
	t.say("seats     at most %d calls inside the core at the normal level; up to %d may be set", p.Seats, p.SeatsMax)
	for _, class := range classOrder {
		state := ""
		if slices.Contains(p.Closed, class) {
			state = ", closed"
		}
		t.say("class     %-8s %5.1f %% of the seats guaranteed%s", class, 100*p.Shares[class], state)
	}
	if len(p.Weights) == 0 {
		t.say("partners  all have weight 1")
	}
	for _, partner := range slices.Sorted(maps.Keys(p.Weights)) {
		t.say("partner   %-8s weight %.4g", partner, p.Weights[partner])
	}
}

type policySet struct {
	changing
	Share  []string `help:"CLASS=PART of the seats that a class is guaranteed, 0 to 1; repeat it for more. Together at most 0.9."`
	Weight []string `help:"PARTNER=WEIGHT, a partner's part of a class relative to the others', 0.01 to 100; 1 is what all have. Repeat it for more."`
	Seats  int      `help:"The most calls inside the core at the normal level."`
	Close  []string `help:"Keep a class out: confirm, express, sign-in or inquiry; repeat it for more."`
	Open   []string `help:"Let it come again; repeat it for more."`
}

// Run changes what was named of the policy, and leaves the rest as it is.
func (c *policySet) Run(t *terminal) error {
	if len(c.Share)+len(c.Weight)+len(c.Close)+len(c.Open) == 0 && c.Seats == 0 {
		return usage("say what is to change: --share, --weight, --seats, --close or --open")
	}
	now, _, err := c.ruled()
	if err != nil {
		return err
	}
	next := ops.PolicyRequest{Fence: now.Version, Shares: now.Shares, Weights: now.Weights, Seats: now.Seats, Closed: now.Closed, Reason: c.Reason}
	if c.Seats != 0 {
		next.Seats = c.Seats
	}
	if err := pairs("--share", c.Share, next.Shares); err != nil {
		return err
	}
	if err := pairs("--weight", c.Weight, next.Weights); err != nil {
		return err
	}
	for _, class := range c.Close {
		if slices.Contains(c.Open, class) {
			return usage("--close and --open both name %s", class)
		}
		if !slices.Contains(next.Closed, class) {
			next.Closed = append(next.Closed, class)
		}
	}
	for _, class := range c.Open {
		if !slices.Contains(classOrder, class) {
			return usage("--open is %.40q; the classes are %s", class, strings.Join(classOrder, ", "))
		}
	}
	next.Closed = slices.DeleteFunc(next.Closed, func(class string) bool { return slices.Contains(c.Open, class) })
	return c.change(t, "/api/v1/policy", next, nil)
}

// pairs puts NAME=NUMBER into a map.
func pairs(flag string, all []string, into map[string]float64) error {
	for _, pair := range all {
		name, number, ok := strings.Cut(pair, "=")
		v, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil {
			return usage("%s is %.60q; write NAME=NUMBER", flag, pair)
		}
		into[name] = v
	}
	return nil
}
