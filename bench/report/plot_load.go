package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// armWords names an arm for readers who were told nothing.
func armWords(arm string) string {
	switch arm {
	case ArmOn:
		return "with admission control"
	case ArmOff:
		return "without admission control"
	}
	return arm
}

// line is the phases of one arm, and of one kind of people where there are several, by what was offered.
type line struct {
	name   string
	arm    string
	phases []*Phase
}

// form says which form of the bank and which kind of people a phase is of, as far as the run has several.
func (r *Result) form(p *Phase) string {
	arms, peoples := map[string]bool{}, map[string]bool{}
	for i := range r.Phases {
		if r.Phases[i].Server == "bank" {
			arms[r.Phases[i].Arm], peoples[r.Phases[i].People] = true, true
		}
	}
	var said []string
	if len(arms) > 1 && p.Arm != "" {
		said = append(said, armWords(p.Arm))
	}
	if len(peoples) > 1 && p.People != "" {
		said = append(said, p.People)
	}
	return strings.Join(said, ", ")
}

// label is what a phase is called where there is room for words.
func (r *Result) label(p *Phase) string {
	if p.Multiple == 0 {
		return strings.TrimSuffix(p.Name+", "+r.form(p), ", ")
	}
	return strings.TrimSpace(times(p.Multiple) + " " + r.form(p))
}

// lines groups the phases that were measured against the core's peak.
func (r *Result) lines() []line {
	var all []line
	for i := range r.Phases {
		p := &r.Phases[i]
		if p.Multiple <= 0 || p.PeakPerSecond <= 0 {
			continue
		}
		name := cmp.Or(r.form(p), "netbank")
		at := slices.IndexFunc(all, func(l line) bool { return l.name == name })
		if at < 0 {
			at = len(all)
			all = append(all, line{name: name, arm: p.Arm})
		}
		all[at].phases = append(all[at].phases, p)
	}
	for _, l := range all {
		slices.SortStableFunc(l.phases, func(a, b *Phase) int { return cmp.Compare(a.Multiple, b.Multiple) })
	}
	return all
}

// multiples are those of all lines, each once, rising.
func multiples(all []line) []float64 {
	var m []float64
	for _, l := range all {
		for _, p := range l.phases {
			m = append(m, p.Multiple)
		}
	}
	slices.Sort(m)
	return slices.Compact(m)
}

// armHue gives admission on and off the same colours in every plot.
func armHue(arm string, n int) hue {
	switch arm {
	case ArmOn:
		return hues()[blue]
	case ArmOff:
		return hues()[red]
	}
	return hues()[[]int{blue, red, green, purple, orange}[n%5]]
}

// goodputPicture is what an overload is about: what is done in time, as a share of what the core can do, while more and more is asked for.
func (r *Result) goodputPicture() *picture {
	all := r.lines()
	where := multiples(all)
	if len(where) < 2 {
		return nil
	}
	top := 108.
	var alt []string
	for _, l := range all {
		for _, p := range l.phases {
			top = max(top, 1.05*p.GoodputPercent)
		}
		last := l.phases[len(l.phases)-1]
		alt = append(alt, fmt.Sprintf("%s: %s at %s", l.name, percent(last.GoodputPercent/100), times(last.Multiple)))
	}
	return &picture{
		Name: GoodputName, Title: "Work done in time, while more and more is asked for",
		Alt:     "Goodput as a percentage of the core's peak against offered load. " + strings.Join(alt, "; ") + ".",
		Caption: "Across: how much was asked for, as a multiple of what the core can do at its best (logarithmic). Up: how much of that best was done, counting only what was completed in time. The grey line is all that anybody could do. A system that collapses falls from it the more is asked; one that refuses early stays on it.",
		unit:    "goodput: completed in time, % of the core’s peak",
		height:  func(narrow bool) vg.Length { return 340 },
		draw: func(c draw.Canvas, narrow bool) {
			p := axes()
			p.X.Scale, p.X.Min, p.X.Max = plot.LogScale{}, where[0], where[len(where)-1]
			p.X.Tick.Marker = multipleTicks{where, narrow}
			p.X.Label.Text = "offered load, as a multiple of the core’s peak"
			p.Y.Max = top
			p.Add(bestPossible{all})
			var labels endLabels
			for i, l := range all {
				s := &series{hue: armHue(l.arm, i), width: 2.5, dots: true}
				if l.arm != ArmOn && i > 0 || l.arm == ArmOff {
					s.dashes = dashes(max(i, 1))
				}
				for _, ph := range l.phases {
					s.points = append(s.points, plotter.XY{X: ph.Multiple, Y: ph.GoodputPercent})
				}
				last := l.phases[len(l.phases)-1]
				s.name = wrapped(l.name, 15) + "\n" + points(last.GoodputPercent) + " % at " + times(last.Multiple)
				if !narrow {
					s.name = wrapped(l.name, 26) + "\n" + points(last.GoodputPercent) + " % at " + times(last.Multiple)
				}
				p.Add(s)
				labels = append(labels, s)
			}
			p.Y.Max = top
			p.Add(labels)
			p.Draw(c)
		},
	}
}

