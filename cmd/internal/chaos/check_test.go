package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// op is an operation on the payment "k" between two moments.
func op(kind Kind, call, ret int64, status string, version uint32) Operation {
	o := Operation{Kind: kind, Key: "k", Call: call, Return: ret, Status: status, Version: version, Node: 1}
	if kind == Create {
		o.Payment = "p"
	}
	return o
}

func by(session int, o Operation) Operation {
	o.Session = session
	return o
}

func out(session int, call, ret int64) Operation {
	return Operation{Kind: SignOut, Session: session, Call: call, Return: ret, Node: 1}
}

func at(node, life int, o Operation) Operation {
	o.Node, o.Life = node, life
	return o
}

// judge checks a history, also with its operations in another order and among those of other payments.
func judge(t *testing.T, rules Rules, fine bool, all ...Operation) *Verdict {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	crowd := slices.Clone(all)
	for i := range 5 {
		for _, o := range []Operation{op(Create, 1, 2, received, 1), op(Confirm, 3, 4, Settled, 0), op(Read, 5, 6, settled, 3)} {
			o.Key, o.Payment = fmt.Sprintf("other-%d", i), fmt.Sprintf("other-%d", i)
			crowd = append(crowd, o)
		}
	}
	r.Shuffle(len(crowd), func(i, j int) { crowd[i], crowd[j] = crowd[j], crowd[i] })
	v := Check(crowd, rules)
	if v.OK() != fine || v.Payments != 6 || v.Count > 1 {
		t.Errorf("fine is %t, want %t:\n%s", v.OK(), fine, v)
	}
	return v
}

func TestTheOrdinaryLivesOfPaymentsAreFine(t *testing.T) {
	f := func(all ...Operation) {
		t.Helper()
		judge(t, Rules{}, true, all...)
		judge(t, Rules{Stale: true}, true, all...)
	}
	born := op(Create, 10, 20, received, 1)
	f(born)
	f(born, op(Confirm, 30, 40, Settled, 0), op(Read, 50, 60, settled, 3))
	f(born, op(Confirm, 30, 40, Rejected, 0), op(Read, 50, 60, rejected, 3))
	f(born, op(Read, 30, 40, rejected, 2)) // expired
	f(born, op(Cancel, 30, 40, cancelled, 0), op(Read, 50, 60, cancelled, 2), op(Confirm, 70, 80, Cancelled, 0))
	f(born, op(Confirm, 30, 90, Settled, 0), op(Read, 40, 50, received, 1), op(Read, 60, 70, authorised, 2), op(Read, 71, 72, inDoubt, 3), op(Read, 73, 74, inDoubt, 4), op(Read, 100, 110, settled, 5))
	// Nobody knows what became of a step: it may have been nothing, or it takes effect later.
	f(born, op(Confirm, 30, Never, "", 0), op(Read, 50, 60, received, 1), op(Read, 70, 80, settled, 3))
	f(born, op(Cancel, 30, Never, "", 0), op(Read, 50, 60, received, 1), op(Read, 70, 80, cancelled, 2))
	f(op(Create, 10, Never, "", 0), op(Create, 30, 40, received, 1))
	f(op(Create, 10, Never, "", 0), op(Confirm, 30, Never, "", 0), op(Read, 50, 60, NotFound, 0))
	// Refused, tried again, and paid; refused while another click pays.
	f(born, op(Confirm, 30, 40, Refused, 0), op(Read, 41, 42, received, 1), op(Confirm, 50, 60, Settled, 0))
	f(born, op(Confirm, 30, 40, Refused, 0), op(Confirm, 31, 60, Settled, 0))
	// The same key again gives the same payment.
	f(born, op(Confirm, 30, 40, Settled, 0), op(Create, 50, 60, settled, 3))
	// A session that ends meanwhile, or after.
	f(born, by(7, op(Confirm, 30, 60, Settled, 0)), out(7, 40, 50))
	f(born, by(7, op(Confirm, 30, 60, Refused, 0)), out(7, 20, 25))
	f(born, by(7, op(Confirm, 30, Never, "", 0)), out(7, 20, 25), op(Confirm, 40, 50, Settled, 0))
}

