package stream

import (
	"fmt"

	"netbank/cluster/journal"
	"netbank/cluster/stream/wire"
)

// PutCustomer gives a customer as it travels. What is sealed stays sealed.
func PutCustomer(c *journal.Customer) *wire.Customer {
	w := &wire.Customer{
		Id: uint64(c.ID), Username: c.Username, PasswordSealed: c.PasswordSealed, TotpSealed: c.TOTPSealed,
		Name: c.Name, ReservedMessage: c.ReservedMessage, Tier: c.Tier, Locale: c.Locale, Accounts: make([]*wire.Account, len(c.Accounts)),
		PasswordChangedMs: int64(c.PasswordChanged),
		PhoneSealed:       c.PhoneSealed,
	}
	for i, a := range c.Accounts {
		w.Accounts[i] = &wire.Account{Number: a.Number, Currency: a.Currency, Label: a.Label}
	}
	for i := range c.Passkeys {
		k := &c.Passkeys[i]
		w.Passkeys = append(w.Passkeys, &wire.Passkey{Id: k.ID, PublicKey: k.PublicKey, SignCount: k.SignCount, Name: k.Name, AddedMs: int64(k.Added), UsedMs: int64(k.Used)})
	}
	return w
}

// TakeCustomer reads a customer that has travelled; nil is the zero Customer.
func TakeCustomer(w *wire.Customer) (c journal.Customer) {
	if w == nil {
		return c
	}
	c = journal.Customer{
		ID: journal.CustomerID(w.Id), Username: w.Username, PasswordSealed: w.PasswordSealed, TOTPSealed: w.TotpSealed,
		Name: w.Name, ReservedMessage: w.ReservedMessage, Tier: w.Tier, Locale: w.Locale,
		PasswordChanged: journal.Millis(w.PasswordChangedMs),
		PhoneSealed:     w.PhoneSealed,
	}
	for _, a := range w.Accounts {
		c.Accounts = append(c.Accounts, journal.Account{Number: a.GetNumber(), Currency: a.GetCurrency(), Label: a.GetLabel()})
	}
	for _, k := range w.Passkeys {
		c.Passkeys = append(c.Passkeys, journal.Passkey{
			ID: k.GetId(), PublicKey: k.GetPublicKey(), SignCount: k.GetSignCount(), Name: k.GetName(), Added: journal.Millis(k.GetAddedMs()), Used: journal.Millis(k.GetUsedMs()),
		})
	}
	return c
}

// PutPartner gives a partner as it travels.
func PutPartner(p *journal.Partner) *wire.Partner {
	w := &wire.Partner{
		Id: uint32(p.ID), Name: p.Name, RedirectUris: p.RedirectURIs, NotificationUris: p.NotificationURIs,
		OpenPaymentsMax: p.OpenPaymentsMax, CreatesPerSecond: p.CreatesPerSecond, PollsPerSecond: p.PollsPerSecond,
		WebhooksDisabled: p.WebhooksDisabled, Fingerprints: make([][]byte, len(p.Fingerprints)),
	}
	for i := range p.Fingerprints {
		w.Fingerprints[i] = p.Fingerprints[i][:]
	}
	return w
}

// TakePartner reads a partner that has travelled.
func TakePartner(w *wire.Partner) (journal.Partner, error) {
	p := journal.Partner{
		ID: journal.PartnerID(w.GetId()), Name: w.GetName(), RedirectURIs: w.GetRedirectUris(), NotificationURIs: w.GetNotificationUris(),
		OpenPaymentsMax: w.GetOpenPaymentsMax(), CreatesPerSecond: w.GetCreatesPerSecond(), PollsPerSecond: w.GetPollsPerSecond(),
		WebhooksDisabled: w.GetWebhooksDisabled(),
	}
	for _, f := range w.GetFingerprints() {
		if len(f) != len([32]byte{}) {
			return p, fmt.Errorf("%w: a certificate's fingerprint of %d bytes", ErrFrame, len(f))
		}
		p.Fingerprints = append(p.Fingerprints, [32]byte(f))
	}
	return p, nil
}

// PutKey gives a generation of the root key as it travels: sealed.
func PutKey(k *journal.Key) *wire.Key {
	return &wire.Key{Id: k.ID, Sealed: k.Sealed, CreatedMs: int64(k.Created)}
}

// TakeKey reads it again.
func TakeKey(w *wire.Key) journal.Key {
	return journal.Key{ID: w.GetId(), Sealed: w.GetSealed(), Created: journal.Millis(w.GetCreatedMs())}
}
