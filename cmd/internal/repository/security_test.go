package repository

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Requirements of OWASP ASVS 5.0.0 by level, as its release counts them.
const asvsFirst, asvsSecond = 70, 183

// docs/asvs.md and docs/security.md say what is met, and by which test, as docs/customer-pages.md does of pages. The table must be whole, every test and file it names must exist, and
// whatever is not met or not applicable must say why.
func TestSecurityTablesAreWholeAndNameWhatThereIs(t *testing.T) {
	tests := testNames(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	files := regexp.MustCompile("`((?:docs|frontend|cluster|session)/[\\w./-]+)`")
	number := regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	levels := map[string]int{}
	seen := map[string]bool{}
	for _, document := range []string{"asvs.md", "security.md", "customer-pages.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", document))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			if !tests[m[1]] {
				t.Errorf("docs/%s names %s, and there is no such test", document, m[1])
			}
		}
		for _, m := range files.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("docs/%s names %s: %v", document, m[1], err)
			}
		}
		for line := range strings.Lines(string(text)) {
			cells := strings.Split(line, "|")
			if len(cells) != 7 || !number.MatchString(strings.TrimSpace(cells[1])) {
				continue
			}
			id, verdict, by := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[4]), strings.TrimSpace(cells[5])
			if seen[id] || by == "" || !slices.Contains([]string{"met", "n/a", "not met"}, verdict) {
				t.Errorf("docs/%s: %s stands twice, gives no reason, or is %q", document, id, verdict)
			}
			seen[id] = true
			levels[strings.TrimSpace(cells[2])]++
		}
	}
	if levels["1"] != asvsFirst || levels["2"] != asvsSecond || levels["3"] == 0 {
		t.Errorf("docs/asvs.md has %v requirements by level, want %d of level 1 and %d of level 2", levels, asvsFirst, asvsSecond)
	}
}

// testNames gives the names of all tests and fuzz targets of the house.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, p := range list(t, "./...") {
		for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range declared.FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
			}
		}
	}
	return names
}

// docs/customer-pages.md names what looks at each page: parts of a browser's tests, and the names under which pages are looked at.
func TestTableOfCustomersPagesNamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "customer-pages.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	files, err := filepath.Glob(filepath.Join(root, "cmd", "internal", "browser", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(source)
	}
	looked := regexp.MustCompile(`\b(?:at|look|lookAt)\((?:t, browser, source, )?"([a-z-]+)"|"(line(?:-late)?)":`)
	for _, m := range regexp.MustCompile("`TestInABrowser/(\\w+)`").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(sources.String(), `"`+m[1]+`"`) {
			t.Errorf("docs/customer-pages.md names the part %s, and there is no such", m[1])
		}
	}
	var named []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(cells[3], -1) {
				named = append(named, m[1])
			}
		}
	}
	for _, m := range looked.FindAllStringSubmatch(sources.String(), -1) {
		if name := m[1] + m[2]; !slices.Contains(named, name) && !strings.HasPrefix(name, "console-") { // the operator's own
			t.Errorf("docs/customer-pages.md lacks the page that is looked at as %s", name)
		}
	}
	for _, name := range named {
		if !strings.Contains(sources.String(), `"`+name+`"`) {
			t.Errorf("docs/customer-pages.md names the page %s, which nobody looks at", name)
		}
	}
}
