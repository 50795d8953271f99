package webhook

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"netbank/cluster/journal"
	"netbank/frontend/money"
)

// Message is the body of a notification.
type Message struct {
	Type      string  `json:"type"`
	Timestamp string  `json:"timestamp"` // when the change was committed
	Data      Payment `json:"data"`
}

// Payment is what a notification says of a payment: as it stood right after the change, not as it stands when the message is read.
type Payment struct {
	PaymentID         string `json:"paymentId"`
	TransactionStatus string `json:"transactionStatus"`
	Reason            string `json:"reason,omitempty"`
	Version           uint32 `json:"version"`
	EndToEndID        string `json:"endToEndIdentification"`
	InstructedAmount  Amount `json:"instructedAmount"`
}

// Amount is an amount as a decimal string.
type Amount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

// typeOf names the event of a change to a state.
func typeOf(s journal.State) string {
	switch s {
	case journal.StateReceived:
		return "payment.received"
	case journal.StateAuthorised:
		return "payment.authorised"
	case journal.StateSettled:
		return "payment.settled"
	case journal.StateRejected:
		return "payment.rejected"
	case journal.StateCancelled:
		return "payment.cancelled"
	case journal.StateExpired:
		return "payment.expired"
	case journal.StateInDoubt:
		return "payment.in_doubt"
	case journal.StateReversing:
		return "payment.reversing"
	}
	return "payment.changed"
}

// messageID is the webhook-id: the same for every attempt, and for nothing else. It holds no point, which the signed content uses
// to set it apart.
func messageID(n journal.Notice) string {
	return n.Payment.String() + "-v" + strconv.FormatUint(uint64(n.Version), 10)
}

// Body writes the message of a notice. What changes comes from the notice; the payment gives what never does.
func Body(n journal.Notice, p journal.Payment) ([]byte, error) {
	b, err := json.Marshal(Message{
		Type:      typeOf(n.State),
		Timestamp: time.UnixMilli(int64(n.At)).UTC().Format("2006-01-02T15:04:05.000Z"),
		Data: Payment{
			PaymentID: n.Payment.String(), TransactionStatus: n.State.Code(), Reason: n.Reason.String(), Version: n.Version,
			EndToEndID:       p.EndToEndID,
			InstructedAmount: Amount{Currency: p.Amount.Currency, Amount: money.Format(p.Amount.Minor, p.Amount.Currency)},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("webhook: writing a message: %w", err)
	}
	return b, nil
}

// signedContent is what Standard Webhooks signs: id, time in seconds and body, with points between.
func signedContent(id string, at time.Time, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(body)+24)
	b = append(b, id...)
	b = append(b, '.')
	b = strconv.AppendInt(b, at.Unix(), 10)
	b = append(b, '.')
	return append(b, body...)
}
