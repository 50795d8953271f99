// Package callback decides which addresses at a partner the bank may send a customer or a webhook to: registered ones, and what lies
// below them. It reads addresses with a grammar narrower than RFC 3986, so that no two parsers (ours, a browser's, the partner's
// framework's) can read one address in two ways.
package callback

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// LengthMax bounds an address, in bytes.
const LengthMax = 1024

// Errors of Parse and Registered.Check. Each is wrapped with what was found.
var (
	// ErrSyntax: the text is not an absolute address of the kind that is accepted.
	ErrSyntax = errors.New("callback: not an acceptable address")
	// ErrNotRegistered: the address is sound, but none that the partner has registered covers it.
	ErrNotRegistered = errors.New("callback: not registered for this partner; register it with the bank, or use one that is equal to a registered one or below it")
)

// Address is a parsed address. Two addresses with equal Scheme, Host and Port have the same origin (RFC 6454).
type Address struct {
	Scheme string // https, or http for a loopback host
	Host   string // lower case; an IPv6 address keeps its brackets
	Port   uint16 // 443 or 80 when the text names none
	Path   string // starts with a slash
}

// Parse reads an absolute address: https (http for localhost, 127.0.0.0/8 and ::1 only), no user part, no fragment, a
// path without dot segments, backslashes, empty segments or percent-encoded separators, any query; visible ASCII, at
// most LengthMax bytes.
func Parse(text string) (Address, error) {
	var a Address
	if len(text) == 0 || len(text) > LengthMax {
		return a, fmt.Errorf("%w: it has %d bytes, allowed are 1 to %d", ErrSyntax, len(text), LengthMax)
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>\\^`{|}", c) >= 0 {
			return a, fmt.Errorf("%w: byte %d is not allowed (fragments, backslashes, spaces and what is not ASCII must be left out or percent-encoded)", ErrSyntax, i+1)
		}
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if a.Scheme = strings.ToLower(scheme); !ok || (a.Scheme != "https" && a.Scheme != "http") {
		return a, fmt.Errorf("%w: it must start with https://", ErrSyntax)
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if err := a.readAuthority(authority); err != nil {
		return a, err
	}
	a.Path, _, _ = strings.Cut(tail, "?")
	if a.Path == "" {
		a.Path = "/"
	}
	return a, checkPath(a.Path)
}

func (a *Address) readAuthority(authority string) error {
	if strings.ContainsRune(authority, '@') {
		return fmt.Errorf("%w: it must not hold a user name or password", ErrSyntax)
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		if host, port = authority[:i], authority[i+1:]; port == "" {
			return fmt.Errorf("%w: the port is missing behind the colon", ErrSyntax)
		}
	}
	a.Host = strings.ToLower(host)
	if !soundHost(a.Host) {
		return fmt.Errorf("%w: the host must be a name of letters, digits, hyphens and points, or an IP address", ErrSyntax)
	}
	a.Port = 443
	if a.Scheme == "http" {
		a.Port = 80
		if !a.Loopback() {
			return fmt.Errorf("%w: http is for loopback hosts only; use https", ErrSyntax)
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '0' {
			return fmt.Errorf("%w: the port must be 1 to 65535", ErrSyntax)
		}
		a.Port = uint16(n)
	}
	return nil
}

func soundHost(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return ok && err == nil && ip.Is6() && ip.Zone() == ""
	}
	if host == "" || len(host) > 253 || host[0] == '.' || host[0] == '-' {
		return false
	}
	for i := 0; i < len(host); i++ {
		c := host[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return false
	}
	// A name whose last label is a number is an IPv4 address to browsers (WHATWG URL, "ends in a number"), also in forms
	// such as 0x7f.1; only the plain dotted form is taken.
	if last[0] >= '0' && last[0] <= '9' {
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Is4()
	}
	return true
}

func checkPath(path string) error {
	for segment := range strings.SplitSeq(path[1:], "/") {
		plain, err := decodeDots(segment)
		switch {
		case err != nil:
			return err
		case plain == "." || plain == "..":
			return fmt.Errorf("%w: the path holds a dot segment", ErrSyntax)
		}
	}
	if strings.Contains(path, "//") {
		return fmt.Errorf("%w: the path holds an empty segment", ErrSyntax)
	}
	return nil
}

// decodeDots gives the segment with %2e as a dot, and refuses separators in disguise.
func decodeDots(segment string) (string, error) {
	if strings.IndexByte(segment, '%') < 0 {
		return segment, nil
	}
	var plain strings.Builder
	for i := 0; i < len(segment); i++ {
		if segment[i] != '%' {
			plain.WriteByte(segment[i])
			continue
		}
		if i+2 >= len(segment) {
			return "", fmt.Errorf("%w: a percent sign needs two hexadecimal digits", ErrSyntax)
		}
		code, err := strconv.ParseUint(segment[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%w: a percent sign needs two hexadecimal digits", ErrSyntax)
		}
		// %25 could become another %2e in a second decoding somewhere behind.
		if code < ' ' || code == 0x7f || code == '/' || code == '\\' || code == '%' {
			return "", fmt.Errorf("%w: the path holds a percent-encoded separator, percent sign or control character", ErrSyntax)
		}
		plain.WriteByte(byte(code))
		i += 2
	}
	return plain.String(), nil
}

// Loopback reports whether the host is this machine by its very name.
func (a Address) Loopback() bool {
	if a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(a.Host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// Covers reports whether other has the same origin, and a path equal to a's or below it at a slash.
func (a Address) Covers(other Address) bool {
	if a.Scheme != other.Scheme || a.Host != other.Host || a.Port != other.Port {
		return false
	}
	rest, ok := strings.CutPrefix(other.Path, a.Path)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(a.Path, "/"))
}

// Registered is what a partner has registered for one purpose.
type Registered []Address

// ParseAll reads registered addresses. Those that are not acceptable are left out, and told by the error, which joins one for each.
func ParseAll(texts []string) (Registered, error) {
	all := make(Registered, 0, len(texts))
	var errs []error
	for i, text := range texts {
		a, err := Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("registered address %d: %w", i+1, err))
			continue
		}
		all = append(all, a)
	}
	return all, errors.Join(errs...)
}

// Check says whether text is covered by a registered address; nil if it is.
func (r Registered) Check(text string) error {
	a, err := Parse(text)
	if err != nil {
		return err
	}
	for _, registered := range r {
		if registered.Covers(a) {
			return nil
		}
	}
	return ErrNotRegistered
}
