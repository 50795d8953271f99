// Package coreadapter speaks to core banking systems. Its sub-packages are the wire of one kind of core each, and a
// simulated core host that is a real server on the real wire.
//
//	iso8583    the codec: field tables as data, one message in, one message out
//	corelink   the connector: connections, matching of answers, time-outs, late answers, reconnection
//	simulated  the simulated core host: a durable double-entry ledger behind a congestion model
//
// It imports nothing of netbank: who needs a core declares the small interface it needs, and cmd joins the two.
package coreadapter
