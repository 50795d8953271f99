// Package traffic brings customers and partners to workers that have come, and away from those that go.
//
// A balancer finds workers in one of four ways, of which two have to be told:
//
//	HAProxy      its runtime API is told which server slots are whose               HAProxy, here
//	a hook       an operator's program is handed the list, for any other balancer   scaling.Hook
//	DNS          the balancer looks the workers up (HAProxy: server-template … resolvers); whoever starts them keeps the names
//	Kubernetes   a Service follows the readiness of its pods
//
// Whoever is told is told everything, again and again (scaling.Traffic): a leader that dies in the middle, a balancer that is restarted and a command that is
// lost leave nothing behind that the next call does not put right. Whether a worker is ready is for the balancer to ask: what is told here is
// only where to ask. So is how slowly it is to be given its share.
package traffic
