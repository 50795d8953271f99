package scaling

import (
	"context"

	"netbank/cluster/journal"
)

// Route is where balancers reach a worker.
type Route struct {
	Node     journal.NodeID `json:"node"`
	Customer string         `json:"customer"` // host:port of its door for customers; empty: it has none
	Partner  string         `json:"partner"`  // of its door for partners
	Operator string         `json:"operator"` // of its operator's port, where its readiness is asked for; empty: as the balancer's configuration has it
	Draining bool           `json:"draining"` // it is to get no new connections
}

// Traffic brings customers to workers: a balancer that can be told, a hook, or nothing where the balancer finds them by itself.
type Traffic interface {
	// Steer says which workers there are. It is called with all of them, whenever something has changed and now and then; told again it
	// changes nothing. It returns by the context's end.
	Steer(context.Context, []Route) error
}
