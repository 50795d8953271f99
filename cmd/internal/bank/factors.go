package bank

import (
	"fmt"
	"strings"

	"netbank/frontend/customer"
	"netbank/frontend/message"
	"netbank/frontend/money"
	"netbank/session"
)

// SecondFactors are the flags about customers' second factors: the same on every node.
type SecondFactors struct {
	MessageGateway          string   `help:"Where one-time codes are posted to be sent to customers' telephones: https://HOST/PATH, or http on loopback. Left out: none are sent. See docs/message-gateway.md."`
	MessageGatewayTokenFile string   `help:"The bearer token that the gateway asks for; a file readable by its owner only." type:"path"`
	PasskeyDomain           string   `help:"The domain that customers' passkeys belong to: the host of --customer-url, or a domain that it is in. Another one later makes all of them useless. Left out: that host; none where that is an address of digits."`
	TOTPMax                 []string `name:"totp-max" help:"The most that an authenticator's code alone confirms, by currency; in others nothing. Above it a customer needs a passkey or a code by message. 0: nothing." default:"CNY=1000.00,EUR=30.00,USD=30.00"`
}

// checkFactors refuses what could not be used.
func (c *Config) checkFactors() error {
	if c.MessageGateway == "" && c.MessageGatewayTokenFile != "" {
		return usage("--message-gateway-token-file is of no use without --message-gateway")
	}
	if c.MessageGateway != "" {
		if err := message.CheckURL(c.MessageGateway); err != nil {
			return usage("--message-gateway: %w", err)
		}
	}
	if _, err := c.totpMax(); err != nil {
		return err
	}
	if _, err := session.NewPasskeySite(c.CustomerURL, c.PasskeyDomain, c.BankName); c.PasskeyDomain != "" && err != nil {
		return usage("--passkey-domain: %w", err)
	}
	return nil
}

// totpMax gives the limits in minor units; nil, which is none, only where the flag's default was not taken either.
func (c *Config) totpMax() (map[string]int64, error) {
	if c.TOTPMax == nil {
		return nil, nil
	}
	most := make(map[string]int64, len(c.TOTPMax))
	for _, one := range c.TOTPMax {
		currency, amount, _ := strings.Cut(one, "=")
		if _, ok := money.Exponent(currency); !ok {
			return nil, usage("--totp-max: %.40q names no currency that is accepted; write such as CNY=1000.00,EUR=30.00", one)
		}
		minor, err := money.Parse(amount, currency)
		if err != nil && amount != "0" {
			return nil, usage("--totp-max: %w", err)
		}
		most[currency] = minor
	}
	return most, nil
}

// openMessages starts the gateway's senders; nil where there is no gateway.
func (b *Bank) openMessages() (customer.Messenger, func(), error) {
	c := &b.config
	if c.MessageGateway == "" {
		return nil, func() {}, nil
	}
	token := ""
	if c.MessageGatewayTokenFile != "" {
		var err error
		if token, err = readSecret(c.MessageGatewayTokenFile); err != nil {
			return nil, nil, usage("--message-gateway-token-file: %w", err)
		}
	}
	g, err := message.New(message.Config{URL: c.MessageGateway, Token: token, Registerer: b.registry, Logger: b.logger})
	if err != nil {
		return nil, nil, fmt.Errorf("bank: %w", err)
	}
	return g, g.Close, nil
}
