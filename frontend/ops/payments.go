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

// payments streams the journal. Lines are copied out under the node's lock in one go and written afterwards, so that a slow
// reader holds up nobody.
func (p *port) payments(w http.ResponseWriter, _ *http.Request) {
	var all []Payment
	p.Bank.Payments(func(q journal.Payment) bool {
		all = append(all, Payment{
			ID: q.ID.String(), Partner: uint32(q.Partner), State: q.State.String(), Status: q.State.Code(), Reason: q.Reason.String(),
			Version: q.Version, Minor: q.Amount.Minor, Currency: q.Amount.Currency, Created: int64(q.Created),
			Granted: int64(q.Granted), Changed: int64(q.Changed), RRN: q.Wire.RRN, STAN: q.Wire.STAN, ResponseCode: q.ResponseCode,
		})
		return true
	})
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	for i := range all {
		if lines.Encode(&all[i]) != nil {
			return
		}
	}
	_ = out.Flush()
}
