package congestion

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The kinds of model.
const (
	PS      = "ps"
	Servers = "servers"
	Fixed   = "fixed"
)

// Bounds and defaults of a Model.
const (
	DefaultSigma = 0.02
	DefaultKappa = 0.00024
	ServersMax   = 65_536
	LatencyMax   = time.Minute
	CapacityMax  = 100.0
)

// Model is one model with its parameters. Those of other kinds are not looked at.
type Model struct {
	Kind    string        // PS, Servers or Fixed
	Sigma   float64       // PS: 0 to 1
	Kappa   float64       // PS: 0 to 1
	Servers int           // Servers: 1 to ServersMax
	Latency time.Duration // Fixed: 0 to LatencyMax
}

// DefaultModel is PS with the knee at 64 jobs.
func DefaultModel() Model { return Model{Kind: PS, Sigma: DefaultSigma, Kappa: DefaultKappa} }

// ParseModel reads "ps", "ps:SIGMA,KAPPA", "servers:K" or "fixed:LATENCY" ("fixed" alone is fixed:0s).
func ParseModel(s string) (Model, error) {
	kind, rest, given := strings.Cut(s, ":")
	m := Model{Kind: kind}
	var err error
	switch {
	case kind == PS && !given:
		m = DefaultModel()
	case kind == PS:
		sigma, kappa, _ := strings.Cut(rest, ",")
		if m.Sigma, err = strconv.ParseFloat(sigma, 64); err == nil {
			m.Kappa, err = strconv.ParseFloat(kappa, 64)
		}
	case kind == Servers:
		m.Servers, err = strconv.Atoi(rest)
	case kind == Fixed && given:
		m.Latency, err = time.ParseDuration(rest)
	}
	if err != nil {
		return Model{}, fmt.Errorf(`congestion: model %q: write "ps", "ps:0.02,0.00024", "servers:8" or "fixed:5ms"`, s)
	}
	return m, m.Validate()
}

// Validate names the first parameter that is out of range.
func (m Model) Validate() error {
	switch m.Kind {
	case PS:
		if !(m.Sigma >= 0 && m.Sigma <= 1) {
			return fmt.Errorf("congestion: sigma %v: 0 to 1 is allowed", m.Sigma)
		}
		if !(m.Kappa >= 0 && m.Kappa <= 1) {
			return fmt.Errorf("congestion: kappa %v: 0 to 1 is allowed", m.Kappa)
		}
	case Servers:
		if m.Servers < 1 || m.Servers > ServersMax {
			return fmt.Errorf("congestion: %d servers: 1 to %d are allowed", m.Servers, ServersMax)
		}
	case Fixed:
		if m.Latency < 0 || m.Latency > LatencyMax {
			return fmt.Errorf("congestion: a latency of %v: 0 to %v is allowed", m.Latency, LatencyMax)
		}
	default:
		return fmt.Errorf("congestion: model %q: %s, %s and %s are known", m.Kind, PS, Servers, Fixed)
	}
	return nil
}

// rate is how fast each of n jobs inside progresses: work per unit of time.
func (m Model) rate(n int) float64 {
	if m.Kind != PS || n < 1 {
		return 1
	}
	jobs := float64(n)
	return 1 / (1 + m.Sigma*(jobs-1) + m.Kappa*jobs*(jobs-1))
}

// slots is how many jobs progress at once.
func (m Model) slots() int {
	if m.Kind == Servers {
		return m.Servers
	}
	return math.MaxInt
}

// Throughput is the work that n jobs do together, in seconds of demand per second, at capacity factor 1. It is 0 for
// Fixed, whose jobs have no demand.
func (m Model) Throughput(n int) float64 {
	switch {
	case n < 1 || m.Kind == Fixed:
		return 0
	case m.Kind == Servers:
		return float64(min(n, m.Servers))
	}
	return float64(n) * m.rate(n)
}

// Knee is the number of jobs with the highest Throughput, and that throughput. It is 0 and +Inf when throughput grows
// without end.
func (m Model) Knee() (jobs int, work float64) {
	switch {
	case m.Kind == Servers:
		return m.Servers, float64(m.Servers)
	case m.Kind == Fixed || m.Kappa == 0 && m.Sigma == 0:
		return 0, math.Inf(1)
	case m.Sigma >= 1:
		return 1, 1
	case m.Kappa == 0:
		return 0, 1 / m.Sigma
	}
	below := max(1, int(math.Sqrt((1-m.Sigma)/m.Kappa)))
	if m.Throughput(below+1) > m.Throughput(below) {
		below++
	}
	return below, m.Throughput(below)
}
