package external

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"netbank/bench/demo"
)

const (
	page      = "../../docs/load-tools.md"
	createsAt = "/v1/payments/domestic-transfers"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// found gives what the first group of an expression matches, once each, and fails if that is nothing: then the test is blind.
func found(t *testing.T, name, text, expression string) []string {
	t.Helper()
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	if len(all) == 0 {
		t.Fatalf("%s has nothing like %s any more: mend this test", name, expression)
	}
	return slices.Sorted(maps.Keys(all))
}

func document(t *testing.T) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestPageNamesEveryScriptAndNoOther(t *testing.T) {
	text := read(t, page)
	named := found(t, page, text, `\b([a-z0-9]+(?:[-_][a-z0-9]+)*\.(?:sh|js|lua|go))\b`)
	for _, name := range named {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%s names %s: %v", page, name, err)
		}
	}
	for _, pattern := range []string{"*.sh", "*.js", "*.lua"} {
		there, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range there {
			if !slices.Contains(named, name) {
				t.Errorf("%s does not name %s", page, name)
			}
		}
	}
	for _, link := range found(t, page, text, `\]\(([^)#:]+)(?:#[^)]*)?\)`) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(page), link)); err != nil {
			t.Errorf("a link of %s: %v", page, err)
		}
	}
}

// Scripts that are called can be called; those that are sourced cannot be taken for them.
func TestScriptsThatAreCalledCanBeCalled(t *testing.T) {
	there, err := filepath.Glob("*.sh")
	if err != nil || len(there) == 0 {
		t.Fatal(there, err)
	}
	for _, name := range there {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if called := strings.HasPrefix(read(t, name), "#!"); called != (info.Mode()&0o111 != 0) {
			t.Errorf("%s: begins with #!: %v, mode %v", name, called, info.Mode())
		}
	}
}

// properties gives the names of a schema's fields, those inside of fields too.
func properties(s *openapi3.Schema, into map[string]bool) map[string]bool {
	for name, p := range s.Properties {
		into[name] = true
		properties(p.Value, into)
	}
	for _, refs := range []openapi3.SchemaRefs{s.AnyOf, s.OneOf, s.AllOf} {
		for _, r := range refs {
			properties(r.Value, into)
		}
	}
	return into
}

func TestCreatesNameWhatTheDocumentHas(t *testing.T) {
	spec := document(t)
	create := spec.Paths.Value(createsAt).Post
	headers := map[string]bool{"Content-Type": false}
	for _, p := range create.Parameters {
		if p.Value.In == openapi3.ParameterInHeader {
			headers[p.Value.Name] = p.Value.Required
		}
	}
	order := create.RequestBody.Value.Content.Get("application/json").Schema.Value
	fields := properties(order, map[string]bool{})
	for _, name := range []string{"targets.sh", "k6-bank.js"} {
		text := read(t, name)
		if paths := found(t, name, text, `(/v1/[a-z/-]+)`); !slices.Equal(paths, []string{createsAt}) {
			t.Errorf("%s posts to %v", name, paths)
		}
		used := found(t, name, text, `['"]([A-Za-z]+(?:-[A-Za-z]+)+)['"]: `)
		for _, h := range used {
			if _, known := headers[h]; !known {
				t.Errorf("%s sends %s, which the document does not have", name, h)
			}
		}
		for h, required := range headers {
			if required && !slices.Contains(used, h) {
				t.Errorf("%s does not send %s", name, h)
			}
		}
		body := found(t, name, text, `(?s)(?:body: \(|order = )\{(.*?)\}(?: \| tojson|;)`)
		used = found(t, name, body[0], `\b([a-z][A-Za-z]+):`)
		for _, f := range used {
			if !fields[f] {
				t.Errorf("%s sends the field %s, which the document does not have", name, f)
			}
		}
		for _, f := range order.Required {
			if !slices.Contains(used, f) {
				t.Errorf("%s leaves out %s", name, f)
			}
		}
	}
}

func TestAnswersHaveTheLinksThatScriptsFollow(t *testing.T) {
	links := document(t).Components.Schemas["Links"].Value.Properties
	for _, name := range []string{"links.sh", "vegeta-status.sh", "vegeta-page.sh", "k6-page.js", "k6-flow.js"} {
		for _, link := range found(t, name, read(t, name), `_links\.(\w+)\.href`) {
			if links[link] == nil {
				t.Errorf("%s follows the link %s, which the document does not have", name, link)
			}
		}
	}
}

