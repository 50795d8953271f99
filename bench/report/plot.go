package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours that people with the common forms of colour blindness tell apart (Okabe, Ito, "Color Universal Design", 2008).
var palette = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {0, 0, 0, 255},
}

// Sizes of the plots.
const (
	plotWidth  = 18 * vg.Centimeter
	plotHeight = 10 * vg.Centimeter
	legendRoom = 1.2           // of the highest bar
	barWidth   = vg.Length(14) // points
)

func svg(p *plot.Plot) ([]byte, error) {
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// ratesPlot shows what the bank did a second beside what a server of nothing did with the same requests.
func (r *Result) ratesPlot() ([]byte, error) {
	p := plot.New()
	p.Title.Text = r.Scenario + ": a second, beside a hello world that takes the same requests"
	p.Y.Label.Text = "a second"
	p.Y.Min = 0
	var bank, hello plotter.Values
	var names []string
	for i := range r.Phases {
		phase := &r.Phases[i]
		if phase.Server != "bank" || phase.Loop != "closed" {
			continue
		}
		names = append(names, phase.Name)
		bank = append(bank, phase.PerSecond)
		baseline := 0.
		if phase.Baseline != nil {
			baseline = phase.Baseline.PerSecond
		}
		hello = append(hello, baseline)
	}
	if len(names) == 0 {
		return svg(p)
	}
	for i, series := range []struct {
		name   string
		values plotter.Values
	}{{"netbank", bank}, {"hello world", hello}} {
		bars, err := plotter.NewBarChart(series.values, barWidth)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		bars.Color, bars.LineStyle.Width = palette[i], 0
		bars.Offset = barWidth * vg.Length(2*i-1) / 2
		p.Add(bars)
		p.Legend.Add(series.name, bars)
	}
	p.Legend.Top = true
	p.NominalX(names...)
	p.X.Min, p.X.Max = -.5, float64(len(names))-.5
	p.Y.Max *= legendRoom
	p.Add(plotter.NewGrid())
	return svg(p)
}

// latencyPlot shows percentile curves: the horizontal axis has as much room for the last 0.1 % as for the first 90 %.
func (r *Result) latencyPlot() ([]byte, error) {
	p := plot.New()
	p.Title.Text = r.Scenario + ": latency by percentile"
	p.X.Label.Text, p.Y.Label.Text = "percentile", "latency"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = percentileTicks{}, durationTicks{}
	lines := 0
	for i := range r.Phases {
		phase := &r.Phases[i]
		if phase.Server != "bank" || phase.Latency == nil || len(phase.Latency.Curve) < 2 {
			continue
		}
		var points plotter.XYs
		for _, c := range phase.Latency.Curve {
			// Below the median nobody waits, and a logarithm would give that half of the plot.
			if c.Percentile >= 50 && c.Percentile < 100 && c.Ns > 0 {
				points = append(points, plotter.XY{X: 100 / (100 - c.Percentile), Y: float64(c.Ns)})
			}
		}
		if len(points) < 2 {
			continue
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		line.Color, line.Width = palette[lines%len(palette)], vg.Points(1.5)
		if phase.Loop == "closed" {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line)
		p.Legend.Add(phase.Name+" ("+phase.Loop+")", line)
		lines++
	}
	if lines == 0 {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 1, 10, 1e3, 1e6
	}
	// The legend stands above the lines, which all rise to the right.
	p.Y.Max *= math.Pow(10, float64(lines)*.2)
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	return svg(p)
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

// durationTicks marks 1, 2 and 5 of each power of ten.
type durationTicks struct{}

func (durationTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Pow(10, math.Floor(math.Log10(max(low, 1)))); power <= high; power *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			tick := plot.Tick{Value: digit * power}
			if digit == 1 || high < 100*low {
				tick.Label = time.Duration(tick.Value).String()
			}
			ticks = append(ticks, tick)
		}
	}
	return within(ticks, low, high)
}

func within(ticks []plot.Tick, low, high float64) []plot.Tick {
	kept := ticks[:0]
	for _, t := range ticks {
		if t.Value >= low && t.Value <= high {
			kept = append(kept, t)
		}
	}
	return kept
}
