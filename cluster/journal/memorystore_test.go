package journal

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"netbank/cluster/journal/command"

	"pgregory.net/rapid"
)

func TestMemoryStoreIsASortedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, want := NewMemoryStore(), map[string]string{}
		key := func() []byte { return fmt.Appendf(nil, "%04d", rapid.IntRange(0, 3000).Draw(t, "key")) }
		for i := range rapid.IntRange(0, 3000).Draw(t, "first") { // enough to split blocks
			k := fmt.Sprintf("%04d", i)
			want[k] = "first"
			_ = m.Set([]byte(k), []byte("first"))
		}
		old, oldWant := m.Clone(), maps.Clone(want)
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			k, to := key(), key()
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0, 1:
				_ = m.Set(k, to)
				want[string(k)] = string(to)
			case 2:
				_ = m.Delete(k)
				delete(want, string(k))
			case 3:
				_ = m.DeleteRange(k, to)
				maps.DeleteFunc(want, func(have, _ string) bool { return string(k) <= have && have < string(to) })
			}
		}
		same(t, m, want)
		same(t, old, oldWant)
	})
}

func same(t *rapid.T, m *MemoryStore, want map[string]string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	if m.Len() != len(keys) {
		t.Fatalf("%d entries, want %d", m.Len(), len(keys))
	}
	i := 0
	_ = m.Scan([]byte("0"), []byte("9"), func(k, v []byte) bool {
		if string(k) != keys[i] || string(v) != want[keys[i]] {
			t.Fatalf("entry %d is %s=%s, want %s=%s", i, k, v, keys[i], want[keys[i]])
		}
		i++
		return true
	})
	if i != len(keys) {
		t.Fatalf("the scan gave %d entries, want %d", i, len(keys))
	}
	for _, k := range []string{"0000", "1500", "3000", "x"} {
		value, kept := want[k]
		var got []byte
		found, _ := m.Get([]byte(k), func(v []byte) { got = bytes.Clone(v) })
		if found != kept || string(got) != value {
			t.Fatalf("%s: %s %v, want %s %v", k, got, found, value, kept)
		}
	}
}

// TestALiveIsWrittenWhileApplyGoesOn is for the race detector, and looks that the snapshot is of its moment.
func TestALiveIsWrittenWhileApplyGoesOn(t *testing.T) {
	b := newBank(t, DefaultLimits())
	var ids []PaymentID
	for n := 1; n <= 600; n++ {
		ids = append(ids, b.create(n))
	}
	want := b.m.Digest()
	live, store := b.m.Live(), b.store.Clone()
	var snapshot bytes.Buffer
	var writing sync.WaitGroup
	writing.Go(func() {
		if _, err := live.WriteTo(&snapshot); err != nil {
			t.Error(err)
		}
	})
	for i, id := range ids {
		b.must(Done, &command.Attempt{Customer: 2, Factor: command.Factor_FACTOR_PASSWORD})
		b.must(Done, &command.SignIn{Customer: 2})
		b.must(Done, b.consent(id, int64(i+1)))
		b.must(Done, settle(id, approved, "00"))
		b.create(1000 + i)
	}
	writing.Wait()
	again := New(store, DefaultLimits())
	if _, err := again.ReadFrom(&snapshot); err != nil || again.Digest() != want {
		t.Errorf("the snapshot is of another moment (%v)", err)
	}
}
