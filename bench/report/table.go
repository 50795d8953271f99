package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is rows under heads, in the form that Markdown and HTML are both made from. Cells are plain text, ready to be read.
type table struct {
	Title   string // over the table; may be empty
	Columns []column
	Rows    [][]string
}

// column is one head of a table.
type column struct {
	Head string
	Kind kind
}

// kind says how the cells of a column are set.
type kind uint8

const (
	text   kind = iota
	number      // to the right, digits of one width
	word        // not broken into lines
	code
	small // long text that is not read first
)

// Number, Word, Code and Small are for the page's template.
func (c column) Number() bool { return c.Kind == number }
func (c column) Word() bool   { return c.Kind == word }
func (c column) Code() bool   { return c.Kind == code }
func (c column) Small() bool  { return c.Kind == small }

// broadFrom is from how many columns on a table may be broader than the text.
const broadFrom = 8

// Broad is for the page's template.
func (t table) Broad() bool { return len(t.Columns) >= broadFrom }

// add appends a row, which has as many cells as the table has columns.
func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// trimmed is the table without the columns in which no row has anything.
func (t *table) trimmed() table {
	out := table{Title: t.Title, Rows: make([][]string, len(t.Rows))}
	for i, c := range t.Columns {
		if !slices.ContainsFunc(t.Rows, func(row []string) bool { return row[i] != "" }) {
			continue
		}
		out.Columns = append(out.Columns, c)
		for j, row := range t.Rows {
			out.Rows[j] = append(out.Rows[j], row[i])
		}
	}
	return out
}

// markdown writes the table. A bar in a cell would end it.
func (t *table) markdown(b *strings.Builder) {
	if t.Title != "" {
		b.WriteString("### " + t.Title + "\n\n")
	}
	line := func(cells []string) {
		b.WriteByte('|')
		for i, cell := range cells {
			cell = strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell)
			if t.Columns[i].Kind == code && cell != "" {
				cell = "`" + cell + "`"
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteByte('\n')
	}
	heads, rules := make([]string, len(t.Columns)), "|"
	for i, c := range t.Columns {
		heads[i] = c.Head
		if c.Kind == number {
			rules += "--:|"
		} else {
			rules += "---|"
		}
	}
	b.WriteString("| " + strings.Join(heads, " | ") + " |\n" + rules + "\n")
	for _, row := range t.Rows {
		line(row)
	}
	b.WriteByte('\n')
}

// grouped writes a count with a comma at every third digit.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "−", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// nonzero is grouped, and empty for 0: not asked, or not the case.
func nonzero(n int64) string {
	if n == 0 {
		return ""
	}
	return grouped(n)
}

// figure writes a measured value with three digits or more: fewer would hide differences, more would pretend to them. A whole number
// below a hundred was counted.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 99.95:
		return grouped(int64(math.Round(v)))
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', -1, 64) // counted, not measured
	case a >= .995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// percent writes a share of 1.
func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

// points writes a percentage without its sign; in a column of them, more digits would only hide which is greater.
func points(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// in writes a value with the digits that its unit deserves.
func in(v float64, unit string) string {
	if unit == "%" {
		return points(v)
	}
	return figure(v)
}

// times writes a multiple.
func times(m float64) string {
	if m == 0 {
		return ""
	}
	return strconv.FormatFloat(m, 'g', 4, 64) + "×"
}

// short writes nanoseconds.
func short(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d >= 100*time.Second:
		return strconv.FormatInt(int64(d.Round(time.Second)/time.Second), 10) + " s"
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	case d >= 10*time.Millisecond:
		return strconv.FormatFloat(d.Seconds()*1e3, 'f', 1, 64) + " ms"
	case d >= time.Millisecond:
		return strconv.FormatFloat(d.Seconds()*1e3, 'f', 2, 64) + " ms"
	}
	return strconv.FormatInt(d.Microseconds(), 10) + " µs"
}

// plural writes a count with its noun.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

func yes(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
