package peer

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// boundSilence ends a connection whose sent bytes are not acknowledged for so long. Keep-alive probes do not run while
// something is on its way, and the kernel would go on repeating it for a quarter of an hour. Failure to set it costs only time.
func boundSilence(c net.Conn, silence time.Duration) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	})
}
