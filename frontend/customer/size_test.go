package customer

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"netbank/cluster/journal/command"
)

// Bounds of a confirm page.
const (
	confirmBytesMax = 10_000 // compressed
	// roundTripBytes is what a server may send before it has heard from the client: ten segments (RFC 6928), each of 1,460 bytes over IPv4 and
	// Ethernet, less 500 bytes for TLS.
	roundTripBytes = 10*1460 - 500
)

// With the longest texts that a payment may have, in both languages, and four accounts with balances.
func TestConfirmPage_FitsTheFirstRoundTrip(t *testing.T) {
	h := newHouse(t)
	long := func(c *command.CreatePayment) {
		c.CreditorName, c.Remittance = strings.Repeat("店", 70), strings.Repeat("灯", 140)
		c.RedirectUri, c.NokRedirectUri = "https://shop.example/"+strings.Repeat("a", 1000), "https://shop.example/"+strings.Repeat("b", 1000)
	}
	for _, language := range []string{"en", "zh-CN"} {
		_, link := h.pay(long)
		v := h.visitor()
		v.signIn(link, "anna")
		p := v.open(strings.Replace(link, "?", "/confirm?", 1) + "&balances=1&lang=" + language)
		p.want(t, 200, `name="account"`)
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write([]byte(p.body)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		sent := len(p.header.String()) + len(p.body)
		t.Logf("%s: %d bytes with %d of headers, %d compressed", language, sent, len(p.header.String()), packed.Len())
		if packed.Len() > confirmBytesMax || sent > roundTripBytes {
			t.Errorf("the confirm page in %s has %d bytes compressed, and %d are sent; %d and %d are allowed", language, packed.Len(), sent, confirmBytesMax, roundTripBytes)
		}
	}
}
