package report

import (
	"fmt"
	"html/template"
	"os"
	"path/filepath"
)

// IndexName is the page that leads to the reports of several scenarios.
const IndexName = "index.html"

// Entry is one report of an index.
type Entry struct {
	Folder string // beside the index
	Result *Result
}

var indexPage = template.Must(template.New("index").Funcs(template.FuncMap{
	"verdict": func(r *Result) verdict { return r.verdict() }, "report": func() string { return HTMLName }, "figure": figure,
}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>netbank: measured</title>
<style>
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin: 2rem 0 .25rem; font-size: 1.15rem; }
p { margin: .25rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; vertical-align: top; font-weight: normal; }
td.n { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; }
</style>
<h1>netbank: measured</h1>
<p>One report for each scenario. Each says first whether its run counts.</p>
{{range .}}<h2><a href="{{.Folder}}/{{report}}">{{.Result.Scenario}}</a></h2>
{{with verdict .Result}}<p><strong>{{.Word}}.</strong> {{.Says}}{{range .Reasons}} {{.}}{{end}}</p>{{end}}
<p>{{.Result.Asked}}</p>
{{with .Result.Headlines}}<div class="scroll"><table>
{{range .}}<tr><th scope="row">{{.Name}}</th><td class="n">{{figure .Value}} {{.Unit}}</td><td>{{with .Against}}{{.}}:{{end}}</td><td class="n">{{if .Against}}{{figure .Baseline}} {{.Unit}}{{end}}</td></tr>
{{end}}</table></div>{{end}}
{{end}}`))

// WriteIndex writes the page that leads to reports in folders beside it.
func WriteIndex(dir string, entries []Entry) error {
	f, err := os.Create(filepath.Join(dir, IndexName))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := indexPage.Execute(f, entries); err != nil {
		f.Close()
		return fmt.Errorf("report: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
