package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a histogram can tell apart: 1 µs to 120 s with three significant digits. Values are nanoseconds; what lies outside counts
// as the nearest that fits.
const (
	LatencyMin    = time.Microsecond
	LatencyMax    = 120 * time.Second
	latencyDigits = 3
	// shards bounds how many goroutines record at once without waiting; each is a histogram of about 150 KB.
	shards = 8
)

// NewHistogram makes a histogram of latencies in nanoseconds.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(LatencyMin), int64(LatencyMax), latencyDigits)
}

// Recorder is a histogram that many goroutines write to.
type Recorder struct {
	shard [shards]struct {
		sync.Mutex
		h *hdrhistogram.Histogram
		_ [40]byte // apart in memory, so that two processors do not share a cache line
	}
}

// NewRecorder makes an empty recorder.
func NewRecorder() *Recorder {
	r := new(Recorder)
	for i := range r.shard {
		r.shard[i].h = NewHistogram()
	}
	return r
}

// Record adds a latency; writer spreads the writers, such as Client.Index.
func (r *Recorder) Record(writer int, d time.Duration) {
	s := &r.shard[uint(writer)%shards]
	s.Lock()
	_ = s.h.RecordValue(inRange(d))
	s.Unlock()
}

// Histogram gives the sum of what was recorded.
func (r *Recorder) Histogram() *hdrhistogram.Histogram {
	sum := NewHistogram()
	for i := range r.shard {
		s := &r.shard[i]
		s.Lock()
		sum.Merge(s.h)
		s.Unlock()
	}
	return sum
}
