package iso8583

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxMessage is the largest message body in bytes that is read or written, without its length prefix. Every field of the
// table at its longest makes 1,314 bytes; the rest is room for more rows. A test holds the one against the other.
const MaxMessage = 2048

// minMessage is an MTI and the first bitmap.
const minMessage = 4 + 8

// Message is one message: its type and its fields, whose values live in one buffer of the message's own. The zero
// Message is empty and ready. A Message is for one goroutine at a time; reuse it, it allocates only while it grows.
type Message struct {
	mti     MTI
	present [2]uint64 // bit 63-(f-1)%64 of word (f-1)/64, as on the wire
	span    [fieldLast + 1]span
	buf     []byte
}

type span struct{ off, len uint16 }

// Reset empties the message and gives it a type. What Get returned before is no longer valid.
func (m *Message) Reset(mti MTI) {
	m.mti = mti
	m.present = [2]uint64{}
	m.buf = m.buf[:0]
}

// MTI gives the message's type; 0 when it has none yet.
func (m *Message) MTI() MTI { return m.mti }

// Has reports whether the field is present.
func (m *Message) Has(field int) bool {
	if field < 1 || field > fieldLast {
		return false
	}
	return m.present[(field-1)>>6]&mask(field) != 0
}

// Get gives the value of a field as it stands on the wire, without its length, blanks included. It points into the
// message and is valid until the next Set, Reset or Parse.
func (m *Message) Get(field int) ([]byte, bool) {
	if !m.Has(field) {
		return nil, false
	}
	s := m.span[field]
	return m.buf[s.off : s.off+s.len : s.off+s.len], true
}

// Text gives a copy of a field's value, or "" when the field is absent.
func (m *Message) Text(field int) string {
	v, _ := m.Get(field)
	return string(v)
}

// Is reports whether the field is present and has exactly this value. It does not allocate.
func (m *Message) Is(field int, value string) bool {
	v, ok := m.Get(field)
	return ok && string(v) == value
}

// Int gives the number that a field of at most 18 digits holds, and whether the field is present and such a number.
func (m *Message) Int(field int) (int64, bool) {
	v, ok := m.Get(field)
	if !ok || len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	return parseDigits(v)
}

// Fields gives the numbers of the fields that are present, in ascending order.
func (m *Message) Fields(yield func(field int) bool) {
	for word, set := range m.present {
		for set != 0 {
			lead := bits.LeadingZeros64(set)
			if !yield(word<<6 + lead + 1) {
				return
			}
			set &^= 1 << (63 - lead)
		}
	}
}

// Set gives a field its value, in place of an earlier one. A value for a fixed field of kind Printable (41, 42) may be
// shorter: the standard fills it with blanks on the right. Nothing changes when it returns an error.
func (m *Message) Set(field int, value string) error { return set(m, field, value) }

// SetBytes is Set for a value in bytes, which it copies.
func (m *Message) SetBytes(field int, value []byte) error { return set(m, field, value) }

// SetInt gives a fixed numeric field its value, filled with zeros on the left.
func (m *Message) SetInt(field int, value int64) error {
	spec, ok := FieldSpec(field)
	if !ok || spec.Prefix != 0 || spec.Kind != Digits {
		return &Error{MTI: m.mti, Field: field, Found: "a number", Allowed: "fixed numeric fields of this wire only"}
	}
	var digits [42]byte
	rest := value
	for i := int(spec.Max) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(rest%10)
		rest /= 10
	}
	if value < 0 || rest != 0 {
		return &Error{MTI: m.mti, Field: field, Found: fmt.Sprintf("the number %d", value), Allowed: fmt.Sprintf("0 or more, of at most %d digits", spec.Max)}
	}
	return set(m, field, digits[:spec.Max])
}

// Delete takes a field out of the message.
func (m *Message) Delete(field int) {
	if m.Has(field) {
		m.present[(field-1)>>6] &^= mask(field)
	}
}

// Check reports the first field that this type of message must bear and does not, or a type that this wire does not have.
func (m *Message) Check() error {
	l, ok := layoutOf(m.mti)
	if !ok {
		return unknownMTI(m.mti.String())
	}
	for _, f := range l.required {
		if !m.Has(int(f)) {
			return &Error{MTI: m.mti, Field: int(f), Found: "no such field", Allowed: "a message of this type must bear it"}
		}
	}
	return nil
}

