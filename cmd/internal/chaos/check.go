package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTimeout bounds the search for one payment. It has some ten operations, so that the search takes microseconds.
const checkTimeout = 10 * time.Second

// violationsKept is how many violations are told in full.
const violationsKept = 20

// Violation is a payment whose history no bank that keeps its promises could have made.
type Violation struct {
	Key  string
	What string
	// Operations are the payment's, without those that the violation does not need.
	Operations []Operation
}

// String tells the violation in a few lines.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "payment %s: %s", v.Key, v.What)
	for _, o := range v.Operations {
		fmt.Fprintf(&b, "\n    %s", o)
	}
	return b.String()
}

// Verdict is what a check came to.
type Verdict struct {
	Operations   int
	Payments     int
	Unknown      int // operations without a certain answer
	Inconclusive int // payments for which the search took too long
	Count        int // of violations
	Violations   []Violation
}

// OK tells whether the history is as it should be.
func (v *Verdict) OK() bool { return v.Count == 0 && v.Inconclusive == 0 }

// String is the verdict in a few lines.
func (v *Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "history: %d operations on %d payments, %d without a certain answer; %d violations, %d payments inconclusive", v.Operations, v.Payments, v.Unknown, v.Count, v.Inconclusive)
	for _, one := range v.Violations {
		fmt.Fprintf(&b, "\n  %s", one)
	}
	return b.String()
}

// Check holds a history to the sequential model of a payment, payment by payment: there must be one order in which each operation
// took effect between its call and its answer, or at any time after its call if it had none.
func Check(all []Operation, rules Rules) *Verdict {
	v := &Verdict{Operations: len(all)}
	for _, o := range all {
		if o.Return == Never {
			v.Unknown++
		}
	}
	m := model(rules)
	for _, part := range partition(all) {
		v.Payments++
		switch porcupine.CheckOperationsTimeout(m, operations(part), checkTimeout) {
		case porcupine.Unknown:
			v.Inconclusive++
		case porcupine.Illegal:
			v.add(Violation{What: "no order of these operations explains the answers", Operations: shrink(m, slices.Clone(part))})
		}
	}
	for _, one := range backwards(all) {
		v.add(one)
	}
	return v
}

func (v *Verdict) add(one Violation) {
	v.Count++
	if len(v.Violations) >= violationsKept {
		return
	}
	for _, o := range one.Operations {
		if o.Key != "" {
			one.Key = o.Key
		}
	}
	slices.SortStableFunc(one.Operations, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
	v.Violations = append(v.Violations, one)
}

// shrink leaves out what the violation does not need. Only operations whose absence makes nothing impossible are left out: reads, refusals and
// the ends of sessions show or forbid, and never allow. Those left out first are the ones that say least.
func shrink(m porcupine.Model, all []Operation) []Operation {
	removable := func(o Operation) bool {
		return o.Kind == Read || o.Kind == SignOut || o.Kind == Confirm && o.Status == Refused
	}
	for again := true; again; {
		again = false
		for i := len(all) - 1; i >= 0; i-- {
			if !removable(all[i]) {
				continue
			}
			without := slices.Delete(slices.Clone(all), i, i+1)
			if porcupine.CheckOperationsTimeout(m, operations(without), checkTimeout) == porcupine.Illegal {
				all, again = without, true
			}
		}
	}
	return all
}

// backwards finds reads of one life of one node that show an earlier version than a read that was answered before they were asked. A
// node may be behind the others, and never behind itself.
func backwards(all []Operation) []Violation {
	type place struct {
		key        string
		node, life int
	}
	reads := make(map[place][]Operation)
	for _, o := range all {
		if o.Kind == Read && o.Version > 0 && o.Return != Never {
			at := place{o.Key, o.Node, o.Life}
			reads[at] = append(reads[at], o)
		}
	}
	var found []Violation
	for _, list := range reads {
		byCall, byReturn := slices.Clone(list), slices.Clone(list)
		slices.SortFunc(byCall, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
		slices.SortFunc(byReturn, func(a, b Operation) int { return cmp.Compare(a.Return, b.Return) })
		var newest Operation
		next := 0
		for _, o := range byCall {
			for ; next < len(byReturn) && byReturn[next].Return < o.Call; next++ {
				if byReturn[next].Version > newest.Version {
					newest = byReturn[next]
				}
			}
			if o.Version < newest.Version {
				found = append(found, Violation{What: "one node went back", Operations: []Operation{newest, o}})
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b Violation) int { return cmp.Compare(a.Operations[0].Key, b.Operations[0].Key) })
	return found
}
