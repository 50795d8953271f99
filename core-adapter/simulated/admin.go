package simulated

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"

	"netbank/core-adapter/simulated/congestion"
	"netbank/core-adapter/simulated/ledger"
)

// Bounds of the admin port.
const (
	settingsBody = 64 << 10        // bytes of a model or of faults
	accountsBody = 1 << 30         // bytes of POST /accounts; ledger.AccountsMax lines fit
	adminTime    = 5 * time.Minute // to send a request
	adminCalls   = 64              // at once; more are answered 503
)

type modelJSON struct {
	Kind           string   `json:"kind"`
	Sigma          *float64 `json:"sigma,omitempty"`
	Kappa          *float64 `json:"kappa,omitempty"`
	Servers        int      `json:"servers,omitempty"`
	LatencyMillis  float64  `json:"latencyMillis"`
	DebitMillis    *float64 `json:"debitMillis,omitempty"`
	BalanceMillis  *float64 `json:"balanceMillis,omitempty"`
	InquiryMillis  *float64 `json:"inquiryMillis,omitempty"`
	ReversalMillis *float64 `json:"reversalMillis,omitempty"`
	CV             *float64 `json:"cv,omitempty"`
	Seed           *uint64  `json:"seed,omitempty"`
}

type faultsJSON struct {
	Capacity           *float64 `json:"capacity"`
	ExtraLatencyMillis float64  `json:"extraLatencyMillis"`
	DropRequests       float64  `json:"dropRequests"`
	DropAnswers        float64  `json:"dropAnswers"`
	DuplicateAnswers   float64  `json:"duplicateAnswers"`
	RefuseConnections  bool     `json:"refuseConnections"`
	Freeze             bool     `json:"freeze"`
	Decline            string   `json:"decline"`
}

