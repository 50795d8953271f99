package journal

import (
	"bytes"
	"crypto/sha256"
	"os"
	"slices"
	"strconv"
	"testing"

	"netbank/cluster/journal/command"

	"pgregory.net/rapid"
)

func tokenID(n int) []byte { return named("token", strconv.Itoa(n))[:8] }

func keyOf(n int) []byte {
	sum := sha256.Sum256([]byte("key " + strconv.Itoa(n)))
	return sum[:]
}

func putToken(n int, role command.Role, uses uint32, expires Millis) *command.PutToken {
	return &command.PutToken{Id: tokenID(n), Hash: keyOf(-n), Role: role, ExpiresMs: int64(expires), Uses: uses}
}

func enrol(token, key int) *command.Enrol {
	return &command.Enrol{Token: tokenID(token), Key: keyOf(key), Address: "10.0.0." + strconv.Itoa(key) + ":7000"}
}

func founder(n uint32) *command.PutNode {
	return &command.PutNode{Node: n, Role: command.Role_ROLE_COORDINATOR, Address: "10.1.0." + strconv.Itoa(int(n)) + ":7000"}
}

func authority(n uint32) *command.PutAuthority {
	return &command.PutAuthority{Id: n, Fingerprint: keyOf(int(n)), Sealed: []byte("sealed")}
}

// membershipBodies are commands of each kind that find room in an empty membership, in this order.
func membershipBodies(now Millis) []any {
	return []any{
		authority(1), authority(2), &command.IssueFrom{Id: 2}, &command.DropAuthority{Id: 1},
		founder(1), putToken(1, command.Role_ROLE_WORKER, 2, now+hour), enrol(1, 1), &command.RemoveNode{Node: 2}, founder(3),
	}
}

// member draws a command about the membership.
func (c *crowd) member() any {
	switch c.number(0, 7, "member") {
	case 0:
		return authority(uint32(c.number(0, 6, "authority")))
	case 1:
		return &command.IssueFrom{Id: uint32(c.number(1, 6, "authority"))}
	case 2:
		return &command.DropAuthority{Id: uint32(c.number(1, 6, "authority"))}
	case 3:
		return putToken(c.number(1, 4, "token"), command.Role(c.number(0, 2, "role")), uint32(c.number(0, 3, "uses")), c.now+Millis(c.number(-1, int(2*hour), "life")))
	case 4:
		n := founder(uint32(c.number(0, 9, "node")))
		n.Role = command.Role(c.number(1, 2, "role"))
		return n
	case 5:
		return &command.RemoveNode{Node: uint32(c.number(1, 12, "node"))}
	}
	return enrol(c.number(1, 4, "token"), c.number(1, 9, "key"))
}

// The invariants of the membership, over random logs of its own commands: a number names one node for ever, a key is one node, a token
// lets in no more than it is good for, and the last authority that issues stays.
func TestNumbersOfNodesAreNeverGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := smallLimits()
		m := New(NewMemoryStore(), l)
		c := &crowd{t: t, now: morning, term: 1, ids: 1, m: m}
		keys := map[NodeID][32]byte{}
		joined := map[TokenID]uint32{}
		highest := NodeID(0)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			c.now += Millis(c.number(0, int(minute), "wait"))
			c.count++
			cmd := wrap(named("command", strconv.Itoa(c.count)), c.member())
			if len(c.past) > 0 && c.number(0, 5, "repeat") == 0 {
				cmd = rapid.SampledFrom(c.past).Draw(t, "again")
			}
			c.past = append(c.past, cmd)
			was := m.Membership()
			results, _, err := m.Apply(1, &Batch{Version: Version, Term: 1, StampMs: int64(c.now), Commands: []*Command{cmd}}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			is := m.Membership()
			if is == was {
				continue
			}
			if results[0].Verdict != Done || is.Version != was.Version+1 {
				t.Fatalf("%v: from version %d to %d", results[0].Verdict, was.Version, is.Version)
			}
			for i := range is.Nodes {
				n := &is.Nodes[i]
				if was.Node(n.ID) == nil {
					if n.ID <= highest {
						t.Fatalf("number %d was given again; %d had been reached", n.ID, highest)
					}
					highest = n.ID
					keys[n.ID] = n.Key
					if n.Token != (TokenID{}) {
						joined[n.Token]++
					}
				}
				if keys[n.ID] != n.Key {
					t.Fatalf("number %d names another node", n.ID)
				}
			}
			for i := range was.Nodes {
				if n := is.Node(was.Nodes[i].ID); n != nil && n.Member() && !was.Nodes[i].Member() {
					t.Fatalf("node %d came back after it was removed", n.ID)
				} else if n == nil && was.Nodes[i].Member() {
					t.Fatalf("member %d was forgotten", was.Nodes[i].ID)
				}
			}
			for i := range is.Tokens {
				if k := &is.Tokens[i]; k.Used > k.Uses {
					t.Fatalf("a token for %d nodes let in %d", k.Uses, k.Used)
				}
			}
			if len(is.Authorities) > 0 && is.Authority(is.Issuer) == nil {
				t.Fatal("nobody issues")
			}
			if len(is.Nodes) > l.Nodes || len(is.Tokens) > l.Tokens || len(is.Authorities) > l.Authorities || is.NextNode <= highest {
				t.Fatalf("%d nodes, %d tokens, %d authorities, next is %d of %d", len(is.Nodes), len(is.Tokens), len(is.Authorities), is.NextNode, highest)
			}
		}
	})
}

