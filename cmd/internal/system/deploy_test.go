package system

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// deployed gives the path of something under deploy/.
func deployed(t *testing.T, path ...string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "..", "deploy"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// tool finds a program, or skips the test, which in CI it must not.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and in CI it must judge what is deployed: .ci/needs installs it", name)
	}
	t.Skipf("%s is not installed; .ci/needs installs it", name)
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var flagNames = regexp.MustCompile(`--[a-z][a-z-]*`)

// knownFlags looks whether `netbank serve` has every flag that a text uses.
func knownFlags(t *testing.T, where, text string) {
	t.Helper()
	help, err := exec.Command(bankProgram, "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	known := flagNames.FindAllString(string(help), -1)
	for _, flag := range flagNames.FindAllString(text, -1) {
		if !slices.Contains(known, flag) {
			t.Errorf("%s uses %s, which netbank serve does not have", where, flag)
		}
	}
}

// systemd itself judges the units: whether it can read them, and how much of the machine they leave to the process. 2.0 of 10 is "OK".
func TestDeployedUnitsAreSoundAndHardened(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	const installed = "/usr/local/bin/netbank"
	for _, name := range []string{"netbank-coordinator.service", "netbank-worker.service"} {
		text := read(t, deployed(t, "systemd", name))
		if !strings.Contains(text, "ExecStart="+installed+" serve ") {
			t.Fatalf("%s does not start %s", name, installed)
		}
		unit := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text, installed, bankProgram)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"verify", unit}, {"security", "--offline=true", "--threshold=20", "--no-pager", unit}} {
			if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil {
				t.Errorf("systemd-analyze %s %s: %v\n%s", args[0], name, err, out)
			} else if args[0] == "verify" && len(bytes.TrimSpace(out)) > 0 {
				t.Errorf("systemd-analyze verify %s complains:\n%s", name, out)
			}
		}
		line := text[strings.Index(text, "ExecStart="):]
		knownFlags(t, name, line[:strings.Index(line, "\n")])
	}
	for _, name := range []string{"coordinator.env.example", "worker.env.example"} {
		knownFlags(t, name, read(t, deployed(t, "systemd", name)))
	}
}

// HAProxy itself reads the configuration, with and without what is optional in it.
func TestDeployedHAProxyConfigurationIsValid(t *testing.T) {
	haproxy := tool(t, "haproxy")
	r := prepare(t, 2, "fixed:1ms")
	pem := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(pem, []byte(read(t, r.demo.Path(r.demo.Partner.Cert))+read(t, r.demo.Path(r.demo.Partner.Key))), 0o600); err != nil {
		t.Fatal(err)
	}
	base := map[string]string{
		"CUSTOMERS": "127.0.0.1:18443", "PARTNERS": "127.0.0.1:18444", "SOCKET": filepath.Join(t.TempDir(), "admin"), "503": deployed(t, "haproxy", "503.http"),
		"COORDINATOR_1": "10.0.0.1", "CUSTOMER_PORT": "8080", "PARTNER_PORT": "8443", "OPERATOR_PORT": "9090",
	}
	whole := maps.Clone(base)
	maps.Copy(whole, map[string]string{
		"COORDINATOR_2": "10.0.0.2", "COORDINATOR_3": "10.0.0.3", "CUSTOMERS_CRT": pem, "CHECK_PEM": pem, "CHECK_CA": r.demo.Path(r.demo.Partner.CA),
	})
	for name, variables := range map[string]map[string]string{"one coordinator": base, "three, with TLS": whole} {
		cmd := exec.Command(haproxy, "-c", "-f", deployed(t, "haproxy", "haproxy.cfg"))
		cmd.Env = os.Environ()
		for variable, value := range variables {
			cmd.Env = append(cmd.Env, "NETBANK_"+variable+"="+value)
		}
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("WARNING")) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// workload is what is read of a Deployment or StatefulSet.
type workload struct {
	Spec struct {
		ServiceName string `yaml:"serviceName"`
		Selector    labelled
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				ServiceAccountName            string `yaml:"serviceAccountName"`
				TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
				Containers                    []struct {
					Name           string
					Args           []string
					Ports          []struct{ Name string }
					ReadinessProbe *struct{} `yaml:"readinessProbe"`
					LivenessProbe  *struct{} `yaml:"livenessProbe"`
				}
			}
		}
	}
}

