package scaling

import (
	"context"

	"netbank/cluster/journal"
)

// Route is where balancers reach a worker.
type Route struct {
	Node     journal.NodeID
	Customer string // host:port of its door for customers
	Partner  string // of its door for partners
	Draining bool   // it is to get no new connections
}

// Traffic brings customers to workers: a balancer that can be told, a hook, or nothing where the balancer finds them by itself.
type Traffic interface {
	// Steer says which workers there are. It is called with all of them, whenever something has changed and now and then; told again it
	// changes nothing. It returns by the context's end.
	Steer(context.Context, []Route) error
}
