package people

import (
	"fmt"
	"sync"
	"time"

	"netbank/bench/demo"
)

// seekMax is how many customers are looked at for one who is free, before a flow goes without.
const seekMax = 1000

// member is a customer of a job's roster.
type member struct {
	Person
	cookies cookies
	counter int64 // of the newest one-time code that the bank has taken from him
	busy    bool
	used    bool
}

// cookies are what a browser keeps for a bank.
type cookies struct{ session, device, pass string }

// roster is the customers that a process may use. Whose turn it is follows from a flow's number alone, so that one seed sends the
// same people with the same orders each time; only who is not free is passed over.
type roster struct {
	lock    sync.Mutex
	members []member
	used    int
	skipped int64
}

// newRoster deals a job's customers to its processes, and gives the share of this one.
func newRoster(d *demo.Demo, j *Job) (*roster, error) {
	if j.Customers.To > len(d.Customers) {
		return nil, fmt.Errorf("people: %s: customers up to %d of %d that were seeded; seed more", j.Name, j.Customers.To, len(d.Customers))
	}
	// All shares have the same number, so that the turn of a flow's number is never another process's.
	size := (j.Customers.To - j.Customers.From) / j.of()
	r := &roster{members: make([]member, size)}
	for i := range r.members {
		var err error
		if r.members[i].Person, err = personOf(&d.Customers[j.Customers.From+i*j.of()+j.Share]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// enter gives the customer whose turn it is, or the next who is free; nil if that is nobody. turn counts this process's flows.
func (r *roster) enter(turn int64, now time.Time) *member {
	counter := counterOf(now)
	r.lock.Lock()
	defer r.lock.Unlock()
	size := int64(len(r.members))
	for i := range min(size, seekMax) {
		m := &r.members[(turn+i)%size]
		if m.busy || m.counter >= counter {
			r.skipped++
			continue
		}
		if !m.used {
			m.used = true
			r.used++
		}
		m.busy = true
		return m
	}
	return nil
}

// leave lets others come as this customer. spent is the counter of the code that the bank may have taken from him; 0: none.
func (r *roster) leave(m *member, spent int64) {
	r.lock.Lock()
	m.busy, m.counter = false, max(m.counter, spent)
	r.lock.Unlock()
}
