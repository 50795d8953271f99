// Package ops is the operator's port: health, metrics, pages that answer "are payments getting through?", and the verbs that change
// things.
//
// It is net/http on a port of its own with connections of its own, and asks nothing of a leader: it answers when the doors for customers
// and partners are full, while there is no leader, and while the node's disk hangs. Without TLS it is bound to loopback; elsewhere it
// speaks TLS 1.3 and answers only who shows a certificate of the operators' authority. Reading health, metrics and the pages asks for
// no more than that; a verb asks for the token of a file that only its owner may read, or, where there is no such file, for the
// certificate. Each verb is logged with who, what, why and the outcome, before it begins and when it has ended.
//
//	GET  /livez, /readyz[?verbose]            for balancers and supervisors
//	GET  /metrics                             OpenMetrics
//	GET  /, /cluster                          the pages
//	GET  /api/v1/status                       the first page as JSON                        (verb)
//	GET  /api/v1/cluster                      the nodes as JSON                             (verb)
//	POST /api/v1/cluster/tokens               a token that lets a node join                 (verb)
//	POST /api/v1/cluster/nodes/{node}/remove  takes a node out for good                     (verb)
//	POST /api/v1/cluster/nodes/{node}/promote gives a coordinator its vote                  (verb)
//	POST /api/v1/cluster/lead                 hands the leadership over                     (verb)
//	GET  /api/v1/support/{reference}          what a customer's reference stands for        (verb, support token)
//	GET  /api/v1/payments                     every payment as NDJSON, for the audit        (verb)
//	GET  /api/v1/backup                       a backup, for netbank backup                  (verb)
//	POST /api/v1/partners                     partners, one JSON object a line              (verb)
//	POST /api/v1/customers                    customers, one JSON object a line             (verb)
//	POST /api/v1/customers/{name}/unlock      opens what too many attempts have locked      (verb)
//	POST /api/v1/customers/{name}/reset-factors  takes a customer's passkeys away           (verb)
//
// A verb that changes something takes ?dryRun=1, and then says what it would do.
package ops
