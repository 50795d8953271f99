package demo

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFileComesBackAsItWasWrittenAndIsPrivate(t *testing.T) {
	dir := t.TempDir()
	d := Demo{Version: Version, Customer: Customer{URL: "http://localhost:8080"}, Partner: Partner{CA: "pki/ca.pem"}, Customers: []Identity{{Username: "wang"}}}
	if err := d.Write(dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, Name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; it holds passwords", info.Mode(), err)
	}
	back, err := Load(dir)
	if err != nil || back.Customers[0].Username != "wang" || back.Path(back.Partner.CA) != filepath.Join(dir, "pki/ca.pem") {
		t.Errorf("%+v, %v", back, err)
	}
	d.Version++
	if err := d.Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !errors.Is(err, ErrVersion) {
		t.Errorf("a file for other readers was read: %v", err)
	}
}

// The schema asks for what the program writes.
func TestSchemaNamesEveryField(t *testing.T) {
	text, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Required   []string                   `json:"required"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(Demo{Balancer: new(Balancer), Nodes: []Node{{}}})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(written, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		ofClusters := name == "balancer" || name == "nodes"
		if _, ok := schema.Properties[name]; !ok || slices.Contains(schema.Required, name) == ofClusters {
			t.Errorf("schema.json does not ask for %q as the file has it", name)
		}
	}
	if len(fields) != len(schema.Properties) {
		t.Errorf("schema.json has %d fields, the file %d", len(schema.Properties), len(fields))
	}
}

// The same for what only a cluster has.
func TestSchemaNamesEveryFieldOfANode(t *testing.T) {
	text, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Nodes struct {
				Items struct {
					Required   []string                   `json:"required"`
					Properties map[string]json.RawMessage `json:"properties"`
				} `json:"items"`
			} `json:"nodes"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(Node{})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(written, &fields); err != nil {
		t.Fatal(err)
	}
	items := schema.Properties.Nodes.Items
	for name := range fields {
		if _, ok := items.Properties[name]; !ok || !slices.Contains(items.Required, name) {
			t.Errorf("schema.json does not ask for %q of a node", name)
		}
	}
}
