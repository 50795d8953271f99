package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"netbank/cmd/internal/bank"
	"netbank/frontend/ops"
)

// Exit codes of the operator's commands, beside those of package bank.
const (
	exitUnreachable = 69 // EX_UNAVAILABLE: the node does not answer
	exitNotNow      = 75 // EX_TEMPFAIL: the node is not ready, does not lead, or does not know the outcome yet
	exitDenied      = 77 // EX_NOPERM: the token or the certificate was refused
)

// operator is how the operator's commands reach a node.
type operator struct {
	Operator          string `help:"The node's operator port." default:"http://127.0.0.1:9090" env:"NETBANK_OPERATOR"`
	OperatorTokenFile string `help:"The operator's token. With https it is needed only if the node asks for one." type:"path" env:"NETBANK_OPERATOR_TOKEN_FILE"`
	OperatorCA        string `name:"operator-ca" help:"Who signs the port's certificate, a PEM file: for https." type:"path" env:"NETBANK_OPERATOR_CA"`
	OperatorCert      string `help:"The operator's own certificate, a PEM file: for https." type:"path" env:"NETBANK_OPERATOR_CERT"`
	OperatorKey       string `help:"Its private key, a PEM file." type:"path" env:"NETBANK_OPERATOR_KEY"`
}

const (
	operatorTimeout = 10 * time.Minute // an import of a million customers
	answerBytesMax  = 4 << 20          // a cluster of 1,024 nodes
)

// client makes what calls the port, and says where it is.
func (o *operator) client() (*http.Client, *url.URL, error) {
	base, err := url.Parse(strings.TrimSuffix(o.Operator, "/"))
	if err != nil || base.Host == "" || base.Path != "" || base.RawQuery != "" || base.User != nil {
		return nil, nil, usage("--operator is %.200q; write http://127.0.0.1:9090, or https://HOST:PORT", o.Operator)
	}
	// A redirect would carry the token elsewhere.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	switch base.Scheme {
	case "http":
		if !onLoopback(base.String()) {
			return nil, nil, usage("--operator is %s: over http the token would travel in clear; use https with --operator-ca, --operator-cert and --operator-key, or an SSH tunnel to loopback", o.Operator)
		}
		client.Transport = &http.Transport{}
		return client, base, nil
	case "https":
		config, err := o.tls()
		client.Transport = &http.Transport{TLSClientConfig: config}
		return client, base, err
	}
	return nil, nil, usage("--operator is %.200q; it begins with http:// or https://", o.Operator)
}

func (o *operator) tls() (*tls.Config, error) {
	if o.OperatorCA == "" || o.OperatorCert == "" || o.OperatorKey == "" {
		return nil, usage("--operator is %s: https needs --operator-ca, --operator-cert and --operator-key, since the port asks for a certificate", o.Operator)
	}
	text, err := os.ReadFile(o.OperatorCA)
	if err != nil {
		return nil, usage("--operator-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, usage("--operator-ca: %s holds no certificate in PEM form", o.OperatorCA)
	}
	pair, err := tls.LoadX509KeyPair(o.OperatorCert, o.OperatorKey)
	if err != nil {
		return nil, usage("--operator-cert and --operator-key: %w", err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}, nil
}

// send makes a call with the token, if there is one. The caller closes the answer's body.
func (o *operator) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	client, base, err := o.client()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base.String()+path, body)
	if err != nil {
		return nil, usage("--operator %q: %w", o.Operator, err)
	}
	switch {
	case o.OperatorTokenFile != "":
		token, err := bank.ReadToken(o.OperatorTokenFile)
		if err != nil {
			return nil, &bank.Error{Code: bank.ExitUsage, Err: err}
		}
		req.Header.Set("Authorization", "Bearer "+token)
	case base.Scheme == "http":
		return nil, usage("--operator-token-file is missing: name the file that the node was started with")
	}
	resp, err := client.Do(req)
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return nil, &bank.Error{Code: exitDenied, Err: fmt.Errorf("the port's certificate is not what --operator-ca vouches for: %w", err)}
	case err != nil && strings.Contains(err.Error(), "remote error: tls:"):
		return nil, &bank.Error{Code: exitDenied, Err: fmt.Errorf("the port refuses the certificate of --operator-cert: %w", err)}
	case err != nil:
		return nil, &bank.Error{Code: exitUnreachable, Err: fmt.Errorf("the node does not answer; is it running, and is --operator right? %w", err)}
	}
	return resp, nil
}

// call makes a call whose answer is short, and gives it.
func (o *operator) call(method, path string, body io.Reader) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), operatorTimeout)
	defer cancel()
	resp, err := o.send(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return nil, &bank.Error{Code: exitUnreachable, Err: fmt.Errorf("the node stopped answering: %w", err)}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusalOf(resp.StatusCode, text)
	}
	return text, nil
}

// post sends an object and reads the answer into another.
func (o *operator) post(path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if text, err = o.call(http.MethodPost, path, bytes.NewReader(text)); err != nil {
		return err
	}
	return answerInto(text, into)
}

func answerInto(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("the node's answer is not of this version's form: %w", err)
	}
	return nil
}

// refusalOf puts what a node answered into one line with its remedy, and gives it an exit code.
func refusalOf(status int, text []byte) error {
	var p struct {
		Code, Detail, Remedy, Operator string
		Leader                         uint32
	}
	line := fmt.Errorf("the node answered %d: %.500q", status, strings.TrimSpace(string(text)))
	var lines ops.Imported
	switch {
	case json.Unmarshal(text, &lines) == nil && lines.Failed > 0:
		line = fmt.Errorf("imported %d, not imported %d:\n  %s", lines.Imported, lines.Failed, strings.Join(lines.Errors, "\n  "))
	case json.Unmarshal(text, &p) == nil && p.Detail != "":
		line = fmt.Errorf("%s; %s", p.Detail, p.Remedy)
	}
	if p.Operator != "" {
		line = &elsewhere{err: fmt.Errorf("%s", p.Detail), node: p.Leader, operator: p.Operator}
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &bank.Error{Code: exitDenied, Err: line}
	case p.Code == "invalid":
		return &bank.Error{Code: bank.ExitUsage, Err: line}
	case p.Code == "not-leader", status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return &bank.Error{Code: exitNotNow, Err: line}
	}
	return line
}

// elsewhere is the answer of a node that names another one, which can do it. It is not asked by itself: a token must not go to whoever a
// node names, and an address on loopback is another machine's.
type elsewhere struct {
	err      error
	node     uint32
	operator string
}

func (e *elsewhere) Error() string {
	return fmt.Sprintf("%v; ask node %d with --operator %s", e.err, e.node, e.operator)
}

// Unwrap gives what the node said.
func (e *elsewhere) Unwrap() error { return e.err }

// again gives the command line that asks the other node the same.
func (e *elsewhere) again(args []string) string {
	words := []string{"netbank"}
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--operator":
			i++
		case strings.HasPrefix(args[i], "--operator="):
		default:
			words = append(words, quoted(args[i]))
		}
	}
	return strings.Join(append(words, "--operator", e.operator), " ")
}

// quoted makes one word of a text for a POSIX shell.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=./:,@%+", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// onLoopback says whether an operator's port can be reached from its own machine only.
func onLoopback(operator string) bool {
	u, err := url.Parse(operator)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
