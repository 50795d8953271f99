// Command peers puts the limiters of others before the core of bench/sim, in virtual time: the same customers, the same core, the same
// weather, and the same clairvoyant to be measured by.
//
//	go run .                    every scenario with one seed, in about an hour of two cores: prints the table and writes docs/peers.md
//	go run . --seeds 10         with ten seeds
//	go run . --tune             finds the best of each limiter's settings on tuning seeds, and writes tuned.json
//	go run . live --limiter L   one of them in a proxy before a real bank: netbank-lab bench overload --front
//	go test -bench . .          accept and release, contended
//
// It is a module of its own, so that what is compared with never becomes part of what the product is built from.
//
// # Arrangements
//
// A limiter stands before the core in up to three ways: bare, where it is asked once for each call and its no is told to the customer; with
// its own queue, where it has one; and behind our queue, where our gate keeps its classes, deadlines and feasibility test, and only the
// number of seats comes from the limiter. The last needs a limiter that can be asked for that number.
//
// What is inside stays inside: a seat ends with the core's answer, not with the asker's patience, for every limiter alike. That is kinder to most of
// them than how they are commonly used.
//
// # Virtual time
//
// Each limiter reads the clock of package time. It is therefore run inside a bubble of testing/synctest, whose clock stands still until every
// goroutine in it waits; the simulation sleeps from event to event. The bubble asks for a *testing.T, which is why the command runs as
// the one test of a test binary. Sentinel keeps its state in package variables and takes a clock of ours; its runs follow one another.
//
// Where a limiter asks for the use of the processor, it is told zero: the machines before an overloaded core are idle.
//
// # Before a real bank
//
// live is a reverse proxy with one limiter, as an operator would put it before a bank that has none. It asks for a seat for each confirmation, which
// is what reaches the core, and holds it until the bank has answered.
package main
