package ops

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"netbank/cluster"
	"netbank/cluster/journal"
)

// Payment is one line of GET /api/v1/payments: what the audit compares with the core's ledger. It holds no account number.
type Payment struct {
	ID           string `json:"paymentId"`
	Partner      uint32 `json:"partner"`
	State        string `json:"state"`
	Status       string `json:"transactionStatus"`
	Reason       string `json:"reason,omitempty"`
	Version      uint32 `json:"version"`
	Minor        int64  `json:"minor"`
	Currency     string `json:"currency"`
	Created      int64  `json:"createdMs"`
	Granted      int64  `json:"grantedMs,omitempty"`
	Changed      int64  `json:"changedMs"`
	RRN          string `json:"rrn,omitempty"`
	STAN         uint32 `json:"stan,omitempty"`
	ResponseCode string `json:"responseCode,omitempty"`
}

// payments streams the journal, line by line: neither the node nor its memory waits for a slow reader.
func (p *port) payments(w http.ResponseWriter, _ *http.Request) {
	out := bufio.NewWriterSize(patiently(w), 64<<10)
	lines := json.NewEncoder(out)
	w.Header().Set("Content-Type", "application/x-ndjson")
	err := p.Bank.Payments(func(q journal.Payment) bool {
		return lines.Encode(&Payment{
			ID: q.ID.String(), Partner: uint32(q.Partner), State: q.State.String(), Status: q.State.Code(), Reason: q.Reason.String(),
			Version: q.Version, Minor: q.Amount.Minor, Currency: q.Amount.Currency, Created: int64(q.Created),
			Granted: int64(q.Granted), Changed: int64(q.Changed), RRN: q.Wire.RRN, STAN: q.Wire.STAN, ResponseCode: q.ResponseCode,
		}) == nil
	})
	if errors.Is(err, cluster.ErrWorker) {
		fail(w, p.noJournal("the payments"))
		return
	}
	_ = out.Flush()
}

// noJournal is the answer of a worker to what only a coordinator has, and says where to ask.
func (p *port) noJournal(what string) problem {
	t := problem{Status: http.StatusNotFound, Code: "no-journal", Detail: "this node is a worker, which keeps no journal", Remedy: fmt.Sprintf("ask a coordinator for %s; `netbank cluster status` lists them", what)}
	if p.Cluster == nil {
		return t
	}
	leader, operator := p.Cluster.Leader()
	if t.Leader, t.Operator = uint32(leader), operator; operator != "" {
		t.Remedy = fmt.Sprintf("ask a coordinator for %s, such as node %d: --operator %s", what, leader, operator)
	}
	return t
}
