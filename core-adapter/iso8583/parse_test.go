package iso8583

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// damage gives the first vector's body with a change made to it, and what it stood at.
func damage(t *testing.T, title string, change func(b []byte) []byte) []byte {
	t.Helper()
	for _, v := range readVectors(t) {
		if v.title == title {
			return change(bytes.Clone(v.bytes[2:]))
		}
	}
	t.Fatalf("no vector %q", title)
	return nil
}

func TestParseNamesTheFieldWhatWasFoundAndWhatIsAllowed(t *testing.T) {
	const echo, answer = "An echo", "Its answer, approved"
	f := func(title string, field int, want string, change func(b []byte) []byte) {
		t.Helper()
		var m Message
		err := Parse(damage(t, title, change), &m)
		var bad *Error
		if !errors.As(err, &bad) || !errors.Is(err, ErrFormat) {
			t.Errorf("want an *Error with %q, got %v", want, err)
			return
		}
		if bad.Field != field || !strings.Contains(err.Error(), want) || bad.Found == "" || bad.Allowed == "" {
			t.Errorf("field %d: %v; want field %d and %q", bad.Field, err, field, want)
		}
		for range m.Fields {
			t.Error("a message that could not be read has fields")
			break
		}
	}
	at := func(i int, value string) func(b []byte) []byte {
		return func(b []byte) []byte { copy(b[i:], value); return b }
	}
	f(echo, 0, "0 bytes", func([]byte) []byte { return nil })
	f(echo, 0, "11 bytes", func(b []byte) []byte { return b[:11] })
	f(echo, 0, "2049 bytes", func(b []byte) []byte { return append(b, make([]byte, MaxMessage+1-len(b))...) })
	f(echo, 0, `message type "0900"`, at(0, "0900"))
	f(echo, 0, `message type "08x0"`, at(0, "08x0"))
	f(echo, 1, "8 bytes of a second bitmap", func(b []byte) []byte { return b[:16] })
	f(echo, 5, "its bit in the bitmap", func(b []byte) []byte { b[4] |= 0x08; return b })
	f(echo, 65, "its bit in the bitmap", func(b []byte) []byte { b[12] |= 0x80; return b })
	f(echo, 128, "its bit in the bitmap", func(b []byte) []byte { b[19] |= 0x01; return append(b, "0000000000"...) })
	f(echo, 7, `'x' at position 2 of "1x11000030"`, at(21, "x"))
	f(echo, 11, "digits", at(33, "-"))
	f(echo, 70, "2 bytes up to the end", func(b []byte) []byte { return b[:len(b)-1] })
	f(echo, 0, "1 bytes after the last field", func(b []byte) []byte { return append(b, '0') })
	f(answer, 2, "not all digits as its length", at(12, "x9"))
	f(answer, 2, "20 bytes; allowed: 1 to 19", at(12, "20"))
	f(answer, 2, "0 bytes; allowed: 1 to 19", at(12, "00"))
	f(answer, 2, "1 bytes where its length should stand", func(b []byte) []byte { return b[:13] })
	f(answer, 39, "letters", func(b []byte) []byte { return bytes.Replace(b, []byte("A1B2C300"), []byte("A1B2C3?0"), 1) })
}

func TestErrorsNeverShowAnAccountNumberOrWhatField48Says(t *testing.T) {
	const account, secret = "622202123456789", "SECRETNAME"
	f := func(change func(m []byte) []byte) {
		t.Helper()
		var m Message
		m.Reset(DebitRequest)
		v := readVectors(t)[0]
		for field, value := range v.fields {
			if field == FieldAdditional {
				value = secret + value
			}
			if err := m.Set(field, value); err != nil {
				t.Fatal(err)
			}
		}
		b, err := m.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		err = Parse(change(b[2:]), &m)
		if err == nil {
			t.Fatal("the damage was not seen")
		}
		if strings.Contains(err.Error(), account[:6]) || strings.Contains(err.Error(), secret[:6]) || strings.Contains(err.Error(), "DE89") {
			t.Errorf("the error tells too much: %v", err)
		}
	}
	f(func(b []byte) []byte {
		return bytes.Replace(b, []byte("6222021234567890123"), []byte("622202123456789012x"), 1)
	})
	f(func(b []byte) []byte { return bytes.Replace(b, []byte("天"), []byte("\xff\xff\xff"), 1) })
	f(func(b []byte) []byte { return b[:len(b)-60] })
	f(func(b []byte) []byte { return append(b, "6222021234567890123"...) })

	var m Message
	for _, err := range []error{
		m.Set(FieldAccount, account+"x"),
		m.Set(FieldAdditional, secret+"\n"),
		m.Set(FieldAmounts, "SECRETNAME\n"),
		new(Additional).Parse([]byte("03010SECRETNAM\n")),
		new(Additional).Parse([]byte("SECRETNAME")),
		new(Additional).Parse([]byte("01010SECRETNAME")),
	} {
		if err == nil || strings.Contains(err.Error(), "SECR") || strings.Contains(err.Error(), account[:6]) {
			t.Errorf("the error tells too much, or there is none: %v", err)
		}
	}
}

