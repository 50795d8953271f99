package balancer

import (
	"encoding/json"
	"net/http"
	"time"
)

// Status is a picture of a balancer.
type Status struct {
	Leader   string          `json:"leader,omitempty"`
	Fronts   []FrontStatus   `json:"fronts"`
	Backends []BackendStatus `json:"backends"`
}

// FrontStatus is a picture of a front. What is counted is counted since the start.
type FrontStatus struct {
	Name      string `json:"name"`
	Addr      string `json:"addr"`
	Open      int64  `json:"open"` // connections now
	Limit     int    `json:"limit"`
	Accepted  uint64 `json:"accepted"`
	Refused   uint64 `json:"refused"`  // beyond the limit
	Unserved  uint64 `json:"unserved"` // no backend took them in time
	BytesUp   uint64 `json:"bytesUp"`
	BytesDown uint64 `json:"bytesDown"`
}

// BackendStatus is a picture of a backend.
type BackendStatus struct {
	Name    string    `json:"name"`
	State   State     `json:"state"`
	Since   time.Time `json:"since"`
	Why     string    `json:"why,omitempty"`
	Leaving bool      `json:"leaving,omitempty"` // no longer of the set; its last connections go on
	Open    int       `json:"open"`
	Taken   uint64    `json:"taken"`  // connections
	Missed  uint64    `json:"missed"` // connections that it refused or did not take in time
}

// Status takes a picture.
func (b *Balancer) Status() Status {
	var s Status
	for _, f := range b.fronts {
		s.Fronts = append(s.Fronts, FrontStatus{
			Name: f.Name, Addr: f.listener.Addr().String(), Open: f.open.Load(), Limit: b.config.ConnectionsMax, Accepted: f.accepted.Load(),
			Refused: f.refused.Load(), Unserved: f.unserved.Load(), BytesUp: f.bytesUp.Load(), BytesDown: f.bytesDown.Load(),
		})
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	s.Leader = b.leader
	for _, k := range b.backends {
		s.Backends = append(s.Backends, BackendStatus{
			Name: k.Name, State: k.state, Since: k.since.UTC(), Why: k.why, Leaving: k.leaving, Open: k.open, Taken: k.taken, Missed: k.missed,
		})
	}
	return s
}

// ServeHTTP gives the picture as JSON.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(b.Status())
}
