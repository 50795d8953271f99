package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// rateRow is the height of one bar of the plot of rates, with the gap under it.
const rateRow = 15

// ratesPicture shows what the bank did a second beside what a server of nothing did with the same requests.
func (r *Result) ratesPicture() *picture {
	var phases []*Phase
	most := 0.
	rows, alt := 0, []string{}
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Server != "bank" || p.Loop != "closed" || p.PerSecond <= 0 {
			continue
		}
		phases = append(phases, p)
		most = max(most, p.PerSecond)
		said := fmt.Sprintf("%s %s a second", p.Name, figure(p.PerSecond))
		rows++
		if p.Baseline != nil {
			most = max(most, p.Baseline.PerSecond)
			said += ", hello world " + figure(p.Baseline.PerSecond)
			rows++
		}
		alt = append(alt, said)
	}
	if len(phases) == 0 {
		return nil
	}
	return &picture{
		Name: RatesName, Title: "Done a second, beside a server that does nothing",
		Alt:     strings.Join(alt, "; ") + ".",
		Caption: "Blue: the bank. Grey, hatched: a hello world that takes the same requests from the same client over as many connections, measured right before and right after. Closed loops: ceilings, not what a customer sees.",
		height:  func(bool) vg.Length { return vg.Length(rows)*rateRow + vg.Length(len(phases))*groupGap },
		draw: func(c draw.Canvas, narrow bool) {
			plain, muted := words(inkColor(), false), words(mutedColor(), false)
			left, right := vg.Length(0), plain.Width(grouped(int64(most)))+10
			for _, p := range phases {
				left = max(left, plain.Width(p.Name)+10)
			}
			if !narrow {
				right += plain.Width(" hello world")
			}
			room := c.Max.X - c.Min.X - left - right
			y := c.Max.Y
			bar := func(v float64, h hue, hatch int, said string) {
				width := room * vg.Length(v/most)
				block(c, c.Min.X+left, y-rateRow+2, max(width, 1), rateRow-3, h, hatch)
				c.FillText(muted, vg.Point{X: c.Min.X + left + width + 5, Y: y - rateRow/2}, said)
				y -= rateRow
			}
			for _, p := range phases {
				c.FillText(plain, vg.Point{X: c.Min.X, Y: y - rateRow/2}, p.Name)
				bar(p.PerSecond, hues()[blue], 0, figure(p.PerSecond))
				if p.Baseline != nil {
					bar(p.Baseline.PerSecond, hues()[grey], 1, figure(p.Baseline.PerSecond)+yes(narrow, "", " hello world"))
				}
				y -= groupGap
			}
		},
	}
}

// curvesMax is how many percentile curves one plot can bear.
const curvesMax = 7

// curves are the phases whose latencies are drawn: all, or for each line of an overload the lightest load, the one nearest to twice the peak, and the heaviest.
func (r *Result) curves() []*Phase {
	var all []*Phase
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Server == "bank" && p.Latency != nil && len(p.Latency.Curve) > 1 {
			all = append(all, p)
		}
	}
	if len(all) <= curvesMax {
		return all
	}
	var some []*Phase
	for _, l := range r.lines() {
		pick := []int{0, 0, len(l.phases) - 1}
		for i, p := range l.phases {
			if math.Abs(math.Log(p.Multiple/2)) < math.Abs(math.Log(l.phases[pick[1]].Multiple/2)) {
				pick[1] = i
			}
		}
		for _, i := range slices.Compact(pick) {
			if p := l.phases[i]; slices.Contains(all, p) {
				some = append(some, p)
			}
		}
	}
	if len(some) == 0 {
		some = all
	}
	return some[:min(len(some), curvesMax)]
}

