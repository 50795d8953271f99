package scenario

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"netbank/bench/demo"
	"netbank/bench/load"
)

// Target is what is put under load.
type Target struct {
	Demo *demo.Demo // the bank's doors, the partner's certificate, the customers
	// Hello and HelloTLS are the addresses of the hello world, plain and with the TLS of the partner door.
	Hello, HelloTLS string
	// Processes are the process ids by name, such as bank, core and generator, whose processor time is reported.
	Processes map[string]int
}

// Options of a run.
type Options struct {
	Seconds     float64 // measured in each phase
	Connections int     // to each door
	Seed        uint64  // of schedules and choices
	OpenShare   float64 // of the closed loop's rate that the open loop offers, such as 0.6
	ProfileDir  string  // where profiles of the bank go; empty: none are taken
	// Say is told what is being done, for people who wait; nil: nobody does.
	Say func(format string, args ...any)
}

// Bounds of options.
const (
	SecondsMin = 0.2
	SecondsMax = 3600
)

// Check says which option is out of bounds.
func (o *Options) Check() error {
	switch {
	case !(o.Seconds >= SecondsMin && o.Seconds <= SecondsMax):
		return fmt.Errorf("scenario: %v seconds; a phase takes %v to %v", o.Seconds, SecondsMin, SecondsMax)
	case o.Connections < 1 || o.Connections > load.ConnectionsMax:
		return fmt.Errorf("scenario: %d connections; 1 to %d can be opened", o.Connections, load.ConnectionsMax)
	case !(o.OpenShare > 0 && o.OpenShare < 1):
		return fmt.Errorf("scenario: an open loop at %v of the ceiling; it belongs between 0 and 1", o.OpenShare)
	}
	return nil
}

func (o *Options) measure() time.Duration { return time.Duration(o.Seconds * float64(time.Second)) }

// warmUp is a fifth of what is measured, at least 200 ms: connections, caches and the journal's batches settle in that time.
func (o *Options) warmUp() time.Duration { return max(o.measure()/5, 200*time.Millisecond) }

// doors are the connections of a run, kept alive throughout.
type doors struct {
	customer, partner, hello, helloTLS *load.Pool
	customerHost, partnerHost          string
	cookie                             string
}

// TLS is how the demo partner speaks to the bank.
func (t *Target) TLS() (*tls.Config, error) {
	p := &t.Demo.Partner
	text, err := os.ReadFile(t.Demo.Path(p.CA))
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("scenario: %s holds no certificate", p.CA)
	}
	pair, err := tls.LoadX509KeyPair(t.Demo.Path(p.Cert), t.Demo.Path(p.Key))
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}, nil
}

func (t *Target) open(ctx context.Context, connections int) (*doors, error) {
	secured, err := t.TLS()
	if err != nil {
		return nil, err
	}
	customer, err := url.Parse(t.Demo.Customer.URL)
	if err != nil {
		return nil, fmt.Errorf("scenario: the customer door: %w", err)
	}
	partner, err := url.Parse(t.Demo.Partner.URL)
	if err != nil {
		return nil, fmt.Errorf("scenario: the partner door: %w", err)
	}
	if customer.Scheme != "http" || partner.Scheme != "https" {
		return nil, fmt.Errorf("scenario: the doors %s and %s; customers are expected over http and partners over https", customer, partner)
	}
	d := &doors{customerHost: customer.Host, partnerHost: partner.Host, cookie: "netbank"}
	to := func(addr, name string) *tls.Config {
		config := secured.Clone()
		config.ServerName = name
		return config
	}
	for _, door := range []struct {
		pool **load.Pool
		load.Dialer
	}{
		{&d.customer, load.Dialer{Addr: customer.Host}},
		{&d.partner, load.Dialer{Addr: partner.Host, TLS: to(partner.Host, partner.Hostname())}},
		{&d.hello, load.Dialer{Addr: t.Hello}},
		{&d.helloTLS, load.Dialer{Addr: t.HelloTLS, TLS: to(t.HelloTLS, partner.Hostname())}},
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
