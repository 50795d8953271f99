package journal

import (
	"bytes"
	"slices"
	"sort"
)

// MemoryStore is a Store in memory: for tests and simulation. It is not safe for concurrent use.
//
// Entries stand in order in blocks of bounded size, so that a write moves a block's entries at most.
type MemoryStore struct {
	blocks [][]memoryEntry // none is empty
	length int
}

type memoryEntry struct{ key, value []byte }

// memoryBlock is the number of entries at which a block is split.
const memoryBlock = 512

// NewMemoryStore gives an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{} }

// Len gives the number of entries.
func (m *MemoryStore) Len() int { return m.length }

// find gives the block that holds key, or would, the place in it, and whether it is there.
func (m *MemoryStore) find(key []byte) (block, at int, found bool) {
	block = sort.Search(len(m.blocks), func(i int) bool { return bytes.Compare(m.blocks[i][0].key, key) > 0 })
	if block > 0 {
		block--
	}
	if block == len(m.blocks) {
		return block, 0, false
	}
	at, found = slices.BinarySearchFunc(m.blocks[block], key, func(e memoryEntry, k []byte) int { return bytes.Compare(e.key, k) })
	return block, at, found
}

// Get implements Store.
func (m *MemoryStore) Get(key []byte, f func(value []byte)) (bool, error) {
	block, at, found := m.find(key)
	if found && f != nil {
		f(m.blocks[block][at].value)
	}
	return found, nil
}

// Set implements Store. It keeps copies.
func (m *MemoryStore) Set(key, value []byte) error {
	block, at, found := m.find(key)
	if found {
		m.blocks[block][at].value = bytes.Clone(value) // a new slice: clones of the store share the old one
		return nil
	}
	m.length++
	entry := memoryEntry{bytes.Clone(key), bytes.Clone(value)}
	if block == len(m.blocks) {
		m.blocks = append(m.blocks, append(make([]memoryEntry, 0, memoryBlock), entry))
		return nil
	}
	full := slices.Insert(m.blocks[block], at, entry)
	m.blocks[block] = full
	if len(full) >= memoryBlock {
		half := len(full) / 2
		if block == len(m.blocks)-1 && at == len(full)-1 {
			half = len(full) - 1 // keys in order, as most are, leave full blocks behind
		}
		right := append(make([]memoryEntry, 0, memoryBlock), full[half:]...)
		clear(full[half:])
		m.blocks[block] = full[:half]
		m.blocks = slices.Insert(m.blocks, block+1, right)
	}
	return nil
}

// Delete implements Store.
func (m *MemoryStore) Delete(key []byte) error {
	block, at, found := m.find(key)
	if !found {
		return nil
	}
	m.length--
	m.blocks[block] = slices.Delete(m.blocks[block], at, at+1)
	if len(m.blocks[block]) == 0 {
		m.blocks = slices.Delete(m.blocks, block, block+1)
	}
	return nil
}

// DeleteRange implements Store.
func (m *MemoryStore) DeleteRange(from, to []byte) error {
	block, at, _ := m.find(from)
	for block < len(m.blocks) {
		entries := m.blocks[block]
		end := at + sort.Search(len(entries)-at, func(i int) bool { return bytes.Compare(entries[at+i].key, to) >= 0 })
		m.length -= end - at
		last := end < len(entries)
		if entries = slices.Delete(entries, at, end); len(entries) == 0 {
			m.blocks = slices.Delete(m.blocks, block, block+1)
		} else {
			m.blocks[block] = entries
			block++
		}
		if last {
			break
		}
		at = 0
	}
	return nil
}

// Scan implements Store. f may not write to the store.
func (m *MemoryStore) Scan(from, to []byte, f func(key, value []byte) bool) error {
	block, at, _ := m.find(from)
	for ; block < len(m.blocks); block, at = block+1, 0 {
		for _, e := range m.blocks[block][at:] {
			if bytes.Compare(e.key, to) >= 0 || !f(e.key, e.value) {
				return nil
			}
		}
	}
	return nil
}

// Clone gives an independent copy, for a test's snapshot.
func (m *MemoryStore) Clone() *MemoryStore {
	c := &MemoryStore{length: m.length, blocks: make([][]memoryEntry, len(m.blocks))}
	for i, entries := range m.blocks {
		c.blocks[i] = append(make([]memoryEntry, 0, memoryBlock), entries...)
	}
	return c
}
