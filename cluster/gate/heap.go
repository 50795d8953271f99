package gate

// heap is a binary heap over slots, smallest key first, that can also lose an entry in its middle.
// Equal keys are ordered by tie, so that the order never depends on history.
type heap struct {
	nodes []heapNode
	at    []int32 // by slot: its place in nodes; shared by heaps of which a slot is in one at most
}

type heapNode struct {
	key  int64
	tie  uint64
	slot int32
}

func (n heapNode) before(m heapNode) bool { return n.key < m.key || n.key == m.key && n.tie < m.tie }

func (h *heap) push(key int64, tie uint64, slot int32) {
	h.nodes = append(h.nodes, heapNode{key, tie, slot})
	h.up(len(h.nodes)-1, heapNode{key, tie, slot})
}

func (h *heap) remove(slot int32) {
	i := int(h.at[slot])
	last := len(h.nodes) - 1
	moved := h.nodes[last]
	h.nodes = h.nodes[:last]
	if i == last {
		return
	}
	if i > 0 && moved.before(h.nodes[(i-1)/2]) {
		h.up(i, moved)
	} else {
		h.down(i, moved)
	}
}

func (h *heap) up(i int, n heapNode) {
	for i > 0 {
		parent := (i - 1) / 2
		if !n.before(h.nodes[parent]) {
			break
		}
		h.set(i, h.nodes[parent])
		i = parent
	}
	h.set(i, n)
}

func (h *heap) down(i int, n heapNode) {
	for {
		child := 2*i + 1
		if child >= len(h.nodes) {
			break
		}
		if child+1 < len(h.nodes) && h.nodes[child+1].before(h.nodes[child]) {
			child++
		}
		if !h.nodes[child].before(n) {
			break
		}
		h.set(i, h.nodes[child])
		i = child
	}
	h.set(i, n)
}

func (h *heap) set(i int, n heapNode) {
	h.nodes[i] = n
	h.at[n.slot] = int32(i)
}