type labelled struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

// object is what is read of any manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	text     []byte
}

func manifests(t *testing.T) map[string]object {
	t.Helper()
	files, err := filepath.Glob(deployed(t, "kubernetes", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := make(map[string]object)
	for _, file := range files {
		for _, text := range strings.Split(read(t, file), "\n---\n") {
			o := object{text: []byte(text)}
			if err := yaml.Unmarshal(o.text, &o); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all[o.Kind+"/"+o.Metadata.Name] = o
		}
	}
	return all
}

func (o object) into(t *testing.T, v any) {
	t.Helper()
	if err := yaml.NewDecoder(bytes.NewReader(o.text)).Decode(v); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%s %s: %v", o.Kind, o.Metadata.Name, err)
	}
}

// The manifests name each other: what a Service, a PodDisruptionBudget, an account or the scale provider means is there.
func TestDeployedManifestsFitTogether(t *testing.T) {
	all := manifests(t)
	within := func(selector, labels map[string]string) bool {
		for k, v := range selector {
			if labels[k] != v {
				return false
			}
		}
		return len(selector) > 0
	}
	var pods []workload
	for _, name := range []string{"StatefulSet/netbank-coordinator", "Deployment/netbank-worker"} {
		var w workload
		all[name].into(t, &w)
		pods = append(pods, w)
		pod := w.Spec.Template
		switch {
		case !within(w.Spec.Selector.MatchLabels, pod.Metadata.Labels):
			t.Errorf("%s does not select its own pods", name)
		case all["ServiceAccount/"+pod.Spec.ServiceAccountName].Kind == "":
			t.Errorf("%s: there is no account %s", name, pod.Spec.ServiceAccountName)
		case w.Spec.ServiceName != "" && all["Service/"+w.Spec.ServiceName].Kind == "":
			t.Errorf("%s: there is no service %s", name, w.Spec.ServiceName)
		case pod.Spec.TerminationGracePeriodSeconds < 30:
			t.Errorf("%s is killed after %d s, before its clients have left", name, pod.Spec.TerminationGracePeriodSeconds)
		}
		for _, c := range pod.Spec.Containers {
			if c.ReadinessProbe == nil || c.LivenessProbe != nil {
				t.Errorf("%s: a node is asked whether it is ready, and ends by itself when it cannot go on", name)
			}
			knownFlags(t, name, strings.Join(c.Args, "\n"))
			for _, arg := range c.Args {
				if target, ok := strings.CutPrefix(arg, "--scale-kubernetes=deployments/"); ok && all["Deployment/"+target].Kind == "" {
					t.Errorf("%s scales %s, which there is not", name, target)
				}
			}
		}
	}
	for name, o := range all {
		var s struct {
			Spec struct {
				Selector any
				Ports    []struct {
					TargetPort string `yaml:"targetPort"`
				}
			}
		}
		switch o.Kind {
		case "Service":
			var by struct {
				Spec struct{ Selector map[string]string }
			}
			o.into(t, &s)
			o.into(t, &by)
			for _, port := range s.Spec.Ports {
				if !slices.ContainsFunc(pods, func(w workload) bool {
					return within(by.Spec.Selector, w.Spec.Template.Metadata.Labels) && strings.Contains(string(all["StatefulSet/netbank-coordinator"].text), "name: "+port.TargetPort+",")
				}) {
					t.Errorf("%s: no pod has a port %s", name, port.TargetPort)
				}
			}
		case "PodDisruptionBudget":
			var by struct{ Spec struct{ Selector labelled } }
			o.into(t, &by)
			if !slices.ContainsFunc(pods, func(w workload) bool {
				return within(by.Spec.Selector.MatchLabels, w.Spec.Template.Metadata.Labels)
			}) {
				t.Errorf("%s protects nobody", name)
			}
		case "Role":
			if text := string(o.text); strings.Contains(text, "*") || strings.Contains(text, "secrets") || !strings.Contains(text, "resources: [deployments/scale]") {
				t.Errorf("%s allows more than the scale of the workers", name)
			}
		}
	}
}
