// Package scaling brings the number of workers to where operators wish it: in seconds, with no closed second.
//
// What is wished for stands in the journal (journal.Wishes), under a fence. The node that leads sees to it: its Reconciler asks a Provider
// how things stand and tells it the number that is wanted. Everything else is the provider's: it starts processes, calls an operator's
// command, or asks Kubernetes.
//
//	operator ──> wish (journal, fence) ──> leader's Reconciler ── Status ──> Provider ──> workers join, get warm, serve
//	                                              └───────────── Scale(n, fence)
//
// # Rules
//
//   - A provider is told a number of workers, never a difference. Told twice it has done it once, so a leader that dies in the middle leaves
//     nothing behind that the next one could not simply say again: the number asked, not more.
//   - Status comes before the first Scale of a leadership: what runs already is taken over.
//   - Nothing is done while nobody ever wished for anything. A bank that starts its workers by hand is left alone.
//   - The fence goes along with each order. Where a provider can keep it, an order with a lower one is refused: it comes from a leader that
//     has been deposed and has not noticed.
//   - A provider that fails is asked again, ever more rarely (BackoffMin to BackoffMax, with jitter), and its Fault says what to do.
//     Nobody is turned away because of it: the workers that are there go on.
//   - Fewer workers means: the provider ends some in order (SIGTERM, or what its platform has for it). How a worker leaves without a failed
//     request is the worker's own affair.
//
// Next, which decides what to do, is a pure function of what was seen; Reconciler is the goroutine around it.
package scaling
