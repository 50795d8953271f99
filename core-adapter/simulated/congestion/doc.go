// Package congestion models how a core banking system slows down under load. Station is a pure state machine in virtual
// time: arrivals go in with a time, completions come out at a time; it holds no goroutine, clock or lock, so that a
// simulation can run hours in seconds. Driver runs a Station in real time with one goroutine and a timer.
//
// Three models, all with one parameter c, the capacity factor (1 is the whole core, 0 a core that stands still):
//
//	ps       all n jobs inside progress together, each at c/(1+σ(n-1)+κn(n-1)); so n jobs do X(n) = n·c/(1+σ(n-1)+κn(n-1))
//	servers  k jobs progress at c each, the others wait, first come first served
//	fixed    every job takes the same time, whatever its demand, divided by c; 0 is allowed
//
// X(n) is the Universal Scalability Law (N. J. Gunther, "Guerrilla Capacity Planning", Springer 2007, ch. 4): σ is
// contention, the share of work that cannot run in parallel; κ is coherency, the cost of every pair inside. With κ > 0
// throughput has a peak, the knee, at n* = sqrt((1-σ)/κ), and falls beyond it: convoys. The default σ = 0.02 and
// κ = 0.00024 put the knee at 64 jobs, X(64) = 19.8, with 59 % of that left at 256 jobs and 19 % at 1,024.
// With σ = 1 and κ = 0 it is plain processor sharing.
//
// A job is work, not a caller: one whose caller has given up goes on to its end, as in a real core.
//
//	Arrive(now, demand) ──> [ inside: progress at one common rate ] ──> Complete(now)
//	                 └────> [ line: only in model servers         ]
//
// All jobs inside progress at one common rate, so a job that arrives with demand d when every job so far could have done
// v work completes when v+d is reached. Keeping the jobs in a heap by that mark makes each event cost O(log n), and
// changes of n or c cost nothing (the virtual-time argument of A. Parekh and R. Gallager, "A generalized processor
// sharing approach to flow control", IEEE/ACM Transactions on Networking 1(3), 1993).
package congestion