type accountJSON struct {
	Number          string `json:"number"`
	Currency        string `json:"currency"`
	BalanceMinor    int64  `json:"balanceMinor"`
	DebitLimitMinor int64  `json:"debitLimitMinor,omitempty"`
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// duration turns milliseconds into a Duration; what is no time becomes -1 and is refused by Validate.
func duration(ms float64) time.Duration {
	if !(ms >= 0 && ms <= float64(math.MaxInt64/int64(time.Millisecond))/2) {
		return -1
	}
	return time.Duration(ms * float64(time.Millisecond))
}

func (m Model) json() modelJSON {
	debit, balance, inquiry, reversal := millis(m.Debit), millis(m.Balance), millis(m.Inquiry), millis(m.Reversal)
	j := modelJSON{
		Kind: m.Kind, LatencyMillis: millis(m.Latency), Servers: m.Servers, DebitMillis: &debit, BalanceMillis: &balance,
		InquiryMillis: &inquiry, ReversalMillis: &reversal, CV: &m.CV, Seed: &m.Seed,
	}
	if m.Kind == congestion.PS {
		j.Sigma, j.Kappa = &m.Sigma, &m.Kappa
	}
	return j
}

// model reads one; what was left out is as in DefaultModel.
func (j modelJSON) model() (Model, error) {
	m := DefaultModel()
	m.Kind, m.Servers, m.Latency = j.Kind, j.Servers, duration(j.LatencyMillis)
	take := func(to *float64, from *float64) {
		if from != nil {
			*to = *from
		}
	}
	take(&m.Sigma, j.Sigma)
	take(&m.Kappa, j.Kappa)
	take(&m.CV, j.CV)
	for _, demand := range []struct {
		to   *time.Duration
		from *float64
	}{{&m.Debit, j.DebitMillis}, {&m.Balance, j.BalanceMillis}, {&m.Inquiry, j.InquiryMillis}, {&m.Reversal, j.ReversalMillis}} {
		if demand.from != nil {
			*demand.to = duration(*demand.from)
		}
	}
	if j.Seed != nil {
		m.Seed = *j.Seed
	}
	return m, m.Validate()
}

func (f Faults) json() faultsJSON {
	return faultsJSON{
		Capacity: &f.Capacity, ExtraLatencyMillis: millis(f.ExtraLatency), DropRequests: f.DropRequests, DropAnswers: f.DropAnswers,
		DuplicateAnswers: f.DuplicateAnswers, RefuseConnections: f.RefuseConnections, Freeze: f.Freeze, Decline: f.Decline,
	}
}

// faults reads them; what was left out is as in Healthy.
func (j faultsJSON) faults() (Faults, error) {
	f := Healthy()
	if j.Capacity != nil {
		f.Capacity = *j.Capacity
	}
	f.ExtraLatency = duration(j.ExtraLatencyMillis)
	f.DropRequests, f.DropAnswers, f.DuplicateAnswers = j.DropRequests, j.DropAnswers, j.DuplicateAnswers
	f.RefuseConnections, f.Freeze, f.Decline = j.RefuseConnections, j.Freeze, j.Decline
	return f, f.Validate()
}

// AdminHandler serves the admin port. Its requests and answers stand in the package's documentation.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /model", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, s.Model().json()) })
	mux.HandleFunc("PUT /model", func(w http.ResponseWriter, r *http.Request) {
		var body modelJSON
		put(w, r, &body, func() error {
			m, err := body.model()
			if err != nil {
				return err
			}
			s.cfg.Logger.Info("core: model changed", "kind", m.Kind)
			return s.SetModel(m)
		}, func() any { return s.Model().json() })
	})
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, s.Faults().json()) })
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var body faultsJSON
		put(w, r, &body, func() error {
			f, err := body.faults()
			if err != nil {
				return err
			}
			s.cfg.Logger.Info("core: faults changed", "faults", fmt.Sprintf("%+v", f))
			return s.SetFaults(f)
		}, func() any { return s.Faults().json() })
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, s.status()) })
	mux.HandleFunc("GET /peak", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, s.peak()) })
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, r *http.Request) { answerJSON(w, s.sums()) })
	mux.HandleFunc("GET /ledger/references", s.references)
	mux.HandleFunc("POST /accounts", s.openAccounts)
	mux.HandleFunc("DELETE /connections", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, map[string]int{"closed": s.CloseConnections()})
	})
	return fromThisMachine(atMost(adminCalls, mux))
}

// fromThisMachine turns browsers away: a page of any site could otherwise make one send a request to the loopback, by a
// form or under a name of its own that resolves to it.
func fromThisMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "80")
		}
		if !loopback(host) || r.Header.Get("Origin") != "" {
			http.Error(w, "simulated: the admin port is for programs on this machine: call it as 127.0.0.1, without an Origin", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// atMost serves so many calls at once.
func atMost(calls int, next http.Handler) http.Handler {
	seats := make(chan struct{}, calls)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case seats <- struct{}{}:
			defer func() { <-seats }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, fmt.Sprintf("simulated: %d calls are under way at the admin port; ask again", calls), http.StatusServiceUnavailable)
		}
	})
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		status = http.StatusRequestEntityTooLarge
	} else if errors.Is(err, ledger.ErrClosed) || errors.Is(err, ledger.ErrBusy) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

// put reads one JSON value strictly, changes what it says, and answers with what is in force then.
func put(w http.ResponseWriter, r *http.Request, body any, change func() error, now func() any) {
	if err := decodeOne(http.MaxBytesReader(w, r.Body, settingsBody), body); err != nil {
		refuse(w, err)
		return
	}
	if err := change(); err != nil {
		refuse(w, err)
		return
	}
	answerJSON(w, now())
}

func decodeOne(from io.Reader, body any) error {
	in := json.NewDecoder(from)
	in.DisallowUnknownFields()
	if err := in.Decode(body); err != nil {
		return fmt.Errorf("simulated: the body is no such JSON object: %w", err)
	}
	if _, err := in.Token(); err != io.EOF {
		return errors.New("simulated: something follows the JSON object")
	}
	return nil
}

