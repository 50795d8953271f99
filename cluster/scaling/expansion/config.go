package expansion

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"netbank/cluster/scaling"
)

// Bounds of what may be configured.
const (
	// StepMax is the most workers that may be added at once.
	StepMax = 100
	// AfterMin and AfterMax bound how long a pressure has to last.
	AfterMin, AfterMax = time.Second, 24 * time.Hour
	// PauseMin and PauseMax bound the time after a change in which nothing moves.
	PauseMin, PauseMax = time.Second, 24 * time.Hour
	outMin             = 50 // percent; below that half of the capacity lies idle
	outMax             = 100
)

// Config says when to expand. Zero fields but Min take the defaults of Defaults.
type Config struct {
	Max      int           // workers that it goes to; 0: it is off
	Min      int           // workers that it leaves, and brings about where no operator has wished for another number
	Step     int           // workers more at a time
	Out      int           // percent: above it for OutAfter there are more
	OutAfter time.Duration //
	OutPause time.Duration // after any change
	In       int           // percent, at most half of Out: below it for InAfter there is one fewer
	InAfter  time.Duration //
	InPause  time.Duration // after any change
}

// Defaults are the configuration of who says nothing but how many there may be. A worker serves within seconds and costs little for ten minutes; one
// that is missing costs customers.
func Defaults() Config {
	return Config{
		Step: 2, Out: 80, OutAfter: 10 * time.Second, OutPause: 30 * time.Second, In: 30, InAfter: 10 * time.Minute, InPause: 5 * time.Minute,
	}
}

// On says whether it expands at all.
func (c *Config) On() bool { return c.Max > 0 }

// Parse reads what an operator writes, such as "max=8,min=2,out=80,out-after=10s". An empty text is off.
func Parse(text string) (Config, error) {
	c := Defaults()
	if text == "" {
		return c, nil
	}
	numbers := map[string]*int{"max": &c.Max, "min": &c.Min, "step": &c.Step, "out": &c.Out, "in": &c.In}
	times := map[string]*time.Duration{"out-after": &c.OutAfter, "out-pause": &c.OutPause, "in-after": &c.InAfter, "in-pause": &c.InPause}
	given := make(map[string]bool)
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var err error
		switch number, duration := numbers[name], times[name]; {
		case given[name]:
			return Config{}, fmt.Errorf("%.40q is said twice; say it once", name)
		case number != nil:
			*number, err = strconv.Atoi(value)
		case duration != nil:
			*duration, err = time.ParseDuration(value)
		default:
			return Config{}, fmt.Errorf("%.40q is not known; write max=8, and where the defaults do not suit min, step, out, out-after, out-pause, in, in-after or in-pause", name)
		}
		if err != nil {
			return Config{}, fmt.Errorf("%s is %.40q; write a number such as 8, or for a time 10s", name, value)
		}
		given[name] = true
	}
	if !given["in"] {
		c.In = min(c.In, c.Out/2)
	}
	if !given["step"] {
		c.Step = min(c.Step, max(c.Max, 1))
	}
	return c, c.check()
}

func (c *Config) check() error {
	for _, b := range []struct {
		name         string
		value        int
		lowest, most int
	}{
		{"max", c.Max, 1, scaling.WorkersMax},
		{"min", c.Min, 0, c.Max},
		{"step", c.Step, 1, min(StepMax, c.Max)},
		{"out", c.Out, outMin, outMax},
		{"in", c.In, 1, c.Out / 2},
	} {
		if b.value < b.lowest || b.value > b.most {
			return fmt.Errorf("%s is %d; it may be %d to %d", b.name, b.value, b.lowest, b.most)
		}
	}
	for _, b := range []struct {
		name         string
		value        time.Duration
		lowest, most time.Duration
	}{
		{"out-after", c.OutAfter, AfterMin, AfterMax},
		{"in-after", c.InAfter, AfterMin, AfterMax},
		{"out-pause", c.OutPause, PauseMin, PauseMax},
		{"in-pause", c.InPause, PauseMin, PauseMax},
	} {
		if b.value < b.lowest || b.value > b.most {
			return fmt.Errorf("%s is %v; it may be %v to %v", b.name, b.value, b.lowest, b.most)
		}
	}
	return nil
}
