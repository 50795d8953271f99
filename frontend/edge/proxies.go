package edge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// ProxiesMax is how many addresses and networks of balancers can be named.
const ProxiesMax = 64

// Proxies are the balancers that are believed who their client is. Each of their connections begins with a header of the PROXY protocol,
// version 2 (HAProxy Technologies, "The PROXY protocol", 2.2), which names the client, and which TLS then passes through. Nobody else is
// believed, and an X-Forwarded-For is never read.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks, such as 10.0.0.7, 10.0.0.0/28 and fd00::/64.
func ParseProxies(all []string) (Proxies, error) {
	if len(all) > ProxiesMax {
		return nil, fmt.Errorf("edge: %d balancers are named; there may be %d, name their networks", len(all), ProxiesMax)
	}
	var p Proxies
	for _, text := range all {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(text); err == nil {
				prefix, err = addr.Prefix(addr.BitLen())
			}
		}
		if err != nil || strings.Contains(text, "%") {
			return nil, fmt.Errorf("edge: %.64q is no balancer's address; write one such as 10.0.0.7, or a network such as 10.0.0.0/28", text)
		}
		if prefix != prefix.Masked() {
			return nil, fmt.Errorf("edge: %s is an address within a network; write %s for the network, or %s for the address", prefix, prefix.Masked(), prefix.Addr())
		}
		if prefix.Bits() == 0 {
			return nil, fmt.Errorf("edge: %s is everybody: any client could name another as itself; name the balancers", prefix)
		}
		p = append(p, prefix)
	}
	return p, nil
}

func (p Proxies) has(a net.Addr) bool {
	if len(p) == 0 {
		return false
	}
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Trust says which balancers are believed. It is called before the first Accept.
func (l *Listener) Trust(p Proxies) { l.proxies = p }

// Unannounced is the number of connections from balancers that did not begin with a proper header. They are closed.
func (l *Listener) Unannounced() uint64 { return l.unannounced.Load() }

// announced gives a connection that has its client's address, if it comes from a balancer. The header is read with the first byte, by
// the server's worker: a balancer that says nothing holds up nobody else.
func (l *Listener) announced(c net.Conn) net.Conn {
	if !l.proxies.has(c.RemoteAddr()) {
		return c
	}
	return &announced{
		Conn: proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.ValidateHeader(versionTwo), proxyproto.SetReadHeaderTimeout(l.readTimeout)),
		l:    l, from: c.RemoteAddr(),
	}
}

var errVersionOne = errors.New("edge: the PROXY protocol's version 1 is not taken; use version 2")

func versionTwo(h *proxyproto.Header) error {
	if h.Version != 2 {
		return errVersionOne
	}
	return nil
}

// announced is a balancer's connection.
type announced struct {
	*proxyproto.Conn
	l    *Listener
	from net.Addr
	read bool // something was read; by the server's worker only
}

func (a *announced) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	if !a.read {
		a.read = true
		if err != nil && a.Conn.ProxyHeader() == nil {
			a.l.refuse(a.from, err)
		}
	}
	return n, err
}

// refuse counts a connection without a proper header, and says so once in a while: a balancer that sends none serves nobody.
func (l *Listener) refuse(from net.Addr, why error) {
	l.unannounced.Add(1)
	now := time.Now().UnixNano()
	if last := l.warned.Load(); now-last > int64(time.Minute) && l.warned.CompareAndSwap(last, now) {
		l.logger.Warn("edge: a balancer's connection does not begin with a header of the PROXY protocol, version 2, and is closed; send-proxy-v2 belongs into the balancer's configuration, or its address out of --proxy-from",
			"listener", l.Addr().String(), "balancer", from.String(), "error", why, "unannounced", l.unannounced.Load())
	}
}