type statusJSON struct {
	Sync           bool   `json:"sync"` // answers wait for the disk; to be disclosed with figures
	Connections    int    `json:"connections"`
	InFlight       int64  `json:"inFlight"`       // requests inside, from reading to answering
	Progressing    int    `json:"progressing"`    // of them in the model
	InLine         int    `json:"inLine"`         // of them waiting for a server of the model
	Debits         uint64 `json:"debits"`         // requests since the start, repeats included
	Balances       uint64 `json:"balances"`       //
	Inquiries      uint64 `json:"inquiries"`      //
	Reversals      uint64 `json:"reversals"`      //
	Answered       uint64 `json:"answered"`       // answers handed to a connection
	Unsent         uint64 `json:"unsent"`         // answers whose connection was gone
	Dropped        uint64 `json:"dropped"`        // requests and answers lost by faults
	Doubled        uint64 `json:"doubled"`        // answers sent twice by faults
	Overflowed     uint64 `json:"overflowed"`     // answered 96 because too many were inside
	Accepted       uint64 `json:"accepted"`       // connections
	Refused        uint64 `json:"refused"`        // connections
	ClosedForCause uint64 `json:"closedForCause"` // connections: bad input, silence, a peer that does not read
}

func (s *Server) status() statusJSON {
	s.mu.Lock()
	connections := len(s.links)
	s.mu.Unlock()
	progressing, inLine := s.driver.Inside()
	c := &s.counts
	return statusJSON{
		Sync: s.cfg.Sync, Connections: connections, InFlight: s.inFlight.Load(), Progressing: progressing, InLine: inLine,
		Debits: c.debits.Load(), Balances: c.balances.Load(), Inquiries: c.inquiries.Load(), Reversals: c.reversals.Load(),
		Answered: c.answered.Load(), Unsent: c.unsent.Load(), Dropped: c.dropped.Load(), Doubled: c.doubled.Load(), Overflowed: c.overflowed.Load(),
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), ClosedForCause: c.closedForCause.Load(),
	}
}

type peakJSON struct {
	Unlimited        bool    `json:"unlimited"`        // the model has no peak; the rest is 0
	Knee             int     `json:"knee"`             // requests inside at the peak
	WorkPerSecond    float64 `json:"workPerSecond"`    // seconds of demand done per second
	DebitsPerSecond  float64 `json:"debitsPerSecond"`  // if all were debits; 0 if a debit is no work
	BalancePerSecond float64 `json:"balancePerSecond"` // if all were balances
	Capacity         float64 `json:"capacity"`         // factor in force, which is in the rates
}

// peak computes the throughput that the model can do, at the capacity in force.
func (s *Server) peak() peakJSON {
	model, capacity := s.Model(), s.Faults().Capacity
	knee, work := model.Knee()
	if math.IsInf(work, 1) {
		return peakJSON{Unlimited: true, Capacity: capacity}
	}
	work *= capacity
	perSecond := func(mean time.Duration) float64 {
		if mean == 0 {
			return 0
		}
		return work / mean.Seconds()
	}
	return peakJSON{Knee: knee, WorkPerSecond: work, DebitsPerSecond: perSecond(model.Debit), BalancePerSecond: perSecond(model.Balance), Capacity: capacity}
}

type sumsJSON struct {
	ledger.Sums
	Currencies map[string]ledger.CurrencySum `json:"currencies"`
	Balanced   bool                          `json:"balanced"` // all postings sum to zero, in every currency
}

func (s *Server) sums() sumsJSON {
	sums, balances := s.ledger.Sums()
	out := sumsJSON{Sums: sums, Currencies: map[string]ledger.CurrencySum{}, Balanced: true}
	for currency, sum := range balances {
		out.Currencies[currency.String()] = sum
		out.Balanced = out.Balanced && sum.Total == 0
	}
	return out
}

