package ops

import (
	"fmt"
	"net/http"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

// ResetRequest is the body of POST /api/v1/customers/{name}/reset-factors.
type ResetRequest struct {
	Reason string `json:"reason"`
}

// resetFactors takes all passkeys of a customer away, for who has lost a device: whoever asks for it by telephone has been recognised before.
func (p *port) resetFactors(w http.ResponseWriter, r *http.Request) {
	var in ResetRequest
	if !body(w, r, &in) {
		return
	}
	dry, err := dryRun(r)
	if err == nil {
		err = checkReason(in.Reason)
	}
	if err != nil {
		failWith(w, err)
		return
	}
	customer, ok := p.customerOf(w, r)
	if !ok {
		return
	}
	done := &Change{Verb: journal.VerbReset, DryRun: dry, Effect: []string{
		fmt.Sprintf("Customer %d has %d passkeys; all are removed. A code that was sent is good no more, the session ends, and locks are opened.", customer.ID, len(customer.Passkeys)),
		"The customer's password, authenticator and telephone number stay as they were imported: import the customer anew to change them.",
	}}
	if !dry {
		cmd := &journal.Command{Body: &command.Command_ResetFactors{ResetFactors: &command.ResetFactors{Customer: uint64(customer.ID), Reason: in.Reason, Operator: caller(r)}}}
		result, err := p.Bank.Submit(cmd, time.Now().Add(5*time.Second))
		if err == nil && result.Verdict != journal.Done && result.Verdict != journal.Repeated {
			err = fmt.Errorf("the journal did not take it: %s", result.Verdict)
		}
		if err != nil {
			p.audit(r, done.Verb, "failed", "customer", customer.ID, "reason", in.Reason, "error", err)
			fail(w, problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: err.Error(), Remedy: "do it again; done twice, it is as if done once"})
			return
		}
	}
	outcome := map[bool]string{true: "dry-run", false: "done"}[dry]
	p.audit(r, done.Verb, outcome, "customer", customer.ID, "reason", in.Reason)
	answer(w, http.StatusOK, done)
}

// customerOf looks up the customer that a path names, or says that there is none.
func (p *port) customerOf(w http.ResponseWriter, r *http.Request) (journal.Customer, bool) {
	customer, ok, err := p.Bank.Customer(r.PathValue("name"))
	switch {
	case err != nil:
		fail(w, problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: err.Error(), Remedy: "try again, or ask another node"})
		return customer, false
	case !ok:
		fail(w, problem{Status: http.StatusNotFound, Code: "not-found", Detail: "no customer of that name", Remedy: "names are compared letter by letter"})
	}
	return customer, ok
}