func TestATokenLetsInWhatItIsGoodForAndTheSameKeyIsTheSameNode(t *testing.T) {
	b := newBank(t, DefaultLimits())
	for n := range uint32(3) {
		b.must(Done, founder(n+1))
	}
	b.must(NotFound, enrol(1, 1))
	b.must(Done, putToken(1, command.Role_ROLE_COORDINATOR, 1, b.now+hour))
	b.must(NotAllowed, putToken(1, command.Role_ROLE_WORKER, 5, b.now+hour))
	b.must(Done, enrol(1, 1))
	b.must(TokenUsed, enrol(1, 2))
	b.must(Done, enrol(1, 1)) // the answer was lost
	n := b.m.Membership().NodeByKey([32]byte(keyOf(1)))
	if n == nil || n.ID != 4 || n.Role != RoleCoordinator || n.Address != "10.0.0.1:7000" || !n.Member() {
		t.Fatalf("the node is %+v", n)
	}
	b.must(Done, putToken(2, command.Role_ROLE_WORKER, 2, b.now+hour))
	b.must(NotAllowed, enrol(2, 1)) // the key of another token's node
	b.must(Done, enrol(2, 3))
	b.now += hour
	b.must(TokenExpired, enrol(2, 4))
	b.must(Done, enrol(1, 1)) // the token's end does not change what it has done
	b.must(Done, &command.RemoveNode{Node: 4})
	gone := b.m.Membership()
	b.now += minute
	b.must(Done, &command.RemoveNode{Node: 4})
	if b.m.Membership() != gone {
		t.Error("removed twice, it is removed anew")
	}
	b.must(NotAllowed, enrol(1, 1))
	b.must(NotAllowed, founder(4))
	b.must(NotFound, &command.RemoveNode{Node: 6})
	if now := b.m.Membership(); now.NextNode != 6 || now.Node(4).Member() {
		t.Errorf("%+v", now)
	}
	moved := founder(2)
	moved.Address = "elsewhere.bank.example:7000"
	b.must(Done, moved)
	if got := b.m.Membership().Node(2).Address; got != moved.Address {
		t.Errorf("node 2 is at %q", got)
	}
	b.must(BadCommand, &command.PutNode{Node: 9, Role: command.Role_ROLE_COORDINATOR})
	b.must(BadCommand, &command.PutNode{Node: 9, Role: command.Role_ROLE_WORKER, Address: "a b:1"})
}

func TestARefusedEnrolmentIsRefusedWhenItComesAgain(t *testing.T) {
	b := newBank(t, DefaultLimits())
	late := wrap(named("command", "late"), enrol(1, 1))
	if r := b.apply(1, late); r.Verdict != NotFound {
		t.Fatal(r.Verdict)
	}
	b.must(Done, putToken(1, command.Role_ROLE_WORKER, 1, b.now+hour))
	if r := b.apply(1, late); r.Verdict != NotFound {
		t.Errorf("it took effect all the same: %v", r.Verdict)
	}
	first := wrap(named("command", "first"), enrol(1, 2))
	if r := b.apply(1, first); r.Verdict != Done {
		t.Fatal(r.Verdict)
	}
	if r := b.apply(1, first); r.Verdict != Repeated || b.m.Membership().NextNode != 2 {
		t.Errorf("%v, next is %d", r.Verdict, b.m.Membership().NextNode)
	}
}

