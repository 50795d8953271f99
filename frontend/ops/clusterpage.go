package ops

import (
	_ "embed"
	"html/template"
	"net/http"
	"time"
)

//go:embed cluster.html
var clusterText string

var clusterTemplate = template.Must(template.New("cluster").Funcs(template.FuncMap{
	"stamp":  func(at *time.Time) string { return stamp(*at) },
	"number": func(n *uint64) uint64 { return *n },
}).Parse(clusterText))

// clusterView is what the cluster page shows.
type clusterView struct {
	Payments     string // are payments getting through?
	PaymentsWell bool
	Headline     string
	Members      *Members
	Bank         string
	Written      string
}

func (p *port) clusterPage(w http.ResponseWriter, _ *http.Request) {
	now, _ := p.statusNow()
	v := clusterView{
		Payments: now.Verdict, PaymentsWell: now.Well(), Headline: now.Verdict, Members: now.Cluster,
		Bank: p.BankName, Written: time.Now().UTC().Format(time.RFC3339),
	}
	if v.PaymentsWell && now.Cluster != nil && !now.Cluster.Well {
		v.Headline = now.Cluster.Verdict
	}
	p.show(w, clusterTemplate, &v)
}
