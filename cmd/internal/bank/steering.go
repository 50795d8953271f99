package bank

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/scaling"
	"netbank/cluster/scaling/traffic"
)

// How a leader tells balancers which workers there are.
const (
	// TrafficMax is how many balancers and programs are told.
	TrafficMax = 16
	// SteerLookEvery is the time between two looks whether something has changed.
	SteerLookEvery = 100 * time.Millisecond
	// SteerAgainEvery is how often they are told although nothing has changed: one may have been restarted, and know of none.
	SteerAgainEvery = 5 * time.Second
	// SteerPatience is how long a worker may be without its stream before balancers are told that it has gone, and how long a new leader waits for
	// those that were there before it. Whether a worker answers is seen by balancers themselves, and sooner.
	SteerPatience = 3 * time.Second
	// SteerTimeout bounds each telling.
	SteerTimeout = 5 * time.Second
)

// parseTraffic reads --traffic.
func parseTraffic(all []string) ([]scaling.Traffic, error) {
	if len(all) > TrafficMax {
		return nil, usage("--traffic names %d balancers; there may be %d", len(all), TrafficMax)
	}
	var out []scaling.Traffic
	for _, text := range all {
		kind, what, _ := strings.Cut(text, "=")
		var (
			t   scaling.Traffic
			err error
		)
		switch kind {
		case "haproxy":
			t, err = traffic.ParseHAProxy(what)
		case "hook":
			t, err = scaling.ParseHook(what)
		default:
			return nil, usage("--traffic is %.200q; write haproxy=unix:/run/haproxy/admin.sock, or hook=/usr/local/bin/steer", text)
		}
		if err != nil {
			return nil, usage("--traffic: %w", err)
		}
		out = append(out, t)
	}
	return out, nil
}

// routes remembers which workers there are, as long as this node leads.
type routes struct {
	since time.Time // this node has been leading
	seen  map[journal.NodeID]seenRoute
}

type seenRoute struct {
	route scaling.Route
	at    time.Time // it was last heard of
}

// look takes what the followers tell. ready is false while a leader that is new waits for the workers that were there before it.
func (r *routes) look(now time.Time, told map[journal.NodeID]about, up func(journal.NodeID) bool, worker func(journal.NodeID) bool) (all []scaling.Route, ready bool) {
	if r.since.IsZero() {
		r.since, r.seen = now, make(map[journal.NodeID]seenRoute)
	}
	for node, a := range told {
		if !worker(node) {
			continue
		}
		if up(node) {
			r.seen[node] = seenRoute{routeOf(node, &a), now}
		}
	}
	for node, s := range r.seen {
		if now.Sub(s.at) > SteerPatience || !worker(node) {
			delete(r.seen, node)
			continue
		}
		all = append(all, s.route)
	}
	slices.SortFunc(all, func(a, b scaling.Route) int { return cmp.Compare(a.Node, b.Node) })
	return all, now.Sub(r.since) > SteerPatience
}

// routeOf is where balancers reach a worker. One that is not ready gets no new connections: told of for the first time it may not serve
// yet, and later it is being drained.
func routeOf(node journal.NodeID, a *about) scaling.Route {
	route := scaling.Route{Node: node, Customer: a.Customers, Partner: a.Partners, Draining: !a.Ready}
	if u, err := url.Parse(a.Operator); err == nil {
		// Of a name the balancer's own configuration knows better.
		if addr, err := netip.ParseAddrPort(u.Host); err == nil && !addr.Addr().IsUnspecified() {
			route.Operator = u.Host
		}
	}
	return route
}

// steer tells balancers which workers there are, as long as this node leads, until ctx is done.
func (p *peers) steer(ctx context.Context, all []scaling.Traffic) {
	ticker := time.NewTicker(SteerLookEvery)
	defer ticker.Stop()
	var (
		known     routes
		told      []scaling.Route
		at        time.Time
		complaint string
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		n := p.node.Load()
		if !n.Leading() {
			known, told, at = routes{}, nil, time.Time{}
			continue
		}
		m := n.Membership()
		up := make(map[journal.NodeID]bool)
		for _, f := range n.Followers() {
			up[f.Node] = f.Up
		}
		next, ready := known.look(time.Now(), p.followers(), func(node journal.NodeID) bool { return up[node] }, func(node journal.NodeID) bool {
			of := m.Node(node)
			return of != nil && of.Member() && of.Role == journal.RoleWorker
		})
		if !ready || slices.Equal(next, told) && time.Since(at) < SteerAgainEvery {
			continue
		}
		var errs []error
		for _, t := range all {
			limited, cancel := context.WithTimeout(ctx, SteerTimeout)
			errs = append(errs, t.Steer(limited, next))
			cancel()
		}
		told, at = next, time.Now()
		err := errors.Join(errs...)
		switch {
		case err == nil:
			if complaint != "" {
				p.logger.Info("balancers know again which workers there are", "workers", len(next))
			}
			complaint = ""
		case err.Error() != complaint:
			complaint = err.Error()
			p.logger.Warn("a balancer cannot be told which workers there are; trying again", "workers", len(next), "error", err)
		}
	}
}
