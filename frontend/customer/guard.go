package customer

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// policy is the content security policy: nothing but our own style sheet and images, no script, no frame. Where a passkey is used, allowScript adds
// the one script, by a nonce. Forms lead to
// ourselves only; the way to the merchant is a link, which no policy on forms concerns.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// permissions turns off what reaches outside of the page. No page's script asks for it.
const permissions = "camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()"

// harden sets the headers that every answer bears.
func (c *Pages) harden(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not no-referrer: that would send "Origin: null" with our own forms, and the check below would turn them away.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions)
	h.Set("X-Permitted-Cross-Domain-Policies", "none")
	h.Set("X-DNS-Prefetch-Control", "off") // the merchant's name is not asked for before the customer goes there
	h.Set("Cache-Control", "no-store")
	if c.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}

// fromOurPage tells whether a form was sent by a page of this site. A browser says so by Sec-Fetch-Site, or by Origin where it is too
// old for that; a program that sends neither has no cookies of somebody else's to abuse.
func (c *Pages) fromOurPage(ctx *fasthttp.RequestCtx) bool {
	h := &ctx.Request.Header
	if site := h.Peek("Sec-Fetch-Site"); len(site) > 0 {
		return bytes.Equal(site, []byte("same-origin")) || bytes.Equal(site, []byte("none"))
	}
	if origin := h.Peek("Origin"); len(origin) > 0 {
		return string(origin) == c.origin
	}
	return true
}
