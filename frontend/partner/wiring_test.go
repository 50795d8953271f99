package partner

import (
	"netbank/cluster"
	"netbank/frontend/partner/webhook"
	"netbank/session"
)

// What cmd wires together fits.
var (
	_ Bank           = (*cluster.Node)(nil)
	_ Links          = (*session.KeyRing)(nil)
	_ Keys           = (*webhook.Key)(nil)
	_ webhook.Outbox = (*cluster.Node)(nil)
)
