package load

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of a result that is read.
const (
	// timelineMax is how many seconds a timeline has at most: those of the longest run and of the longest grace after it.
	timelineMax = int((MeasureMax + GraceMax) / time.Second)
	// stepsMax bounds the steps of a flow.
	stepsMax = 64
)

// resultText is a Result in JSON. Histograms are in HdrHistogram's own compressed encoding (V2, base64), which its tools and
// libraries for other languages read.
type resultText struct {
	WarmUp    int64            `json:"warmUp"`
	Offered   int64            `json:"offered"`
	Completed int64            `json:"completed"`
	InSLO     int64            `json:"inSLO"`
	Refused   int64            `json:"refused"`
	Failed    int64            `json:"failed"`
	Abandoned int64            `json:"abandoned"`
	InDoubt   int64            `json:"inDoubt"`
	Dropped   int64            `json:"dropped"`
	Reasons   map[string]int64 `json:"reasons"`
	Elapsed   time.Duration    `json:"elapsedNs"`
	Next      int64            `json:"next"`
	AtOnce    int64            `json:"atOnce"`
	Latency   string           `json:"latency,omitempty"`
	Service   string           `json:"service,omitempty"`
	Lag       string           `json:"lag,omitempty"`
	Steps     []stepText       `json:"steps"`
	Timeline  []Second         `json:"timeline"`
}

type stepText struct {
	StepResult
	Latency string `json:"latency,omitempty"`
}

// MarshalJSON writes the result for another process to merge.
func (r *Result) MarshalJSON() ([]byte, error) {
	text := resultText{
		WarmUp: r.WarmUp, Offered: r.Offered, Completed: r.Completed, InSLO: r.InSLO, Refused: r.Refused, Failed: r.Failed,
		Abandoned: r.Abandoned, InDoubt: r.InDoubt, Dropped: r.Dropped, Reasons: r.Reasons, Elapsed: r.Elapsed, Next: r.Next, AtOnce: r.AtOnce,
		Timeline: r.Timeline,
	}
	var err error
	encode := func(h *hdrhistogram.Histogram) string {
		if h == nil || err != nil {
			return ""
		}
		var b []byte
		b, err = h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		return string(b)
	}
	text.Latency, text.Service, text.Lag = encode(r.Latency), encode(r.Service), encode(r.Lag)
	for _, s := range r.Steps {
		text.Steps = append(text.Steps, stepText{s, encode(s.Latency)})
	}
	if err != nil {
		return nil, fmt.Errorf("load: a histogram cannot be encoded: %w", err)
	}
	return json.Marshal(&text)
}

// UnmarshalJSON reads a result. It refuses what no run of this package measures: negative counts, histograms of another shape, longer
// timelines than a run has.
func (r *Result) UnmarshalJSON(b []byte) error {
	var text resultText
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("load: a result: %w", err)
	}
	if err := text.check(); err != nil {
		return err
	}
	read := Result{
		WarmUp: text.WarmUp, Offered: text.Offered, Completed: text.Completed, InSLO: text.InSLO, Refused: text.Refused, Failed: text.Failed,
		Abandoned: text.Abandoned, InDoubt: text.InDoubt, Dropped: text.Dropped, Reasons: text.Reasons, Elapsed: text.Elapsed, Next: text.Next, AtOnce: text.AtOnce,
		Timeline: text.Timeline,
	}
	var err error
	if read.Latency, err = decodeHistogram("latency", text.Latency); err != nil {
		return err
	}
	if read.Service, err = decodeHistogram("service", text.Service); err != nil {
		return err
	}
	if read.Lag, err = decodeHistogram("lag", text.Lag); err != nil {
		return err
	}
	for _, s := range text.Steps {
		step := s.StepResult
		if step.Latency, err = decodeHistogram("latency of step "+step.Name, s.Latency); err != nil {
			return err
		}
		read.Steps = append(read.Steps, step)
	}
	*r = read
	return nil
}

func (t *resultText) check() error {
	if len(t.Timeline) > timelineMax || len(t.Steps) > stepsMax || len(t.Reasons) > reasonsMax+1 {
		return fmt.Errorf("load: a result of %d seconds, %d steps and %d reasons; it has at most %d, %d and %d", len(t.Timeline), len(t.Steps), len(t.Reasons), timelineMax, stepsMax, reasonsMax+1)
	}
	low := min(t.WarmUp, t.Offered, t.Completed, t.InSLO, t.Refused, t.Failed, t.Abandoned, t.InDoubt, t.Dropped, int64(t.Elapsed), t.AtOnce)
	for _, n := range t.Reasons {
		low = min(low, n)
	}
	for _, s := range t.Steps {
		low = min(low, s.Completed, s.InSLO, s.Refused, s.Failed, s.Abandoned, s.InDoubt, int64(s.SLO))
	}
	for _, s := range t.Timeline {
		low = min(low, s.Offered, s.Completed, s.InSLO, s.Refused, s.Failed, s.Abandoned, s.InDoubt, s.Dropped, s.UnderWay)
	}
	if low < 0 {
		return fmt.Errorf("load: a result with a count of %d; counts are not negative", low)
	}
	return nil
}

// encodedMax is how long the text of a histogram may be: all counters different, each of nine bytes, and base64 over it.
const encodedMax = 512 << 10

func decodeHistogram(what, text string) (*hdrhistogram.Histogram, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > encodedMax {
		return nil, fmt.Errorf("load: the histogram %s has %d bytes, at most %d are read", what, len(text), encodedMax)
	}
	h, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("load: the histogram %s: %w", what, err)
	}
	if low, high, digits := h.LowestTrackableValue(), h.HighestTrackableValue(), h.SignificantFigures(); low != int64(LatencyMin) || high != int64(LatencyMax) || digits != latencyDigits {
		return nil, fmt.Errorf("load: the histogram %s is of %d to %d ns in %d digits; those of this package are of %d to %d ns in %d", what, low, high, digits, LatencyMin, LatencyMax, latencyDigits)
	}
	return h, nil
}
