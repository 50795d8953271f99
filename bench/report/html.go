package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed page.html index.html
var sources embed.FS

// pages are the templates of the report and of the index.
func pages() (*template.Template, error) {
	set := template.New("").Funcs(template.FuncMap{"inline": inlined, "marked": marked, "daylight": daylight, "night": night, "small": sized})
	if _, err := set.ParseFS(sources, "*.html"); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return set, nil
}

// HTML writes the report as one page that needs nothing beside itself: no script, no other file, no network.
func (r *Result) HTML() ([]byte, error) {
	set, err := pages()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := set.ExecuteTemplate(&b, "page.html", r.view()); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return legible(b.Bytes()), nil
}

// placed is a picture and whether it stands beside another one.
type placed struct {
	Picture *picture
	Small   bool
}

func sized(p *picture, small bool) placed { return placed{p, small} }

// inlined draws a picture into the page. The library escapes all text of a plot.
func inlined(p *picture, narrow bool) (template.HTML, error) {
	text, err := p.inline(narrow)
	return template.HTML(text), err
}

// marked sets what stands between backquotes as code.
func marked(text string) template.HTML {
	parts := strings.Split(text, "`")
	var b strings.Builder
	for i, part := range parts {
		switch {
		case i%2 == 0:
			b.WriteString(template.HTMLEscapeString(part))
		case i == len(parts)-1: // opened and never closed
			b.WriteString("`" + template.HTMLEscapeString(part))
		default:
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
		}
	}
	return template.HTML(b.String())
}

// daylight are the colours of plots on paper, as variables of the style sheet.
func daylight() template.CSS {
	var b strings.Builder
	for _, h := range hues() {
		fmt.Fprintf(&b, "--%s:%s;--%s-words:%s;", h.name, hex(h.fill), h.name, hex(h.words))
	}
	return template.CSS(b.String())
}

// night are the same, lightened until they can be read on a dark page, and what they stand on.
func night() template.CSS {
	return "--ink:#e4e6e9;--muted:#9aa2ac;--line:#30353c;--paper:#131518;" +
		"--blue:#4ba3e3;--blue-words:#7cc0f0;--red:#ec7d3a;--red-words:#f5a06c;--green:#2fb88d;--green-words:#5fd0ac;--purple:#d68fb8;--purple-words:#e3aecb;" +
		"--orange:#e6a817;--orange-words:#f0c04f;--sky:#6fbfee;--sky-words:#96d1f4;--grey:#8a929b;--grey-words:#aab1b9;"
}