func TestHistoriesThatNoSoundBankCanMakeAreFound(t *testing.T) {
	f := func(all ...Operation) {
		t.Helper()
		v := judge(t, Rules{}, false, all...)
		judge(t, Rules{Stale: true}, false, all...)
		if len(v.Violations) != 1 || v.Violations[0].Key != "k" {
			t.Errorf("%s", v)
		}
	}
	born := op(Create, 10, 20, received, 1)
	t.Log("BoundConsent: money moved without a confirmation")
	f(born, op(Read, 30, 40, settled, 3))
	f(born, op(Read, 30, 40, authorised, 2))
	f(born, op(Read, 30, 40, settled, 3), op(Confirm, 50, 60, Settled, 0))
	t.Log("RefusedMeansNotCharged")
	f(born, op(Confirm, 30, 40, Refused, 0), op(Read, 50, 60, settled, 3))
	t.Log("StatusNeverGoesBack: finals")
	f(born, op(Confirm, 30, 40, Settled, 0), op(Confirm, 50, 60, Rejected, 0))
	f(born, op(Confirm, 30, 40, Rejected, 0), op(Confirm, 50, 60, Settled, 0))
	f(born, op(Confirm, 30, 40, Settled, 0), op(Cancel, 50, 60, cancelled, 0))
	f(born, op(Cancel, 30, 40, cancelled, 0), op(Confirm, 50, 60, Settled, 0))
	f(born, op(Confirm, 30, 40, Settled, 0), op(Read, 50, 60, rejected, 4))
	f(born, op(Confirm, 30, 40, Settled, 0), op(Read, 50, 60, settled, 3), op(Read, 70, 80, settled, 4))
	f(born, op(Read, 30, 40, cancelled, 2)) // nobody asked
	t.Log("StatusNeverGoesBack: one version, two statuses")
	f(born, op(Confirm, 30, 90, "", 0), op(Read, 40, 50, authorised, 2), op(Read, 60, 70, settled, 2))
	t.Log("NothingAcknowledgedIsLost")
	f(born, op(Read, 30, 40, NotFound, 0))
	f(op(Read, 30, 40, received, 1))
	t.Log("AtMostOneDebit: one key, two payments")
	second := op(Create, 30, 40, received, 1)
	second.Payment = "q"
	f(born, second)
	t.Log("OutMeansOut")
	f(born, out(7, 20, 25), by(7, op(Confirm, 30, 40, Settled, 0)))
	f(born, out(7, 20, 25), by(7, op(Confirm, 30, Never, "", 0)), op(Read, 50, 60, settled, 3))
	f(born, out(7, 20, 25), by(7, op(Confirm, 30, Never, "", 0)), op(Read, 50, 60, inDoubt, 3))
}

func TestOnlyNodesThatMayBeBehindShowEarlierVersions(t *testing.T) {
	all := []Operation{op(Create, 10, 20, received, 1), op(Confirm, 30, 40, Settled, 0), at(1, 1, op(Read, 50, 60, settled, 3)), at(2, 1, op(Read, 70, 80, received, 1))}
	judge(t, Rules{}, false, all...)
	judge(t, Rules{Stale: true}, true, all...)
	judge(t, Rules{Stale: true}, true, all[0], all[1], at(2, 1, op(Read, 45, 46, authorised, 2)), all[2])
	judge(t, Rules{Stale: true}, false, all[0], all[1], at(2, 1, op(Read, 45, 46, inDoubt, 3)), all[2])
	t.Log("what a node behind shows must have been so")
	judge(t, Rules{Stale: true}, false, append(all, at(2, 1, op(Read, 90, 95, rejected, 1)))...)
	t.Log("and a node is never behind itself")
	behind := []Operation{all[0], all[1], at(2, 1, op(Read, 50, 60, settled, 3)), at(2, 1, op(Read, 70, 80, received, 1))}
	v := judge(t, Rules{Stale: true}, false, behind...)
	if len(v.Violations) != 1 || v.Violations[0].What != "one node went back" {
		t.Errorf("%s", v)
	}
	behind[3].Life = 2 // it was started again, and has not caught up
	judge(t, Rules{Stale: true}, true, behind...)
	behind[3].Life, behind[3].Call = 1, 55 // asked before the other was answered
	judge(t, Rules{Stale: true}, true, behind...)
}

