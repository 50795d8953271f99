package ops

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"time"

	"netbank/cluster/gate"
)

//go:embed style.css
var styleSheet []byte

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// view is what the status page shows.
type view struct {
	Status
	Bank    string
	Verdict string // the answer to "are payments getting through?"
	Well    bool
	Advice  []string
	Checks  []checkLine
	Extra   []string
	Written string
}

type checkLine struct {
	Name string
	Err  string
}

func (p *port) page(w http.ResponseWriter, _ *http.Request) {
	v := view{
		Status: p.statusNow(), Bank: p.BankName, Well: true, Verdict: "Payments are getting through", Written: time.Now().UTC().Format(time.RFC3339),
	}
	for _, c := range p.Checks {
		line := checkLine{Name: c.Name}
		if err := c.Ask(); err != nil {
			line.Err = err.Error()
			v.Well, v.Verdict = false, "Payments are not getting through"
			v.Advice = append(v.Advice, err.Error())
		}
		v.Checks = append(v.Checks, line)
	}
	if refused := v.Classes[gate.Confirm].Refused; v.Well && refused != "" {
		v.Well, v.Verdict = false, "New confirmations are being refused: "+refused
		v.Advice = append(v.Advice, "The core takes no more than it takes now. More nodes would not help; ask the core's operators, or raise the limit if the core has room.")
	}
	if v.InDoubt > 0 {
		v.Advice = append(v.Advice, "Payments in doubt are being resolved with the core by themselves; nothing is to be done as long as their number falls.")
	}
	if v.Disagreements > 0 {
		v.Advice = append(v.Advice, "The core has contradicted a payment's final state. Compare the payments on the reconciliation list with the core's books.")
	}
	for pattern := range p.Extra {
		v.Extra = append(v.Extra, pattern)
	}
	slices.Sort(v.Extra)
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, &v); err != nil {
		p.Logger.Error("ops: the status page cannot be written", "error", err)
		http.Error(w, "the status page cannot be written; /api/v1/status has the same", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (p *port) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleSheet)
}
