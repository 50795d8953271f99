package bank

import (
	"strings"
	"testing"
	"time"

	"netbank/cluster/journal"
	"netbank/cluster/scaling"
)

func TestRoutesOutliveALeaderAndAStreamForAWhile(t *testing.T) {
	var r routes
	now := time.Unix(1e9, 0)
	f := func(ready bool, want string, told map[journal.NodeID]about, gone ...journal.NodeID) {
		t.Helper()
		up := func(n journal.NodeID) bool { _, ok := told[n]; return ok && !contains(gone, n) }
		all, ok := r.look(now, told, up, func(n journal.NodeID) bool { return n > 3 })
		var got []string
		for _, route := range all {
			text := route.Customer + "," + route.Partner + "," + route.Operator
			if route.Draining {
				text += ",draining"
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != want || ok != ready {
			t.Errorf("%v %q, want %v %q", ok, text, ready, want)
		}
	}
	worker := func(host string, ready bool) about {
		return about{Ready: ready, Customers: host + ":8080", Partners: host + ":8443", Operator: "https://" + host + ":9090"}
	}
	// A coordinator is in the balancer's configuration; a new leader has not heard of all workers yet.
	f(false, "10.0.0.4:8080,10.0.0.4:8443,10.0.0.4:9090", map[journal.NodeID]about{1: worker("10.0.0.1", true), 4: worker("10.0.0.4", true)})
	now = now.Add(SteerPatience + 1)
	both := map[journal.NodeID]about{4: worker("10.0.0.4", true), 5: worker("10.0.0.5", false)}
	const first, second = "10.0.0.4:8080,10.0.0.4:8443,10.0.0.4:9090", "10.0.0.5:8080,10.0.0.5:8443,10.0.0.5:9090,draining"
	f(true, first+" "+second, both)
	now = now.Add(SteerPatience)
	f(true, first+" "+second, both, 4) // its stream has ended, which may be the leader's fault
	now = now.Add(1)
	f(true, second, both, 4)
	// A name is for people: balancers keep to their configuration.
	f(true, first+" "+"h:8080,h:8443,", map[journal.NodeID]about{4: worker("10.0.0.4", true), 5: worker("h", true)})
}

func contains(all []journal.NodeID, n journal.NodeID) bool {
	for _, one := range all {
		if one == n {
			return true
		}
	}
	return false
}

func TestParseTraffic(t *testing.T) {
	f := func(want string, all ...string) {
		t.Helper()
		got, err := parseTraffic(all)
		if err == nil && len(got) == len(all) && want == "" {
			return
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", all, err, want)
		}
	}
	f("")
	f("", "haproxy=unix:/run/haproxy/admin.sock", "haproxy=tcp:127.0.0.1:9999", "hook=/usr/local/bin/steer --now")
	f("on loopback only", "haproxy=tcp:10.0.0.1:9999")
	f("the hook is empty", "hook=")
	f("write haproxy=", "nginx=x")
	f("there may be 16", make([]string, TrafficMax+1)...)
	var _ []scaling.Traffic
}
