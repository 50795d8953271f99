package gate

import "math/bits"

// index maps a 64-bit key to a slot. Go's map may allocate while entries come and go at a constant size; this
// table never does: open addressing with linear probing at most half full, and deletion by shifting back
// (Knuth, TAOCP vol. 3, 6.4, algorithm R), so that no tombstones pile up.
type index struct {
	keys  []uint64
	slots []int32 // slot + 1; 0 is free
	shift uint8
}

func newIndex(entries int) index {
	n := 1 << bits.Len(uint(2*entries))
	return index{keys: make([]uint64, n), slots: make([]int32, n), shift: uint8(64 - bits.TrailingZeros(uint(n)))}
}

// home is where a key would stand if nothing were in its way (Fibonacci hashing; TAOCP vol. 3, 6.4).
func (x *index) home(key uint64) int { return int(key * 0x9E3779B97F4A7C15 >> x.shift) }

// get returns the slot of a key, or none.
func (x *index) get(key uint64) int32 {
	mask := len(x.slots) - 1
	for i := x.home(key); ; i = (i + 1) & mask {
		if x.slots[i] == 0 {
			return none
		}
		if x.keys[i] == key {
			return x.slots[i] - 1
		}
	}
}

// put adds a key that is not there.
func (x *index) put(key uint64, slot int32) {
	mask := len(x.slots) - 1
	i := x.home(key)
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.keys[i], x.slots[i] = key, slot+1
}

// remove takes a key away; one that is not there is left alone.
func (x *index) remove(key uint64) {
	mask := len(x.slots) - 1
	i := x.home(key)
	for x.slots[i] != 0 && x.keys[i] != key {
		i = (i + 1) & mask
	}
	if x.slots[i] == 0 {
		return
	}
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		// The key at j may fill the hole at i unless its home lies cyclically in (i, j].
		if home := x.home(x.keys[j]); (j-home)&mask >= (j-i)&mask {
			x.keys[i], x.slots[i] = x.keys[j], x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}
