package peer

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestASilentMachineIsNoticedInTime(t *testing.T) {
	r := newRig(t)
	served := make(chan net.Conn, 1)
	cfg := r.config(1, Coordinator)
	cfg.Stream = func(p Peer, c net.Conn) {
		served <- c
		echo(p, c)
	}
	r.listen(1, cfg)
	dialled := r.dial(r.port(2, Worker), 1, ALPNStream)
	for side, c := range map[string]*Conn{"accepted": (<-served).(*Conn), "dialled": dialled} {
		raw := must(c.NetConn().(*net.TCPConn).SyscallConn())
		option := func(level, name, want int) {
			t.Helper()
			if err := raw.Control(func(fd uintptr) {
				if got, err := unix.GetsockoptInt(int(fd), level, name); err != nil || got != want {
					t.Errorf("%s: option %d is %d, %v; want %d", side, name, got, err, want)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(SilenceTimeout.Milliseconds()))
		option(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 5)
		option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5)
		option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
	}
}
