package ops

import (
	_ "embed"
	"html/template"
	"net/http"
	"time"

	"netbank/frontend/money"
)

//go:embed cluster.html
var clusterText string

var clusterTemplate = template.Must(template.New("cluster").Funcs(template.FuncMap{
	"stamp":  func(at *time.Time) string { return stamp(*at) },
	"number": func(n *uint64) string { return money.Grouped(int64(*n)) },
	"behind": func(n *uint64) bool { return n != nil && *n > 0 },
}).Parse(clusterText))

// clusterView is what the cluster page shows.
type clusterView struct {
	Payments     string // are payments getting through?
	PaymentsWell bool
	Reasons      []string
	Headline     string
	Members      *Members
	Bank         string
	refresh
}

func (p *port) clusterPage(w http.ResponseWriter, r *http.Request) {
	now, _ := p.statusNow()
	v := clusterView{
		Payments: now.Verdict, PaymentsWell: now.Well(), Reasons: now.Advice, Headline: now.Verdict, Members: now.Cluster,
		Bank: p.BankName, refresh: refreshed(w, r),
	}
	if v.PaymentsWell && now.Cluster != nil && !now.Cluster.Well {
		v.Headline = now.Cluster.Verdict
	}
	p.show(w, clusterTemplate, &v)
}
