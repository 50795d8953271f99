package people

import (
	"bytes"
	"strconv"
	"strings"
)

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

// stepOf says where an answer of the customer door leads: the step's name, and why or for what reason.
func stepOf(location string) (name, why string) {
	path, query, _ := strings.Cut(location, "?")
	for range 3 { // "", "pay", the payment's id
		_, path, _ = strings.Cut(path, "/")
	}
	name, _, _ = strings.Cut(path, "/")
	for query != "" {
		var field string
		field, query, _ = strings.Cut(query, "&")
		if k, v, _ := strings.Cut(field, "="); k == "why" || k == "reason" {
			why = v
		}
	}
	return name, why
}
