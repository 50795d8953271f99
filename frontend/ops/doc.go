// Package ops is the operator's port: health, metrics, a first page that answers "are payments getting through?", and the
// verbs that change things.
//
// It is net/http on a port of its own, so that it answers when the doors for customers and partners are full. Reading health and
// metrics needs no token; everything else asks for the token of a file that only its owner may read. Without TLS it is to be
// bound to loopback; the caller sees to that.
//
//	GET  /livez, /readyz[?verbose]        for balancers and supervisors
//	GET  /metrics                         OpenMetrics
//	GET  /                                the status page
//	GET  /api/v1/status                   the same as JSON                              (token)
//	GET  /api/v1/payments                 every payment as NDJSON, for the audit        (token)
//	POST /api/v1/partners                 partners, one JSON object a line              (token)
//	POST /api/v1/customers                customers, one JSON object a line             (token)
//	POST /api/v1/customers/{name}/unlock  opens what too many attempts have locked      (token)
package ops
