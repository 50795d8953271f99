package iso8583

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vector is one message of testdata/vectors.txt.
type vector struct {
	title  string
	mti    MTI
	fields map[int]string
	bytes  []byte // with its length
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if word == "##" {
			all = append(all, vector{title: rest, fields: make(map[int]string)})
			continue
		}
		if word == "" || word == "#" {
			continue
		}
		v := &all[len(all)-1]
		switch word {
		case "type":
			n, err := strconv.ParseUint(rest, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			v.mti = MTI(n)
		case "field":
			number, quoted, _ := strings.Cut(rest, " ")
			field, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			v.fields[field] = strings.Trim(quoted, `"`)
		case "bytes":
			b, err := hex.DecodeString(rest)
			if err != nil {
				t.Fatal(err)
			}
			v.bytes = append(v.bytes, b...)
		default:
			t.Fatalf("vectors.txt: a line begins with %q", word)
		}
	}
	if len(all) < len(layouts) {
		t.Fatalf("%d vectors for %d types of message", len(all), len(layouts))
	}
	return all
}

// build makes the vector's message, its fields in an order that is not the wire's.
func (v *vector) build(t testing.TB) *Message {
	t.Helper()
	var m Message
	m.Reset(v.mti)
	var order []int
	for field := range v.fields {
		order = append(order, field)
	}
	slices.Sort(order)
	slices.Reverse(order)
	for _, field := range order {
		if err := m.Set(field, v.fields[field]); err != nil {
			t.Fatalf("%s: %v", v.title, err)
		}
	}
	return &m
}

func TestEveryVectorIsEncodedAsTheOtherImplementationEncodesIt(t *testing.T) {
	for _, v := range readVectors(t) {
		got, err := v.build(t).AppendTo([]byte("before"))
		if err != nil {
			t.Fatalf("%s: %v", v.title, err)
		}
		if want := append([]byte("before"), v.bytes...); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", v.title, got, want)
		}
	}
}

func TestEveryVectorIsReadFieldByField(t *testing.T) {
	var m Message // one for all: reuse leaves nothing behind
	for _, v := range readVectors(t) {
		if err := Parse(v.bytes[2:], &m); err != nil {
			t.Fatalf("%s: %v", v.title, err)
		}
		if m.MTI() != v.mti {
			t.Errorf("%s: type %v", v.title, m.MTI())
		}
		n := 0
		for field := range m.Fields {
			n++
			if got := m.Text(field); got != v.fields[field] {
				t.Errorf("%s: field %d is %q, want %q", v.title, field, got, v.fields[field])
			}
		}
		if n != len(v.fields) {
			t.Errorf("%s: %d fields, want %d", v.title, n, len(v.fields))
		}
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", v.title, err)
		}
	}
}

func TestEveryTypeOfMessageHasAVector(t *testing.T) {
	have := make(map[MTI]bool)
	for _, v := range readVectors(t) {
		have[v.mti] = true
	}
	for _, l := range layouts {
		if !have[l.mti] {
			t.Errorf("no vector for %v", l.mti)
		}
	}
}
