package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"netbank/cmd/internal/bank"
)

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
