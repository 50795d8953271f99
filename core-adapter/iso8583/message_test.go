package iso8583

import "testing"

func TestMessageComesBackAsItWentOut(t *testing.T) {
	var m Message
	m.Reset(NetworkRequest)
	for field, value := range map[int]string{7: "1111000001", 11: "000042", 70: "301"} {
		if err := m.Set(field, value); err != nil {
			t.Fatal(err)
		}
	}
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back Message
	if err := Parse(b[2:], &back); err != nil {
		t.Fatal(err)
	}
	if !back.Is(70, "301") || !back.Is(11, "000042") || back.MTI() != NetworkRequest {
		t.Fatalf("came back otherwise: %x", b)
	}
}
