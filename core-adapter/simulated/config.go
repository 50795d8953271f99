package simulated

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"netbank/core-adapter/simulated/congestion"
	"netbank/core-adapter/simulated/ledger"
)

// Config is all that a simulated core host needs.
type Config struct {
	Addr      string      // where the ISO 8583 wire listens, such as 127.0.0.1:8583; loopback only without TLS
	AdminAddr string      // where the admin port listens; loopback only. Empty: no admin port
	Dir       string      // of the ledger; made if need be
	Model     Model       // the zero Model is DefaultModel
	Faults    Faults      // the zero Faults is Healthy
	Sync      bool        // answer only after the disk has the record; without it, disclose so with every figure
	TLS       *tls.Config // nil: plain TCP
	Limits    Limits      // zero fields take DefaultLimits
	Logger    *slog.Logger

	// Ready, if set, is called once both ports listen. admin is nil without an admin port.
	Ready func(wire, admin net.Addr)
}

// Limits bound a Server. Each has a default.
type Limits struct {
	Connections int           // open at once; more are closed at once (1,024)
	InFlight    int           // requests inside, all connections together; more are answered 96, in doubt (65,536)
	OutBytes    int           // answers not yet taken by a connection's peer; more close it (4 MiB)
	SignOn      time.Duration // from the connection to its sign-on, TLS handshake included (10 s)
	Silence     time.Duration // without any message, at the longest; half of it, at the shortest. Echoes are due every 30 s (90 s)
	Write       time.Duration // one write to a peer that does not read (10 s)
}

// DefaultLimits gives the defaults.
func DefaultLimits() Limits {
	return Limits{
		Connections: 1024, InFlight: ledger.QueueMax, OutBytes: 4 << 20,
		SignOn: 10 * time.Second, Silence: 90 * time.Second, Write: 10 * time.Second,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Connections > 0 {
		d.Connections = l.Connections
	}
	if l.InFlight > 0 {
		d.InFlight = min(l.InFlight, ledger.QueueMax)
	}
	if l.OutBytes > 0 {
		d.OutBytes = l.OutBytes
	}
	if l.SignOn > 0 {
		d.SignOn = l.SignOn
	}
	if l.Silence > 0 {
		d.Silence = l.Silence
	}
	if l.Write > 0 {
		d.Write = l.Write
	}
	return d
}

// Bounds of a Model and of Faults.
const (
	DemandMax       = time.Hour   // mean demand of an operation
	VariationMax    = 10.0        // coefficient of variation of the demands
	ExtraLatencyMax = time.Minute // delay of every answer
)

// Model is how the core slows down, and how much work each request is.
type Model struct {
	congestion.Model
	Debit    time.Duration // mean demand, 0 to DemandMax; not looked at by the model "fixed"
	Balance  time.Duration
	Inquiry  time.Duration
	Reversal time.Duration
	CV       float64 // coefficient of variation of the demands, 0 to VariationMax
	Seed     uint64  // of the demands and of the faults' dice
}

// DefaultModel is "ps" with the demands of the benchmarks. The wire does not tell a confirmed payment from an express
// debit, so a debit counts as the dearer of the two; a reversal undoes an express debit's work.
func DefaultModel() Model {
	return Model{
		Model: congestion.DefaultModel(),
		Debit: congestion.ConfirmMean, Balance: congestion.InquiryMean, Inquiry: congestion.InquiryMean, Reversal: congestion.ExpressMean,
		CV: 1, Seed: 1,
	}
}

// ParseModel reads what a command line gives, "ps", "ps:0.02,0.00024", "servers:8" or "fixed:5ms", with the default demands.
func ParseModel(s string) (Model, error) {
	m := DefaultModel()
	var err error
	m.Model, err = congestion.ParseModel(s)
	return m, err
}

// Validate names the first parameter that is out of range.
func (m Model) Validate() error {
	if err := m.Model.Validate(); err != nil {
		return err
	}
	for _, d := range []time.Duration{m.Debit, m.Balance, m.Inquiry, m.Reversal} {
		if d < 0 || d > DemandMax {
			return fmt.Errorf("simulated: a mean demand of %v: 0 to %v is allowed", d, DemandMax)
		}
	}
	if !(m.CV >= 0 && m.CV <= VariationMax) {
		return fmt.Errorf("simulated: coefficient of variation %v: 0 to %v is allowed", m.CV, VariationMax)
	}
	return nil
}

// Faults are what can go wrong with the core, changeable at run time. Sign-on and echo are spared all but Freeze.
type Faults struct {
	Capacity          float64       // factor of the model's capacity, 0 to congestion.CapacityMax; 1 is healthy
	ExtraLatency      time.Duration // every answer comes that much later, its work being done; 0 to ExtraLatencyMax
	DropRequests      float64       // probability that a request is lost before any work
	DropAnswers       float64       // probability that an answer is lost, its work being done
	DuplicateAnswers  float64       // probability that an answer is sent twice
	RefuseConnections bool          // new connections are reset; open ones stay
	Freeze            bool          // nothing is read, worked on or written; connections stay open
	Decline           string        // response code that debits not seen before get: 91 records nothing; 94 and 96 lie, the ledger decides; others are recorded as the first answer. Empty: off
}

// Healthy is a core without faults.
func Healthy() Faults { return Faults{Capacity: 1} }

// Validate names the first fault that is out of range.
func (f Faults) Validate() error {
	if err := congestion.ValidateCapacity(f.Capacity); err != nil {
		return err
	}
	if f.ExtraLatency < 0 || f.ExtraLatency > ExtraLatencyMax {
		return fmt.Errorf("simulated: an extra latency of %v: 0 to %v is allowed", f.ExtraLatency, ExtraLatencyMax)
	}
	for _, p := range []float64{f.DropRequests, f.DropAnswers, f.DuplicateAnswers} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("simulated: a probability of %v: 0 to 1 is allowed", p)
		}
	}
	if f.Decline == "" {
		return nil
	}
	code, err := ledger.ParseCode(f.Decline)
	if err == nil && code == ledger.CodeApproved {
		err = errors.New("simulated: 00 is an approval; name a code to decline with, such as 51")
	}
	return err
}

func (c *Config) complete() error {
	if c.Model == (Model{}) {
		c.Model = DefaultModel()
	}
	if c.Faults == (Faults{}) {
		c.Faults = Healthy()
	}
	c.Limits = c.Limits.orDefault()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dir == "" {
		return errors.New("simulated: the ledger's directory is missing")
	}
	if err := c.Model.Validate(); err != nil {
		return err
	}
	if err := c.Faults.Validate(); err != nil {
		return err
	}
	if c.TLS == nil && !loopback(c.Addr) {
		return fmt.Errorf("simulated: %q: without TLS the core listens on loopback only; use 127.0.0.1 or give it a certificate", c.Addr)
	}
	if c.AdminAddr != "" && !loopback(c.AdminAddr) {
		return fmt.Errorf("simulated: %q: the admin port listens on loopback only; use 127.0.0.1", c.AdminAddr)
	}
	return nil
}

// loopback reports whether an address names this machine only. A name other than localhost is not looked up.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
