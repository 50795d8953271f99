package scenario

import (
	"math"
	"slices"
	"testing"
	"time"

	"netbank/bench/report"
)

// The core does 100 a second at its best, and each part takes 12 s.
func TestBackIsTheFirstSpanInWhichEnoughWasConfirmed(t *testing.T) {
	const peak, part = 100, 12 * time.Second
	done := func(span ...[3]int64) (seconds []report.Second) { // from, until, a second
		for second := range int64(timelineParts * 12) {
			n := int64(0)
			for _, s := range span {
				if second >= s[0] && second < s[1] {
					n = s[2]
				}
			}
			seconds = append(seconds, report.Second{InSLO: n})
		}
		return seconds
	}
	f := func(what string, seconds []report.Second, want ...float64) {
		t.Helper()
		if got := backAfter(seconds, peak, part); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	never := math.Inf(1)
	f("nothing is done", done(), never, never, never, never, never, never, never)
	f("all is done", done([3]int64{0, 72, 100}), 0, 0, 0, 0, 0, 0, 0)
	f("a little less than asked", done([3]int64{0, 72, 89}), never, 0, never, never, never, never, never)
	// 3 s until it is slow enough, 5 s after that ended, 4 s after the outage of one second, never with the latency, at once in the rush, 1 s later when it ends.
	f("each in its time", done([3]int64{0, 12, 95}, [3]int64{15, 24, 30}, [3]int64{29, 36, 95}, [3]int64{41, 48, 95}, [3]int64{60, 66, 90}, [3]int64{67, 72, 90}), 0, 3, 5, 4, never, 0, 1)
	f("the run ended early", done([3]int64{0, 72, 100})[:13], 0, never, never, never, never, never, never)
}

func TestTheTimelineSaysWhatTheCoreCanDo(t *testing.T) {
	if got, want := meanCapacity(), (1+.3+1+11./12+1+1)/6; math.Abs(got-want) > 1e-9 {
		t.Errorf("%v of its peak over the timeline, want %v", got, want)
	}
	last := -1.
	for _, c := range timeline() {
		if c.at <= last || c.at >= timelineParts || c.until != 0 && (c.until <= c.at || c.until > timelineParts) {
			t.Errorf("%+v comes after %v", c, last)
		}
		last = c.at
	}
}
