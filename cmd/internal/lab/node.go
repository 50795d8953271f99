package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"netbank/bench/demo"
	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// Node are the commands about the nodes of a demo cluster that runs.
type Node struct {
	List  listNodes `cmd:"" help:"Name the nodes of the demo cluster, who leads, and their process ids."`
	Start startNode `cmd:"" help:"Start a node again that has ended."`

	Replace replaceNode `cmd:"" help:"Replace a node that has ended and whose disk is gone: it is removed, and another joins at its addresses."`
}

// controlTimeout bounds a question to the demo bank; replacing a node takes two changes of the cluster.
const controlTimeout = 2*ops.ChangeTimeout + 5*time.Second

// cluster is the demo cluster of a data directory, as a command reaches it.
type cluster struct {
	DataDir string `help:"The demo cluster's data directory." default:"data/dev-cluster" type:"path"`
}

func (c *cluster) call(method, path string) ([]byte, error) {
	d, err := demo.Load(c.DataDir)
	if err != nil {
		return nil, &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	if d.Balancer == nil {
		return nil, &bank.Error{Code: bank.ExitUsage, Err: fmt.Errorf("the demo bank in %s is one process; without --alone it is a cluster", c.DataDir)}
	}
	token, err := bank.ReadToken(d.Path(d.Operator.TokenFile))
	if err != nil {
		return nil, &bank.Error{Code: bank.ExitUsage, Err: err}
	}
	req, err := http.NewRequest(method, d.Balancer.URL+path, nil)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := (&http.Client{Timeout: controlTimeout}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("the demo cluster in %s does not run: %w", c.DataDir, rootCause(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(text)))
	}
	return text, err
}

type listNodes struct {
	cluster
	JSON bool `name:"json" help:"Print JSON, with what the balancer has counted."`
}

// Run lists the nodes.
func (l *listNodes) Run() error {
	text, err := l.call(http.MethodGet, "/")
	if err != nil {
		return err
	}
	if l.JSON {
		_, err = os.Stdout.Write(text)
		return err
	}
	var s Standing
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return s.print(os.Stdout)
}

func (s *Standing) print(w io.Writer) error {
	states := make(map[string]string)
	for _, k := range s.Balancer.Backends {
		if !k.Leaving {
			states[k.Name] = k.State.String()
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "name\tnumber\trole\tprocess\tstate\tcustomers\toperator")
	for _, node := range s.Nodes {
		role, process := node.Role, fmt.Sprint(node.PID)
		if node.Leader {
			role += ", leads"
		}
		if node.PID == 0 {
			process = "-"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", node.Name, node.Number, role, process, states[node.Name], node.CustomerURL, node.OperatorURL)
	}
	return table.Flush()
}

type startNode struct {
	cluster
	Name string `arg:"" help:"The node's name, such as node-2."`
}

// Run starts a node.
func (s *startNode) Run() error {
	if _, err := s.call(http.MethodPost, "/nodes/"+s.Name+"/start"); err != nil {
		return err
	}
	fmt.Printf("%s is being started\n", s.Name)
	return nil
}

type replaceNode struct {
	cluster
	Name string `arg:"" help:"The node's name, such as node-2."`
}

// Run replaces a node.
func (r *replaceNode) Run() error {
	if _, err := r.call(http.MethodPost, "/nodes/"+r.Name+"/replace"); err != nil {
		return err
	}
	fmt.Printf("%s was removed from the cluster with its data; another is being started in its place\n", r.Name)
	return nil
}
