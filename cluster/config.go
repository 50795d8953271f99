package cluster

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of Config.
const (
	CoreLimitDefault = 10 * time.Second
	SendByDefault    = 2 * time.Second
	BudgetMax        = 30 * time.Second
)

// Config is what a node is made of.
type Config struct {
	// Core is the core banking system; it is called for granted payments only.
	Core Core
	// CoreLimit is how long a call into the core may take, from the grant, before its seat is given away: 1 s to 60 s;
	// 0 means CoreLimitDefault. It must be the same on every node.
	CoreLimit time.Duration
	// SendBy is how long a "go" may be used: 100 ms to CoreLimit; 0 means SendByDefault.
	SendBy time.Duration
	// AcceptClock says that an operator has looked at the machine's clock and accepts it, although it is far from the
	// journal's last stamp.
	AcceptClock bool
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
	// Logger; nil means that nothing is logged.
	Logger *slog.Logger
}
