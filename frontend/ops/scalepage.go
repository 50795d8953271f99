package ops

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

//go:embed scale.html
var scaleText string

var scaleTemplate = template.Must(template.New("scale").Funcs(template.FuncMap{
	"stamp": func(at *time.Time) string { return stamp(*at) },
	"level": func(n uint32) string { return levelNames[min(n, uint32(len(levelNames)-1))] },
}).Parse(scaleText))

// scaleView is what the page of the levers shows.
type scaleView struct {
	Headline string
	Well     bool
	Advice   []string
	Scale    *Scale // nil: this node does not know
	Bank     string
	refresh
}

func (p *port) scalePage(w http.ResponseWriter, r *http.Request) {
	v := scaleView{Bank: p.BankName, refresh: refreshed(w, r)}
	if p.Levers == nil {
		v.Headline, v.Advice = "This node is a worker", []string{"It keeps no journal. Ask a coordinator; the cluster page lists them."}
	} else if s, ok := p.scaleNow(); !ok {
		v.Headline, v.Advice = "This node does not say how it stands", []string{"Look at its disk and at its log, and ask another node."}
	} else {
		v.Scale = &s
		v.Headline, v.Well = s.headline()
	}
	p.show(w, scaleTemplate, &v)
}

// headline says in one sentence whether it stands as it was wished for.
func (s *Scale) headline() (text string, well bool) {
	r := &s.Provider
	switch {
	case s.Workers.Pending != nil || s.Level.Pending != nil:
		return "A wish waits for a second operator", false
	case r.Problem != "":
		return "Workers cannot be had: " + r.Problem, false
	case r.Known && s.Workers.Wished && (r.Wanted != int(s.Workers.Value) || r.Running >= 0 && r.Running != r.Wanted || r.Leaving > 0):
		return fmt.Sprintf("On the way to %s", workersText(s.Workers.Value)), true
	case r.Known:
		return fmt.Sprintf("%s run", workersText(uint32(max(r.Running, 0)))), true
	case s.Level.Value > 0:
		return "The core is open wider than normal", true
	}
	return "Nothing is wished for that does not stand", true
}
