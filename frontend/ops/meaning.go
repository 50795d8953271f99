package ops

import "netbank/cluster/journal"

// meanings say to who works at the bank what a code is about and where to look. What the customer is told are the pages' sentences. A code is a
// reason of the gate, a payment's reason or state, or the name of a page.
var meanings = map[string]string{
	// The gate refused: nothing reached the core.
	"queue-full": "More was waiting for the core than it could answer in time. Nothing reached the core. Many of these: look at the console's first page.",
	"too-late":   "The core could not have answered in time. Nothing reached the core.",
	"quota":      "The platform has used up its quota. Nothing reached the core.",
	"stalled":    "The core had stopped answering, so nothing more was sent to it.",
	"breaker":    "The core could not be reached, so nothing was sent to it.",
	"plan":       "An operator's plan kept this work out. Nothing reached the core.",
	"no-leader":  "No leader could record anything at that moment. Nothing was sent; the page says whether an earlier try may count.",
	"busy":       "More sign-ins were waiting than passwords can be checked. No attempt was counted.",
	"address":    "Very many wrong sign-ins came from the customer's network, a carrier's perhaps. No attempt was counted; the customer's usual device is let in.",
	"rate":       "The link, or the customer's pages, were opened far more often than a person does. Nothing was looked at.",
	// How a payment came to stand where it does.
	"declined":              "The core declined it; its response code says why. Nothing was charged.",
	"not-sent":              "It was granted, and the node that was to send it did not. Nothing was charged.",
	"expired":               "Nobody confirmed it in time. Nothing was charged.",
	"cancelled-by-partner":  "The platform cancelled it before it was confirmed. Nothing was charged.",
	"cancelled-by-customer": "It was cancelled on the bank's page before it was confirmed; who holds the link can do so without signing in. Nothing was charged.",
	"reversed":              "The core's answer to the debit was lost, and the debit was reversed. Nothing remains charged.",
	"no-answer":             "The core has not answered the debit in time. It is asked again until it does. Whether it was charged is not known.",
	"core-uncertain":        "The core answered that it does not know. It is asked again until it does. Whether it was charged is not known.",
	"core-unavailable":      "The core answered that it was not available and did nothing. Nothing was charged.",
	"none":                  "There is no such payment.",
	"received":              "Nobody has confirmed it. Nothing was charged.",
	"authorised":            "The customer has confirmed it, and the core has not answered yet: seconds, as a rule.",
	"settled":               "The core has debited it once.",
	"rejected":              "It was not made. Nothing was charged.",
	"cancelled":             "It was cancelled before it was confirmed. Nothing was charged.",
	"in-doubt":              "Whether the core has debited it is not known yet. It is asked until it says.",
	"reversing":             "The core does not know the debit, and is told to undo it in case it still comes.",
	// Pages.
	"locked":      "Too many wrong attempts in a row. It opens by itself after 15 minutes, or by 'netbank customers unlock'.",
	"forbidden":   "A form came from another site's page, or without the session's token. Nothing was done.",
	"stale":       "A form came from a page of an earlier sign-in. Nothing was done.",
	"not-found":   "The address is none of this bank's, or the payment is gone: finished ones are kept for four days.",
	"not-yours":   "None of the customer's own payments has that number.",
	"other":       "Another customer has confirmed this payment.",
	"no-account":  "None of the customer's accounts is in the payment's currency, or it is not the one that the platform asked for.",
	"unsent":      "A confirmation was offered and has not been recorded. It can be confirmed again: it is charged once at most.",
	"unseen":      "The node could not ask any coordinator for the payment.",
	"unavailable": "The bank could take no payments at that moment.",
	"error":       "A defect: the node's log has the reference.",
}

// meaning gives a code's meaning, or nothing.
func (e *Explained) meaning() string {
	if text := meanings[e.Code]; text != "" || e.State == "" {
		return text
	}
	return meanings[e.State]
}

// charged says in three words what everybody asks first (invariant UnknownIsNotFailed).
func (e *Explained) charged() string {
	switch e.State {
	case "":
		return ""
	case journal.StateSettled.String():
		return "charged once"
	case journal.StateAuthorised.String(), journal.StateInDoubt.String(), journal.StateReversing.String():
		return "not yet known"
	}
	return "not charged"
}
