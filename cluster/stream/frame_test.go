package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"netbank/cluster/journal"
	"netbank/cluster/stream/wire"
)

func call(id uint64, command []byte) *wire.Message {
	return &wire.Message{Body: &wire.Message_Call{Call: &wire.Call{
		Id: id, Kind: wire.Kind_KIND_AUTHORISE, Urgent: true, Class: 1, Weight: 1, BudgetUs: 10_000_000, SentUs: 77, Command: command,
	}}}
}

// samples holds one message of each kind, with every field of it that a node sets.
func samples() []*wire.Message {
	id := make([]byte, 16)
	p := &wire.Payment{Id: id, State: 2, Version: 3, AmountMinor: 1990, Currency: "CNY", DebtorAccount: "6222", Stan: 7, Rrn: "AB0000000001"}
	return []*wire.Message{
		{Body: &wire.Message_Hello{Hello: &wire.Hello{VersionMin: 1, VersionMax: 2, Cluster: "c", Node: 2, Role: wire.Role_ROLE_WORKER, Incarnation: 9, HighestTerm: 4}}},
		{Body: &wire.Message_Welcome{Welcome: &wire.Welcome{Version: 1, Term: 4, Levels: &wire.Levels{Words: []uint64{0, 1, 2, 3, 4}}}}},
		{Body: &wire.Message_Elsewhere{Elsewhere: &wire.Elsewhere{Node: 3, Term: 5, Why: "it does not lead"}}},
		call(1, []byte{10, 2, 1, 2}),
		{Body: &wire.Message_Withdraw{Withdraw: &wire.Withdraw{Id: 1, Payment: id}}},
		{Body: &wire.Message_Result{Result: &wire.Result{Id: 1, Verdict: 2, Payment: p, Access: &wire.Access{Epoch: 1, Lanes: []*wire.Lane{{Failures: 2}}}}}},
		{Body: &wire.Message_Go{Go: &wire.Go{Id: 1, Term: 4, SentUs: 77, GoodForUs: 2_000_000, Payment: p}}},
		{Body: &wire.Message_Answered{Answered: &wire.Answered{Id: 1, Payment: id, Silent: true, Late: true, ElapsedUs: 5, Next: &wire.Call{Id: 2, Command: []byte{1}}}}},
		{Body: &wire.Message_Levels{Levels: &wire.Levels{Words: []uint64{1, 2}}}},
		{Body: &wire.Message_Heartbeat{Heartbeat: &wire.Heartbeat{Term: 4, Applied: 99}}},
		{Body: &wire.Message_Open{Open: &wire.Open{UpUs: 1, Seats: []*wire.Seat{{Id: 3, Class: 4, Weight: .2, AgeUs: 6, Silent: true}}}}},
		{Body: &wire.Message_Leaving{Leaving: &wire.Leaving{}}},
	}
}

func TestFrame_BringsEveryMessageAcross(t *testing.T) {
	var b batch
	for _, m := range samples() {
		if err := b.add(m); err != nil {
			t.Fatal(err)
		}
	}
	body, err := readFrame(bytes.NewReader(b.bytes), nil)
	if err != nil {
		t.Fatal(err)
	}
	// The frame is what the schema says it is.
	var frame wire.Frame
	if err := frame.UnmarshalVT(body); err != nil {
		t.Fatal(err)
	}
	got, err := decode(body)
	if err != nil || len(got) != len(samples()) || len(frame.Messages) != len(got) {
		t.Fatalf("%d messages, by the schema %d, want %d: %v", len(got), len(frame.Messages), len(samples()), err)
	}
	clear(body) // what was decoded must not lie in the buffer
	for i, want := range samples() {
		if !proto.Equal(got[i], want) || !proto.Equal(frame.Messages[i], want) {
			t.Errorf("message %d: got %v, want %v", i, got[i], want)
		}
	}
}

func TestEverythingIsBounded_AFrame(t *testing.T) {
	var b batch
	want := 0
	for range 100 {
		for _, size := range []int{1, 60_000, 300} {
			if err := b.add(call(uint64(want), make([]byte, size))); err != nil {
				t.Fatal(err)
			}
			want++
		}
	}
	for range FrameMessagesMax + 3 {
		if err := b.add(&wire.Message{}); err != nil {
			t.Fatal(err)
		}
		want++
	}
	frames, got := 0, 0
	for in := bytes.NewReader(b.bytes); in.Len() > 0; frames++ {
		body, err := readFrame(in, nil)
		if err != nil || len(body) > FrameBytesMax {
			t.Fatalf("a frame of %d bytes: %v", len(body), err)
		}
		all, err := decode(body)
		if err != nil {
			t.Fatal(err)
		}
		got += len(all)
	}
	if got != want || frames < 7 {
		t.Errorf("%d messages in %d frames, want %d in at least 7", got, frames, want)
	}
	was := len(b.bytes)
	if err := b.add(call(1, make([]byte, FrameBytesMax))); err == nil || len(b.bytes) != was {
		t.Errorf("a message larger than a frame: %v", err)
	}
}

