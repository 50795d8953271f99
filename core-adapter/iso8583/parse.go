package iso8583

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// ErrFormat is what every error about a message's form wraps.
var ErrFormat = errors.New("iso8583: bad message")

// Error says what is wrong with a message: which field, what was found, what is allowed. Found never holds an account
// number or the content of field 48 or 54.
type Error struct {
	MTI     MTI // 0 when it was not understood
	Field   int // 0 when the fault lies in the message as a whole
	Found   string
	Allowed string
}

func (e *Error) Error() string {
	where := "iso8583: message"
	if e.MTI != 0 {
		where += " " + e.MTI.String()
	}
	if e.Field != 0 {
		where += fmt.Sprintf(", field %d", e.Field)
		if spec, ok := FieldSpec(e.Field); ok {
			where += " (" + spec.Name + ")"
		}
	}
	return where + ": found " + e.Found + "; allowed: " + e.Allowed
}

// Unwrap makes errors.Is(err, ErrFormat) hold.
func (e *Error) Unwrap() error { return ErrFormat }

func unknownMTI(found string) error {
	return &Error{Found: fmt.Sprintf("message type %.8q", found), Allowed: "the types of this wire's table, such as 0200"}
}

// ReadFrame reads one length prefix and the message after it, into buf when it is large enough, and returns the message
// without the prefix. It returns io.EOF when the stream ends between messages, io.ErrUnexpectedEOF when it ends inside
// one, and an *Error for a length outside the bounds, after which nothing further on the stream can be understood.
func ReadFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	var prefix [2]byte
	if p, err := r.Peek(2); err == nil { // the common case, without prefix escaping to the heap
		prefix[0], prefix[1] = p[0], p[1]
		r.Discard(2)
	} else if len(p) == 0 {
		return nil, err
	} else if err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	} else {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(prefix[:]))
	if size < minMessage || size > MaxMessage {
		return nil, &Error{Found: fmt.Sprintf("a length of %d bytes", size), Allowed: fmt.Sprintf("%d to %d", minMessage, MaxMessage)}
	}
	if cap(buf) < size {
		buf = make([]byte, MaxMessage)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

// Parse reads a message without its length prefix into m, whose earlier content is gone even when it fails. It copies
// what it keeps: b may be reused. It judges form alone; Check tells whether the fields that must be there are.
func Parse(b []byte, m *Message) error {
	m.Reset(0)
	if len(b) < minMessage || len(b) > MaxMessage {
		return &Error{Found: fmt.Sprintf("%d bytes", len(b)), Allowed: fmt.Sprintf("%d to %d: a type, a bitmap and fields", minMessage, MaxMessage)}
	}
	var mti MTI
	for _, c := range b[:4] {
		if c < '0' || c > '9' {
			return unknownMTI(string(b[:4]))
		}
		mti = mti<<4 | MTI(c-'0')
	}
	if !mti.Known() {
		return unknownMTI(string(b[:4]))
	}
	m.mti = mti
	pos := minMessage
	present := [2]uint64{binary.BigEndian.Uint64(b[4:])}
	if present[0]&mask(1) != 0 {
		if len(b) < minMessage+8 {
			return &Error{MTI: mti, Field: 1, Found: fmt.Sprintf("%d bytes after the first bitmap", len(b)-minMessage), Allowed: "8 bytes of a second bitmap, which bit 1 announces"}
		}
		present[0] &^= mask(1)
		present[1] = binary.BigEndian.Uint64(b[minMessage:])
		pos += 8
	}
	m.present = present
	m.buf = append(m.buf, b...)
	for field := range m.Fields {
		var err error
		if pos, err = m.parseField(field, pos); err != nil {
			m.Reset(mti)
			return err
		}
	}
	if pos != len(b) {
		m.Reset(mti)
		return &Error{MTI: mti, Found: fmt.Sprintf("%d bytes after the last field of the bitmap", len(b)-pos), Allowed: "none"}
	}
	return nil
}

// parseField reads the field that begins at pos, and gives the position after it.
func (m *Message) parseField(field, pos int) (int, error) {
	spec, ok := FieldSpec(field)
	if !ok {
		return 0, &Error{MTI: m.mti, Field: field, Found: "its bit in the bitmap", Allowed: "the fields of this wire's table only"}
	}
	length := int(spec.Max)
	rest := m.buf[pos:]
	if spec.Prefix != 0 {
		prefix := int(spec.Prefix)
		if len(rest) < prefix {
			return 0, &Error{MTI: m.mti, Field: field, Found: fmt.Sprintf("%d bytes where its length should stand", len(rest)), Allowed: fmt.Sprintf("%d digits", prefix)}
		}
		n, ok := parseDigits(rest[:prefix])
		if !ok {
			return 0, &Error{MTI: m.mti, Field: field, Found: fmt.Sprintf("%d bytes that are not all digits as its length", prefix), Allowed: fmt.Sprintf("%d digits", prefix)}
		}
		length, rest, pos = int(n), rest[prefix:], pos+prefix
	}
	if length > len(rest) {
		return 0, &Error{MTI: m.mti, Field: field, Found: fmt.Sprintf("%d bytes up to the end of the message", len(rest)), Allowed: fmt.Sprintf("%d, the field's length", length)}
	}
	if err := checkValue(m.mti, field, &spec, rest[:length], 0); err != nil {
		return 0, err
	}
	m.span[field] = span{uint16(pos), uint16(length)}
	return pos + length, nil
}

// checkValue holds a value against its row of the table. The caller will add pad blanks.
func checkValue[T string | []byte](mti MTI, field int, spec *Spec, value T, pad int) error {
	if n := len(value) + pad; n < int(spec.Min) || n > int(spec.Max) {
		allowed := fmt.Sprintf("%d to %d", spec.Min, spec.Max)
		if spec.Min == spec.Max {
			allowed = fmt.Sprintf("exactly %d", spec.Max)
		}
		return &Error{MTI: mti, Field: field, Found: fmt.Sprintf("%d bytes", n), Allowed: allowed}
	}
	if at := badByte(spec.Kind, value); at >= 0 {
		return &Error{MTI: mti, Field: field, Found: describe(spec, value, at), Allowed: spec.Kind.String()}
	}
	return nil
}

// badByte gives the position of the first byte that the kind forbids, or -1.
func badByte[T string | []byte](kind Kind, value T) int {
	switch kind {
	case Digits:
		return firstNotDigit(value)
	case Letters:
		for i := range len(value) {
			if c := value[i] | 0x20; (value[i] < '0' || value[i] > '9') && (c < 'a' || c > 'z') {
				return i
			}
		}
	case Printable:
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				return i
			}
		}
	case UTF8:
		return badRune(value)
	case MonthDay, MonthToSec, HourToSec:
		return badTime(kind, value)
	}
	return -1
}

