// Package demo is the file demo.json, which tells a program how to reach a bank on this machine: the addresses, the demo
// partner's certificate, and customers to sign in as. schema.json describes it; its version grows with every change that a reader must
// know of.
package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Version of the file.
const Version = 1

// Name of the file in the data directory.
const Name = "demo.json"

// Demo is the file. Paths in it are relative to its own folder.
type Demo struct {
	Version   int        `json:"version"`
	Customer  Customer   `json:"customer"`
	Partner   Partner    `json:"partner"`
	Operator  Operator   `json:"operator"`
	Core      Core       `json:"core"`
	Shop      Shop       `json:"shop"`
	Customers []Identity `json:"customers"`
	// Balancer and Nodes are those of a cluster; one node alone has neither.
	Balancer *Balancer `json:"balancer,omitempty"`
	Nodes    []Node    `json:"nodes,omitempty"`

	dir string
}

// Balancer is what stands in front of a cluster's nodes: the addresses of Customer, Partner and Operator are its own. The operator's leads to
// the node that leads.
type Balancer struct {
	URL string `json:"url"` // its status, as JSON
}

// Node is a process of a cluster. The file is written anew whenever one of its nodes changes.
type Node struct {
	Name        string `json:"name"`
	Number      uint32 `json:"number"` // in the cluster; 0: not known yet
	Role        string `json:"role"`   // coordinator or worker
	Leader      bool   `json:"leader"`
	PID         int    `json:"pid"` // 0: it does not run
	CustomerURL string `json:"customerURL"`
	PartnerURL  string `json:"partnerURL"`
	OperatorURL string `json:"operatorURL"`
	PeerAddr    string `json:"peerAddr"`
	DataDir     string `json:"dataDir"`
	Log         string `json:"log"`
}

// Customer is the door for customers.
type Customer struct {
	URL string `json:"url"`
}

// Partner is the door for partners, and who the reader of this file may be there: a partner apart from the demo shop.
type Partner struct {
	URL             string `json:"url"`
	CA              string `json:"ca"`   // PEM file: who signed the door's certificate
	Cert            string `json:"cert"` // PEM file: the demo partner's certificate
	Key             string `json:"key"`  // PEM file: its key
	RedirectURI     string `json:"redirectURI"`
	NotificationURI string `json:"notificationURI"` // free for the reader of this file to listen on
}

// Operator is the operator's port.
type Operator struct {
	URL       string `json:"url"`
	TokenFile string `json:"tokenFile"`
}

// Core is the simulated core host.
type Core struct {
	Addr  string `json:"addr"`
	Admin string `json:"admin"`
}

// Shop is the demo shop.
type Shop struct {
	URL string `json:"url"`
}

// Identity is a customer to sign in as.
type Identity struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	TOTP     string   `json:"totp"`            // base32 seed; 6 digits, 30 s, SHA-1 (RFC 6238)
	Phone    string   `json:"phone,omitempty"` // where the bank sends one-time codes; the demo phone shows them
	Accounts []string `json:"accounts"`
}

// ErrVersion says that a file was written for other readers.
var ErrVersion = errors.New("demo: the file has another version than this program reads")

// Load reads the file of a data directory, or the file itself.
func Load(path string) (*Demo, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, Name)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("demo: %w; `make run` writes the file while the bank runs", err)
	}
	var d Demo
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("demo: %s: %w", path, err)
	}
	if d.Version != Version {
		return nil, fmt.Errorf("%w: %s has version %d, this program reads %d", ErrVersion, path, d.Version, Version)
	}
	d.dir = filepath.Dir(path)
	return &d, nil
}

// Path gives a path of the file as this process can open it.
func (d *Demo) Path(relative string) string {
	if filepath.IsAbs(relative) {
		return relative
	}
	return filepath.Join(d.dir, relative)
}

// Write puts the file into a data directory, readable by its owner only: it holds passwords.
func (d *Demo) Write(dir string) error {
	text, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	path := filepath.Join(dir, Name)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
