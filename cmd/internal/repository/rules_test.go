package repository

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

type listed struct {
	ImportPath   string
	Dir          string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestGoFiles  []string
	XTestGoFiles []string
	TestImports  []string
	Deps         []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = root
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, failure.String())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// layer names the part of the house that a package belongs to.
func layer(path string) string {
	path = strings.TrimPrefix(path, "netbank/")
	for _, l := range []string{"cluster/journal", "cluster/gate", "cluster", "session", "frontend", "core-adapter", "bench", "deploy", "cmd"} {
		if path == l || strings.HasPrefix(path, l+"/") {
			return l
		}
	}
	return path
}

func TestImportsRunOneWay(t *testing.T) {
	allowed := map[string][]string{
		"cluster/journal": {},
		"cluster/gate":    {},
		"cluster":         {"cluster/journal", "cluster/gate"},
		"session":         {"cluster/journal", "cluster/gate"},
		"frontend":        {"session", "cluster", "cluster/journal", "cluster/gate"},
		"core-adapter":    {},
		"deploy":          {},
		"bench":           {"core-adapter", "cluster/gate"}, // the congestion models and the gate, for simulations in virtual time
		"cmd":             {"frontend", "session", "cluster", "cluster/journal", "cluster/gate", "core-adapter", "bench", "deploy"},
	}
	for _, p := range list(t, "./...") {
		from := layer(p.ImportPath)
		rules, ok := allowed[from]
		if !ok {
			t.Errorf("%s belongs to no part of the house; the parts are cmd, frontend, session, cluster, core-adapter, bench and deploy", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			if !strings.HasPrefix(i, "netbank/") {
				continue
			}
			if to := layer(i); to != from && !slices.Contains(rules, to) {
				t.Errorf("%s imports %s: %s may import only %v", p.ImportPath, i, from, rules)
			}
		}
	}
}

// Events and times come into a pure package as arguments, and decisions go out as values.
func TestPurePackagesHoldNoGoroutineClockSocketFileOrRandomNumber(t *testing.T) {
	imports := []string{"os", "net", "sync", "math/rand", "math/rand/v2", "crypto/rand", "runtime", "context", "log", "log/slog", "syscall", "unsafe"}
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
	for _, p := range list(t, "./cluster/journal", "./cluster/gate", "./cluster/scaling/expansion") {
		for _, name := range p.GoFiles {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range file.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				if slices.Contains(imports, path) || strings.HasPrefix(path, "net/") || strings.HasPrefix(path, "os/") {
					t.Errorf("%s imports %s", set.Position(i.Pos()), path)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt, *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
					t.Errorf("%s: a goroutine or channel in a pure package", set.Position(n.Pos()))
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
						t.Errorf("%s: time.%s in a pure package", set.Position(n.Pos()), n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

func TestTheProductLinksNoDemoBenchOrSimulatedPart(t *testing.T) {
	for _, p := range list(t, "./cmd/netbank") {
		for _, d := range p.Deps {
			for _, part := range []string{"netbank/bench", "netbank/core-adapter/simulated", "netbank/cmd/netbank-lab", "netbank/cmd/internal/lab", "netbank/cmd/internal/balancer", "netbank/cmd/internal/benchmark", "netbank/cmd/internal/chaos"} {
				if d == part || strings.HasPrefix(d, part+"/") {
					t.Errorf("cmd/netbank links %s, which belongs to netbank-lab only", d)
				}
			}
		}
	}
}

func TestEveryPackageOpensWithADocComment(t *testing.T) {
	for _, p := range list(t, "./...") {
		if strings.TrimSpace(p.Doc) == "" {
			t.Errorf("%s has no package comment: say in doc.go what it is for and what it never does", p.ImportPath)
		}
	}
}

func TestTopLevelHoldsOnlyTheFoldersOfTheHouse(t *testing.T) {
	folders := []string{"frontend", "session", "cluster", "core-adapter", "bench", "cmd", "docs", "deploy", "bin", "data", "results"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(folders, e.Name()) {
			t.Errorf("folder %s stands at the top; the folders are %v", e.Name(), folders)
		}
	}
}

func TestSourcesKeepTheHouseHabits(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || slices.Contains([]string{"bin", "data", "results"}, d.Name())) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(file) {
			return nil
		}
		if lines := set.Position(file.FileEnd).Line; lines > 700 && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines: a file of more than 700 holds two subjects", path, lines)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init() hides work in an import; do it in a constructor", set.Position(f.Pos()))
			}
			from, to := set.Position(f.Pos()).Line, set.Position(f.End()).Line
			if to-from > 100 && !strings.HasSuffix(path, "_test.go") {
				t.Errorf("%s: %s has %d lines; a function fits a screen", set.Position(f.Pos()), f.Name.Name, to-from)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
