package scaling

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// apiServer is as much of Kubernetes as scales one Deployment. It checks what a real one would check.
type apiServer struct {
	t *testing.T
	sync.Mutex
	token     string
	version   int
	replicas  int
	running   int
	hpa       string // JSON items
	conflicts int    // PATCHes that meet somebody else's change
	forbidden string // a verb and a resource
	status    int    // answers everything with it; 0: not
	calls     []string
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.Lock()
	defer a.Unlock()
	a.calls = append(a.calls, r.Method+" "+r.URL.Path)
	fail := func(code int, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
	}
	const (
		scalePath = "/apis/apps/v1/namespaces/bank/deployments/netbank-worker/scale"
		hpaPath   = "/apis/autoscaling/v2/namespaces/bank/horizontalpodautoscalers"
	)
	switch {
	case a.status != 0:
		fail(a.status, "as the test wants it")
	case r.Header.Get("Authorization") != "Bearer "+a.token:
		fail(http.StatusUnauthorized, "Unauthorized")
	case a.forbidden == r.Method+" "+r.URL.Path:
		fail(http.StatusForbidden, `"netbank" cannot do that`)
	case r.Method == http.MethodGet && r.URL.Path == hpaPath:
		fmt.Fprintf(w, `{"kind":"HorizontalPodAutoscalerList","apiVersion":"autoscaling/v2","items":[%s]}`, a.hpa)
	case r.Method == http.MethodGet && r.URL.Path == scalePath:
		a.answer(w)
	case r.Method == http.MethodPatch && r.URL.Path == scalePath:
		if got := r.Header.Get("Content-Type"); got != "application/merge-patch+json" {
			fail(http.StatusUnsupportedMediaType, "the patch is "+got)
			return
		}
		text, _ := io.ReadAll(r.Body)
		var patch struct {
			Metadata struct{ ResourceVersion string }
			Spec     struct{ Replicas *int }
		}
		if err := json.Unmarshal(text, &patch); err != nil || patch.Spec.Replicas == nil {
			fail(http.StatusUnprocessableEntity, "the patch is "+string(text))
			return
		}
		if a.conflicts > 0 {
			a.conflicts--
			a.version++
		}
		if patch.Metadata.ResourceVersion != strconv.Itoa(a.version) {
			fail(http.StatusConflict, "the object has been modified; please apply your changes to the latest version and try again")
			return
		}
		a.replicas = *patch.Spec.Replicas
		a.version++
		a.answer(w)
	default:
		fail(http.StatusNotFound, "the server could not find the requested resource")
	}
}

func (a *apiServer) answer(w io.Writer) {
	fmt.Fprintf(w, `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"netbank-worker","namespace":"bank","resourceVersion":"%d"},"spec":{"replicas":%d},"status":{"replicas":%d,"selector":"app=netbank"}}`,
		a.version, a.replicas, a.running)
}

func (a *apiServer) said() []string {
	a.Lock()
	defer a.Unlock()
	return slices.Clone(a.calls)
}

// kubernetes gives a provider with its server, and the directory of its service account.
func kubernetes(t *testing.T) (*Kubernetes, *apiServer, string) {
	t.Helper()
	a := &apiServer{t: t, token: "first", version: 7, replicas: 2, running: 2}
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, text := range map[string]string{accountToken: "first\n", accountNamespace: "bank", accountCA: string(ca)} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	k, err := NewKubernetes(KubernetesConfig{Target: Target{"deployments", "netbank-worker"}, Server: server.URL, Dir: dir})
	must(t, err)
	t.Cleanup(k.client.CloseIdleConnections)
	return k, a, dir
}

func TestADeploymentIsScaledByItsSubresource(t *testing.T) {
	k, a, _ := kubernetes(t)
	s, err := k.Status(t.Context())
	if err != nil || s.Wanted != 2 || s.Running != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	must(t, k.Scale(t.Context(), order(5, 1)))
	if a.replicas != 5 {
		t.Errorf("%d replicas", a.replicas)
	}
	const scale = "/apis/apps/v1/namespaces/bank/deployments/netbank-worker/scale"
	want := []string{"GET " + scale, "GET /apis/autoscaling/v2/namespaces/bank/horizontalpodautoscalers", "GET " + scale, "PATCH " + scale}
	if got := a.said(); !slices.Equal(got, want) {
		t.Errorf("it called %q, want %q", got, want)
	}
	must(t, k.Scale(t.Context(), order(5, 1)))
	if got := a.said(); got[len(got)-1] != "GET "+scale {
		t.Errorf("told twice, it changed something: %q", got)
	}
	a.replicas, a.running = 2, 5
	if s, err = k.Status(t.Context()); err != nil || s.Wanted != 2 || s.Running != 2 || s.Leaving != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestTheTokenIsReadForEachCall(t *testing.T) {
	k, a, dir := kubernetes(t)
	a.token = "second"
	_, err := k.Status(t.Context())
	faulty(t, err, "does not know the service account", "mounted")
	must(t, os.WriteFile(filepath.Join(dir, accountToken), []byte("second"), 0o600))
	if _, err := k.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func faulty(t *testing.T, err error, what, remedy string) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) || !strings.Contains(f.What, what) || !strings.Contains(f.Remedy, remedy) {
		t.Errorf("%v, want %q; %q", err, what, remedy)
	}
}

