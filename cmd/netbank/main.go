// Netbank is a bank's net-banking front end: the tier that customers are sent to when they pay, and that does not jam.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"netbank/cluster/kek"
	"netbank/cmd/internal/bank"
	"netbank/cmd/internal/cli"
	"netbank/frontend/ops"
)

const description = `A bank's net-banking front end: login and confirm pages in front of the core banking system.

Examples:
  netbank keygen --kek-file /etc/netbank/kek
  netbank serve --data-dir /var/lib/netbank --kek-file /etc/netbank/kek --operator-token-file /etc/netbank/operator.token \
      --partner-cert server.pem --partner-key server-key.pem --partner-ca partners.pem --customer-url https://pay.bank.example
  netbank partners import partners.ndjson --operator-token-file /etc/netbank/operator.token
  netbank customers import customers.ndjson --operator-token-file /etc/netbank/operator.token
  netbank status --operator-token-file /etc/netbank/operator.token --json

Exit codes: 0 done; 1 failed; 64 a flag or file is wrong; 69 an address is taken; 70 the disk failed or the journal cannot be
applied; 73 the data directory cannot be used; 78 it was written by a newer version.`

type program struct {
	Serve     serve     `cmd:"" help:"Run a node."`
	Keygen    keygen    `cmd:"" help:"Make a key-encryption key."`
	Status    status    `cmd:"" help:"Ask a running node how it is."`
	Partners  partners  `cmd:"" help:"Payment platforms."`
	Customers customers `cmd:"" help:"The bank's customers."`
	Version   version   `cmd:"" help:"Print the version."`

	Derive bank.Derive `cmd:"" help:"Hash passwords for the node that started this process." hidden:""`
}

type serve struct {
	bank.Config
	Verbose bool `help:"Log more."`
}

func (s *serve) Run() error { return cli.RunBank(s.Config, cli.Logger(s.Verbose)) }

type keygen struct {
	KEKFile string `name:"kek-file" help:"The file to make; it must not exist." required:"" type:"path"`
}

func (k *keygen) Run() error {
	if err := kek.Generate(k.KEKFile); err != nil {
		return &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	fmt.Printf("made %s; keep a copy where the backups are not: without it the journal's secrets cannot be opened\n", k.KEKFile)
	return nil
}

// operator is how the operator's verbs reach a node.
type operator struct {
	Operator          string `help:"The node's operator port." default:"http://127.0.0.1:9090"`
	OperatorTokenFile string `help:"The operator's token." required:"" type:"path"`
}

const operatorTimeout = 10 * time.Minute // an import of a million customers

func (o *operator) call(method, path string, body io.Reader) ([]byte, error) {
	token, err := bank.ReadToken(o.OperatorTokenFile)
	if err != nil {
		return nil, &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), operatorTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(o.Operator, "/")+path, body)
	if err != nil {
		return nil, &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf("--operator %q: %w", o.Operator, err)}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the node does not answer; is it running, and is --operator right? %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the node answered %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	return text, nil
}

type status struct {
	operator
	JSON bool `name:"json" help:"Print JSON."`
}

func (s *status) Run() error {
	text, err := s.call(http.MethodGet, "/api/v1/status", nil)
	if err != nil {
		return err
	}
	if s.JSON {
		_, err = os.Stdout.Write(text)
		return err
	}
	var v ops.Status
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	fmt.Printf("node %d: %s in term %d, entry %d\n", v.Node, v.Role, v.Term, v.Applied)
	fmt.Printf("inside the core: %d of %d seats; not yet final: %d payments; in doubt: %d; notifications under way: %d\n", v.Seats, v.Limit, v.Open, v.InDoubt, v.Outbox)
	if v.Core.Reachable {
		fmt.Println("core: reachable")
	} else {
		fmt.Printf("core: not reachable since %s: %s\n", v.Core.Since.Format(time.RFC3339), v.Core.LastError)
	}
	for _, c := range v.Classes {
		if c.Refused != "" {
			fmt.Printf("refused now: %s (%s)\n", c.Class, c.Refused)
		}
	}
	if v.Clock.Remedy != "" {
		fmt.Println("clock:", v.Clock.Remedy)
	}
	return nil
}

type partners struct {
	Import importing `cmd:"" help:"Add or replace partners: one JSON object a line."`
}

type customers struct {
	Import importing `cmd:"" help:"Add or replace customers: one JSON object a line."`
	Unlock unlock    `cmd:"" help:"Open what too many wrong attempts have locked."`
}

type importing struct {
	operator
	File   string `arg:"" help:"NDJSON file; - is standard input." type:"existingfile"`
	DryRun bool   `help:"Read the file and count, change nothing."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (i *importing) Run(ctx *kong.Context) error {
	file := os.Stdin
	if i.File != "-" {
		var err error
		if file, err = os.Open(i.File); err != nil {
			return &bank.Error{Code: bank.ExitUsage, Err: err}
		}
		defer file.Close()
	}
	path := "/api/v1/" + strings.Fields(ctx.Command())[0]
	if i.DryRun {
		path += "?dryRun=1"
	}
	text, err := i.call(http.MethodPost, path, file)
	if err != nil {
		return err
	}
	if i.JSON {
		_, err = os.Stdout.Write(text)
		return err
	}
	var v struct{ Imported int }
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("the node's answer: %w", err)
	}
	if i.DryRun {
		fmt.Printf("%d lines can be imported; nothing was changed\n", v.Imported)
		return nil
	}
	fmt.Printf("imported %d\n", v.Imported)
	return nil
}

type unlock struct {
	operator
	Username string `arg:"" help:"The customer's user name."`
	DryRun   bool   `help:"Say what would be done, change nothing."`
}

func (u *unlock) Run() error {
	if u.DryRun {
		fmt.Printf("would open every lock of %s; nothing was changed\n", u.Username)
		return nil
	}
	if _, err := u.call(http.MethodPost, "/api/v1/customers/"+url.PathEscape(u.Username)+"/unlock", nil); err != nil {
		return err
	}
	fmt.Printf("unlocked %s\n", u.Username)
	return nil
}

type version struct{}

func (version) Run() error {
	fmt.Println(cli.Version())
	return nil
}

func main() {
	var p program
	parser := kong.Must(&p, kong.Name("netbank"), kong.Description(description), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	ctx, err := parser.Parse(os.Args[1:])
	if err != nil {
		os.Exit(cli.Exit("netbank", &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf("%w; `netbank --help` has examples", err)}, os.Stderr))
	}
	os.Exit(cli.Exit("netbank", ctx.Run(), os.Stderr))
}
