package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Names of the files in a result's folder.
const (
	JSONName      = "result.json"
	BenchstatName = "benchstat.txt"
	MarkdownName  = "report.md"
	HTMLName      = "report.html"
	GoodputName   = "goodput.svg"  // and the plots that follow: of runs that have something to show in them
	OutcomesName  = "outcomes.svg" //
	RatesName     = "rates.svg"
	LatencyName   = "latency.svg"
	SamplesName   = "samples.svg"
)

// some makes a list of nothing an empty one, which JSON writes as such.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// JSON gives the result as its schema says.
func (r *Result) JSON() ([]byte, error) {
	full := *r
	full.Headlines, full.Phases, full.Samples, full.Profiles = some(r.Headlines), some(r.Phases), some(r.Samples), some(r.Profiles)
	full.Audits, full.Void, full.Failures, full.Notes, full.LeftOut = some(r.Audits), some(r.Void), some(r.Failures), some(r.Notes), some(r.LeftOut)
	text, err := json.MarshalIndent(&full, "", " ")
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return append(text, '\n'), nil
}

// Write puts all files of the result into a folder, which it makes.
func (r *Result) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	text, err := r.JSON()
	if err != nil {
		return err
	}
	page, err := r.HTML()
	if err != nil {
		return err
	}
	type file struct {
		name string
		text []byte
	}
	files := []file{{JSONName, text}, {BenchstatName, []byte(r.Benchstat())}, {MarkdownName, []byte(r.Markdown())}, {HTMLName, page}}
	for _, p := range r.pictures() {
		plot, err := p.render()
		if err != nil {
			return err
		}
		files = append(files, file{p.Name, plot})
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.text, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// pictures are all plots for which the run has something to show.
func (r *Result) pictures() []*picture {
	all := append([]*picture{r.goodputPicture(), r.outcomesPicture(), r.ratesPicture(), r.latencyPicture(), r.samplesPicture()}, r.timelinePictures()...)
	return slices.DeleteFunc(all, func(p *picture) bool { return p == nil })
}

// Read reads a result's JSON.
func Read(path string) (*Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("report: %s: %w", path, err)
	}
	if r.Version != Version {
		return nil, fmt.Errorf("report: %s has version %d, this program reads %d", path, r.Version, Version)
	}
	return &r, nil
}
