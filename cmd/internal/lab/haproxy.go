package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"netbank/deploy/haproxy"
)

// A demo cluster behind a real HAProxy has the configuration that banks are given.
const (
	haproxyName = "haproxy"
	// haproxyNodesMax is how many coordinators that configuration names.
	haproxyNodesMax = 3
	// haproxyFrom is where connections with a PROXY header come from.
	haproxyFrom = "127.0.0.0/8"
	// haproxyNotice is how long HAProxy has to notice that a node leaves: the default of --drain-notice, which the configuration is made for.
	haproxyNotice = time.Second
	// socketPathMax is how long the path of HAProxy's socket may be: 107 bytes are the kernel's limit, and HAProxy makes it under a longer name first.
	socketPathMax = 88
)

func (d *Dev) behindHAProxy() bool { return d.Balancer == haproxyName }

// haproxyHost is the address of the node that was made as number i, from 0. All nodes have the same ports, as on machines of their own.
func haproxyHost(i int) string { return fmt.Sprintf("127.0.1.%d", i+1) }

func (d *Dev) haproxySocket() string { return d.path("haproxy.sock") }

// haproxyProgram finds HAProxy, which packages put where not everybody looks.
func haproxyProgram() (string, error) {
	for _, name := range []string{haproxyName, filepath.Join("/usr/sbin", haproxyName)} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("--balancer is haproxy, and there is no such program; install it (Debian: apt-get install haproxy), or leave the flag out")
}

// checkHAProxy refuses what cannot stand behind HAProxy.
func (d *Dev) checkHAProxy() error {
	if !d.behindHAProxy() {
		return nil
	}
	if d.Nodes > haproxyNodesMax {
		return fmt.Errorf("--nodes is %d; deploy/haproxy/haproxy.cfg names up to %d coordinators", d.Nodes, haproxyNodesMax)
	}
	if socket := d.haproxySocket(); len(socket) > socketPathMax {
		return fmt.Errorf("--data-dir is too long: HAProxy's socket %s has %d bytes, and may have %d; choose a shorter one", socket, len(socket), socketPathMax)
	}
	_, err := haproxyProgram()
	return err
}

// haproxy is HAProxy as a child of the demo bank.
func (d *Dev) haproxy(note func(string, ...any)) (*child, error) {
	program, err := haproxyProgram()
	if err != nil {
		return nil, err
	}
	config, refusal := d.path("haproxy.cfg"), d.path("503.http")
	for path, text := range map[string][]byte{config: haproxy.Config, refusal: haproxy.Refusal} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
	}
	port := func(door int) string { return strconv.Itoa(d.NodePort + door) }
	env := []string{
		"NETBANK_CUSTOMERS=" + d.CustomerAddr, "NETBANK_PARTNERS=" + d.PartnerAddr, "NETBANK_SOCKET=" + d.haproxySocket(), "NETBANK_503=" + refusal,
		"NETBANK_CUSTOMER_PORT=" + port(0), "NETBANK_PARTNER_PORT=" + port(1), "NETBANK_OPERATOR_PORT=" + port(2),
	}
	for i, m := range d.members()[:d.Nodes] {
		host, _, err := net.SplitHostPort(m.customer)
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		env = append(env, fmt.Sprintf("NETBANK_COORDINATOR_%d=%s", i+1, host))
	}
	if d.WorkersFirst {
		env = append(env, "NETBANK_WORKERS_FIRST=1")
	}
	return &child{name: haproxyName, program: program, env: env, args: []string{"-db", "-f", config}, dir: d.DataDir, note: note}, nil
}
