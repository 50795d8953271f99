//go:build !linux

package peer

import (
	"net"
	"time"
)

// boundSilence does nothing here: keep-alive alone finds a dead peer, and later.
func boundSilence(net.Conn, time.Duration) {}