func firstNotDigit[T string | []byte](value T) int {
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return i
		}
	}
	return -1
}

// badRune looks for bytes that are not UTF-8 and for control characters, which have no place in a name or a number and
// would let a name break a log line or a terminal.
func badRune[T string | []byte](value T) int {
	for i := 0; i < len(value); {
		c := value[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return i
			}
			i++
			continue
		}
		var run [utf8.UTFMax]byte
		n := copy(run[:], value[i:])
		r, size := utf8.DecodeRune(run[:n])
		if r == utf8.RuneError && size <= 1 || r >= 0x80 && r < 0xa0 {
			return i
		}
		i += size
	}
	return -1
}

// badTime gives the position of the first digit pair that is not on the clock or in the calendar.
func badTime[T string | []byte](kind Kind, value T) int {
	if at := firstNotDigit(value); at >= 0 {
		return at
	}
	pair := func(i int) int { return int(value[i]-'0')*10 + int(value[i+1]-'0') }
	at := 0
	if kind != HourToSec {
		days := [...]int{1: 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
		month := pair(0)
		if month < 1 || month > 12 {
			return 0
		}
		if day := pair(2); day < 1 || day > days[month] {
			return 2
		}
		at = 4
	}
	if kind == MonthDay {
		return -1
	}
	for _, limit := range [...]int{23, 59, 59} {
		if pair(at) > limit {
			return at
		}
		at += 2
	}
	return -1
}

// describe tells what stands in a value, as far as it may be told.
func describe[T string | []byte](spec *Spec, value T, at int) string {
	if spec.Secret {
		return fmt.Sprintf("another byte at position %d of %d (the content is not shown)", at+1, len(value))
	}
	return fmt.Sprintf("%q at position %d of %q", value[at], at+1, string(value))
}

// String says in words what a field of the kind may hold.
func (k Kind) String() string {
	switch k {
	case Digits:
		return "digits"
	case Letters:
		return "letters A to Z, a to z, and digits"
	case Printable:
		return "ASCII from the blank to the tilde"
	case UTF8:
		return "UTF-8 without control characters"
	case MonthDay:
		return "a date MMDD"
	case HourToSec:
		return "a time hhmmss up to 235959"
	case MonthToSec:
		return "a date and time MMDDhhmmss"
	}
	return "nothing"
}
