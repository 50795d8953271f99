// Package edge is what every public listener of netbank shares: the settings of a fasthttp server that strangers may
// talk to, a listener that survives a shortage of file descriptors, the request reference that stands on every page and
// log line, recovery from panics, shedding, and metrics by route template.
//
//	Listen ──> Server ──> (recover, shed) ──> router ──> Metrics.Route ──> handler
//	  │           │                                          │
//	  │           └── Fail writes every answer that no handler gave: 400, 408, 413, 431, 500, 503
//	  ├── accepts again after EMFILE; closes what is beyond Limits.Connections
//	  ├── Trust: balancers that are named say who their client is (PROXY protocol, version 2)
//	  └── Drain: clients are sent away without failing one of them; Serve ends with it
//
// It knows no payment, no partner and no customer. It never puts a request's bytes into a header, a log or a metric.
package edge