type referenceJSON struct {
	Reference    string `json:"reference"` // RRN, field 37
	PaymentID    string `json:"paymentId"`
	DebitedMinor int64  `json:"debitedMinor"` // 0 unless the money moved; not lessened by a reversal
	Currency     string `json:"currency"`
	Status       string `json:"status"` // debited, declined, reversed, voided
	Reversed     bool   `json:"reversed"`
	Debits       int    `json:"debits"` // debit postings: 0 or 1
	Code         string `json:"code"`   // first answer
}

func (s *Server) references(w http.ResponseWriter, r *http.Request) {
	only := r.URL.Query().Get("paymentId")
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	err := s.ledger.References(func(entries []ledger.Entry) error {
		for i := range entries {
			line := referenceLine(&entries[i])
			if only != "" && line.PaymentID != only {
				continue
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the reader must not take a part for the whole
	}
}

func referenceLine(e *ledger.Entry) referenceJSON {
	line := referenceJSON{
		Reference: string(e.Reference.RRN[:]), PaymentID: e.Reference.Payment.String(), Currency: e.Currency.String(),
		Status: e.Status.String(), Debits: int(e.Debits), Code: e.Code.String(),
		Reversed: e.Status == ledger.StatusReversed || e.Status == ledger.StatusVoided,
	}
	if e.Debits > 0 {
		line.DebitedMinor = e.Minor
	}
	return line
}

func (s *Server) openAccounts(w http.ResponseWriter, r *http.Request) {
	out, err := s.OpenAccounts(http.MaxBytesReader(w, r.Body, accountsBody))
	if err != nil {
		refuse(w, err)
		return
	}
	answerJSON(w, map[string]int{"opened": out.Opened, "existing": out.Existing, "refused": out.Refused})
}

// OpenAccounts opens accounts from NDJSON lines such as
//
//	{"number":"6222020000000000001","currency":"CNY","balanceMinor":10000000,"debitLimitMinor":5000000}
//
// and returns once they are durable. It stops at the first line that is no account; those before it stay open, and the
// same lines may be sent again.
func (s *Server) OpenAccounts(from io.Reader) (ledger.Outcome, error) {
	in := json.NewDecoder(bufio.NewReaderSize(from, 256<<10))
	in.DisallowUnknownFields()
	var sum ledger.Outcome
	batch := make([]ledger.Account, 0, ledger.OpenBatchMax)
	flush := func() error {
		out, err := s.ledger.OpenAccounts(batch)
		sum.Opened, sum.Existing, sum.Refused = sum.Opened+out.Opened, sum.Existing+out.Existing, sum.Refused+out.Refused
		batch = batch[:0]
		return err
	}
	for line := 1; ; line++ {
		var j accountJSON
		err := in.Decode(&j)
		if err == io.EOF {
			return sum, flush()
		}
		account, bad := j.account()
		if err = errors.Join(err, bad); err != nil {
			return sum, errors.Join(fmt.Errorf("simulated: account %d: %w", line, err), flush())
		}
		if batch = append(batch, account); len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return sum, err
			}
		}
	}
}

func (j *accountJSON) account() (ledger.Account, error) {
	number, err := ledger.ParseNumber(j.Number)
	if err != nil {
		return ledger.Account{}, err
	}
	currency, err := ledger.ParseCurrency(j.Currency)
	if err != nil {
		return ledger.Account{}, err
	}
	if j.BalanceMinor < 0 || j.BalanceMinor > ledger.MinorMax || j.DebitLimitMinor < 0 || j.DebitLimitMinor > ledger.MinorMax {
		return ledger.Account{}, fmt.Errorf("a balance of %d and a debit limit of %d minor units: 0 to %d are allowed", j.BalanceMinor, j.DebitLimitMinor, ledger.MinorMax)
	}
	return ledger.Account{Number: number, Currency: currency, Balance: j.BalanceMinor, Limit: j.DebitLimitMinor}, nil
}