// A host that always sends the second bitmap is not wrong, only longer.
func TestAnEmptySecondBitmapIsUnderstood(t *testing.T) {
	body := damage(t, "The acknowledgement of a reversal", func(b []byte) []byte {
		b[4] |= 0x80
		return append(b[:12:12], append(make([]byte, 8), b[12:]...)...)
	})
	var m Message
	if err := Parse(body, &m); err != nil || !m.Is(FieldResponse, "00") {
		t.Fatalf("%v, %q", err, m.Text(FieldResponse))
	}
}

func TestParseKeepsNothingOfItsInput(t *testing.T) {
	v := readVectors(t)[0]
	body := bytes.Clone(v.bytes[2:])
	var m Message
	if err := Parse(body, &m); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if got := m.Text(FieldAccount); got != v.fields[FieldAccount] {
		t.Fatalf("the account changed with the input, to %q", got)
	}
}

func TestReadFrameReadsMessagesOneByOneHoweverTheyArrive(t *testing.T) {
	var stream []byte
	vectors := readVectors(t)
	for _, v := range vectors {
		stream = append(stream, v.bytes...)
	}
	f := func(r io.Reader) {
		t.Helper()
		br := bufio.NewReader(r)
		var buf []byte
		for _, v := range vectors {
			b, err := ReadFrame(br, buf)
			if err != nil || !bytes.Equal(b, v.bytes[2:]) {
				t.Fatalf("%s: %v", v.title, err)
			}
			buf = b
		}
		if _, err := ReadFrame(br, buf); err != io.EOF {
			t.Fatalf("after the last one: %v, want io.EOF", err)
		}
	}
	f(bytes.NewReader(stream))
	f(iotest.OneByteReader(bytes.NewReader(stream)))
	f(iotest.HalfReader(bytes.NewReader(stream)))
	f(iotest.DataErrReader(bytes.NewReader(stream)))
}

func TestReadFrameTellsACutStreamFromAnEndedOne(t *testing.T) {
	whole := readVectors(t)[0].bytes
	for n := 1; n < len(whole); n++ {
		if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(whole[:n])), nil); err != io.ErrUnexpectedEOF {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	broken := errors.New("broken")
	if _, err := ReadFrame(bufio.NewReader(iotest.ErrReader(broken)), nil); err != broken {
		t.Fatalf("got %v", err)
	}
}

func TestReadFrameRefusesALengthOutsideTheBounds(t *testing.T) {
	f := func(hi, lo byte) {
		t.Helper()
		if _, err := ReadFrame(bufio.NewReader(bytes.NewReader([]byte{hi, lo, '0', '2'})), nil); !errors.Is(err, ErrFormat) {
			t.Errorf("length %d: %v", int(hi)<<8|int(lo), err)
		}
	}
	f(0, 0)
	f(0, minMessage-1)
	f(MaxMessage>>8, MaxMessage&0xff+1)
	f(0xff, 0xff)
	f('0', '2') // ASCII where the length should stand
}

func FuzzParse(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.bytes[2:])
	}
	f.Add([]byte("0800\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("0200\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if err := Parse(b, &m); err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		if m.Check() != nil {
			return
		}
		out, err := m.AppendTo(nil)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if err := Parse(out[2:], &again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		for field := range m.Fields {
			if m.Text(field) != again.Text(field) {
				t.Fatalf("field %d changed", field)
			}
		}
		if m.present != again.present || m.present[1] != 0 && !bytes.Equal(out[2:], b) {
			t.Fatal("the same message has two encodings")
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	var all []byte
	for _, v := range readVectors(f) {
		f.Add(v.bytes)
		all = append(all, v.bytes...)
	}
	f.Add(all)
	f.Add([]byte{0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(stream), 64)
		buf := make([]byte, 0, 16)
		read := 0
		for {
			b, err := ReadFrame(r, buf)
			if err != nil {
				if err == io.EOF && read != len(stream) {
					t.Fatalf("%d bytes of %d were read, and the stream is said to have ended", read, len(stream))
				}
				return
			}
			if len(b) < minMessage || len(b) > MaxMessage || !bytes.Equal(b, stream[read+2:read+2+len(b)]) {
				t.Fatal("not the bytes that stand there")
			}
			read += 2 + len(b)
			buf = b
		}
	})
}
