package iso8583

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTsharkReadsEveryVectorAsWeDo puts the messages before a dissector that nobody here wrote.
//
// The two disagree on one thing, on purpose: tshark holds "ans" to ASCII and stops at the first other byte, while names
// in field 48 are UTF-8 on this wire. Such a message is shown to it with an x for each such byte, of the same length.
func TestTsharkReadsEveryVectorAsWeDo(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is not installed, and in CI the codec must be judged by it; install Debian's tshark")
		}
		t.Skip("tshark is not installed; with it this test holds the codec against its ISO 8583 dissector (Debian: apt-get install tshark)")
	}
	vectors := readVectors(t)
	for i := range vectors {
		vectors[i].toASCII(t)
	}
	capture := filepath.Join(t.TempDir(), "wire.pcap")
	if err := os.WriteFile(capture, pcapOf(vectors), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"-r", capture, "-d", "tcp.port==8583,iso8583", "-T", "json",
		"-o", "iso8583.len_endian:Big endian",
		"-o", "iso8583.charset:Digits represented as ASCII Characters",
		"-o", "iso8583.binencode:Bin data not encoded",
		"-e", "iso8583.len", "-e", "iso8583.mti", "-e", "_ws.malformed", "-e", "_ws.expert.message",
	}
	for field := 2; field <= 128; field++ {
		args = append(args, "-e", fmt.Sprintf("iso8583.bit%d", field))
	}
	cmd := exec.Command(tshark, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, complaints.String())
	}
	var packets []struct {
		Source struct {
			Layers map[string][]string `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(out, &packets); err != nil {
		t.Fatal(err)
	}
	if len(packets) != len(vectors) {
		t.Fatalf("tshark saw %d packets of %d", len(packets), len(vectors))
	}
	for i, v := range vectors {
		compareWithTshark(t, v, packets[i].Source.Layers)
	}
}

func compareWithTshark(t *testing.T, v vector, layers map[string][]string) {
	t.Helper()
	one := func(name string) string { return strings.Join(layers[name], "|") }
	if got, want := one("iso8583.len"), fmt.Sprint(len(v.bytes)-2); got != want {
		t.Errorf("%s: tshark reads length %q, want %q", v.title, got, want)
	}
	if got := one("iso8583.mti"); got != v.mti.String() {
		t.Errorf("%s: tshark reads type %q, want %v", v.title, got, v.mti)
	}
	if got := one("_ws.malformed") + one("_ws.expert.message"); got != "" {
		t.Errorf("%s: tshark complains: %s", v.title, got)
	}
	for field := 2; field <= 128; field++ {
		got, present := layers[fmt.Sprintf("iso8583.bit%d", field)]
		want, expected := v.fields[field]
		if present != expected {
			t.Errorf("%s: tshark sees field %d: %v, want %v", v.title, field, present, expected)
			continue
		}
		if expected && strings.Join(got, "|") != want {
			t.Errorf("%s: tshark reads field %d as %q, want %q", v.title, field, got, want)
		}
	}
}

// toASCII replaces each byte of field 48 that is not ASCII, and encodes the message anew.
func (v *vector) toASCII(t *testing.T) {
	value, ok := v.fields[FieldAdditional]
	if !ok {
		return
	}
	ascii := []byte(value)
	for i, c := range ascii {
		if c >= 0x80 {
			ascii[i] = 'x'
		}
	}
	v.fields[FieldAdditional] = string(ascii)
	var err error
	if v.bytes, err = v.build(t).AppendTo(nil); err != nil {
		t.Fatal(err)
	}
}

// pcapOf is a capture of one TCP stream to port 8583, a packet for each message: the classic pcap format, raw IPv4.
func pcapOf(vectors []vector) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...) // zone and accuracy
	b = le.AppendUint32(b, 65535)
	b = le.AppendUint32(b, 101) // LINKTYPE_RAW
	seq := uint32(1)
	for i, v := range vectors {
		p := packet(seq, v.bytes)
		seq += uint32(len(v.bytes))
		b = le.AppendUint32(b, uint32(i))
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, uint32(len(p)))
		b = le.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// packet is an IPv4 packet with a TCP segment from 127.0.0.1:40000 to 127.0.0.1:8583. tshark does not verify checksums.
func packet(seq uint32, payload []byte) []byte {
	be := binary.BigEndian
	b := []byte{0x45, 0}
	b = be.AppendUint16(b, uint16(40+len(payload)))
	b = append(b, 0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)
	b = be.AppendUint16(b, 40000)
	b = be.AppendUint16(b, 8583)
	b = be.AppendUint32(b, seq)
	b = be.AppendUint32(b, 1)
	b = append(b, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0)
	return append(b, payload...)
}
