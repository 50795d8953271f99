package edge

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"
)

func TestRatesLetABurstAndThenTheRateThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(100*time.Millisecond, 5, 10)
		take := func(want bool) {
			t.Helper()
			if wait := r.Take([]byte("a")); (wait == 0) != want || wait > 100*time.Millisecond {
				t.Fatalf("wait %v", wait)
			}
		}
		for range 5 {
			take(true)
		}
		take(false)
		if r.Take([]byte("b")) != 0 {
			t.Fatal("another one waits too")
		}
		for range 3 {
			time.Sleep(r.Take([]byte("a")))
			take(true)
			take(false)
		}
		time.Sleep(time.Hour)
		for range 5 {
			take(true)
		}
		take(false)
	})
}

func TestEverythingIsBounded_RatesForgetWhoCameLeast(t *testing.T) {
	r := NewRates(time.Hour, 3, 100)
	often := []byte("often")
	for n := range 10_000 {
		r.Take(often)
		r.Take(binary.AppendUvarint(nil, uint64(n)))
		if len(r.due) > 100 {
			t.Fatalf("%d are remembered", len(r.due))
		}
	}
	if r.Take(often) == 0 {
		t.Error("who came most was forgotten")
	}
}

func BenchmarkRates(b *testing.B) {
	r := NewRates(time.Millisecond, 5, 65_536)
	var key [8]byte
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		binary.BigEndian.PutUint64(key[:], n%100_000)
		r.Take(key[:])
	}
}
