package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"netbank/cluster/scaling"
)

// Bounds of the talk with a balancer.
const (
	// AnswerBytesMax is how much of an answer is read. A thousand servers are 150 KiB.
	AnswerBytesMax = 1 << 20
	// CommandTimeout bounds one command and its answer.
	CommandTimeout = 2 * time.Second
	// RoutesMax is how many workers a balancer is told of.
	RoutesMax = scaling.WorkersMax
)

// HAProxy steers a HAProxy (2.4 or later) by its runtime API. Its configuration has, in the backend of each door, a
// `server-template worker N …` whose servers are disabled: they are the slots. Servers of other names are left alone.
type HAProxy struct {
	Network string // unix or tcp
	Address string // of its stats socket, which must have the level admin
	// Customers and Partners are the names of the backends of the two doors; empty: that door is not behind this HAProxy.
	Customers, Partners string
}

// The backends and slots of deploy/haproxy.
const (
	CustomerBackend = "customers"
	PartnerBackend  = "partners"
	SlotPrefix      = "worker"
)

var _ scaling.Traffic = (*HAProxy)(nil)

// ErrHAProxy says that HAProxy does not do what it is told.
var ErrHAProxy = errors.New("traffic: HAProxy")

// ParseHAProxy reads unix:/run/haproxy/admin.sock or tcp:127.0.0.1:9999. The runtime API knows no password, so that it is
// reached on loopback or by a unix socket only.
func ParseHAProxy(text string) (*HAProxy, error) {
	h := &HAProxy{Customers: CustomerBackend, Partners: PartnerBackend}
	h.Network, h.Address, _ = strings.Cut(text, ":")
	switch h.Network {
	case "unix":
		if strings.HasPrefix(h.Address, "/") && len(h.Address) <= 100 {
			return h, nil
		}
	case "tcp":
		if a, err := netip.ParseAddrPort(h.Address); err == nil {
			if !a.Addr().IsLoopback() {
				return nil, fmt.Errorf("%w's runtime API at %s: it has no password, and is used on loopback only; name its unix socket, or forward its port over SSH", ErrHAProxy, h.Address)
			}
			return h, nil
		}
	}
	return nil, fmt.Errorf("%w's runtime API at %.100q: write unix:/run/haproxy/admin.sock or tcp:127.0.0.1:9999", ErrHAProxy, text)
}

// Steer implements scaling.Traffic.
func (h *HAProxy) Steer(ctx context.Context, routes []scaling.Route) error {
	if len(routes) > RoutesMax {
		return fmt.Errorf("%w: %d workers; there may be %d", ErrHAProxy, len(routes), RoutesMax)
	}
	var errs []error
	for _, door := range []struct {
		backend string
		addr    func(*scaling.Route) string
	}{
		{h.Customers, func(r *scaling.Route) string { return r.Customer }},
		{h.Partners, func(r *scaling.Route) string { return r.Partner }},
	} {
		if door.backend == "" {
			continue
		}
		// One worker that cannot be told of does not keep the others away.
		wanted, err := wantedOf(routes, door.addr)
		errs = append(errs, err, h.steer(ctx, door.backend, wanted))
	}
	return errors.Join(errs...)
}

// wanted is a worker as one door's backend is to have it.
type wanted struct {
	addr     netip.AddrPort
	check    netip.AddrPort // where its readiness is asked for; not valid: as the configuration has it
	draining bool
}

// wantedOf reads the addresses. They become words of commands, so that nothing but an address with a port may be one.
func wantedOf(routes []scaling.Route, door func(*scaling.Route) string) (all []wanted, err error) {
	var errs []error
	for i := range routes {
		r := &routes[i]
		text := door(r)
		if text == "" {
			continue // it has no such door
		}
		addr, err := addrPort(text)
		w := wanted{addr: addr, draining: r.Draining}
		if err == nil && r.Operator != "" {
			w.check, err = addrPort(r.Operator)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: node %d: %w", ErrHAProxy, r.Node, err))
			continue
		}
		all = append(all, w)
	}
	return all, errors.Join(errs...)
}

func addrPort(text string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("its door is at %.100q; a balancer needs an IP address and a port, such as 10.0.0.7:8080", text)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

// steer makes the slots of one backend what is wanted, and looks whether they are. What HAProxy answers to a command is meant for people, and differs between
// versions; what counts is how its servers stand afterwards.
func (h *HAProxy) steer(ctx context.Context, backend string, want []wanted) error {
	have, err := h.servers(ctx, backend)
	if err != nil {
		return err
	}
	orders, err := plan(backend, have, want)
	if err != nil || len(orders) == 0 {
		return err
	}
	var said []string
	for _, order := range orders {
		answer, err := h.command(ctx, order)
		if err != nil {
			return err
		}
		if answer = strings.TrimSpace(answer); answer != "" {
			said = append(said, answer)
		}
	}
	if have, err = h.servers(ctx, backend); err != nil {
		return err
	}
	if left, err := plan(backend, have, want); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("%w at %s has not done what it was told: %d commands for backend %s are left, the first of them %q; it said %.300q. Is the socket's level admin?", ErrHAProxy, h.Address, len(left), backend, first(left), strings.Join(said, "; ")))
	}
	return nil
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// servers asks how a backend's servers stand.
func (h *HAProxy) servers(ctx context.Context, backend string) ([]server, error) {
	text, err := h.command(ctx, "show servers state "+backend)
	if err != nil {
		return nil, err
	}
	all, err := parseServers(text, backend)
	if err != nil {
		return nil, fmt.Errorf("%w at %s, asked for the servers of backend %s: %w", ErrHAProxy, h.Address, backend, err)
	}
	return all, nil
}

// command says one line and gives the answer.
func (h *HAProxy) command(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, h.Network, h.Address)
	if err != nil {
		return "", fmt.Errorf("%w's runtime API cannot be reached: %w; is it running, has it `stats socket %s level admin`, and may this user write to it?", ErrHAProxy, err, h.Address)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", fmt.Errorf("%w at %s: %w", ErrHAProxy, h.Address, err)
	}
	text, err := io.ReadAll(io.LimitReader(c, AnswerBytesMax+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%w at %s: %w", ErrHAProxy, h.Address, err)
	case len(text) > AnswerBytesMax:
		return "", fmt.Errorf("%w at %s answers with more than %d bytes", ErrHAProxy, h.Address, AnswerBytesMax)
	}
	return string(text), nil
}
