package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

type clusterVerb struct {
	Status  clusterStatus  `cmd:"" help:"List the nodes, and say what to look at."`
	Token   clusterToken   `cmd:"" help:"Make a token that lets a node join."`
	Remove  clusterRemove  `cmd:"" help:"Take a node out for good."`
	Promote clusterPromote `cmd:"" help:"Give a coordinator its vote."`
	Lead    clusterLead    `cmd:"" help:"Hand the leadership over."`

	RotateAuthority clusterRotate `cmd:"" help:"Put another authority in the place of the one that signs the nodes' certificates."`
}

// Help is what `netbank cluster --help` says first.
func (*clusterVerb) Help() string {
	return `Examples:
  netbank cluster status
  netbank cluster token --role worker --uses 4 --for 2h --out workers.token --reason "more nodes for the 11th"
  netbank cluster remove 3 --reason "its disk is gone" --dry-run
  netbank cluster lead 2 --reason "node 1 gets a new kernel"
  netbank cluster rotate-authority --reason "once a year"

What changes something shows its effect first and asks; --yes does not ask, --dry-run changes nothing. The node logs who did what,
and why. Exit codes: see "netbank --help"; 75 means: another node leads, and the line says what to run, or do it again.`
}

type clusterStatus struct {
	operator
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is what `netbank cluster status --help` says first.
func (*clusterStatus) Help() string {
	return `Examples:
  netbank cluster status
  netbank cluster status --json | jq '.nodes[] | select(.state == "down")'

Exit codes: 0 the cluster is well; 75 it is not, and the lines say why; 69 the node does not answer. Only the leader hears from all nodes; ask it.`
}

// Run lists the nodes.
func (s *clusterStatus) Run(t *terminal) error {
	text, err := s.call(http.MethodGet, "/api/v1/cluster", nil)
	if err != nil {
		return err
	}
	var m ops.Members
	if err := answerInto(text, &m); err != nil {
		return err
	}
	if err := t.print(s.JSON, text, func() { t.printMembers(&m) }); err != nil {
		return err
	}
	if !m.Well {
		return &bank.Error{Code: exitNotNow, Err: errors.New("the cluster is not well")}
	}
	return nil
}

func (t *terminal) printMembers(m *ops.Members) {
	t.say("%s.", m.Verdict)
	for _, a := range m.Advice {
		t.say("  ! %s", a.Text)
		if a.Command != "" {
			t.say("    %s", a.Command)
		}
	}
	if a := m.Authority; a != nil {
		t.say("authority %.16s…%s", a.Fingerprint, authorityColumn(a))
	}
	t.say("")
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tROLE\tSTATE\tREADY\tCORE\tENTRY\tBEHIND\tCERTIFICATE ENDS\tADDRESS\tOPERATOR\tVERSION")
	for _, n := range m.Nodes {
		fmt.Fprintln(table, strings.Join([]string{
			nodeColumn(n), roleColumn(n), n.State, readyColumn(n), coreColumn(n), numberColumn(n.Applied), numberColumn(n.Lag), dayColumn(n.CertificateEnd), dash(n.Address), dash(n.Operator), dash(n.Version),
		}, "\t"))
	}
	_ = table.Flush()
}

func nodeColumn(n ops.Node) string {
	if n.Self {
		return fmt.Sprintf("%d*", n.Node)
	}
	return fmt.Sprint(n.Node)
}

func roleColumn(n ops.Node) string {
	switch {
	case n.Leader:
		return "leader"
	case n.Role == ops.RoleCoordinator && !n.Voter:
		return "coordinator (no vote)"
	}
	return n.Role
}

func readyColumn(n ops.Node) string {
	switch {
	case n.Ready:
		return "yes"
	case len(n.NotReady) > 0:
		return "no"
	}
	return "-"
}

func coreColumn(n ops.Node) string {
	switch {
	case n.Core == nil:
		return "-"
	case n.Core.Reachable:
		return "yes"
	}
	return "no"
}

func authorityColumn(a *ops.Authority) string {
	text := ""
	if a.End != nil {
		text = ", ends " + a.End.Format(time.DateOnly)
	}
	switch a.Rotation {
	case ops.RotationTrust:
		return text + "; being rotated, step 1 of 2"
	case ops.RotationRenew:
		return text + "; issues since it was rotated in, step 2 of 2"
	}
	return text
}

func numberColumn(n *uint64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func dayColumn(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.Format(time.DateOnly)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// changing is what the verbs that change the cluster have in common.
type changing struct {
	operator
	silent bool // standard output is for what the verb makes

	Reason string `help:"Why, for the audit; no customer's data." required:""`
	DryRun bool   `help:"Say what would happen, change nothing."`
	Yes    bool   `short:"y" help:"Do not ask."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// change shows the effect of a verb, asks, and does it. after does what is to be done with the answer before it is printed; it may be nil.
func (c *changing) change(t *terminal, path string, body any, after func(*ops.Change) error) error {
	said := *t
	if c.silent {
		said.out = t.err
	}
	var foreseen, done ops.Change
	if err := c.post(path+"?dryRun=1", body, &foreseen); err != nil {
		return err
	}
	if c.DryRun {
		return said.tell(c.JSON, &foreseen, "Nothing was changed.")
	}
	if !c.Yes {
		for _, line := range foreseen.Effect {
			fmt.Fprintln(t.err, line)
		}
		if err := t.agree("Go on?"); err != nil {
			return err
		}
	}
	if err := c.post(path, body, &done); err != nil {
		return err
	}
	if after != nil {
		if err := after(&done); err != nil {
			return err
		}
	}
	if !c.Yes && !c.JSON {
		done.Effect = nil // they were told before
	}
	return said.tell(c.JSON, &done, "Done.")
}

// tell prints what a verb did, or would do.
func (t *terminal) tell(asJSON bool, c *ops.Change, last string) error {
	if asJSON {
		return json.NewEncoder(t.out).Encode(c)
	}
	for _, line := range c.Effect {
		t.say("%s", line)
	}
	t.say("%s", last)
	return nil
}

type clusterToken struct {
	changing
	Role string        `help:"What joins: worker or coordinator." enum:"worker,coordinator" required:""`
	Uses int           `help:"How many nodes it lets in, up to 100." default:"1"`
	For  time.Duration `help:"How long it is good for, up to a week." default:"1h"`
	Out  string        `help:"The file to make, readable by its owner only; it must not exist. - is standard output." required:""`
}

// Help is what `netbank cluster token --help` says first.
func (*clusterToken) Help() string {
	return `Examples:
  netbank cluster token --role worker --out worker.token --reason "one more for the evening"
  netbank cluster token --role coordinator --for 15m --out coordinator.token --reason "in place of node 3"
  netbank cluster token --role worker --uses 20 --for 12h --out - --yes --reason "scale-out" | ssh standby 'cat > /etc/netbank/join.token'

A new node is started with "netbank serve --join-token-file FILE". Whoever has the token can join: keep it as you keep a password,
and delete the file when the nodes have joined.`
}

// Run makes a token.
func (c *clusterToken) Run(t *terminal) error {
	if c.For%time.Second != 0 {
		return usage("--for is %v; whole seconds, please", c.For)
	}
	if c.Out == "-" && c.JSON {
		return usage("--out - and --json both want standard output; name a file for the token")
	}
	c.silent = c.Out == "-"
	if c.DryRun {
		return c.change(t, "/api/v1/cluster/tokens", c.body(), nil)
	}
	// The file is made first: a token that cannot be kept is not asked for.
	file := t.out
	if c.Out != "-" {
		f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return usage("--out: %w", err)
		}
		defer f.Close()
		file = f
	}
	kept := false
	err := c.change(t, "/api/v1/cluster/tokens", c.body(), func(done *ops.Change) error {
		if done.Token == "" {
			return errors.New("the node answered without a token")
		}
		if _, err := fmt.Fprintln(file, done.Token); err != nil {
			return fmt.Errorf("the token cannot be written, and ends by itself: %w", err)
		}
		kept, done.Token = true, ""
		return nil
	})
	if !kept && c.Out != "-" {
		_ = os.Remove(c.Out)
	}
	return err
}

func (c *clusterToken) body() ops.TokenRequest {
	return ops.TokenRequest{Role: c.Role, Uses: c.Uses, LifetimeSeconds: int64(c.For / time.Second), Reason: c.Reason}
}

type clusterRemove struct {
	changing
	Node  uint32 `arg:"" help:"The node's number."`
	Force bool   `help:"Even if payments stop."`
}

// Help is what `netbank cluster remove --help` says first.
func (*clusterRemove) Help() string {
	return `Examples:
  netbank cluster remove 3 --reason "its disk is gone" --dry-run
  netbank cluster remove 3 --reason "its disk is gone"

The node's certificate is refused from then on, and its number is not given again: it comes back as a new node, with an empty data
directory and a join token. It is refused when too few coordinators would be left for a majority, unless --force is given.`
}

// Run removes a node.
func (c *clusterRemove) Run(t *terminal) error {
	return c.change(t, fmt.Sprintf("/api/v1/cluster/nodes/%d/remove", c.Node), ops.NodeRequest{Force: c.Force, Reason: c.Reason}, nil)
}

type clusterPromote struct {
	changing
	Node uint32 `arg:"" help:"The node's number."`
}

// Help is what `netbank cluster promote --help` says first.
func (*clusterPromote) Help() string {
	return `Examples:
  netbank cluster promote 4 --reason "it has caught up"

A coordinator that has joined gets its vote by itself once its journal has caught up; this does it now, or says what is in the way.`
}

// Run promotes a node.
func (c *clusterPromote) Run(t *terminal) error {
	return c.change(t, fmt.Sprintf("/api/v1/cluster/nodes/%d/promote", c.Node), ops.NodeRequest{Reason: c.Reason}, nil)
}

type clusterLead struct {
	changing
	Node uint32 `arg:"" optional:"" help:"The number of the node that is to lead; without it, the one whose journal is nearest."`
}

// Help is what `netbank cluster lead --help` says first.
func (*clusterLead) Help() string {
	return `Examples:
  netbank cluster lead --reason "the leader gets a new kernel"
  netbank cluster lead 2 --reason "node 2 is nearest to the core"

A node that is stopped in order hands over by itself.`
}

// Run hands the leadership over.
func (c *clusterLead) Run(t *terminal) error {
	return c.change(t, "/api/v1/cluster/lead", ops.LeadRequest{Node: c.Node, Reason: c.Reason}, nil)
}

type clusterRotate struct {
	changing
}

// Help is what `netbank cluster rotate-authority --help` says first.
func (*clusterRotate) Help() string {
	return `Examples:
  netbank cluster rotate-authority --reason "once a year" --dry-run
  netbank cluster rotate-authority --reason "an administrator has left" --yes

The nodes know each other by certificates of the cluster's own authority. This makes another one: every node comes to trust both, gets a
certificate from the new one, and then trusts the new one only. It takes seconds while all nodes answer, and nobody notices; a node that is
away is waited for. "netbank cluster status" says how far it is. Join tokens made before are refused afterwards.`
}

// Run begins a rotation.
func (c *clusterRotate) Run(t *terminal) error {
	return c.change(t, "/api/v1/cluster/authority/rotate", ops.RotateRequest{Reason: c.Reason}, nil)
}
