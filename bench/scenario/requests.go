package scenario

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"netbank/bench/load"
)

const payments = "/v1/payments/domestic-transfers"

// appendRequestID writes a UUID of version 4 that is the nth of a seed.
func appendRequestID(b []byte, seed uint64, n int64) []byte {
	const digits = "0123456789abcdef"
	high, low := load.Mix(seed, uint64(n)), load.Mix(^seed, uint64(n))
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], high)
	binary.BigEndian.PutUint64(raw[8:], low)
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	for i, c := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, digits[c>>4], digits[c&15])
	}
	return b
}

// maker writes the requests of one run.
type maker struct {
	seed                      uint64
	run                       string // what idempotency keys begin with
	customerHost, partnerHost string
	redirect                  string // where the shop wants its customers back
	cookie                    string // name of the session's
}

// status asks how a payment stands.
func (m *maker) status(b []byte, id string, n int64) []byte {
	b = append(b, "GET "+payments+"/"...)
	b = append(b, id...)
	b = append(b, "/status HTTP/1.1\r\nHost: "...)
	b = append(b, m.partnerHost...)
	b = append(b, "\r\nAccept: application/json\r\nX-Request-ID: "...)
	b = appendRequestID(b, m.seed, n)
	return append(b, "\r\n\r\n"...)
}

// create creates the nth payment. It has no notification address: what webhooks cost is another figure.
func (m *maker) create(b []byte, n int64) []byte {
	minor := 100 + int64(load.Mix(m.seed, uint64(n))%50_000)
	number := strconv.FormatInt(n, 10)
	var body [320]byte
	text := append(body[:0], `{"endToEndIdentification":"`...)
	text = append(text, m.run...)
	text = append(text, number...)
	text = append(text, `","instructedAmount":{"currency":"CNY","amount":"`...)
	text = strconv.AppendInt(text, minor/100, 10)
	text = append(text, '.', byte('0'+minor/10%10), byte('0'+minor%10))
	text = append(text, `"},"creditorAccount":{"other":{"identification":"6228480000000000017"}},"creditorName":"Demo Shop","remittanceInformationUnstructured":"Order `...)
	text = append(text, number...)
	text = append(text, `"}`...)
	b = append(b, "POST "+payments+" HTTP/1.1\r\nHost: "...)
	b = append(b, m.partnerHost...)
	b = append(b, "\r\nAccept: application/json\r\nContent-Type: application/json\r\nX-Request-ID: "...)
	b = appendRequestID(b, m.seed, n)
	b = append(b, "\r\nIdempotency-Key: "...)
	b = append(b, m.run...)
	b = append(b, number...)
	b = append(b, "\r\nTPP-Redirect-URI: "...)
	b = append(b, m.redirect...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, text...)
}

// page asks for a page of the customer door.
func (m *maker) page(b []byte, path, cookie string) []byte {
	b = append(b, "GET "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = m.browser(b, cookie)
	return append(b, "\r\n"...)
}

// form sends a form to the customer door. The fields need no escaping.
func (m *maker) form(b []byte, path, cookie string, fields ...string) []byte {
	b = append(b, "POST "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = m.browser(b, cookie)
	size := max(0, len(fields)/2-1)
	for _, f := range fields {
		size += len(f)
	}
	size += len(fields) / 2 // the equals signs
	b = append(b, "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, "\r\n\r\n"...)
	for i := 0; i < len(fields); i += 2 {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, fields[i]...)
		b = append(b, '=')
		b = append(b, fields[i+1]...)
	}
	return b
}

// browser writes the headers that a browser sends with every request and that a server has to read.
func (m *maker) browser(b []byte, cookie string) []byte {
	b = append(b, "Host: "...)
	b = append(b, m.customerHost...)
	b = append(b, "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"+
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n"...)
	if cookie != "" {
		b = append(b, "Cookie: "...)
		b = append(b, m.cookie...)
		b = append(b, '=')
		b = append(b, cookie...)
		b = append(b, "\r\n"...)
	}
	return b
}

// between gives what stands in b between two texts, or nil.
func between(b []byte, before, after string) []byte {
	i := bytes.Index(b, []byte(before))
	if i < 0 {
		return nil
	}
	b = b[i+len(before):]
	if i = bytes.Index(b, []byte(after)); i < 0 {
		return nil
	}
	return b[:i]
}

// created reads what a create answers: the payment's id and the path of the customer's link.
func created(body []byte) (id, link string, ok bool) {
	raw := between(body, `"paymentId":"`, `"`)
	href := between(body, `"scaRedirect":{"href":"`, `"`)
	i := bytes.Index(href, []byte("/pay/"))
	if len(raw) != 36 || i < 0 {
		return "", "", false
	}
	return string(raw), strings.ReplaceAll(string(href[i:]), `\u0026`, "&"), true
}

// standing reads what a status says.
func standing(body []byte) (status string, version uint32, ok bool) {
	raw := between(body, `"transactionStatus":"`, `"`)
	rest := body[max(0, bytes.Index(body, []byte(`"version":`))):]
	digits := bytes.TrimPrefix(rest, []byte(`"version":`))
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(string(digits[:n]), 10, 32)
	return string(raw), uint32(v), len(raw) == 4 && err == nil
}

// step says where an answer of the customer door leads: the step's name, and why or for what reason.
func step(location []byte) (name, why string) {
	path, query, _ := strings.Cut(string(location), "?")
	if parts := strings.Split(path, "/"); len(parts) > 3 {
		name = parts[3]
	}
	for _, field := range strings.Split(query, "&") {
		if k, v, _ := strings.Cut(field, "="); k == "why" || k == "reason" {
			why = v
		}
	}
	return name, why
}

// seedOf decodes a TOTP seed.
func seedOf(text string) ([]byte, error) {
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("scenario: a customer's TOTP seed is not base32: %w", err)
	}
	return seed, nil
}

// code is the one-time code of a moment (RFC 6238 with HMAC-SHA-1, 30 s, 6 digits).
func code(seed []byte, at time.Time) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(at.Unix()/30))
	mac := hmac.New(sha1.New, seed)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff % 1_000_000
	digits := []byte("000000")
	for i := 5; i >= 0; i, n = i-1, n/10 {
		digits[i] = byte('0' + n%10)
	}
	return string(digits)
}
