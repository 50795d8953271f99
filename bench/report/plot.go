package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	plottext "gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// picture is one plot. It is drawn twice for the page, for a desk and for a phone, and once as a file of its own.
type picture struct {
	Name    string // of the file
	Title   string // what it shows, as a statement or a question that it answers
	Alt     string // for those who do not see it
	Caption string // how to read it
	unit    string // of the vertical axis; stands above it
	height  func(narrow bool) vg.Length
	draw    func(c draw.Canvas, narrow bool)
}

// Sizes of plots, in points; a browser shows a point of an inline plot as about a pixel.
const (
	wideWidth   = 720
	narrowWidth = 360
	fontSize    = 11.5
	// lineRoom is the distance of two lines of text.
	lineRoom = 1.25 * fontSize
)

// hue is a colour of series. On paper and on a screen at night it is drawn in different shades: the page gives them to the
// names of the style sheet, and the plots that stand alone have those for paper.
type hue struct {
	name        string // of the variable in the style sheet
	fill, words color.RGBA
}

// Colours that people with the common forms of colour blindness tell apart (Okabe and Ito, "Color Universal Design", 2008), in an order in which
// neighbours differ most. Words are darker, so that they can be read on white. No series is told from another by its colour alone.
func hues() [7]hue {
	return [7]hue{
		{"blue", color.RGBA{0, 114, 178, 255}, color.RGBA{0, 91, 143, 255}},
		{"red", color.RGBA{213, 94, 0, 255}, color.RGBA{166, 72, 0, 255}},
		{"green", color.RGBA{0, 158, 115, 255}, color.RGBA{0, 110, 80, 255}},
		{"purple", color.RGBA{204, 121, 167, 255}, color.RGBA{150, 65, 112, 255}},
		{"orange", color.RGBA{230, 159, 0, 255}, color.RGBA{133, 90, 0, 255}},
		{"sky", color.RGBA{86, 180, 233, 255}, color.RGBA{24, 105, 153, 255}},
		{"grey", color.RGBA{138, 145, 153, 255}, color.RGBA{90, 97, 105, 255}},
	}
}

const (
	blue = iota
	red
	green
	purple
	orange
	sky
	grey
)

// Colours of what is no series. Ink is not black: the library leaves black out, and the page could not replace it.
func inkColor() color.RGBA   { return color.RGBA{26, 28, 30, 255} }
func mutedColor() color.RGBA { return color.RGBA{91, 98, 107, 255} }
func lineColor() color.RGBA  { return color.RGBA{225, 229, 234, 255} }
func paperColor() color.RGBA { return color.RGBA{254, 254, 254, 255} }

// onHueColor is ink on a field of a series' colour, by day and night.
func onHueColor() color.RGBA { return color.RGBA{17, 17, 17, 255} }

func hex(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

// named is a colour of plots with its variable in the style sheet.
type named struct {
	name  string
	color color.RGBA
}

// palette are all but onHueColor, which is the same by day and night.
func palette() []named {
	all := []named{{"ink", inkColor()}, {"muted", mutedColor()}, {"line", lineColor()}, {"paper", paperColor()}}
	for _, h := range hues() {
		all = append(all, named{h.name, h.fill}, named{h.name + "-words", h.words})
	}
	return all
}

// inPage replaces the colours of a plot by variables of the page's style sheet, so that it is dark where the page is.
func inPage() *strings.Replacer {
	var pairs []string
	for _, n := range palette() {
		pairs = append(pairs, hex(n.color), "var(--"+n.name+")")
	}
	return strings.NewReplacer(pairs...)
}

// atNight is a style sheet for a plot that stands alone: the colours of the night where the reader has asked for a dark screen. It overrules attributes, and
// does not stand in their place, for the many programs that show SVG without knowing of style sheets.
func atNight() string {
	var b strings.Builder
	b.WriteString("<style>@media (prefers-color-scheme:dark){")
	for _, n := range palette() {
		_, after, _ := strings.Cut(string(night()), "--"+n.name+":")
		dark, _, _ := strings.Cut(after, ";")
		for _, what := range []string{"fill", "stroke"} {
			fmt.Fprintf(&b, `[style*="%s:%s"]{%s:%s!important}`, what, hex(n.color), what, dark)
		}
	}
	b.WriteString("}</style>")
	return b.String()
}

// words is a style of text. The library's font has the widths of Arial and Helvetica, which most readers have.
func words(c color.Color, bold bool) plottext.Style {
	f := plotfont.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize}
	if bold {
		f.Weight = font.WeightBold
	}
	return plottext.Style{Color: c, Font: f, XAlign: draw.XLeft, YAlign: draw.YCenter, Handler: plot.DefaultTextHandler}
}

