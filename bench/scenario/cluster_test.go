package scenario

import (
	"testing"
	"time"

	"netbank/bench/people"
	"netbank/bench/report"
)

func TestAStallIsTheLongestWaitOfThoseWhoMetIt(t *testing.T) {
	began := time.Now()
	at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	confirmed := func(sent, took float64, word string) people.Confirmation {
		return people.Confirmation{Sent: at(sent), Took: time.Duration(took * float64(time.Second)), Word: word}
	}
	events := []report.Disturbance{{Second: 10}, {Second: 20}}
	stallsOf([]people.Confirmation{
		confirmed(5, .1, "ACSC"),
		confirmed(9.9, 1.6, "ACSC"), // waited when the first came
		confirmed(12, .5, "RJCT"),
		confirmed(13, 3, "ACSC"),
		confirmed(19, 4, ""), // met the second
		confirmed(21, .25, "ACSC"),
		confirmed(24, .5, "ACSC"),
		confirmed(26, 0, "ACSC"),
	}, events, began, at(26))
	f := func(got report.Disturbance, confirmations int, longest, gap float64, late, unanswered int) {
		t.Helper()
		if got.Confirmations != confirmations || got.LongestMs != longest || got.GapMs != gap || got.Late != late || got.Unanswered != unanswered {
			t.Errorf("%+v; it should be %d confirmations, at most %v ms, a gap of %v ms, %d late, %d without an answer", got, confirmations, longest, gap, late, unanswered)
		}
	}
	f(events[0], 3, 3000, 5250, 1, 0) // from the one who had paid at 16 until the next at 21.25
	f(events[1], 4, 4000, 3250, 1, 1)
}

func TestAQuantileIsAValueThatWasMeasured(t *testing.T) {
	var all []float64
	for i := range 20 {
		all = append(all, float64(20-i))
	}
	f := func(share, want float64) {
		t.Helper()
		if got := quantile(all, share); got != want {
			t.Errorf("quantile %v is %v, not %v", share, got, want)
		}
	}
	f(.5, 10)
	f(.95, 19)
	f(1, 20)
	f(0, 1)
	if quantile(nil, .5) != 0 {
		t.Error("of nothing")
	}
}
