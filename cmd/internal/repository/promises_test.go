package repository

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The table of invariants in docs/architecture.md names packages; each must hold a test that bears the invariant's name. The rules
// that keep money safe likewise bear their numbers.
func TestEveryPromiseHasTestsThatBearItsName(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "## Invariants")
	if !ok {
		t.Fatal("docs/architecture.md has no section Invariants")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	folders := regexp.MustCompile("`([^`]+)`")
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.Contains(cells[1], "---") || strings.TrimSpace(cells[1]) == "name" {
			continue
		}
		rows++
		name := strings.TrimSpace(cells[1])
		if strings.Contains(cells[3], "comes with") {
			continue
		}
		for _, m := range folders.FindAllStringSubmatch(cells[3], -1) {
			if !bears(t, m[1], "func Test"+name) {
				t.Errorf("docs/architecture.md says that %s is held by tests in %s; no test there bears the name", name, m[1])
			}
		}
	}
	if rows != 12 {
		t.Errorf("the table has %d invariants, there are 12", rows)
	}
	for rule := '1'; rule <= '9'; rule++ {
		if !bears(t, ".", "func TestRule"+string(rule)) {
			t.Errorf("no test bears the name of rule %c", rule)
		}
	}
}

// bears reports whether a test file below a folder holds a text. A folder is named by its path, or by its last part.
func bears(t *testing.T, folder, text string) bool {
	t.Helper()
	places := map[string]string{"journal": "cluster/journal", "gate": "cluster/gate", "replica": "cluster/replica"}
	if full, ok := places[folder]; ok {
		folder = full
	}
	found := false
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d os.DirEntry, err error) error {
		if err != nil || found || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		body, err := os.ReadFile(path)
		found = found || strings.Contains(string(body), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