// latencyPicture shows percentile curves: the horizontal axis has as much room for the last 0.1 % as for the first 90 %.
func (r *Result) latencyPicture() *picture {
	var all []*series
	var alt []string
	for _, phase := range r.curves() {
		s := &series{hue: hues()[len(all)%grey], dashes: dashes(len(all)), width: 2}
		for _, c := range phase.Latency.Curve {
			// Below the median nobody waits, and a logarithm would give that half of the plot.
			if c.Percentile >= 50 && c.Percentile < 100 && c.Ns > 0 {
				s.points = append(s.points, plotter.XY{X: 100 / (100 - c.Percentile), Y: float64(c.Ns)})
			}
		}
		if len(s.points) < 2 {
			continue
		}
		s.name = phase.Name
		if phase.Multiple > 0 {
			s.name = strings.ReplaceAll(r.label(phase), " admission control", "")
			s.hue = armHue(phase.Arm, len(all))
		}
		all = append(all, s)
		alt = append(alt, fmt.Sprintf("%s: p50 %s, p99 %s", s.name, short(phase.Latency.P50), short(phase.Latency.P99)))
	}
	if len(all) == 0 {
		return nil
	}
	return &picture{
		Name: LatencyName, Title: "How long it took, from the median to the slowest",
		Alt:     "Latency by percentile. " + strings.Join(alt, "; ") + ".",
		Caption: "At 99 stands the time within which 99 of 100 were answered; each step to the right looks at a tenth of those who waited longest. Both axes are logarithmic. Only what was completed is in it.",
		unit:    "latency of what was completed",
		height:  func(bool) vg.Length { return 320 },
		draw: func(c draw.Canvas, narrow bool) {
			p := axes()
			p.X.Label.Text = "percentile"
			p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
			p.X.Tick.Marker, p.Y.Tick.Marker = percentileTicks{}, durationTicks{}
			p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
			for _, s := range all {
				p.Add(s)
			}
			// A logarithmic axis needs an extent of its own.
			p.X.Max = max(p.X.Max, 10*p.X.Min)
			p.Y.Min, p.Y.Max = p.Y.Min/1.2, p.Y.Max*1.2
			p.Add(endLabels(all))
			p.Draw(c)
		},
	}
}

// percentileTicks marks 50 %, 90 %, 99 % and so on of an axis of 1/(1-p).
type percentileTicks struct{}

func (percentileTicks) Ticks(low, high float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 2, Label: "50"}}
	for tail := 10.; tail <= high*1.0001; tail *= 10 {
		ticks = append(ticks, plot.Tick{Value: tail, Label: strconv.FormatFloat(100-100/tail, 'f', -1, 64)})
	}
	return within(ticks, low, high)
}

// durationTicks marks powers of ten, and 2 and 5 of each where the axis is short.
type durationTicks struct{}

func (durationTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Pow(10, math.Floor(math.Log10(max(low, 1)))); power <= high; power *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if digit == 1 || high < 200*low {
				ticks = append(ticks, plot.Tick{Value: digit * power, Label: tickDuration(time.Duration(digit * power))})
			}
		}
	}
	return within(ticks, low, high)
}

func tickDuration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
	case d >= time.Millisecond:
		return strconv.FormatFloat(d.Seconds()*1e3, 'f', -1, 64) + " ms"
	}
	return strconv.FormatFloat(d.Seconds()*1e6, 'f', -1, 64) + " µs"
}

func within(ticks []plot.Tick, low, high float64) []plot.Tick {
	kept := ticks[:0]
	for _, t := range ticks {
		if t.Value >= low/1.0001 && t.Value <= high*1.0001 {
			kept = append(kept, t)
		}
	}
	return kept
}

// pointsMax is how many points a line over time has; longer phases are averaged.
const pointsMax = 240

// overTime averages n values so that pointsMax points are left, each at the middle of what it stands for.
func overTime(n int, value func(int) float64) plotter.XYs {
	each := (n + pointsMax - 1) / pointsMax
	var points plotter.XYs
	for from := 0; from < n; from += each {
		until, sum := min(n, from+each), 0.
		for i := from; i < until; i++ {
			sum += value(i)
		}
		points = append(points, plotter.XY{X: float64(from+until) / 2, Y: sum / float64(until-from)})
	}
	return points
}

// timelineMin is how many seconds a phase must have had for its course to be worth a plot.
const timelineMin = 8

// timelinePictures show each phase second by second.
func (r *Result) timelinePictures() []*picture {
	var phases []*Phase
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Server == "bank" && len(p.Timeline) >= timelineMin {
			phases = append(phases, p)
		}
	}
	// The arms of one load stand beside each other.
	slices.SortStableFunc(phases, func(a, b *Phase) int { return cmp.Compare(a.Multiple, b.Multiple) })
	all, uses := make([]*picture, len(phases)), map[string]int{}
	for i, p := range phases {
		all[i] = r.timelinePicture(p)
		parts := []string{"timeline", p.plain()}
		if p.Arm != "" {
			parts = append(parts, p.shortArm())
		}
		if p.Multiple != 0 {
			parts = append(parts, p.load())
		}
		name := fileName(strings.Join(parts, "-"))
		if uses[name]++; uses[name] > 1 {
			name += "-" + strconv.Itoa(uses[name])
		}
		all[i].Name = name + ".svg"
	}
	return all
}

