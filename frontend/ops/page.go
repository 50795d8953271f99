package ops

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"time"
)

//go:embed style.css
var styleSheet []byte

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// view is what the status page shows.
type view struct {
	Status
	Silent  bool // the node does not say how it is
	Bank    string
	Extra   []string
	Written string
}

func (p *port) page(w http.ResponseWriter, _ *http.Request) {
	now, ok := p.statusNow()
	v := view{Status: now, Silent: !ok, Bank: p.BankName, Written: time.Now().UTC().Format(time.RFC3339)}
	for pattern := range p.Extra {
		v.Extra = append(v.Extra, pattern)
	}
	slices.Sort(v.Extra)
	p.show(w, pageTemplate, &v)
}

func (p *port) show(w http.ResponseWriter, t *template.Template, v any) {
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		p.Logger.Error("ops: a page cannot be written", "error", err)
		http.Error(w, "the page cannot be written; /api/v1/status has the same", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (p *port) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleSheet)
}