func TestDemoJSONHasWhatScriptsReadOfIt(t *testing.T) {
	type object struct {
		Properties map[string]*object
		Items      *object
	}
	var schema object
	if err := json.Unmarshal([]byte(read(t, "../demo/schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	has := func(name, part string, fields []string, of *object) {
		t.Helper()
		for _, f := range fields {
			if of == nil || of.Properties[f] == nil {
				t.Errorf("%s reads %s.%s, which demo.json does not have", name, part, f)
			}
		}
	}
	shell, bank, flow := read(t, "demo.sh"), read(t, "k6-bank.js"), read(t, "k6-flow.js")
	has("demo.sh", "partner", found(t, "demo.sh", shell, `\.partner\.(\w+)`), schema.Properties["partner"])
	has("demo.sh", "customer", found(t, "demo.sh", shell, `\.customer\.(\w+)`), schema.Properties["customer"])
	has("k6-bank.js", "partner", found(t, "k6-bank.js", bank, `\bpartner\.(\w+)`), schema.Properties["partner"])
	has("k6-flow.js", "partner", found(t, "k6-flow.js", flow, `\bpartner\.(\w+)`), schema.Properties["partner"])
	has("k6-flow.js", "customers[]", found(t, "k6-flow.js", flow, `\bwho\.(\w+)`), schema.Properties["customers"].Items)
	if demo.Version != 1 {
		t.Errorf("demo.json has version %d; demo.sh and k6-bank.js read 1", demo.Version)
	}
}

func TestPagesHaveTheFieldsThatTheFlowFills(t *testing.T) {
	templates, err := filepath.Glob("../../frontend/web/templates/*.html")
	if err != nil || len(templates) == 0 {
		t.Fatal(templates, err)
	}
	var pages strings.Builder
	for _, name := range templates {
		pages.WriteString(read(t, name))
	}
	flow := read(t, "k6-flow.js")
	attributes := found(t, "k6-flow.js", flow, `input\[([a-z]+=[a-z-]+)\]`)
	for _, field := range found(t, "k6-flow.js", flow, `[{,] ([a-z]+): (?:who|form\.find|code\()`) {
		attributes = append(attributes, "name="+field)
	}
	for _, a := range attributes {
		name, value, _ := strings.Cut(a, "=")
		if !strings.Contains(pages.String(), name+`="`+value+`"`) {
			t.Errorf("k6-flow.js looks for %s, which no page has", a)
		}
	}
}

// What targets.sh writes is held against the document as a request would be, if there is a jq to write it with.
func TestTargetsAreCreatesEachOfItsOwn(t *testing.T) {
	needs(t, "bash", "jq", "curl")
	d := demo.Demo{Version: demo.Version, Partner: demo.Partner{URL: "https://bank.example", RedirectURI: "http://127.0.0.1:1/return?a=b&c='d'"}}
	dir := t.TempDir()
	if err := d.Write(dir); err != nil {
		t.Fatal(err)
	}
	spec := document(t)
	item := spec.Paths.Value(createsAt)
	once := map[string]bool{}
	for range 2 {
		out, err := exec.Command("./targets.sh", dir, "3").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			var target struct {
				Method, URL string
				Header      http.Header
				Body        []byte
			}
			if err := json.Unmarshal([]byte(line), &target); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			r, err := http.NewRequestWithContext(t.Context(), target.Method, target.URL, strings.NewReader(string(target.Body)))
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range target.Header {
				r.Header.Set(name, strings.Join(values, ","))
			}
			if err := openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
				Request: r,
				Route:   &routers.Route{Spec: spec, Path: createsAt, PathItem: item, Method: target.Method, Operation: item.GetOperation(target.Method)},
				Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
			}); err != nil || target.URL != d.Partner.URL+createsAt || r.Header.Get("TPP-Redirect-URI") != d.Partner.RedirectURI {
				t.Errorf("%v: %s", err, line)
			}
			once[r.Header.Get("Idempotency-Key")], once[r.Header.Get("X-Request-ID")] = true, true
		}
	}
	if len(once) != 2*6 {
		t.Errorf("6 creates of two runs have %d keys and ids of 12", len(once))
	}
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed here; docs/load-tools.md says what its scripts need, and the build machines have none of it", p)
		}
	}
}