func TestAConflictIsTriedAgainAsLongAsTheOrderHolds(t *testing.T) {
	k, a, _ := kubernetes(t)
	a.conflicts = KubernetesConflictsMax - 1
	must(t, k.Scale(t.Context(), order(5, 1)))
	if a.replicas != 5 {
		t.Errorf("%d replicas", a.replicas)
	}
	a.conflicts = KubernetesConflictsMax
	faulty(t, k.Scale(t.Context(), order(6, 1)), "somebody else changes", "tried again")
	// What conflicts is another leader's wish, and this one has been deposed.
	a.conflicts = 1
	deposed := order(7, 1)
	deposed.Holds = func() bool { return false }
	faulty(t, k.Scale(t.Context(), deposed), "somebody else changes", "")
	if a.replicas != 5 {
		t.Errorf("%d replicas", a.replicas)
	}
}

func TestATargetOfAnAutoscalerIsLeftToIt(t *testing.T) {
	k, a, _ := kubernetes(t)
	item := func(kind, name string) string {
		return fmt.Sprintf(`{"metadata":{"name":"evening"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":%q,"name":%q},"minReplicas":2,"maxReplicas":9}}`, kind, name)
	}
	a.hpa = item("Deployment", "shop") + "," + item("Deployment", "netbank-worker")
	faulty(t, k.Scale(t.Context(), order(5, 1)), "belongs to the autoscaler evening", "minReplicas")
	faulty(t, k.Free(t.Context()), "belongs to the autoscaler evening", "minReplicas")
	if a.replicas != 2 {
		t.Errorf("%d replicas", a.replicas)
	}
	a.hpa = item("StatefulSet", "netbank-worker")
	must(t, k.Free(t.Context()))
	must(t, k.Scale(t.Context(), order(5, 1)))
}

func TestWhatIsForbiddenIsNamedWithTheRight(t *testing.T) {
	k, a, _ := kubernetes(t)
	f := func(call, what, remedy string) {
		t.Helper()
		a.forbidden = call
		faulty(t, k.Scale(t.Context(), order(5, 1)), what, remedy)
	}
	const scale = "/apis/apps/v1/namespaces/bank/deployments/netbank-worker/scale"
	f("GET "+scale, "may not get deployments/scale", "in namespace bank: a Role with verb get on deployments/scale")
	f("PATCH "+scale, "may not patch deployments/scale", "verb patch on deployments/scale")
	f("GET /apis/autoscaling/v2/namespaces/bank/horizontalpodautoscalers", "may not list horizontalpodautoscalers", "verb list on horizontalpodautoscalers")
	a.forbidden, a.status = "", http.StatusNotFound
	faulty(t, k.Scale(t.Context(), order(5, 1)), "there is no deployments/netbank-worker in namespace bank", "--scale-kubernetes")
	a.status = http.StatusInternalServerError
	faulty(t, k.Scale(t.Context(), order(5, 1)), "answered 500", "")
}

func TestAStrangersCertificateIsNotTrusted(t *testing.T) {
	k, a, dir := kubernetes(t)
	other := httptest.NewTLSServer(a)
	defer other.Close()
	again, err := NewKubernetes(KubernetesConfig{Target: k.target, Server: "https://localhost:" + k.server.Port(), Dir: dir})
	must(t, err)
	_, err = again.Status(t.Context()) // the certificate is for another name
	faulty(t, err, "does not answer", "certificate")
}

func TestAKubernetesThatCannotBeIsRefused(t *testing.T) {
	_, _, dir := kubernetes(t)
	f := func(c KubernetesConfig) {
		t.Helper()
		if _, err := NewKubernetes(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	target := Target{"deployments", "netbank-worker"}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	f(KubernetesConfig{Target: target, Dir: dir})
	f(KubernetesConfig{Target: target, Dir: dir, Server: "http://127.0.0.1:1"})
	f(KubernetesConfig{Target: target, Dir: dir, Server: "https://a/b"})
	f(KubernetesConfig{Target: target, Dir: t.TempDir(), Server: "https://a"})
	f(KubernetesConfig{Target: target, Dir: dir, Server: "https://a", Namespace: "../x"})
	for _, text := range []string{"", "deployments", "pods/x", "deployments/", "deployments/../x", "deployments/X"} {
		if _, err := ParseTarget(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
