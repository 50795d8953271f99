// Package gate decides who may enter the core, in which order, and who is told at once that it is not worth waiting.
//
// It is a pure state machine: events with a time go in (an offer, an answer, a tick), decisions come out (start, or
// refuse with a reason). It holds no goroutine, clock, socket or lock; the leader of the cluster owns the one gate
// that counts and calls it from one goroutine. The same events always bring the same decisions.
//
//	offer ──> feasible? ──> queue by class, share, deadline ──> seat ──> core
//	             │ no              │ too late                     ▲        │
//	             ▼                 ▼                              └────────┘ answer, in time or late,
//	          refuse            refuse                                       or the core limit
//
// # Seats
//
// A core banking system does the most work with some number of calls inside: fewer leave it idle, more make it trip over
// itself, and far more make it stop. The gate's limit is that number. A call takes a seat when it starts and gives it
// back when the core has answered, in time or late, or when the core limit has passed since its grant: never when its
// asker loses patience, since the work is inside all the same. A new leader occupies the seats that the journal shows.
//
// # Who is next
//
// When a seat is free and something waits, the seat is taken at once, by
//
//  1. a class that holds less than its guaranteed share, best class first; else
//  2. the best class that waits; in it
//  3. the best tier; in it
//  4. the partner whose turn it is, by deficit round robin over the partners' weights; of that partner
//  5. the call with the earliest deadline, and of equal ones the first that came.
//
// Shares are lent while their owners have no work. Resolve has two seats of its own beyond the limit.
//
// # Who is told no
//
// An overloaded queue that turns nobody away serves only people who have left. So an offer has to be feasible: its
// expected wait must be no more than a third of its budget, and together with a slow call no more than seven tenths. And who waits is refused as soon as even a typical
// call would come too late. Both look at how long calls take: a moving average per unit of weight, the running quantiles
// about it, and the ages of the calls inside, which grow before any answer shows that something is wrong.
//
// Estimates turn nobody away while no more than half of the seats are taken. A gate that has seen a slow spell would
// otherwise refuse everything, try nothing, and never learn that the core is well again.
//
// The wait that an offer is measured by is its own: what better classes and tiers have waiting, and what its class starts in
// the turns that its partner needs. So one partner's flood is refused, and another partner's debit is let in beside it.
//
// The queue is bounded. When it is full, better work takes the place of the latest deadline of the lowest class; a guaranteed
// share of the seats is one of the queue as well, and no partner can take all of it.
//
// Every refusal has a reason and says when to come again, by measured rates, and in a rush by how long it has lasted. It means that nothing reached the core.
// Two more reasons, quota and no-leader, are given elsewhere under the same type. Nodes that hold a copy of the gate's Levels
// refuse at their own door what the gate would refuse anyway.
//
// # When the core is silent
//
// With calls inside and no answer for as long as twenty should have taken (at least 250 ms), the core counts as stalled. Then
// at most four probes may be inside beside the calls that it swallowed, until one answer comes, late ones included. The
// limit itself stays: losing capacity does not move the knee.
//
// # Where the limit comes from
//
// It is configured; or, with Config.Seek, the gate finds it. It then stands a while at one arm below its point and a while at one above,
// compares how slow the core was for the calls begun there with how many were inside, and moves the point along the slope of the work done: up where more seats do more
// work, down where they do less or hardly more. What is compared are two measurements of the same core a second apart, so neither
// a slow network nor a slow core looks like an overloaded one. From a start that means nothing, along a slope that is steep, and when the
// core suddenly does much more or less than usual, it goes by strides. seek.go and stride.go have it, intake.go measures, and bench/sim plays it before cores of many shapes.
//
// # Reading on
//
// testdata holds scenarios that teach all this step by step, in the order of their numbers; they are run as tests. A waiting line
// would offer what it releases like everybody else.
//
// What the gate does not do: it does not measure time, retry, remember payments, or know what a call is about. It does not
// lower priorities of work that waits long: deadlines and guaranteed shares do that.
//
// # Sources
//
// Earliest deadline first: Liu and Layland, JACM 1973. Deficit round robin: Shreedhar and Varghese, SIGCOMM 1995. Room in
// the queue: Choudhury and Hahne, IEEE/ACM Transactions on Networking 1998.
// Moving average: Roberts, Technometrics 1959. Running quantiles: Robbins and Monro, Annals of Mathematical Statistics 1951. The
// feasibility test, the stall rule and all constants come from our own simulations, of which overload_test.go is a small one.
package gate