func (r *Result) timelinePicture(p *Phase) *picture {
	t := p.Timeline
	var all []*series
	for _, s := range []struct {
		name   string
		of     func(*Second) int64
		hue    int
		dashes int
	}{
		{"offered", func(s *Second) int64 { return s.Offered }, grey, 0},
		{"in time", func(s *Second) int64 { return s.InSLO }, green, 0},
		{"late", func(s *Second) int64 { return s.Completed - s.InSLO }, orange, 4},
		{"refused", func(s *Second) int64 { return s.Refused }, sky, 1},
		{"abandoned", func(s *Second) int64 { return s.Abandoned }, purple, 2},
		{"in doubt", func(s *Second) int64 { return s.InDoubt }, grey, 5},
		{"failed", func(s *Second) int64 { return s.Failed + s.Dropped }, red, 3},
	} {
		sum := int64(0)
		for i := range t {
			sum += s.of(&t[i])
		}
		if sum > 0 {
			points := overTime(len(t), func(i int) float64 { return float64(s.of(&t[i])) })
			all = append(all, &series{name: s.name, points: points, hue: hues()[s.hue], dashes: dashes(s.dashes), width: 1.6})
		}
	}
	return &picture{
		Title:  r.label(p),
		Alt:    fmt.Sprintf("%s, second by second: %s offered, %s in time, %s refused in all.", r.label(p), grouped(p.Offered), grouped(p.InSLO), grouped(p.Refused)),
		unit:   p.Unit + " a second",
		height: func(narrow bool) vg.Length { return 220 },
		draw: func(c draw.Canvas, narrow bool) {
			a := axes()
			a.X.Label.Text = "seconds"
			a.X.Min, a.X.Max, a.X.Tick.Marker = 0, float64(len(t)), numberTicks{}
			for _, s := range all {
				a.Add(s)
			}
			a.Y.Max = max(1, 1.05*a.Y.Max)
			a.Add(endLabels(all))
			a.Draw(c)
		},
	}
}

// fileName keeps of a phase's name what can stand in the name of a file everywhere.
func fileName(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			return c
		}
		return '-'
	}, name)
}

// samplesPicture shows what the bank's process held.
func (r *Result) samplesPicture() *picture {
	n := len(r.Samples)
	if n < 2 {
		return nil
	}
	lanes := []struct {
		name string
		of   func(*Sample) int64
		hue  int
	}{
		{"resident memory, MB", func(s *Sample) int64 { return s.ResidentMB }, blue},
		{"goroutines", func(s *Sample) int64 { return s.Goroutines }, green},
		{"open files and sockets", func(s *Sample) int64 { return s.Files }, red},
	}
	first, last := &r.Samples[0], &r.Samples[n-1]
	var alt []string
	for _, l := range lanes {
		alt = append(alt, fmt.Sprintf("%s: %s at first, %s at last", l.name, grouped(l.of(first)), grouped(l.of(last))))
	}
	return &picture{
		Name: SamplesName, Title: "What the bank’s process held",
		Alt:     strings.Join(alt, "; ") + ".",
		Caption: "What leaks, rises from left to right. Each scale begins at zero.",
		height:  func(bool) vg.Length { return 390 },
		draw: func(c draw.Canvas, narrow bool) {
			each := (c.Max.Y - c.Min.Y) / vg.Length(len(lanes))
			plots, widths := make([]*plot.Plot, len(lanes)), make([]vg.Length, len(lanes))
			for i, l := range lanes {
				a := axes()
				s := &series{hue: hues()[l.hue], width: 1.8}
				step := (n + pointsMax - 1) / pointsMax
				for from := 0; from < n; from += step {
					s.points = append(s.points, plotter.XY{X: r.Samples[from].Second, Y: float64(l.of(&r.Samples[from]))})
				}
				a.Add(s)
				a.X.Tick.Marker = numberTicks{}
				a.Y.Min, a.Y.Max = 0, max(1, 1.15*a.Y.Max)
				if i == len(lanes)-1 {
					a.X.Label.Text = "seconds since the start"
				}
				for _, t := range a.Y.Tick.Marker.Ticks(a.Y.Min, a.Y.Max) {
					widths[i] = max(widths[i], a.Y.Tick.Label.Width(t.Label))
				}
				plots[i] = a
			}
			for i, l := range lanes {
				lane := c
				lane.Max.Y = c.Max.Y - vg.Length(i)*each
				lane.Min.Y = lane.Max.Y - each + 8
				lane.FillText(words(hues()[l.hue].words, true), vg.Point{X: lane.Min.X, Y: lane.Max.Y - fontSize/2}, l.name)
				lane.Max.Y -= 1.6 * fontSize
				// All begin at the same place, whatever the widths of their numbers are.
				lane.Min.X += slices.Max(widths) - widths[i]
				plots[i].Draw(lane)
			}
		},
	}
}
