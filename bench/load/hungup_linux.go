package load

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// hungUp tells whether an idle connection can be used no more: the server has closed it, or has sent what nobody asked for.
func hungUp(c net.Conn) bool {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	var look error
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, look = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err != nil || !errors.Is(look, syscall.EAGAIN) && !errors.Is(look, syscall.EINTR)
}
