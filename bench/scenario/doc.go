// Package scenario holds what netbank is measured by: each scenario drives a running bank through the doors that everyone
// uses, and leaves a report.Result.
//
// A scenario is given a Target: a bank, and a hello world, a server that answers every request with the same 200. Whatever
// the bank does is put beside what the hello world did with the same requests from the same client right before and right
// after, so that a slow minute of the machine, or a client that costs as much as the server, shows in both.
//
//	hello │ bank │ hello      share = bank / mean of both
//	──────┴──────┴──────> time
//
// What is counted as done is what the bank says is done, and the audit at the end holds every word of it against the
// journal and the core's ledger.
package scenario
