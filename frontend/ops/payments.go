package ops

import (
	"bufio"
	"encoding/json"
	"net/http"

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
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(patiently(w), 64<<10)
	lines := json.NewEncoder(out)
	p.Bank.Payments(func(q journal.Payment) bool {
		return lines.Encode(&Payment{
			ID: q.ID.String(), Partner: uint32(q.Partner), State: q.State.String(), Status: q.State.Code(), Reason: q.Reason.String(),
			Version: q.Version, Minor: q.Amount.Minor, Currency: q.Amount.Currency, Created: int64(q.Created),
			Granted: int64(q.Granted), Changed: int64(q.Changed), RRN: q.Wire.RRN, STAN: q.Wire.STAN, ResponseCode: q.ResponseCode,
		}) == nil
	})
	_ = out.Flush()
}