func TestRemovedNodesMakeRoomAndMembersDoNot(t *testing.T) {
	l := DefaultLimits()
	l.Nodes, l.Coordinators, l.Tokens, l.TokenUses = 3, 2, 2, 10
	b := newBank(t, l)
	b.must(Done, founder(1))
	b.must(Done, founder(2))
	b.must(TooMany, founder(3)) // a third coordinator
	b.must(Done, putToken(1, command.Role_ROLE_WORKER, 10, b.now+hour))
	b.must(Done, enrol(1, 1))
	b.must(TooMany, enrol(1, 2))
	b.must(Done, &command.RemoveNode{Node: 3})
	b.must(Done, enrol(1, 3))
	now := b.m.Membership()
	if now.Node(3) != nil || now.Node(4) == nil || len(now.Nodes) != 3 {
		t.Errorf("%+v", now.Nodes)
	}
	b.must(Done, putToken(2, command.Role_ROLE_WORKER, 1, b.now+minute))
	b.must(TooMany, putToken(3, command.Role_ROLE_WORKER, 1, b.now+minute))
	b.now += minute
	b.must(Done, putToken(3, command.Role_ROLE_WORKER, 1, b.now+minute))
	b.must(BadCommand, putToken(4, command.Role_ROLE_WORKER, 11, b.now+minute))
	b.must(BadCommand, putToken(4, command.Role_ROLE_WORKER, 1, b.now))
	b.must(BadCommand, putToken(4, command.Role_ROLE_WORKER, 1, b.now+8*24*hour))
}

func TestAnAuthorityIsReplacedStepByStep(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, authority(1))
	b.must(NotAllowed, authority(1))
	b.must(NotAllowed, &command.DropAuthority{Id: 1})
	b.must(NotFound, &command.IssueFrom{Id: 2})
	b.must(Done, authority(2))
	b.must(TooMany, authority(3))
	if now := b.m.Membership(); now.Issuer != 1 || len(now.Authorities) != 2 {
		t.Fatalf("%+v", now)
	}
	b.must(Done, &command.IssueFrom{Id: 2})
	b.must(NotAllowed, &command.DropAuthority{Id: 2})
	b.must(Done, &command.DropAuthority{Id: 1})
	b.must(NotAllowed, authority(1))
	b.must(BadCommand, &command.PutAuthority{Id: 3, Fingerprint: keyOf(3)[:31], Sealed: []byte("sealed")})
	b.must(BadCommand, &command.PutAuthority{Id: 3, Fingerprint: keyOf(3)})
	if now := b.m.Membership(); now.Issuer != 2 || len(now.Authorities) != 1 || now.Authority(2) == nil {
		t.Errorf("%+v", now)
	}
}

// What a reader holds must not change under it.
func TestAMembershipNeverChanges(t *testing.T) {
	b := newBank(t, DefaultLimits())
	b.must(Done, founder(1))
	b.must(Done, putToken(1, command.Role_ROLE_WORKER, 2, b.now+hour))
	held := b.m.Membership()
	nodes, tokens := slices.Clone(held.Nodes), slices.Clone(held.Tokens)
	live := b.m.Live()
	b.must(Done, enrol(1, 1))
	b.must(Done, &command.RemoveNode{Node: 1})
	if !slices.Equal(held.Nodes, nodes) || !slices.Equal(held.Tokens, tokens) {
		t.Error("it was written to")
	}
	var snapshot bytes.Buffer
	if _, err := live.WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	again := New(b.store.Clone(), DefaultLimits())
	if _, err := again.ReadFrom(&snapshot); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Membership().Nodes, nodes) {
		t.Errorf("the snapshot has %+v", again.Membership().Nodes)
	}
}

// TestRecordedSnapshotsLoad holds every later program to the snapshots that earlier ones wrote: testdata/snapshot-v1.bin was taken by
// the program of 2026-11-23 in the middle of the recorded journal, whose second half must bring it to the recorded state.
func TestRecordedSnapshotsLoad(t *testing.T) {
	log := recorded(t, fixture)
	first := New(NewMemoryStore(), DefaultLimits())
	for _, e := range log[:len(log)/2] {
		e.apply(t, first)
	}
	old, err := os.ReadFile("testdata/snapshot-v1.bin")
	if err != nil {
		t.Fatal(err)
	}
	if now := snapshotOf(t, first); !bytes.Equal(now.Bytes(), old) {
		t.Error("a node without a membership writes another snapshot than before: earlier programs could not read it")
	}
	m := New(first.store, DefaultLimits())
	if _, err := m.ReadFrom(bytes.NewReader(old)); err != nil {
		t.Fatal(err)
	}
	for _, e := range log[len(log)/2:] {
		e.apply(t, m)
	}
	want, err := os.ReadFile(fixture + ".digest")
	if err != nil {
		t.Fatal(err)
	}
	if got := digestLines(t, m); got != string(want) {
		t.Errorf("the recorded snapshot and the log behind it give\n%swant\n%s", got, want)
	}
}
