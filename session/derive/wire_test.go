package derive

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestAnswersGoOutWhateverTheirOrderAndTheEndOfInputIsNoError(t *testing.T) {
	var in, out bytes.Buffer
	want := make(map[uint32][]byte)
	for number := range uint32(5) {
		r := request("password")
		r.Password[0] = byte(number)
		want[number] = r.Key()
		in.Write(appendRequest(nil, number, r))
	}
	if err := answer(&in, &out); err != nil {
		t.Fatal(err)
	}
	for range want {
		number, key, err := readAnswer(&out)
		if err != nil || !bytes.Equal(key, want[number]) {
			t.Fatalf("answer %d: %x, %v", number, key, err)
		}
		want[number] = nil
	}
	if _, _, err := readAnswer(&out); !errors.Is(err, io.EOF) {
		t.Fatalf("after the last answer: %v", err)
	}
}

func TestRequestThatIsNoneEndsTheHashingProcess(t *testing.T) {
	whole := appendRequest(nil, 7, request("password"))
	f := func(in []byte, want error) {
		t.Helper()
		if err := answer(bytes.NewReader(in), io.Discard); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", len(in), err, want)
		}
	}
	f(whole[:requestHead], io.ErrUnexpectedEOF)
	f(whole[:5], io.ErrUnexpectedEOF)
	f(whole[:len(whole)-1], io.ErrUnexpectedEOF)
	f(bytes.Repeat([]byte{0xff}, requestHead), ErrRequest)
	f(whole, nil)
}

func TestPipeHoldsEveryPendingRequest(t *testing.T) {
	r := &Request{Password: make([]byte, PasswordMax), Salt: make([]byte, SaltMax), MemoryKiB: 8, Passes: 1, Lanes: 1, KeySize: KeyMax}
	if size := PendingMax * len(appendRequest(nil, 1, r)); size > 64<<10 { // pipe(7): 16 pages of 4 KiB
		t.Fatalf("%d requests have %d bytes", PendingMax, size)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add(appendRequest(nil, 7, request("password")))
	f.Add(appendRequest(nil, 1<<31, &Request{MemoryKiB: 1, Passes: 1, Lanes: 1, KeySize: 4}))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Fuzz(func(t *testing.T, in []byte) {
		number, r, err := readRequest(bytes.NewReader(in))
		if err != nil {
			return
		}
		if err := r.check(); err != nil {
			t.Fatalf("it read what is out of bounds: %v", err)
		}
		if again := appendRequest(nil, number, r); !bytes.Equal(again, in[:len(again)]) {
			t.Fatalf("%x became %x", in, again)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	f.Add(appendAnswer(nil, 7, make([]byte, 32)))
	f.Add(appendAnswer(nil, 7, nil))
	f.Add([]byte("Usage: netbank"))
	f.Fuzz(func(t *testing.T, in []byte) {
		number, key, err := readAnswer(bytes.NewReader(in))
		if err != nil {
			return
		}
		if again := appendAnswer(nil, number, key); !bytes.Equal(again, in[:len(again)]) {
			t.Fatalf("%x became %x", in, again)
		}
	})
}
