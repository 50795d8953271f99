package journal

// slab holds cells of one size by slot number, without a pointer in them: millions of cells cost the garbage
// collector nothing but a look at the list of chunks. Slot 0 is never handed out, so 0 can mean none.
//
// A chunk that a Live shares is copied before the first write to it, so taking a Live costs the list of chunks and
// not their contents. Hence the one rule of use: a pointer from at is stale after the next edit of any cell.
type slab[T any] struct {
	chunks     []*chunk[T]
	free       []uint32 // dropped slots, the latest is given first
	used       uint32   // slots ever handed out; slots above it were never used
	generation uint64   // chunks of an earlier generation are shared with a Live
}

const (
	chunkBits  = 8
	chunkCells = 1 << chunkBits
)

type chunk[T any] struct {
	generation uint64
	cells      [chunkCells]T
}

// len gives the number of cells in use.
func (s *slab[T]) len() int { return int(s.used) - len(s.free) }

// at gives a cell for reading.
func (s *slab[T]) at(slot uint32) *T { return &s.chunks[slot>>chunkBits].cells[slot%chunkCells] }

// edit gives a cell for writing.
func (s *slab[T]) edit(slot uint32) *T {
	c := s.chunks[slot>>chunkBits]
	if c.generation != s.generation {
		own := new(chunk[T])
		*own = *c
		own.generation = s.generation
		s.chunks[slot>>chunkBits] = own
		c = own
	}
	return &c.cells[slot%chunkCells]
}

// take hands out a zeroed cell.
func (s *slab[T]) take() (uint32, *T) {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot, s.edit(slot)
	}
	s.used++
	if int(s.used>>chunkBits) == len(s.chunks) {
		s.chunks = append(s.chunks, &chunk[T]{generation: s.generation})
	}
	return s.used, s.edit(s.used)
}

// drop zeroes a cell and takes it back.
func (s *slab[T]) drop(slot uint32) {
	var zero T
	*s.edit(slot) = zero
	s.free = append(s.free, slot)
}

// share gives a read-only view that later edits do not change.
func (s *slab[T]) share() slab[T] {
	view := slab[T]{chunks: append([]*chunk[T](nil), s.chunks...), used: s.used}
	s.generation++
	return view
}

// texts keeps byte strings of any length in chained blocks: no pointer, no fragmentation, at most 59 bytes of waste.
type texts struct{ blocks slab[textBlock] }

type textBlock struct {
	next uint32
	part [60]byte
}

// put stores b and gives its first block; 0 for an empty b.
func (t *texts) put(b []byte) uint32 {
	var first, last uint32
	for len(b) > 0 {
		slot, block := t.blocks.take()
		b = b[copy(block.part[:], b):]
		if last == 0 {
			first = slot
		} else {
			t.blocks.edit(last).next = slot
		}
		last = slot
	}
	return first
}

// appendTo appends the n bytes stored from block first on.
func (t *texts) appendTo(to []byte, first uint32, n int) []byte {
	for n > 0 {
		block := t.blocks.at(first)
		size := min(n, len(block.part))
		to = append(to, block.part[:size]...)
		n -= size
		first = block.next
	}
	return to
}

// drop takes the blocks of a stored string back.
func (t *texts) drop(first uint32) {
	for first != 0 {
		next := t.blocks.at(first).next
		t.blocks.drop(first)
		first = next
	}
}
