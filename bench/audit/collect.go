package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"netbank/bench/demo"
)

// Bounds of a collection.
const (
	fetchTimeout = 5 * time.Minute
	pollEvery    = 100 * time.Millisecond
)

// Bank is a running bank and its core, as an auditor reaches them.
type Bank struct {
	operator, token, core string
	client                *http.Client
}

// NewBank reads how to reach them from a demo.json.
func NewBank(d *demo.Demo) (*Bank, error) {
	token, err := os.ReadFile(d.Path(d.Operator.TokenFile))
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return &Bank{
		operator: d.Operator.URL, token: strings.TrimSpace(string(token)), core: d.Core.Admin, client: &http.Client{Timeout: fetchTimeout},
	}, nil
}

func (b *Bank) get(ctx context.Context, url, token string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("audit: %s answered %d", url, resp.StatusCode)
	}
	return resp.Body, nil
}

// Standing is what the bank says of itself.
type Standing struct {
	Seats         int `json:"seats"`
	Open          int `json:"open"`
	InDoubt       int `json:"inDoubt"`
	Outbox        int `json:"outbox"`
	Disagreements int `json:"disagreements"`
}

// Standing asks the operator's port.
func (b *Bank) Standing(ctx context.Context) (Standing, error) {
	var s Standing
	body, err := b.get(ctx, b.operator+"/api/v1/status", b.token)
	if err != nil {
		return s, err
	}
	defer body.Close()
	return s, json.NewDecoder(body).Decode(&s)
}

// unresolved counts the payments that may or may not have been charged.
func (b *Bank) unresolved(ctx context.Context) (int, error) {
	body, err := b.get(ctx, b.operator+"/api/v1/payments", b.token)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n := 0
	err = lines(body, func(p *payment) {
		if p.State == "authorised" || p.State == "in-doubt" || p.State == "reversing" {
			n++
		}
	})
	return n, err
}

// ErrUnresolved says that payments were still in doubt, or news still untold, when the time was over.
var ErrUnresolved = errors.New("audit: not everything was resolved and told in time")

// Await waits until no payment is under way, in doubt or being reversed, and, with webhooks, until the outbox is empty. It stops at the end of ctx
// with ErrUnresolved, which says what is left.
func (b *Bank) Await(ctx context.Context, webhooks bool) error {
	left := "the bank did not answer"
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if s, err := b.Standing(ctx); err == nil {
			left = fmt.Sprintf("in doubt %d, notifications %d", s.InDoubt, s.Outbox)
			// The list is long; it is asked for when the counts look well.
			if s.InDoubt == 0 && (s.Outbox == 0 || !webhooks) {
				n, err := b.unresolved(ctx)
				if err == nil && n == 0 {
					return nil
				}
				left = fmt.Sprintf("under way or in doubt %d (%v)", n, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ErrUnresolved, left)
		case <-tick.C:
		}
	}
}

// Collect audits a running bank. It wants the load to have ended, and Await to have returned.
func (b *Bank) Collect(ctx context.Context, told []Told, webhooks bool) (*Report, error) {
	// The journal is read before the ledger: what the core does in between would be found, not missed.
	journal, err := b.get(ctx, b.operator+"/api/v1/payments", b.token)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(journal)
	journal.Close()
	if err != nil {
		return nil, fmt.Errorf("audit: the journal's payments: %w", err)
	}
	references, err := b.get(ctx, b.core+"/ledger/references", "")
	if err != nil {
		return nil, err
	}
	defer references.Close()
	ledger, err := b.get(ctx, b.core+"/ledger", "")
	if err != nil {
		return nil, err
	}
	defer ledger.Close()
	return Check(Input{Payments: bytes.NewReader(text), References: references, Ledger: ledger, Told: told, Webhooks: webhooks})
}