// bestPossible draws what a system could do at most: all that is offered up to the core's peak, and the peak from there on.
type bestPossible struct{ beside []line }

func (b bestPossible) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: hues()[grey].fill, Width: 1.25}
	var rise []vg.Point
	const steps = 40
	low := math.Log(p.X.Min)
	for i := range steps + 1 {
		m := math.Exp(low + (math.Log(max(1, p.X.Min))-low)*float64(i)/steps)
		rise = append(rise, vg.Point{X: x(m), Y: y(min(100, 100*m))})
	}
	c.StrokeLines(style, append(rise, vg.Point{X: c.Max.X, Y: y(100)}))
	muted := words(mutedColor(), false)
	muted.YAlign = draw.YBottom
	if p.X.Min < 1 && p.X.Max > 1 {
		c.StrokeLine2(draw.LineStyle{Color: hues()[grey].fill, Width: .75, Dashes: []vg.Length{2, 3}}, x(1), y(0), x(1), y(100))
		right := muted
		right.XAlign, right.YAlign = draw.XRight, draw.YCenter
		c.FillText(right, vg.Point{X: c.Max.X, Y: y(b.free()) + lineRoom/2}, "more is asked for")
		c.FillText(right, vg.Point{X: c.Max.X, Y: y(b.free()) - lineRoom/2}, "than the core can do")
	}
	const name = "the core’s peak"
	at := x(max(1, p.X.Min)) + 5
	if c.Min.X+muted.Width(name)+15 < x(1) {
		at = c.Min.X + 5 // where less is offered no line can be so high
	}
	c.FillText(muted, vg.Point{X: at, Y: y(100) + 3}, name)
}

// free is a height at which no line runs where more is offered than the core can do.
func (b bestPossible) free() float64 {
	best, distance := 0., 0.
	for _, at := range []float64{60, 45, 30, 75, 15} {
		nearest := math.Inf(1)
		for _, l := range b.beside {
			for _, p := range l.phases {
				if p.Multiple >= 1.5 {
					nearest = min(nearest, math.Abs(p.GoodputPercent-at))
				}
			}
		}
		if nearest > distance+1 {
			best, distance = at, nearest
		}
	}
	return best
}

// multipleTicks marks the multiples that were measured, and names those for which there is room.
type multipleTicks struct {
	at     []float64
	narrow bool
}

