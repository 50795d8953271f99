// Package people is who makes requests of a bank: customers with browsers, the shops and platforms that send them, and those
// who only ask.
//
// A Maker writes requests, each a function of the run's seed and a number; a Browser makes a customer's way through the pages
// with them; a Checkout is how far he got. What anyone was told goes into Words, which the audit holds the bank to.
//
// The package knows the bank by its doors only, and imports nothing of it.
package people
