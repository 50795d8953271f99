package replica

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"netbank/cluster/journal"
)

var sampleHello = hello{cluster: "test", node: 3, disk: "0123456789abcdef", state: stateFounding, founders: "fedcba9876543210"}

func TestAHelloIsReadAsItWasWritten(t *testing.T) {
	f := func(h hello) {
		t.Helper()
		got, err := parseHello(h.encode())
		if err != nil || got != h {
			t.Errorf("%+v became %+v: %v", h, got, err)
		}
	}
	f(sampleHello)
	f(hello{cluster: "a", node: 1, disk: "0123456789abcdef", state: stateMember, known: true})
	f(hello{cluster: "A-b_c.9", node: 4294967295, disk: "0000000000000000", state: stateJoining})
}

func FuzzHello(f *testing.F) {
	f.Add(sampleHello.encode())
	f.Add(hello{cluster: "a", node: 1, disk: "0123456789abcdef", state: stateMember, known: true}.encode())
	f.Add([]byte(helloMark))
	f.Add(append(expected("test", "0123456789abcdef"), "host-1:7000"...))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := parseHello(text)
		if err == nil && !bytes.Equal(h.encode(), text) {
			t.Fatalf("%q became %+v", text, h)
		}
		if misaddressed(text, "test", "0123456789abcdef", 1) == nil {
			t.Fatal("no error")
		}
	})
}

func FuzzVersionFile(f *testing.F) {
	for _, text := range []string{"netbank data 1 node 1\n", "netbank data 1 node 7\ncluster test disk 0123456789abcdef member\n", "netbank data 2 whatever\n", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		format, id, err := parseVersion(text)
		if err != nil || format != Format || id.cluster == "" {
			return
		}
		again, same, err := parseVersion(string(id.encode()))
		if err != nil || again != format || same != id {
			t.Fatalf("%q is %+v, written and read again %+v: %v", text, id, same, err)
		}
	})
}

// Whatever another node sends, Raft sees only what is addressed to this disk of this cluster.
func TestOnlyWhatIsAddressedToThisDiskReachesRaft(t *testing.T) {
	c := newTrio(t)
	c.same()
	leader := c.leader()
	victim := c.others(leader)[0]
	disk := findMember(leader.Members(), victim.cfg.Node).Disk
	last := victim.Stats().LastIndex
	term, _ := leader.Leadership()
	_, stranger := raft.NewInmemTransport("stranger")
	stranger.Connect(victim.at, victim.wire.InmemTransport)
	f := func(addr string, says string) {
		t.Helper()
		header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("node-9"), Addr: []byte(addr)}
		errs := []error{
			stranger.AppendEntries("", victim.at, &raft.AppendEntriesRequest{RPCHeader: header, Term: 1000}, &raft.AppendEntriesResponse{}),
			stranger.RequestVote("", victim.at, &raft.RequestVoteRequest{RPCHeader: header, Term: 1000}, &raft.RequestVoteResponse{}),
			stranger.RequestPreVote("", victim.at, &raft.RequestPreVoteRequest{RPCHeader: header, Term: 1000}, &raft.RequestPreVoteResponse{}),
			stranger.TimeoutNow("", victim.at, &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{}),
			stranger.InstallSnapshot("", victim.at, &raft.InstallSnapshotRequest{RPCHeader: header, Term: 1000}, &raft.InstallSnapshotResponse{}, strings.NewReader("x")),
		}
		for i, err := range errs {
			if err == nil || !containsText(err.Error(), says) {
				t.Errorf("%q, message %d: %v, want %q", addr, i, err, says)
			}
		}
	}
	f("", "not a greeting")
	f("host-1:7000", "not a greeting")
	f(helloMark, "not a greeting")
	f(toMark+"test\x00"+disk, "not a greeting")
	f(toMark+"test\x00"+disk+"\x00", "disk")
	f(toMark+"other\x00"+disk+"\x00host-1:7000", "for cluster")
	f(toMark+"test\x000123456789abcdef\x00host-1:7000", "new number")
	f(toMark+"test\x00\x00host-1:7000", "new number")
	f(strings.Repeat("x", 1<<16), "not a greeting")
	if now, leading := leader.Leadership(); !leading || now != term || victim.Stats().Term != term || victim.Stats().LastIndex < last {
		t.Errorf("a stranger changed term %d: leading %t in term %d, %+v", term, leading, now, victim.Stats())
	}
	c.acknowledge(1)
	c.same()
}

func TestAMembersAddressKeepsItsDiskApart(t *testing.T) {
	f := func(address, disk string) {
		t.Helper()
		plain, got := cutDisk(withDisk(address, disk))
		if string(plain) != address || got != disk {
			t.Errorf("%s and %s became %s and %s", address, disk, plain, got)
		}
	}
	f("[::1]:7000", "0123456789abcdef")
	f("node-3", "0123456789abcdef")
	if plain, disk := cutDisk("node-1"); plain != "node-1" || disk != "" {
		t.Error(plain, disk)
	}
	for id, want := range map[raft.ServerID]journal.NodeID{"node-1": 1, "node-4294967295": 4294967295, "node-0": 0, "node-01": 0, "node--1": 0, "1": 0, "": 0, "node-1x": 0} {
		if got, err := nodeOf(id); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is node %d, %v", id, got, err)
		}
	}
}
