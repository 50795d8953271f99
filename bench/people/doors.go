package people

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"

	"netbank/bench/demo"
	"netbank/bench/load"
)

// SessionCookie is the name of the session's cookie at a door without TLS.
const SessionCookie = "netbank"

// Doors are how a bank's two doors are reached.
type Doors struct {
	Customer, Partner load.Dialer
	// CustomerHost and PartnerHost are what requests name as their host.
	CustomerHost, PartnerHost string
	// Redirect is where the demo partner's customers go back to.
	Redirect string
}

// DoorsOf reads the doors of a demo.json, with the demo partner's certificate.
func DoorsOf(d *demo.Demo) (*Doors, error) {
	customer, err := url.Parse(d.Customer.URL)
	if err != nil {
		return nil, fmt.Errorf("people: the customer door: %w", err)
	}
	partner, err := url.Parse(d.Partner.URL)
	if err != nil {
		return nil, fmt.Errorf("people: the partner door: %w", err)
	}
	if customer.Scheme != "http" || partner.Scheme != "https" {
		return nil, fmt.Errorf("people: the doors %s and %s; customers are expected over http and partners over https", customer, partner)
	}
	authority, err := os.ReadFile(d.Path(d.Partner.CA))
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("people: %s holds no certificate", d.Partner.CA)
	}
	pair, err := tls.LoadX509KeyPair(d.Path(d.Partner.Cert), d.Path(d.Partner.Key))
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	return &Doors{
		Customer: load.Dialer{Addr: customer.Host},
		Partner: load.Dialer{Addr: partner.Host, TLS: &tls.Config{
			RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, ServerName: partner.Hostname(),
			ClientSessionCache: tls.NewLRUClientSessionCache(0), // who gives up an answer comes back on a new connection
		}},
		CustomerHost: customer.Host, PartnerHost: partner.Host, Redirect: d.Partner.RedirectURI,
	}, nil
}
