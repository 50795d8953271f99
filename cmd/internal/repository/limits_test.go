package repository

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/limits.md anew")

// bound is a row of docs/limits.md.
type bound struct{ name, value, meaning string }

// named says which constants are bounds, by the words of the house.
var named = regexp.MustCompile(`(Max|Cap|Limit|Kept|Timeout|Budget|Wait|Every|After|Lifetime|Parallel|InFlight|Trailing|TrailingLogs|Backoff)$|^(Max|Default)[A-Z]|^(SubmitBudget|LockFor)$|Default$|(Min|Max)Minor$`)

// TestEverythingIsBounded_TheTableOfLimitsIsTheCodes holds docs/limits.md to the code: a bound that is added, moved or changed
// fails here until the table says so. `go test ./cmd/internal/repository -run Limits -update` writes it.
func TestEverythingIsBounded_TheTableOfLimitsIsTheCodes(t *testing.T) {
	want := limitsDocument(t)
	path := filepath.Join(root, "docs", "limits.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	have, must := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for _, line := range must {
		if !slices.Contains(have, line) {
			t.Errorf("docs/limits.md lacks: %s", line)
		}
	}
	for _, line := range have {
		if !slices.Contains(must, line) {
			t.Errorf("docs/limits.md says what the code does not: %s", line)
		}
	}
	t.Error("docs/limits.md is not what the code says; `go test ./cmd/internal/repository -run Limits -update` writes it anew, then read the difference")
}

const limitsHead = `# Limits

Every queue, map, buffer, batch, body, header, retry and wait of netbank has a limit. They stand here with their defaults, as the
code has them: this page is written by the code and a test fails when the two differ. What a name means in detail stands beside
it in the package. Sizes are in bytes unless the name says otherwise; amounts of money are in minor units.

Parts that only ` + "`netbank-lab`" + ` uses (the simulated core host, the demo shop, loads) are not listed.
`

func limitsDocument(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(limitsHead)
	exports := exportFiles(t)
	for _, p := range list(t, "./cluster/...", "./session/...", "./frontend/...", "./core-adapter/iso8583", "./core-adapter/corelink", "./cmd/internal/bank") {
		rows := boundsOf(t, p, exports)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n| bound | default | meaning |\n| --- | --- | --- |\n", strings.TrimPrefix(p.ImportPath, "netbank/"))
		for _, r := range rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.name, r.value, r.meaning)
		}
	}
	return b.String()
}

// exportFiles maps import paths to what the compiler knows of them.
func exportFiles(t *testing.T) map[string]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "./cluster/...", "./session/...", "./frontend/...", "./core-adapter/...", "./cmd/internal/bank")
	cmd.Dir = root
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -export: %v\n%s", err, failure.String())
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if path, file, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			files[path] = file
		}
	}
	return files
}

func boundsOf(t *testing.T, p listed, exports map[string]string) []bound {
	t.Helper()
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: importer.ForCompiler(set, "gc", open)}
	if _, err := config.Check(p.ImportPath, set, files, info); err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]bound)
	comments := fieldComments(files)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				constants(n, info, rows)
			case *ast.StructType:
				flags(n, rows)
			case *ast.FuncDecl:
				if n.Body != nil {
					defaults(n, info, comments, rows)
				}
			}
			return true
		})
	}
	var out []bound
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, rows[name])
	}
	return out
}

// constants takes the package's constants whose names say that they bound something.
func constants(d *ast.GenDecl, info *types.Info, rows map[string]bound) {
	if d.Tok != token.CONST {
		return
	}
	for _, s := range d.Specs {
		v := s.(*ast.ValueSpec)
		for _, id := range v.Names {
			c, ok := info.Defs[id].(*types.Const)
			if !ok || !named.MatchString(id.Name) || c.Val().Kind() != constant.Int && c.Val().Kind() != constant.Float || c.Parent() != c.Pkg().Scope() {
				continue
			}
			meaning := sentence(v.Doc, v.Comment)
			if meaning == "" {
				meaning = sentence(d.Doc)
			}
			rows[id.Name] = bound{id.Name, show(c.Val(), c.Type()), meaning}
		}
	}
}

// flags takes what bounds something, and operators may set: the fields of a command line with a default.
func flags(s *ast.StructType, rows map[string]bound) {
	for _, field := range s.Fields.List {
		if field.Tag == nil || len(field.Names) != 1 || !named.MatchString(field.Names[0].Name) {
			continue
		}
		tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
		value, ok := tag.Lookup("default")
		if !ok {
			continue
		}
		name := tag.Get("name")
		if name == "" {
			name = strings.ToLower(humps.ReplaceAllString(field.Names[0].Name, "$1-$2"))
		}
		meaning, _, _ := strings.Cut(tag.Get("help"), ". ")
		rows["--"+name] = bound{"--" + name, value, strings.TrimSuffix(meaning, ".")}
	}
}

// humps are where the words of a name in the code part.
var humps = regexp.MustCompile(`([a-z])([A-Z])`)

// defaults takes the fields that DefaultLimits and withDefaults fill in.
func defaults(f *ast.FuncDecl, info *types.Info, comments map[string]string, rows map[string]bound) {
	add := func(owner, field string, value ast.Expr) {
		if tv, ok := info.Types[value]; ok && tv.Value != nil && tv.Value.Kind() == constant.Int {
			name := owner + "." + field
			rows[name] = bound{name, show(tv.Value, tv.Type), comments[name]}
		}
	}
	if f.Name.Name != "DefaultLimits" && f.Name.Name != "withDefaults" {
		return
	}
	owner := "Limits"
	if f.Recv != nil {
		if id, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
			owner = id.Name
		}
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if id, ok := n.Type.(*ast.Ident); ok && id.Name == owner {
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						add(owner, kv.Key.(*ast.Ident).Name, kv.Value)
					}
				}
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "setDefault" && len(n.Args) == 2 {
				if u, ok := n.Args[0].(*ast.UnaryExpr); ok {
					if s, ok := u.X.(*ast.SelectorExpr); ok {
						add(owner, s.Sel.Name, n.Args[1])
					}
				}
			}
		case *ast.AssignStmt:
			if s, ok := n.Lhs[0].(*ast.SelectorExpr); ok && n.Tok == token.ASSIGN {
				if _, own := s.X.(*ast.Ident); own {
					add(owner, s.Sel.Name, n.Rhs[0])
				}
			}
		}
		return true
	})
}

func fieldComments(files []*ast.File) map[string]string {
	out := make(map[string]string)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.TypeSpec); ok {
				if fields, ok := s.Type.(*ast.StructType); ok {
					for _, field := range fields.Fields.List {
						for _, id := range field.Names {
							out[s.Name.Name+"."+id.Name] = sentence(field.Doc, field.Comment)
						}
					}
				}
			}
			return true
		})
	}
	return out
}

// sentence gives the first sentence of the first comment that there is, fit for a cell of a table.
func sentence(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if g == nil {
			continue
		}
		text := strings.Join(strings.Fields(g.Text()), " ")
		if end := strings.Index(text, ". "); end > 0 {
			text = text[:end]
		}
		return strings.ReplaceAll(strings.TrimSuffix(text, "."), "|", "\\|")
	}
	return ""
}

func show(v constant.Value, of types.Type) string {
	n, exact := constant.Int64Val(constant.ToInt(v))
	if !exact {
		return v.String()
	}
	switch of.String() {
	case "time.Duration":
		return time.Duration(n).String()
	case "netbank/cluster/journal.Millis":
		return (time.Duration(n) * time.Millisecond).String()
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
