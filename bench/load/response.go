package load

import (
	"bytes"
	"errors"
	"fmt"
)

// Bounds of an answer.
const (
	HeadBytesMax = 32 << 10
	BodyBytesMax = 4 << 20
)

// Errors of answers that the client does not understand.
var (
	ErrMalformed = errors.New("load: the answer is no HTTP/1.1 response that this client understands")
	ErrTooLarge  = errors.New("load: the answer is larger than this client reads")
)

// Response is the answer to a request. Its bytes belong to the client and are overwritten by the next request.
type Response struct {
	Status int
	Body   []byte
	head   []byte // the header lines, each with its line end
}

// Header gives the first value of a header, or nil. The name is compared without regard to case.
func (r *Response) Header(name string) []byte {
	value, _ := field(r.head, name)
	return value
}

// field finds a header and gives its value and the lines after it.
func field(head []byte, name string) (value, rest []byte) {
	for len(head) > 0 {
		var line []byte
		line, head = cutLine(head)
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			return bytes.Trim(line[len(name)+1:], " \t"), head
		}
	}
	return nil, nil
}

// Cookie gives the value that the answer sets for a cookie.
func (r *Response) Cookie(name string) ([]byte, bool) {
	for rest := r.head; ; {
		var value []byte
		if value, rest = field(rest, "Set-Cookie"); value == nil && rest == nil {
			return nil, false
		}
		if given, ok := bytes.CutPrefix(value, []byte(name)); ok && len(given) > 0 && given[0] == '=' {
			given, _, _ = bytes.Cut(given[1:], []byte{';'})
			return given, true
		}
	}
}

func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

// equalFold compares ASCII; name may have letters of either case.
func equalFold(b []byte, name string) bool {
	for i := range b {
		x, y := b[i], name[i]
		if x|0x20 != y|0x20 || x != y && (x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

// head is what the beginning of an answer says.
type head struct {
	status int
	lines  []byte // after the status line
	size   int    // bytes up to the body
	body   int    // bytes of the body
	close  bool
}

var headEnd = []byte("\r\n\r\n")

// readHead reads the head of an answer if b holds all of it; ok is false while more is needed.
func readHead(b []byte) (h head, ok bool, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		if len(b) > HeadBytesMax {
			return head{}, false, fmt.Errorf("%w: the head has more than %d bytes", ErrTooLarge, HeadBytesMax)
		}
		return head{}, false, nil
	}
	if end > HeadBytesMax {
		return head{}, false, fmt.Errorf("%w: the head has %d bytes, at most %d are read", ErrTooLarge, end, HeadBytesMax)
	}
	h.size = end + len(headEnd)
	var status []byte
	status, h.lines = cutLine(b[:end+2])
	if h.status, err = readStatus(status); err != nil {
		return head{}, false, err
	}
	if h.status < 200 {
		return head{}, false, fmt.Errorf("%w: status %d was not asked for", ErrMalformed, h.status)
	}
	length := -1
	for rest := h.lines; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		// The three that matter differ in their lengths, and few others share them.
		switch {
		case len(line) > 14 && line[14] == ':' && equalFold(line[:14], "content-length"):
			n, bad := readLength(bytes.Trim(line[15:], " \t"))
			if bad != nil {
				return head{}, false, bad
			}
			if length >= 0 && n != length {
				return head{}, false, fmt.Errorf("%w: two lengths, %d and %d", ErrMalformed, length, n)
			}
			length = n
		case len(line) > 17 && line[17] == ':' && equalFold(line[:17], "transfer-encoding"):
			return head{}, false, fmt.Errorf("%w: transfer-encoding %.20q; only bodies of a known length are read", ErrMalformed, line[18:])
		case len(line) > 10 && line[10] == ':' && equalFold(line[:10], "connection"):
			value := bytes.Trim(line[11:], " \t")
			h.close = h.close || len(value) == 5 && equalFold(value, "close")
		}
	}
	switch {
	case h.status == 204 || h.status == 304:
	case length < 0:
		return head{}, false, fmt.Errorf("%w: a %d without a length", ErrMalformed, h.status)
	default:
		h.body = length
	}
	return h, true, nil
}

// readStatus reads "HTTP/1.1 200 OK".
func readStatus(line []byte) (int, error) {
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " || len(line) > 12 && line[12] != ' ' {
		return 0, fmt.Errorf("%w: it begins with %.20q", ErrMalformed, line)
	}
	status := 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: it begins with %.20q", ErrMalformed, line)
		}
		status = 10*status + int(c-'0')
	}
	return status, nil
}

func readLength(digits []byte) (int, error) {
	if len(digits) == 0 {
		return 0, fmt.Errorf("%w: an empty length", ErrMalformed)
	}
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: a length of %.20q", ErrMalformed, digits)
		}
		if n = 10*n + int(c-'0'); n > BodyBytesMax {
			return 0, fmt.Errorf("%w: a body of %.20s bytes, at most %d are read", ErrTooLarge, digits, BodyBytesMax)
		}
	}
	return n, nil
}