// render draws the picture as a document of its own.
func (p *picture) render() ([]byte, error) { return p.onCanvas(false, true) }

// inline draws it for the page: without title and paper, in the colours of the page.
func (p *picture) inline(narrow bool) (string, error) {
	text, err := p.onCanvas(narrow, false)
	if err != nil {
		return "", err
	}
	// From the document's head nothing is left but the size of the view; the page says how wide it is shown.
	start, body := bytes.Index(text, []byte("<svg")), bytes.Index(text, []byte(`<g `))
	if start < 0 || body < 0 {
		return "", fmt.Errorf("report: %s: the plot is not as the library used to write it", p.Name)
	}
	width, height := p.size(narrow)
	head := fmt.Sprintf(`<svg class="%s" viewBox="0 0 %g %g" aria-hidden="true" focusable="false">`, yes(narrow, "narrow", "wide"), width, height)
	return head + "\n" + inPage().Replace(string(text[body:])), nil
}

func (p *picture) size(narrow bool) (width, height vg.Length) {
	if narrow {
		return narrowWidth, p.height(true)
	}
	return wideWidth, p.height(false)
}

func (p *picture) onCanvas(narrow, alone bool) ([]byte, error) {
	width, height := p.size(narrow)
	const margin, titleRoom = 12, 26
	if alone {
		width, height = width+2*margin, height+2*margin+titleRoom
	}
	canvas := vgsvg.New(width, height)
	c := draw.New(canvas)
	if alone {
		c.SetColor(paperColor())
		c.Fill(c.Rectangle.Path())
		c = draw.Crop(c, margin, -margin, margin, -margin)
		c.FillText(words(inkColor(), true), vg.Point{X: c.Min.X, Y: c.Max.Y - fontSize/2}, p.Title)
		c.Max.Y -= titleRoom
	}
	if p.unit != "" {
		c.FillText(words(mutedColor(), false), vg.Point{X: c.Min.X, Y: c.Max.Y - fontSize/2}, p.unit)
		c.Max.Y -= 1.8 * fontSize
	}
	p.draw(c, narrow)
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("report: %s: %w", p.Name, err)
	}
	text := bytes.ReplaceAll(legible(b.Bytes()), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	if alone {
		text = bytes.Replace(text, []byte("\n<g "), []byte("\n"+atNight()+"\n<g "), 1)
	}
	return text, nil
}

// legible leaves out the characters that XML cannot hold, whoever wrote them into a name.
func legible(text []byte) []byte {
	return bytes.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == 0xFFFE || c == 0xFFFF {
			return -1
		}
		return c
	}, text)
}

// axes is a plot in the house's style: no frame, grey marks, lines across.
func axes() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Tick.Label.Font, a.Tick.Label.Color = words(nil, false).Font, mutedColor()
		a.Label.TextStyle.Font, a.Label.TextStyle.Color = words(nil, false).Font, mutedColor()
		a.Tick.LineStyle.Color, a.LineStyle.Color = mutedColor(), mutedColor()
		a.LineStyle.Width, a.Tick.LineStyle.Width = .75, .75
		a.Tick.Length = 4
	}
	p.X.Label.Padding, p.X.Tick.Label.YAlign = 4, draw.YTop
	p.Y.LineStyle.Width, p.Y.Tick.LineStyle.Width, p.Y.Tick.Length, p.Y.Padding = 0, 0, 0, 6
	p.Y.Min, p.Y.Tick.Marker = 0, numberTicks{}
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color, grid.Horizontal.Width = lineColor(), .75
	p.Add(grid)
	return p
}

// series is a line of points from left to right, with its name at its right end.
type series struct {
	name   string
	points plotter.XYs
	hue    hue
	dashes []vg.Length
	width  vg.Length
	dots   bool
}

// Dashes by which lines differ beside their colour.
func dashes(n int) []vg.Length {
	return [][]vg.Length{nil, {7, 3}, {2, 2.5}, {9, 3, 2, 3}, {4, 2}, {1, 3}}[n%6]
}

func (s *series) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	line := make([]vg.Point, len(s.points))
	for i, v := range s.points {
		line[i] = vg.Point{X: x(v.X), Y: y(v.Y)}
	}
	c.StrokeLines(draw.LineStyle{Color: s.hue.fill, Width: s.width, Dashes: s.dashes}, c.ClipLinesY(line)...)
	if s.dots {
		for _, at := range line {
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: s.hue.fill, Radius: 1.6 * s.width, Shape: draw.CircleGlyph{}}, at)
		}
	}
}

