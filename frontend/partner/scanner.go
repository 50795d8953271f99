package partner

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// depthMax bounds the nesting of a body, ignored fields included.
const depthMax = 16

// errJSON says that a body is no JSON text (RFC 8259), or nested too deeply. Where exactly does not help a program.
var errJSON = errors.New("the body is not a JSON object in UTF-8 with at most 16 levels")

// scanner reads one JSON text without building a tree: strings are what the body is made of, and each is copied
// once, by who keeps it. It is stricter than encoding/json: UTF-8 must be sound, and no surrogate may stand alone.
type scanner struct {
	in      []byte
	at      int
	depth   int
	scratch []byte // of the last string that held an escape
}

func (s *scanner) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek skips space and gives the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// end reports whether nothing but space is left.
func (s *scanner) end() bool {
	s.space()
	return s.at == len(s.in)
}

// object reads an object and calls member for each name, with the scanner before the value, which member must consume. The name is valid
// until the value is read.
func (s *scanner) object(member func(s *scanner, name []byte) error) error {
	if !s.take('{') {
		return errJSON
	}
	if s.depth++; s.depth > depthMax {
		return errJSON
	}
	defer func() { s.depth-- }()
	if s.take('}') {
		return nil
	}
	for {
		if s.peek() != '"' {
			return errJSON
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return errJSON
		}
		if err := member(s, name); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

// text reads a string. The result is valid until the next call.
func (s *scanner) text() ([]byte, error) {
	if !s.take('"') {
		return nil, errJSON
	}
	start := s.at
	for s.at < len(s.in) {
		switch c := s.in[s.at]; {
		case c == '"':
			text := s.in[start:s.at]
			s.at++
			if !utf8.Valid(text) {
				return nil, errJSON
			}
			return text, nil
		case c == '\\':
			return s.escapedText(start)
		case c < ' ':
			return nil, errJSON
		}
		s.at++
	}
	return nil, errJSON
}

// escapedText goes on at the first backslash of a string that started at start.
func (s *scanner) escapedText(start int) ([]byte, error) {
	s.scratch = append(s.scratch[:0], s.in[start:s.at]...)
	for s.at < len(s.in) {
		c := s.in[s.at]
		s.at++
		switch {
		case c == '"':
			if !utf8.Valid(s.scratch) {
				return nil, errJSON
			}
			return s.scratch, nil
		case c == '\\':
			if !s.escape() {
				return nil, errJSON
			}
		case c < ' ':
			return nil, errJSON
		default:
			s.scratch = append(s.scratch, c)
		}
	}
	return nil, errJSON
}

func (s *scanner) escape() bool {
	if s.at == len(s.in) {
		return false
	}
	c := s.in[s.at]
	s.at++
	switch c {
	case '"', '\\', '/':
		s.scratch = append(s.scratch, c)
	case 'b':
		s.scratch = append(s.scratch, '\b')
	case 'f':
		s.scratch = append(s.scratch, '\f')
	case 'n':
		s.scratch = append(s.scratch, '\n')
	case 'r':
		s.scratch = append(s.scratch, '\r')
	case 't':
		s.scratch = append(s.scratch, '\t')
	case 'u':
		r, ok := s.hex4()
		if !ok {
			return false
		}
		if utf16.IsSurrogate(r) {
			if s.at+1 >= len(s.in) || s.in[s.at] != '\\' || s.in[s.at+1] != 'u' {
				return false
			}
			s.at += 2
			low, ok := s.hex4()
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				return false
			}
		}
		s.scratch = utf8.AppendRune(s.scratch, r)
	default:
		return false
	}
	return true
}

func (s *scanner) hex4() (rune, bool) {
	if s.at+4 > len(s.in) {
		return 0, false
	}
	var r rune
	for _, c := range s.in[s.at : s.at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.at += 4
	return r, true
}

// skip reads any value.
func (s *scanner) skip() error {
	switch c := s.peek(); c {
	case '{':
		return s.object(func(s *scanner, _ []byte) error { return s.skip() })
	case '[':
		return s.skipArray()
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.skipNumber()
}

func (s *scanner) skipArray() error {
	s.at++
	if s.depth++; s.depth > depthMax {
		return errJSON
	}
	defer func() { s.depth-- }()
	if s.take(']') {
		return nil
	}
	for {
		if err := s.skip(); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

func (s *scanner) word(w string) error {
	if len(s.in)-s.at < len(w) || string(s.in[s.at:s.at+len(w)]) != w {
		return errJSON
	}
	s.at += len(w)
	return nil
}

func (s *scanner) skipNumber() error {
	digits := func() bool {
		from := s.at
		for s.at < len(s.in) && s.in[s.at] >= '0' && s.in[s.at] <= '9' {
			s.at++
		}
		return s.at > from
	}
	next := func(set string) bool {
		for i := range len(set) {
			if s.at < len(s.in) && s.in[s.at] == set[i] {
				s.at++
				return true
			}
		}
		return false
	}
	next("-")
	if !next("0") && !digits() {
		return errJSON
	}
	if next(".") && !digits() {
		return errJSON
	}
	if next("eE") {
		next("+-")
		if !digits() {
			return errJSON
		}
	}
	return nil
}

// appendJSON writes text as a JSON string. Text is sound UTF-8.
func appendJSON(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
			continue
		}
		dst = append(dst, text[from:i]...)
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		from = i + 1
	}
	dst = append(dst, text[from:]...)
	return append(dst, '"')
}
