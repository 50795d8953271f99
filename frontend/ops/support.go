package ops

import (
	"fmt"
	"net/http"
	"time"
)

// Explained is what a customer's reference stands for. It holds no account number.
type Explained struct {
	Reference    string              `json:"reference"`
	Code         string              `json:"code"`                // why it is as it is, in the one word that metrics, logs and pages have for it
	Shown        time.Time           `json:"shown,omitzero"`      // when a page with this reference was shown
	Told         map[string][]string `json:"told,omitempty"`      // by language: what that page said
	Payment      string              `json:"paymentId,omitempty"` // the payment's number
	Partner      uint32              `json:"partner,omitempty"`   // the payment platform's number
	Payee        string              `json:"payee,omitempty"`     //
	Amount       string              `json:"amount,omitempty"`    // with its currency
	State        string              `json:"state,omitempty"`     // of the payment now
	Status       string              `json:"transactionStatus,omitempty"`
	ResponseCode string              `json:"responseCode,omitempty"` // of the core's last word
	Created      time.Time           `json:"created,omitzero"`
	Granted      time.Time           `json:"granted,omitzero"` // when the customer confirmed it
	Changed      time.Time           `json:"changed,omitzero"`
	Expires      time.Time           `json:"expires,omitzero"` // of a payment that nobody has confirmed
	Tell         map[string][]string `json:"tell,omitempty"`   // by language: what the customer is to be told of the payment as it stands now
	Stale        bool                `json:"stale,omitempty"`  // as last seen: no leader confirms it
}

// Case is an explanation as it is answered.
type Case struct {
	Explained
	Meaning string `json:"meaning,omitempty"` // of the code, for who works at the bank
}

// referenceBytesMax bounds a reference that is asked for: a payment's number has 36 characters.
const referenceBytesMax = 64

// support explains a reference to who supports customers.
func (p *port) support(w http.ResponseWriter, r *http.Request) {
	e, wrong := p.explained(r, r.PathValue("reference"))
	if wrong != nil {
		fail(w, *wrong)
		return
	}
	answer(w, http.StatusOK, e)
}

// explained looks a reference up, and logs that somebody did.
func (p *port) explained(r *http.Request, reference string) (*Case, *problem) {
	if len(reference) > referenceBytesMax {
		return nil, &problem{
			Status: http.StatusBadRequest, Code: "invalid", Detail: fmt.Sprintf("a reference has at most %d characters", referenceBytesMax),
			Remedy: "give the payment's number, or the reference at the foot of the customer's page",
		}
	}
	e, ok, err := p.Why(reference)
	switch {
	case !ok && err != nil:
		return nil, &problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: err.Error(), Remedy: "try again, or ask another node"}
	case !ok:
		p.audit(r, "why", "unknown")
		return nil, &problem{
			Status: http.StatusNotFound, Code: "not-found", Detail: "this node knows no payment of that number and remembers no page with that reference",
			Remedy: "a page's reference is known for a while to the node that showed it, so ask the others too, or ask the customer for the payment's number",
		}
	}
	p.audit(r, "why", "done", "payment", e.Payment)
	return &Case{e, e.meaning()}, nil
}
