// Package flow is a client of a bank's real doors: the partner API with a certificate, the customer pages as a browser without
// JavaScript and with a password manager uses them, and the receiver of webhooks. Load, audits and system tests are built of it.
//
//	Partner ──> POST /v1/payments/…  ──> link ──> Customer: sign in, confirm, code ──> Told
//	   └──────> status, cancel                                    Receiver <── webhooks, verified
//
// It knows the bank only by what stands in demo.json, in the partner API's document and in the pages themselves: forms are
// found by their autocomplete tokens, outcomes by the link that leads back to the merchant. So it works against any bank of that kind, and
// it imports nothing of the bank. Every answer that is not a success is an error that says what is certain: a Problem whose Refused
// is true promises that nothing was done, and any other failure of a call leaves that open.
package flow
