// Netbank is a bank's net-banking front end: the tier that customers are sent to when they pay, and that does not jam.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/cli"
)

const description = `A bank's net-banking front end: login and confirm pages in front of the core banking system.

Examples:
  netbank keygen --kek-file /etc/netbank/kek
  netbank serve --data-dir /var/lib/netbank --kek-file /etc/netbank/kek --operator-token-file /etc/netbank/operator.token \
      --partner-cert server.pem --partner-key server-key.pem --partner-ca partners.pem --customer-url https://pay.bank.example
  netbank partners import partners.ndjson --operator-token-file /etc/netbank/operator.token
  netbank customers import customers.ndjson --operator-token-file /etc/netbank/operator.token
  netbank status --operator-token-file /etc/netbank/operator.token
  netbank cluster status --operator https://node1.bank.example:9090 --operator-ca ca.pem --operator-cert me.pem --operator-key me-key.pem
  netbank scale out 3 --reason "the 11th" --for 2h
  netbank policy set --close inquiry --reason "the core is slow"
  netbank node drain 2 --reason "a new kernel"
  netbank why 019ab0c4-5b7e-7c3a-9d2f-0123456789ab --operator-token-file support.token
  netbank breached build pwned-passwords-sha1-ordered-by-hash.txt /var/lib/netbank-breached
  netbank backup --out netbank.backup --operator-token-file /etc/netbank/operator.token
  netbank restore --from netbank.backup --data-dir /var/lib/netbank-new --dry-run

The operator's commands also read NETBANK_OPERATOR, NETBANK_OPERATOR_TOKEN_FILE, NETBANK_OPERATOR_CA, NETBANK_OPERATOR_CERT and
NETBANK_OPERATOR_KEY.

Exit codes: 0 done; 1 failed, or refused; 64 a flag or file is wrong; 69 an address is taken, or the node does not answer; 70 the disk
failed or the journal cannot be applied; 73 the data directory cannot be used; 75 not now: the node is not ready, another one leads,
or the outcome is not known yet; 77 the token or certificate was refused; 78 the data was written by a newer version.`

type program struct {
	Serve     serve        `cmd:"" help:"Run a node."`
	Keygen    keygen       `cmd:"" help:"Make a key-encryption key."`
	Status    status       `cmd:"" help:"Ask a running node how it is; exit 0 if it is ready."`
	Cluster   clusterVerb  `cmd:"" help:"The nodes: who they are, who joins, who leaves, who leads."`
	Node      nodeVerb     `cmd:"" help:"One node: keep customers away from it, or let them come again."`
	Why       why          `cmd:"" help:"Say how a customer's payment stands, why, and what to tell the customer."`
	Scale     scaleVerb    `cmd:"" help:"More workers or fewer, in seconds; the most that may be inside the core."`
	Policy    policyVerb   `cmd:"" help:"What the gate goes by: shares, partners' weights, seats, closed classes."`
	Audit     auditVerb    `cmd:"" help:"What operators have done, who, and why."`
	Partners  partners     `cmd:"" help:"Payment platforms."`
	Customers customers    `cmd:"" help:"The bank's customers."`
	Breached  breachedVerb `cmd:"" help:"Passwords that others know."`
	Backup    backup       `cmd:"" help:"Fetch a backup of a running node."`
	Restore   restore      `cmd:"" help:"Make a data directory of a backup."`
	Version   version      `cmd:"" help:"Print the version."`

	Derive bank.Derive `cmd:"" help:"Hash passwords for the node that started this process." hidden:""`
}

type version struct{}

func (version) Run(t *terminal) error {
	t.say("%s", cli.Version())
	return nil
}

func main() { os.Exit(run(os.Args[1:], openTerminal(os.Stdin))) }

// run does a command, and gives the exit code.
func run(args []string, t *terminal) int {
	var p program
	parser := kong.Must(&p, kong.Name("netbank"), kong.Description(description), kong.Writers(t.out, t.err), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	ctx, err := parser.Parse(args)
	if err != nil {
		return cli.Exit("netbank", &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf("%w; `netbank --help` has examples", err)}, t.err)
	}
	err = ctx.Run(t)
	code := cli.Exit("netbank", err, t.err)
	if other := new(elsewhere); errors.As(err, &other) {
		where := "Run"
		if onLoopback(other.operator) {
			where = fmt.Sprintf("Run on the machine of node %d", other.node)
		}
		fmt.Fprintf(t.err, "%s:\n  %s\n", where, other.again(args))
	}
	return code
}
