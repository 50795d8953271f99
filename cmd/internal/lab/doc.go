// Package lab is what netbank-lab adds to the bank for trying it: a certificate authority of its own, customers to sign in as, a
// phone that shows their one-time codes, a shop that is a real partner, and the supervisor that runs them together on one machine.
// Nothing of it is linked into the product.
package lab
