package people

import (
	"encoding/binary"
	"strconv"

	"netbank/bench/load"
)

// deviceSuffix makes the name of the cookie that lets a bank know a customer's browser again out of the session cookie's.
const deviceSuffix = "-device"

// passCookie is the name of the cookie that keeps a customer's pass or ticket of the waiting line.
const passCookie = "netbank-pass"

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

// Maker writes the requests of one run. It changes nothing in itself, so that many goroutines may use one.
type Maker struct {
	Seed                      uint64
	Run                       string // what idempotency keys begin with
	CustomerHost, PartnerHost string
	Redirect                  string // where the shop wants its customers back
	Cookie                    string // name of the session's
}

// Status asks how a payment stands.
func (m *Maker) Status(b []byte, id string, n int64) []byte {
	b = append(b, "GET "+payments+"/"...)
	b = append(b, id...)
	b = append(b, "/status HTTP/1.1\r\nHost: "...)
	b = append(b, m.PartnerHost...)
	b = append(b, "\r\nAccept: application/json\r\nX-Request-ID: "...)
	b = appendRequestID(b, m.Seed, n)
	return append(b, "\r\n\r\n"...)
}

// Create creates the nth payment. It has no notification address: what webhooks cost is another figure.
func (m *Maker) Create(b []byte, n int64) []byte {
	minor := 100 + int64(load.Mix(m.Seed, uint64(n))%50_000)
	number := strconv.FormatInt(n, 10)
	var body [320]byte
	text := append(body[:0], `{"endToEndIdentification":"`...)
	text = append(text, m.Run...)
	text = append(text, number...)
	text = append(text, `","instructedAmount":{"currency":"CNY","amount":"`...)
	text = strconv.AppendInt(text, minor/100, 10)
	text = append(text, '.', byte('0'+minor/10%10), byte('0'+minor%10))
	text = append(text, `"},"creditorAccount":{"other":{"identification":"6228480000000000017"}},"creditorName":"Demo Shop","remittanceInformationUnstructured":"Order `...)
	text = append(text, number...)
	text = append(text, `"}`...)
	b = append(b, "POST "+payments+" HTTP/1.1\r\nHost: "...)
	b = append(b, m.PartnerHost...)
	b = append(b, "\r\nAccept: application/json\r\nContent-Type: application/json\r\nX-Request-ID: "...)
	b = appendRequestID(b, m.Seed, n)
	b = append(b, "\r\nIdempotency-Key: "...)
	b = append(b, m.Run...)
	b = append(b, number...)
	b = append(b, "\r\nTPP-Redirect-URI: "...)
	b = append(b, m.Redirect...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, text...)
}

// Page asks for a page of the customer door.
func (m *Maker) Page(b []byte, path, cookie string) []byte {
	return m.page(b, path, &cookies{session: cookie})
}

// Form sends a form to the customer door: names and values by turns.
func (m *Maker) Form(b []byte, path, cookie string, fields ...string) []byte {
	return m.form(b, path, &cookies{session: cookie}, fields)
}

// Program asks the customer door as an app does that wants JSON.
func (m *Maker) Program(b []byte, path string) []byte {
	b = append(b, "GET "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, m.CustomerHost...)
	return append(b, "\r\nAccept: application/json\r\n\r\n"...)
}

func (m *Maker) page(b []byte, path string, c *cookies) []byte {
	b = append(b, "GET "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = m.browser(b, c)
	return append(b, "\r\n"...)
}

func (m *Maker) form(b []byte, path string, c *cookies, fields []string) []byte {
	b = append(b, "POST "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = m.browser(b, c)
	var room [512]byte
	body := room[:0]
	for i := 0; i+1 < len(fields); i += 2 {
		if i > 0 {
			body = append(body, '&')
		}
		body = appendEscaped(body, fields[i])
		body = append(body, '=')
		body = appendEscaped(body, fields[i+1])
	}
	b = append(b, "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// appendEscaped writes a value as a form bears it: what is not plain as %XX.
func appendEscaped(b []byte, value string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(value) {
		switch c := value[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// browser writes the headers that a browser sends with every request and that a server has to read.
func (m *Maker) browser(b []byte, c *cookies) []byte {
	b = append(b, "Host: "...)
	b = append(b, m.CustomerHost...)
	b = append(b, "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"+
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n"...)
	before := "Cookie: "
	for _, k := range [...]struct{ name, suffix, value string }{{m.Cookie, "", c.session}, {m.Cookie, deviceSuffix, c.device}, {passCookie, "", c.pass}} {
		if k.value == "" {
			continue
		}
		b = append(b, before...)
		b = append(b, k.name...)
		b = append(b, k.suffix...)
		b = append(b, '=')
		b = append(b, k.value...)
		before = "; "
	}
	if before == "; " {
		b = append(b, "\r\n"...)
	}
	return b
}
