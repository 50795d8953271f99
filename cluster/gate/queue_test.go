package gate

import (
	"testing"

	"pgregory.net/rapid"
)

// TestQueue_KeepsItsThreeOrders lets entries join and leave in the middle, and looks at the heads of a lane, of its class
// and of all after each step.
func TestQueue_KeepsItsThreeOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 40
		q := newQueue(make([]entry, size), size, [Classes]float64{}, nil)
		waits := map[int32]bool{}
		deadlines := rapid.SliceOfN(rapid.IntRange(0, 30), 400, 400).Draw(t, "deadlines")
		slots := rapid.SliceOfN(rapid.Int32Range(0, size-1), 400, 400).Draw(t, "slots")
		for i, slot := range slots {
			switch {
			case waits[slot]:
				q.remove(slot)
				delete(waits, slot)
			case i%5 == 4 && len(waits) > 0: // the head leaves more often than others, as in life
				slot, _ = q.next(Express)
				q.remove(slot)
				delete(waits, slot)
			default:
				q.entries[slot] = entry{class: Express, cost: workUnit, deadline: Time(deadlines[i])}
				q.add(slot, 1)
				waits[slot] = true
			}
			if len(waits) == 0 {
				continue
			}
			first, last := none, none
			for s := range waits {
				if first == none || q.earlier(s, first) {
					first = s
				}
				if last == none || q.earlier(last, s) {
					last = s
				}
			}
			head, _ := q.next(Express)
			if head != first || q.byDeadline.nodes[0].slot != first || q.latest[Express].nodes[0].slot != last {
				t.Fatalf("step %d: first %d, last %d; by lane %d, by deadline %d, latest %d", i, first, last,
					head, q.byDeadline.nodes[0].slot, q.latest[Express].nodes[0].slot)
			}
		}
	})
}

// TestIndex_FindsWhatIsThere puts keys that fall together, and takes them away in any order.
func TestIndex_FindsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex(16)
		there := map[uint64]int32{}
		for i, key := range rapid.SliceOfN(rapid.Uint64Range(0, 40), 300, 300).Draw(t, "keys") {
			if _, ok := there[key]; ok {
				x.remove(key)
				delete(there, key)
			} else if len(there) < 16 {
				x.put(key, int32(i))
				there[key] = int32(i)
			}
			for k := range uint64(41) {
				want, ok := there[k]
				if !ok {
					want = none
				}
				if got := x.get(k); got != want {
					t.Fatalf("key %d is at %d, found %d", k, want, got)
				}
			}
		}
	})
}
