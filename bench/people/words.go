package people

import "netbank/bench/audit"

// Words are what clients were told, kept for the audit. Each client writes to its own list.
type Words [][]audit.Told

// NewWords makes empty lists.
func NewWords(clients int) Words { return make(Words, clients) }

// Add keeps what was told to a client of that Index.
func (w Words) Add(client int, t audit.Told) { w[client] = append(w[client], t) }

// All gives what was told to all of them.
func (w Words) All() []audit.Told {
	var all []audit.Told
	for _, mine := range w {
		all = append(all, mine...)
	}
	return all
}
