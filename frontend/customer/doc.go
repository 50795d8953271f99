// Package customer is what a bank's customer meets on the way from the shop and back: sign in, check and confirm, enter a
// one-time code, see the outcome, return to the merchant.
//
//	GET  /pay/{id}?s=…           the partner's link; leads to the step that is due
//	POST /pay/{id}/sign-in       user name and password
//	GET  /pay/{id}/confirm       reserved message, payee, amount, account
//	POST /pay/{id}/confirm
//	GET  /pay/{id}/code          one-time code, for exactly what was shown (a sealed consent)
//	POST /pay/{id}/code          the payment
//	GET  /pay/{id}/result        what became of it; follows by itself, leads back
//	GET  /pay/{id}/busy          refused: nothing was charged, and when to try again
//	GET  /pay/{id}/locked        too many wrong attempts, and until when
//	POST /pay/{id}/cancel
//	POST /pay/{id}/sign-out      and /sign-out, where there is no payment
//	GET  /pay/{id}/signed-out
//	GET  /pay/{id}/session       the session in force, and its end; /session, where there is no payment
//	GET  /payments[?before=…]    what the customer has confirmed, newest first, from the journal
//	GET  /payments/{payment}     one of them
//	GET  /sign-in                for who comes without a payment
//	POST /sign-in
//
// Every POST ends in a redirect to a page that may be reloaded. No page needs JavaScript. Every page, refusals included, bears a
// reference, and where there is a payment, the way back to the merchant. Only a request that did not come from our own page of this
// session is answered in place, with 403. The package holds no state of its own: what is true of a payment stands in the journal,
// what is true of a session in its sealed cookie and the journal.
package customer
