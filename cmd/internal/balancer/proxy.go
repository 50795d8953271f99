package balancer

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// proxySignature opens a header of the PROXY protocol, version 2 (HAProxy Technologies, "The PROXY protocol", 2.2).
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// Bytes of that header.
const (
	proxyVersionCommand = 0x21 // version 2, PROXY: the connection was made for somebody else
	proxyTCP4           = 0x11
	proxyTCP6           = 0x21
	proxyLocal          = 0x20 // version 2, LOCAL: no addresses follow
)

// proxyHeader tells who the client is and which address it reached. Addresses that are not of TCP are not told.
func proxyHeader(from, to net.Addr) []byte {
	header := append(make([]byte, 0, 52), proxySignature...)
	source, destination := addrPort(from), addrPort(to)
	if !source.IsValid() || !destination.IsValid() {
		return append(header, proxyLocal, 0, 0, 0)
	}
	if source.Addr().Is4() && destination.Addr().Is4() {
		header = append(header, proxyVersionCommand, proxyTCP4, 0, 12)
		a, b := source.Addr().As4(), destination.Addr().As4()
		header = append(append(header, a[:]...), b[:]...)
	} else {
		header = append(header, proxyVersionCommand, proxyTCP6, 0, 36)
		a, b := source.Addr().As16(), destination.Addr().As16()
		header = append(append(header, a[:]...), b[:]...)
	}
	header = binary.BigEndian.AppendUint16(header, source.Port())
	return binary.BigEndian.AppendUint16(header, destination.Port())
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
