package customer

import (
	"net/url"
	"strings"

	"netbank/cluster/journal"
)

// merchantURL is the way back to the shop: the address that the partner registered for this payment, with its own
// query, the payment's id, and on failure an error. It is never proof of payment, and says nothing else.
func merchantURL(p *journal.Payment) string {
	base, failure := p.RedirectURI, ""
	switch {
	case p.State == journal.StateSettled:
	case p.State.Final() || p.State == journal.StateReceived:
		failure = failureOf(p)
		if p.NokRedirectURI != "" {
			base = p.NokRedirectURI
		}
	default:
		failure = "pending"
	}
	if base == "" {
		return ""
	}
	// The partner's query comes back byte for byte: it may be signed.
	separator := "?"
	if strings.Contains(base, "?") {
		separator = "&"
		if strings.HasSuffix(base, "?") || strings.HasSuffix(base, "&") {
			separator = ""
		}
	}
	back := base + separator + "paymentId=" + p.ID.String()
	if failure != "" {
		back += "&error=" + url.QueryEscape(failure)
	}
	return back
}

func failureOf(p *journal.Payment) string {
	switch p.State {
	case journal.StateCancelled:
		return "cancelled"
	case journal.StateExpired:
		return "expired"
	case journal.StateRejected:
		return "rejected"
	}
	return "not-completed"
}

// mask shows the last four characters of an account number.
func mask(number string) string {
	if len(number) <= 4 {
		return "••••"
	}
	return "•••• " + number[len(number)-4:]
}
