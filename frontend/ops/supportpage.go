package ops

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed support.html
var supportText string

var supportTemplate = template.Must(template.New("support").Parse(supportText))

// supportView is what the page of those who support customers shows.
type supportView struct {
	Title     string
	Bank      string
	Reference string
	Problem   *problem
	Explained *explainedView
}

// explainedView is an explanation in the order in which it is read out.
type explainedView struct {
	Case
	Charged string
	Times   []momentView
	Words   []wordsView
}

type momentView struct{ What, At string }

type wordsView struct {
	Heading string
	Said    []saidView
}

type saidView struct {
	Language  string
	Sentences []string
}

// supportLanguages is the order of the languages.
var supportLanguages = []string{"en", "zh-CN"}

// supportPage is the same as the call, for people: a browser asks for the support token as a password, whatever the name (RFC 7617).
func (p *port) supportPage(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	v := supportView{Title: "A customer calls", Bank: p.BankName, Reference: strings.TrimSpace(r.URL.Query().Get("reference"))}
	if v.Reference != "" {
		e, wrong := p.explained(r, v.Reference)
		if wrong != nil {
			v.Title, v.Problem = "Not found", wrong
			if wrong.Status != http.StatusNotFound {
				v.Title = "It cannot be looked up"
			}
			status = wrong.Status
		} else {
			v.Title, v.Explained = e.Reference, viewOf(e)
		}
	}
	p.showAs(w, status, supportTemplate, &v)
}

func viewOf(e *Case) *explainedView {
	v := &explainedView{Case: *e, Charged: e.charged()}
	at := func(what string, t time.Time) {
		if !t.IsZero() {
			v.Times = append(v.Times, momentView{what, t.Local().Format("2006-01-02 15:04:05 MST")})
		}
	}
	at("Page shown", e.Shown)
	at("Created", e.Created)
	at("Confirmed", e.Granted)
	at("Changed", e.Changed)
	at("Expires", e.Expires)
	words := func(heading string, all map[string][]string) {
		w := wordsView{Heading: heading}
		for _, language := range supportLanguages {
			if s := all[language]; len(s) > 0 {
				w.Said = append(w.Said, saidView{language, s})
			}
		}
		if len(w.Said) > 0 {
			v.Words = append(v.Words, w)
		}
	}
	words("The page said", e.Told)
	words("Tell the customer", e.Tell)
	return v
}