func TestAViolationIsShrunkToWhatItNeeds(t *testing.T) {
	all := []Operation{op(Create, 10, 20, received, 1)}
	for i := range int64(20) {
		all = append(all, op(Read, 21+i, 22+i, received, 1), op(Confirm, 21+i, 22+i, Refused, 0))
	}
	all = append(all, op(Read, 50, 60, settled, 3), op(Read, 70, 80, settled, 3))
	v := Check(all, Rules{})
	if len(v.Violations) != 1 || len(v.Violations[0].Operations) != 2 || v.Violations[0].Operations[1].Status != settled {
		t.Fatalf("%s", v)
	}
	if text := v.String(); !strings.Contains(text, "payment k") || !strings.Contains(text, "read → ACSC version 3") {
		t.Error(text)
	}
}

// Leaving reads and refusals out of a fine history leaves it fine, in whatever order they took effect; otherwise a shrunk history could show a
// violation of its own.
func TestWhatShrinkingLeavesOutNeverMakesAViolation(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		all := simulate(r)
		if v := Check(all, Rules{}); !v.OK() {
			t.Fatalf("a simulated history is not fine: %s", v)
		}
		some := slices.DeleteFunc(slices.Clone(all), func(o Operation) bool {
			return (o.Kind == Read || o.Kind == SignOut || o.Status == Refused) && r.IntN(2) == 0
		})
		if v := Check(some, Rules{}); !v.OK() {
			t.Fatalf("it was fine before some was left out: %s", v)
		}
	}
}

// simulate makes the history of one payment at a bank that keeps its promises: operations take effect at a moment between call and
// answer, and some answers are lost.
func simulate(r *rand.Rand) []Operation {
	type bank struct {
		status  string
		version uint32
	}
	var b bank
	var all []Operation
	session, ended := 1, false
	move := func(to string) { b.status, b.version = to, b.version+1 }
	for now := int64(0); now < 4000; now += 100 {
		began, ends := now+r.Int64N(50), now+100+r.Int64N(300)
		lost := r.IntN(6) == 0
		o := Operation{Client: r.IntN(3), Key: "k", Call: began, Return: ends, Node: 1}
		switch kind := r.IntN(8); {
		case b.version == 0:
			move(received)
			o.Kind, o.Status, o.Version, o.Payment = Create, b.status, b.version, "p"
		case kind == 0 && !ended:
			ended = true
			o.Kind, o.Session = SignOut, session
		case kind == 1:
			o.Kind = Cancel
			if b.status == received {
				move(cancelled)
			}
			if b.status == cancelled {
				o.Status = cancelled
			}
		case kind <= 3:
			o.Kind, o.Session = Confirm, session
			switch {
			case b.status == received && !ended && r.IntN(2) == 0:
				move(authorised)
			case b.status == received:
				o.Status = Refused
			case b.status == settled:
				o.Status = Settled
			case b.status == rejected:
				o.Status = Rejected
			}
		case kind == 4 && b.status == authorised:
			move(inDoubt)
			continue
		case kind == 5 && (b.status == authorised || b.status == inDoubt):
			move([]string{settled, rejected}[r.IntN(2)])
			continue
		default:
			o.Kind, o.Status, o.Version = Read, b.status, b.version
		}
		if lost && o.Kind != SignOut && !(o.Kind == Confirm && o.Status == Refused) {
			o.Return, o.Status, o.Version = Never, "", 0
			if o.Kind == Read {
				continue
			}
		}
		all = append(all, o)
	}
	return all
}

func TestAHistoryIsWrittenAndReadBack(t *testing.T) {
	all := simulate(rand.New(rand.NewPCG(5, 6)))
	var file bytes.Buffer
	if err := Write(&file, all); err != nil {
		t.Fatal(err)
	}
	again, err := Parse(&file)
	if err != nil || !slices.Equal(again, all) {
		t.Errorf("%v: %v, want %v", err, again, all)
	}
}

func FuzzParse(f *testing.F) {
	var file bytes.Buffer
	if err := Write(&file, simulate(rand.New(rand.NewPCG(7, 8)))); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(`{"kind":"create","call":5,"return":4}`))
	f.Add([]byte(`{"kind":"pay"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		if len(all) > 30 {
			return // the search is exponential in what goes on at once
		}
		Check(all, Rules{})
		var file bytes.Buffer
		if err := Write(&file, all); err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(&file); err != nil || !slices.Equal(again, all) {
			t.Fatalf("%v: %v, want %v", err, again, all)
		}
	})
}