func TestReadFrame_RefusesWhatIsNone(t *testing.T) {
	f := func(raw []byte, want error) {
		t.Helper()
		body, err := readFrame(bytes.NewReader(raw), nil)
		if err == nil {
			_, err = decode(body)
		}
		if !errors.Is(err, want) {
			t.Errorf("%x: %v, want %v", raw[:min(len(raw), 12)], err, want)
		}
	}
	frame := func(body ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	f(nil, io.EOF)
	f([]byte{0, 0}, io.ErrUnexpectedEOF)
	f([]byte("GET / HTTP/1.1\r\n"), ErrFrame)
	f([]byte{0, 0, 0, 9, 1}, io.ErrUnexpectedEOF)
	f(binary.BigEndian.AppendUint32(nil, FrameBytesMax+1), ErrFrame)
	f(frame(), nil)
	f(frame(0x0a), ErrFrame)
	f(frame(0x0a, 5, 1), ErrFrame)
	f(frame(0x12, 0), ErrFrame)
	f(frame(0x0a, 2, 0x22, 9), ErrFrame)
	f(frame(append([]byte{0x0a}, bytes.Repeat([]byte{0xff}, 10)...)...), ErrFrame)
	f(frame(bytes.Repeat([]byte{0x0a, 0}, FrameMessagesMax+1)...), ErrFrame)
}

func FuzzFrame(f *testing.F) {
	var b batch
	for _, m := range samples() {
		var one batch
		if one.add(m) != nil || b.add(m) != nil {
			f.Fatal("a sample does not fit")
		}
		f.Add(one.bytes)
	}
	f.Add(b.bytes)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		body, err := readFrame(bytes.NewReader(raw), nil)
		if err != nil {
			return
		}
		all, err := decode(body)
		if err != nil {
			return
		}
		var again batch
		for _, m := range all {
			if err := again.add(m); err != nil {
				t.Fatal(err)
			}
			if r := m.GetResult(); r != nil {
				if p, err := TakePayment(r.Payment); err == nil && r.Payment != nil && !proto.Equal(PutPayment(&p), r.Payment) && len(r.Payment.ProtoReflect().GetUnknown()) == 0 {
					t.Errorf("payment %v came back as %v", r.Payment, PutPayment(&p))
				}
				_, _ = TakeAccess(r.Access)
			}
		}
		if len(all) == 0 {
			return
		}
		if body, err = readFrame(bytes.NewReader(again.bytes), nil); err != nil {
			t.Fatal(err)
		}
		back, err := decode(body)
		if err != nil || len(back) != len(all) {
			t.Fatalf("%d messages became %d: %v", len(all), len(back), err)
		}
	})
}

func TestPaymentAndAccess_ComeAcrossWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.Custom(func(t *rapid.T) journal.Payment {
			var p journal.Payment
			fill(t, reflect.ValueOf(&p).Elem())
			p.State = journal.State(rapid.IntRange(1, int(journal.StateReversing)).Draw(t, "state"))
			return p
		}).Draw(t, "payment")
		raw, err := PutPayment(&p).MarshalVT()
		var w wire.Payment
		if err != nil || w.UnmarshalVT(raw) != nil {
			t.Fatal(err)
		}
		if got, err := TakePayment(&w); err != nil || got != p {
			t.Fatalf("got %+v, want %+v: %v", got, p, err)
		}
		var a journal.Access
		fill(t, reflect.ValueOf(&a).Elem())
		if got, err := TakeAccess(PutAccess(&a)); err != nil || got != a {
			t.Fatalf("got %+v, want %+v: %v", got, a, err)
		}
	})
	if _, err := TakePayment(&wire.Payment{Id: []byte{1}, State: 1}); err == nil || !strings.Contains(err.Error(), "1 bytes") {
		t.Errorf("got %v", err)
	}
	if p, err := TakePayment(nil); err != nil || p != (journal.Payment{}) || PutPayment(&p) != nil {
		t.Errorf("no payment: %v", err)
	}
}

// fill draws every field, so that one that is added to the journal and forgotten here is found.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.String:
		v.SetString(rapid.StringMatching(`[a-zA-Z0-9中]{0,12}`).Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Uint8().Draw(t, "byte")))
	case reflect.Uint32:
		v.SetUint(uint64(rapid.Uint32().Draw(t, "uint32")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint64"))
	default:
		t.Fatalf("a field of kind %v: teach this test about it", v.Kind())
	}
}

func BenchmarkFrame_CallAndResult(b *testing.B) {
	var out batch
	m := call(1, make([]byte, 200))
	b.ReportAllocs()
	for b.Loop() {
		out = batch{bytes: out.bytes[:0]}
		if out.add(m) != nil {
			b.Fatal("it does not fit")
		}
		if _, err := decode(out.bytes[headBytes:]); err != nil {
			b.Fatal(err)
		}
	}
}
