package journal

import (
	"errors"
	"io"
)

// ErrVersion says that an entry or a snapshot was written by a newer program.
var ErrVersion = errors.New("journal: written by a newer version of netbank; run that version or a later one on this node")

// Machine is the replicated state machine.
type Machine struct{ now Millis }

// New gives an empty journal.
func New(store Store, limits Limits) *Machine { return &Machine{} }

// Apply applies one Raft entry.
func (m *Machine) Apply(entryTerm uint64, b *Batch, results []Result, changes []Change) ([]Result, []Change, error) {
	return results, changes, nil
}

// Err tells whether the Store has failed; then the process must end and rebuild its state.
func (m *Machine) Err() error { return nil }

// Live is a copy of the live set.
type Live struct{}

func (m *Machine) Live() *Live                                         { return &Live{} }
func (l *Live) WriteTo(w io.Writer) (int64, error)                   { return 0, nil }
func (m *Machine) ReadFrom(r io.Reader) (int64, error)                 { return 0, nil }
func (m *Machine) Digest() [32]byte                                    { return [32]byte{} }
func (m *Machine) StoreDigest() ([32]byte, error)                      { return [32]byte{}, nil }
func (m *Machine) Now() Millis                                         { return m.now }
func (m *Machine) Payment(id PaymentID) (Payment, bool)                { return Payment{}, false }
func (m *Machine) Customer(username string) (Customer, bool)           { return Customer{}, false }
func (m *Machine) CustomerByID(id CustomerID) (Customer, bool)         { return Customer{}, false }
func (m *Machine) Access(id CustomerID) (Access, bool)                 { return Access{}, false }
func (m *Machine) Partner(id PartnerID) (Partner, bool)                { return Partner{}, false }
func (m *Machine) PartnerByFingerprint(sum [32]byte) (Partner, bool)   { return Partner{}, false }
func (m *Machine) Partners() []Partner                                 { return nil }
func (m *Machine) Keys() []Key                                         { return nil }
func (m *Machine) Notices(p PartnerID, after uint64, max int) []Notice { return nil }
func (m *Machine) Expired(now Millis, max int) []PaymentID             { return nil }
func (m *Machine) Unresolved(f func(Open) bool)                        {}
func (m *Machine) Counts() Counts                                      { return Counts{} }
func (m *Machine) Contradictions(max int) []Contradiction              { return nil }
func (m *Machine) Payments(f func(Payment) bool)                       {}
