package ops

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"

	"netbank/frontend/money"
)

//go:embed style.css
var styleSheet []byte

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"people": peopleText}).Parse(pageText))

// view is what the status page shows.
type view struct {
	Status
	Silent bool // the node does not say how it is
	Bank   string
	Extra  []string
	refresh
}

// refresh is a page that a person may have written anew all the time. Unasked it stays as it is: a screen reader would begin again
// each time (WCAG 2.2.1).
type refresh struct {
	Written string
	Every   int // seconds; 0: it stays
}

// refreshMax is how many seconds a page that is to be written anew may stay.
const refreshMax = 3600

func refreshed(w http.ResponseWriter, r *http.Request) refresh {
	every, err := strconv.Atoi(r.URL.Query().Get("every"))
	if err != nil || every < 1 || every > refreshMax {
		every = 0
	} else {
		w.Header().Set("Refresh", strconv.Itoa(every))
	}
	return refresh{time.Now().UTC().Format(time.RFC3339), every}
}

func (p *port) page(w http.ResponseWriter, r *http.Request) {
	now, ok := p.statusNow()
	v := view{Status: now, Silent: !ok, Bank: p.BankName, refresh: refreshed(w, r)}
	for pattern := range p.Extra {
		v.Extra = append(v.Extra, pattern)
	}
	slices.Sort(v.Extra)
	p.show(w, pageTemplate, &v)
}

// peopleText says how many people wait.
func peopleText(n int) string {
	if n == 1 {
		return "1 person"
	}
	return money.Grouped(int64(n)) + " people"
}

func (p *port) show(w http.ResponseWriter, t *template.Template, v any) {
	p.showAs(w, http.StatusOK, t, v)
}

func (p *port) showAs(w http.ResponseWriter, status int, t *template.Template, v any) {
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		p.Logger.Error("ops: a page cannot be written", "error", err)
		http.Error(w, "the page cannot be written; /api/v1/status has the same", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func (p *port) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleSheet)
}