func (m multipleTicks) Ticks(low, high float64) []plot.Tick {
	room := .055
	if m.narrow {
		room = .15
	}
	norm := func(v float64) float64 { return math.Log(v/low) / math.Log(high/low) }
	last := math.Inf(-1)
	var ticks []plot.Tick
	for i, v := range m.at {
		label := ""
		// The last is always named.
		if end := m.at[len(m.at)-1]; norm(v)-last >= room && (i == len(m.at)-1 || norm(end)-norm(v) >= room) {
			label, last = times(v), norm(v)
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

// fate is one way in which a request can end.
type fate struct {
	name  string
	of    func(*Phase) int64
	hue   int
	hatch int
}

func fates() []fate {
	return []fate{
		{"in time", func(p *Phase) int64 { return p.InSLO }, green, 0},
		{"late", func(p *Phase) int64 { return p.Completed - p.InSLO }, orange, 1},
		{"refused", func(p *Phase) int64 { return p.Refused }, sky, 0},
		{"abandoned", func(p *Phase) int64 { return p.Abandoned }, purple, -1},
		{"in doubt", func(p *Phase) int64 { return p.InDoubt }, grey, 0},
		{"failed", func(p *Phase) int64 { return p.Failed + p.Dropped }, red, 1},
	}
}

// Sizes of horizontal bars.
const (
	barHeight = 19
	barGap    = 4
	groupGap  = 11
)

// outcomesPicture shows what became of all that was offered, one bar a phase.
func (r *Result) outcomesPicture() *picture {
	type bar struct {
		p           *Phase
		group, name string
	}
	var bars []bar
	for _, m := range multiples(r.lines()) {
		for _, l := range r.lines() {
			for _, p := range l.phases {
				if p.Multiple == m {
					bars = append(bars, bar{p, times(m), strings.TrimSuffix(l.name, " admission control")})
				}
			}
		}
	}
	if len(bars) == 0 {
		for i := range r.Phases {
			if p := &r.Phases[i]; p.Server == "bank" && p.Offered > p.InSLO {
				bars = append(bars, bar{p, "", p.Name})
			}
		}
	}
	bars = slices.DeleteFunc(bars, func(b bar) bool { return b.p.Offered == 0 })
	if len(bars) == 0 {
		return nil
	}
	groups := 0
	for i, b := range bars {
		if i == 0 || b.group == "" || b.group != bars[i-1].group {
			groups++
		}
	}
	var alt []string
	for _, b := range bars {
		alt = append(alt, fmt.Sprintf("%s %s: %s in time, %s refused", b.group, b.name, percent(share(b.p.InSLO, b.p.Offered)), percent(share(b.p.Refused, b.p.Offered))))
	}
	grouped := bars[0].group != ""
	return &picture{
		Name: OutcomesName, Title: "What became of everything that was asked for",
		Alt:     "Shares of what was offered. " + strings.Join(alt, "; ") + ".",
		Caption: "Each bar is all that was offered in one phase. Refused means: told at once to come back, nothing charged. Abandoned: the customer’s patience ended before any word. Failed includes what the generator itself dropped.",
		height: func(narrow bool) vg.Length {
			return vg.Length(len(bars))*(barHeight+barGap) + vg.Length(groups)*groupGap + lineRoom*vg.Length(1+legendRows(narrow)) + 10
		},
		draw: func(c draw.Canvas, narrow bool) {
			top := legend(c, narrow) - 6
			plain, muted := words(inkColor(), false), words(mutedColor(), false)
			left, column := vg.Length(0), vg.Length(0)
			for _, b := range bars {
				left = max(left, plain.Width(b.name)+8)
				column = max(column, words(nil, true).Width(b.group)+8)
			}
			if !grouped {
				column = 0
			}
			last := ""
			for i, b := range bars {
				if i > 0 && (b.group == "" || b.group != last) {
					top -= groupGap
				}
				middle := top - barHeight/2
				if grouped && b.group != last {
					c.FillText(words(inkColor(), true), vg.Point{X: c.Min.X, Y: middle}, b.group)
				}
				last = b.group
				c.FillText(muted, vg.Point{X: c.Min.X + column, Y: middle}, b.name)
				stack(draw.Crop(c, column+left, 0, 0, 0), top-barHeight, b.p)
				top -= barHeight + barGap
			}
		},
	}
}

// stack draws one bar and writes shares into parts that have room for them.
func stack(c draw.Canvas, bottom vg.Length, p *Phase) {
	at, on := c.Min.X, words(onHueColor(), false)
	on.XAlign = draw.XCenter
	for _, f := range fates() {
		part := share(f.of(p), p.Offered)
		width := vg.Length(part) * (c.Max.X - c.Min.X)
		block(c, at, bottom, max(0, width-.75), barHeight, hues()[f.hue], f.hatch)
		if label := fmt.Sprintf("%.0f %%", 100*part); width > on.Width(label)+8 {
			if f.hatch != 0 { // hatching and letters do not go together
				block(c, at+width/2-on.Width(label)/2-3, bottom+2, on.Width(label)+6, barHeight-4, hues()[f.hue], 0)
			}
			c.FillText(on, vg.Point{X: at + width/2, Y: bottom + barHeight/2 + 1}, label)
		}
		at += width
	}
}

// share is a part of a whole: 0 to 1, whatever a file says that somebody else wrote.
func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(1, max(0, float64(part)/float64(whole)))
}

func legendRows(narrow bool) int {
	if narrow {
		return 2
	}
	return 1
}

// legend names the parts of bars in the order in which they stand, and gives where the bars may begin.
func legend(c draw.Canvas, narrow bool) vg.Length {
	const swatch = 11
	perRow := (len(fates()) + legendRows(narrow) - 1) / legendRows(narrow)
	x, y := c.Min.X, c.Max.Y-lineRoom/2
	for i, f := range fates() {
		if i > 0 && i%perRow == 0 {
			x, y = c.Min.X, y-lineRoom*1.15
		}
		block(c, x, y-swatch/2, swatch, swatch, hues()[f.hue], f.hatch)
		name := words(inkColor(), false)
		c.FillText(name, vg.Point{X: x + swatch + 5, Y: y}, f.name)
		x += swatch + 5 + name.Width(f.name) + 16
	}
	return y - lineRoom
}
