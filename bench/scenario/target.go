package scenario

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
	"netbank/bench/people"
)

// Target is what is put under load.
type Target struct {
	Demo *demo.Demo // the bank's doors, the partner's certificate, the customers
	// Hello and HelloTLS are the addresses of the hello world, plain and with the TLS of the partner door.
	Hello, HelloTLS string
	// Processes are the process ids by name, such as bank, core and generator, whose processor time is reported.
	Processes map[string]int
	// Cluster are the nodes of a bank of several, which are not among Processes; nil: it is one process.
	Cluster Cluster
}

// doors are the connections of a run, kept alive throughout.
type doors struct {
	customer, partner, hello, helloTLS *load.Pool
	customerHost, partnerHost          string
	cookie                             string
}

func (t *Target) open(ctx context.Context, connections int) (*doors, error) {
	bank, err := people.DoorsOf(t.Demo)
	if err != nil {
		return nil, err
	}
	d := &doors{customerHost: bank.CustomerHost, partnerHost: bank.PartnerHost, cookie: people.SessionCookie}
	for _, door := range []struct {
		pool **load.Pool
		load.Dialer
	}{
		{&d.customer, bank.Customer},
		{&d.partner, bank.Partner},
		{&d.hello, load.Dialer{Addr: t.Hello}},
		{&d.helloTLS, load.Dialer{Addr: t.HelloTLS, TLS: bank.Partner.TLS}},
	} {
		if *door.pool, err = load.NewPool(ctx, door.Dialer, connections); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func (d *doors) close() {
	for _, p := range []*load.Pool{d.customer, d.partner, d.hello, d.helloTLS} {
		if p != nil {
			p.Close()
		}
	}
}

// profileMax bounds a profile that is fetched.
const profileMax = 64 << 20

// cpu fetches a profile of the bank's processor time from now on, in whole seconds.
func (t *Target) cpu(ctx context.Context, during time.Duration) ([]byte, error) {
	return t.fetch(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", t.Demo.Operator.URL, max(1, int(during.Seconds()))))
}

// heap fetches what the bank has allocated until now. The runtime publishes that two collections late (runtime.MemProfile), so
// two are asked for.
func (t *Target) heap(ctx context.Context) (text []byte, err error) {
	for range 2 {
		if text, err = t.fetch(ctx, t.Demo.Operator.URL+"/debug/pprof/heap?gc=1"); err != nil {
			return nil, err
		}
	}
	return text, nil
}

func (t *Target) fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("scenario: a profile: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, profileMax))
	if err != nil {
		return nil, fmt.Errorf("scenario: a profile: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scenario: %s answered %d", address, resp.StatusCode)
	}
	return text, nil
}
