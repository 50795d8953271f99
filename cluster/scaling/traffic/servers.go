package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// server is a line of `show servers state`.
type server struct {
	name  string
	addr  netip.AddrPort // not valid: not an address, such as a unix socket
	check netip.AddrPort // not valid: as addr
	admin uint64
}

// Bits of srv_admin_state (HAProxy's include/haproxy/server-t.h).
const (
	adminMaint = 0x01 | 0x02 | 0x20 // forced, inherited, or because its name does not resolve
	adminDrain = 0x08 | 0x10        // forced or inherited
)

// columns are those that are read, of the header line.
var columns = [...]string{"be_name", "srv_name", "srv_addr", "srv_admin_state", "srv_port", "srv_check_port", "srv_check_addr"}

var errServers = errors.New("its answer is no list of servers, as version 1 of the format has it")

// parseServers reads the answer of `show servers state BACKEND`. Columns are found by their names; those that are not known are passed over.
func parseServers(text, backend string) ([]server, error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) < 2 || lines[0] != "1" || !strings.HasPrefix(lines[1], "# ") {
		return nil, fmt.Errorf("%w: %.100q", errServers, strings.TrimSpace(text))
	}
	var at [len(columns)]int
	header := strings.Fields(lines[1])[1:]
	for i, name := range columns {
		at[i] = -1
		for j, given := range header {
			if given == name {
				at[i] = j
			}
		}
		if at[i] < 0 {
			return nil, fmt.Errorf("%w: it has no column %s", errServers, name)
		}
	}
	var all []server
	for _, line := range lines[2:] {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < len(header) {
			return nil, fmt.Errorf("%w: a line has %d fields, of %d", errServers, len(fields), len(header))
		}
		column := func(i int) string { return fields[at[i]] }
		if column(0) != backend {
			continue
		}
		admin, err := strconv.ParseUint(column(3), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: srv_admin_state is %.20q", errServers, column(3))
		}
		s := server{name: column(1), addr: joined(column(2), column(4)), check: joined(column(6), column(5)), admin: admin}
		if !s.check.IsValid() && column(5) != "0" { // a port alone is asked for at the server's own address
			s.check = joined(column(2), column(5))
		}
		all = append(all, s)
	}
	return all, nil
}

func joined(addr, port string) netip.AddrPort {
	a, err := netip.ParseAddr(addr)
	p, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || p == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p))
}

// slot reports whether a server is one that may be given to a worker.
func (s *server) slot() bool {
	number, ok := strings.CutPrefix(s.name, SlotPrefix)
	_, err := strconv.ParseUint(number, 10, 16)
	return ok && err == nil
}

// plan says which commands make the slots what is wanted. None: they are. A worker keeps the slot that it has, so that its connections and
// its slow start go on; one that is not wanted any more gets no new connections, and those that it has go on.
func plan(backend string, have []server, want []wanted) ([]string, error) {
	var orders []string
	order := func(s *server, format string, args ...any) {
		orders = append(orders, "set server "+backend+"/"+s.name+" "+fmt.Sprintf(format, args...))
	}
	var free []*server
	held := make(map[netip.AddrPort]*server)
	for i := range have {
		s := &have[i]
		switch {
		case !s.slot():
		case s.admin&adminMaint != 0:
			free = append(free, s)
		case held[s.addr] != nil || !s.addr.IsValid():
			order(s, "state maint")
		default:
			held[s.addr] = s
		}
	}
	slots := len(free) + len(held)
	var come []wanted
	for _, w := range want {
		s := held[w.addr]
		if s == nil {
			if !w.draining {
				come = append(come, w)
			}
			continue
		}
		delete(held, w.addr)
		if w.check.IsValid() && w.check != s.check {
			order(s, "check-addr %s port %d", w.check.Addr(), w.check.Port())
		}
		if drains := s.admin&adminDrain != 0; drains != w.draining {
			state := "ready"
			if w.draining {
				state = "drain"
			}
			order(s, "state %s", state)
		}
	}
	for i := range have { // in their order, not the map's
		if s := &have[i]; held[s.addr] == s {
			order(s, "state maint")
			free = append(free, s) // last: connections that it has are easier to tell apart as long as it is nobody else's
		}
	}
	for i, w := range come {
		if i == len(free) {
			return orders, fmt.Errorf("%w: backend %s has %d slots, all of them taken, and %d workers have come for whom there is none; raise the number of its server-template", ErrHAProxy, backend, slots, len(come)-i)
		}
		s := free[i]
		order(s, "addr %s port %d", w.addr.Addr(), w.addr.Port())
		if w.check.IsValid() {
			order(s, "check-addr %s port %d", w.check.Addr(), w.check.Port())
		}
		order(s, "state ready")
	}
	return orders, nil
}
