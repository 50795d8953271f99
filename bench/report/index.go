package report

import (
	"bytes"
	"fmt"
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

// indexed is an entry as the page shows it.
type indexed struct {
	Folder, File, Title, Asked string
	Verdict                    verdict
	Headlines                  []headline
}

// Index is the page that leads to reports in folders beside it, and says of each what it says first.
func Index(entries []Entry) ([]byte, error) {
	all := make([]indexed, len(entries))
	for i, e := range entries {
		r := e.Result
		all[i] = indexed{e.Folder, HTMLName, r.Scenario, r.Asked, r.verdict(), r.headlineSection().Headlines}
	}
	set, err := pages()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := set.ExecuteTemplate(&b, IndexName, all); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return legible(b.Bytes()), nil
}

// WriteIndex writes the Index into the folder that holds the reports' folders.
func WriteIndex(dir string, entries []Entry) error {
	text, err := Index(entries)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, IndexName), text, 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