func (s *series) DataRange() (xmin, xmax, ymin, ymax float64) { return plotter.XYRange(s.points) }

// endLabels are the names of series at their right ends, moved apart where they would overlap.
type endLabels []*series

const labelGap = 7

func (l endLabels) GlyphBoxes(p *plot.Plot) []plot.GlyphBox {
	boxes := make([]plot.GlyphBox, len(l))
	for i, s := range l {
		// They take width only: upwards and downwards there is room within the plot.
		boxes[i] = plot.GlyphBox{X: 1, Y: .5, Rectangle: vg.Rectangle{Max: vg.Point{X: labelGap + words(nil, true).Width(s.name)}}}
	}
	return boxes
}

func (l endLabels) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	type place struct {
		s      *series
		end    vg.Point
		at     vg.Length
		height vg.Length
	}
	all := make([]place, len(l))
	for i, s := range l {
		last := s.points[len(s.points)-1]
		all[i] = place{s, vg.Point{X: x(last.X), Y: y(last.Y)}, y(last.Y), lineRoom * vg.Length(1+strings.Count(s.name, "\n"))}
	}
	slices.SortStableFunc(all, func(a, b place) int { return int(math.Copysign(1, float64(a.at-b.at))) })
	// From below each goes up as far as it must; then from above down again, where the plot ends.
	for i := range all {
		floor := c.Min.Y
		if i > 0 {
			floor = all[i-1].at + all[i-1].height/2
		}
		all[i].at = max(all[i].at, floor+all[i].height/2)
	}
	roof := c.Max.Y + lineRoom/2
	for i := len(all) - 1; i >= 0; i-- {
		all[i].at = min(all[i].at, roof-all[i].height/2)
		roof = all[i].at - all[i].height/2
	}
	for _, a := range all {
		left := c.Max.X + labelGap
		if moved := a.at - a.end.Y; moved > lineRoom/2 || moved < -lineRoom/2 || left-a.end.X > 4*labelGap {
			c.StrokeLine2(draw.LineStyle{Color: a.s.hue.fill, Width: .75}, a.end.X+3, a.end.Y, left-2, a.at)
		}
		c.FillText(words(a.s.hue.words, true), vg.Point{X: left, Y: a.at}, a.s.name)
	}
}

// numberTicks marks two to six round numbers.
type numberTicks struct{}

func (numberTicks) Ticks(low, high float64) []plot.Tick {
	if high <= low {
		return nil
	}
	const most = 5.5 // steps
	step := math.Pow(10, math.Floor(math.Log10((high-low)/most)))
	for _, coarser := range []float64{2, 2.5, 2} { // 2, 5 and 10 of that power
		if (high-low)/step <= most {
			break
		}
		step *= coarser
	}
	first := math.Ceil(low/step - 1e-9)
	var ticks []plot.Tick
	for i := range 7 {
		v := (first + float64(i)) * step
		if !(v <= high+1e-9*step) {
			break
		}
		label := strconv.FormatFloat(v, 'g', 4, 64)
		if math.Abs(v) >= 1000 {
			label = grouped(int64(math.Round(v)))
		} else if v == 0 {
			label = "0" // Ceil gives a zero with a sign
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

// block is a field of one colour; hatched ones bear lines as well, so that neighbours differ without colour.
func block(c draw.Canvas, left, bottom, width, height vg.Length, h hue, hatch int) {
	if width <= 0 {
		return
	}
	right, top := left+width, bottom+height
	c.FillPolygon(h.fill, []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}})
	if hatch == 0 {
		return
	}
	style := draw.LineStyle{Color: paperColor(), Width: .8}
	slope := vg.Length(1)
	if hatch < 0 {
		slope = -1
	}
	for from := left - height; from < right; from += 6 {
		// The line goes from (from, bottom) to (from+height, top), or mirrored; what lies outside is cut off.
		x0, x1 := max(from, left), min(from+height, right)
		if x0 >= x1 {
			continue
		}
		y0, y1 := bottom+(x0-from), bottom+(x1-from)
		if slope < 0 {
			y0, y1 = top-(x0-from), top-(x1-from)
		}
		c.StrokeLine2(style, x0, y0, x1, y1)
	}
}

// wrapped breaks a text into lines of about that many letters.
func wrapped(text string, letters int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case column+1+n > letters:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