// AppendTo appends the message to dst, with its length before it, and returns the extended slice. It asks for the fields
// of Check; when it returns an error, dst is as it was.
func (m *Message) AppendTo(dst []byte) ([]byte, error) {
	if err := m.Check(); err != nil {
		return dst, err
	}
	start := len(dst)
	b := append(dst, 0, 0)
	b = appendNumber(b, 4, uint64(m.mti>>12&15)*1000+uint64(m.mti>>8&15)*100+uint64(m.mti>>4&15)*10+uint64(m.mti&15))
	if m.present[1] != 0 {
		b = binary.BigEndian.AppendUint64(b, m.present[0]|mask(1))
		b = binary.BigEndian.AppendUint64(b, m.present[1])
	} else {
		b = binary.BigEndian.AppendUint64(b, m.present[0])
	}
	for field := range m.Fields {
		s := m.span[field]
		if prefix := fields[field].Prefix; prefix != 0 {
			b = appendNumber(b, int(prefix), uint64(s.len))
		}
		b = append(b, m.buf[s.off:s.off+s.len]...)
	}
	size := len(b) - start - 2
	if size > MaxMessage {
		return dst, &Error{MTI: m.mti, Found: fmt.Sprintf("a message of %d bytes", size), Allowed: fmt.Sprintf("at most %d", MaxMessage)}
	}
	binary.BigEndian.PutUint16(b[start:], uint16(size))
	return b, nil
}

// set is generic so that neither strings nor byte slices are converted on the way in.
func set[T string | []byte](m *Message, field int, value T) error {
	spec, ok := FieldSpec(field)
	if !ok {
		return &Error{MTI: m.mti, Field: field, Found: "a field to set", Allowed: "only the fields of this wire's table"}
	}
	pad := 0
	if spec.Prefix == 0 && spec.Kind == Printable && len(value) < int(spec.Max) {
		pad = int(spec.Max) - len(value)
	}
	if err := checkValue(m.mti, field, &spec, value, pad); err != nil {
		return err
	}
	need := len(value) + pad
	if len(m.buf)+need > 2*MaxMessage {
		m.compact(field)
	}
	off := len(m.buf)
	m.buf = append(m.buf, value...)
	for range pad {
		m.buf = append(m.buf, ' ')
	}
	m.span[field] = span{uint16(off), uint16(need)}
	m.present[(field-1)>>6] |= mask(field)
	return nil
}

// compact drops the values that later ones of the same fields have replaced, so that a message that is set over and over
// stays within its bound. The field that is about to be set need not be kept.
func (m *Message) compact(except int) {
	kept := make([]byte, 0, 2*MaxMessage)
	for field := range m.Fields {
		if field == except {
			continue
		}
		s := m.span[field]
		m.span[field].off = uint16(len(kept))
		kept = append(kept, m.buf[s.off:s.off+s.len]...)
	}
	m.buf = kept
}

func mask(field int) uint64 { return 1 << (63 - uint(field-1)&63) }

func layoutOf(mti MTI) (layout, bool) {
	for _, l := range layouts {
		if l.mti == mti {
			return l, true
		}
	}
	return layout{}, false
}

// Known reports whether this wire has the type.
func (t MTI) Known() bool {
	_, ok := layoutOf(t)
	return ok
}

// String gives the four digits.
func (t MTI) String() string { return fmt.Sprintf("%04x", uint16(t)) }

// Answer gives the type of the answer to a request: 0210 to 0200, 0430 to 0420 and 0421. It is 0 for an answer.
func (t MTI) Answer() MTI {
	if t&0x10 != 0 {
		return 0
	}
	return t&^0xf | 0x10
}

// IsAnswer reports whether the type is that of an answer.
func (t MTI) IsAnswer() bool { return t&0x10 != 0 }

func appendNumber(dst []byte, width int, value uint64) []byte {
	var digits [12]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = '0' + byte(value%10)
		value /= 10
	}
	return append(dst, digits[:width]...)
}

func parseDigits[T string | []byte](v T) (int64, bool) {
	var n int64
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(v[i]-'0')
	}
	return n, true
}
