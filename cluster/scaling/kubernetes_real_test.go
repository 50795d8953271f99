package scaling

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Where a recording is made, instead of being played: the address of an API server without controllers, and the token of an administrator there.
// The namespace bank must not exist.
const (
	recordFrom  = "NETBANK_KUBERNETES"
	recordAdmin = "NETBANK_KUBERNETES_ADMIN_TOKEN"
	recording   = "testdata/kubernetes-1.34.2.json"
)

// exchange is one call and its answer, as they were.
type exchange struct {
	Call   string          `json:"call"`
	Type   string          `json:"type,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer"`
}

// stage is an API server: a real one, of which a recording is made, or the recording.
type stage struct {
	t     *testing.T
	real  http.RoundTripper // nil: the recording plays
	url   string
	token string
	all   []exchange
	next  int
	// between is called once, before the next PATCH is sent: what somebody else does at that moment.
	between func()
}

func newStage(t *testing.T) (*stage, *Kubernetes) {
	t.Helper()
	s := &stage{t: t, url: os.Getenv(recordFrom), token: os.Getenv(recordAdmin)}
	dir, token := t.TempDir(), "recorded"
	address := s.url
	if s.url == "" {
		text, err := os.ReadFile(recording)
		must(t, err)
		must(t, json.Unmarshal(text, &s.all))
		address = "https://api.example:6443"
	} else {
		s.real = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the provider's own check has a test of its own
		token = s.build()
	}
	stranger := httptest.NewTLSServer(nil)
	defer stranger.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stranger.Certificate().Raw})
	for name, text := range map[string]string{accountToken: token, accountNamespace: "bank", accountCA: string(ca)} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	k, err := NewKubernetes(KubernetesConfig{Target: Target{"deployments", "netbank-worker"}, Server: address, Dir: dir})
	must(t, err)
	k.client.Transport = s
	return s, k
}

// RoundTrip implements http.RoundTripper.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	if f := s.between; f != nil && r.Method == http.MethodPatch {
		s.between = nil
		f()
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	now := exchange{Call: r.Method + " " + r.URL.Path, Type: r.Header.Get("Content-Type"), Body: body}
	if s.real == nil {
		return s.play(now)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := s.real.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if now.Answer, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	now.Status = resp.StatusCode
	s.all = append(s.all, now)
	return answered(&now), nil
}

func (s *stage) play(now exchange) (*http.Response, error) {
	if s.next == len(s.all) {
		return nil, fmt.Errorf("%s: the recording is over", now.Call)
	}
	then := s.all[s.next]
	s.next++
	var body bytes.Buffer
	if len(then.Body) > 0 {
		if err := json.Compact(&body, then.Body); err != nil {
			return nil, err
		}
	}
	if now.Call != then.Call || now.Type != then.Type || !bytes.Equal(now.Body, body.Bytes()) {
		return nil, fmt.Errorf("call %d is %s %s %s; recorded was %s %s %s", s.next, now.Call, now.Type, now.Body, then.Call, then.Type, &body)
	}
	return answered(&then), nil
}

func answered(e *exchange) *http.Response {
	return &http.Response{StatusCode: e.Status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(e.Answer))}
}

// admin does something that the provider does not see. It gives what the server says.
func (s *stage) admin(method, path, kind, body string) []byte {
	s.t.Helper()
	if s.real == nil {
		return nil
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	must(s.t, err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", kind)
	resp, err := s.real.RoundTrip(r)
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	if strings.HasPrefix(path, rolesURL) {
		time.Sleep(time.Second) // the server's authorizer hears of its own roles by a watch
	}
	return text
}

const (
	asJSON     = "application/json"
	workersURL = "/apis/apps/v1/namespaces/bank/deployments/netbank-worker"
	rolesURL   = "/apis/rbac.authorization.k8s.io/v1/namespaces/bank/"
)

// role is what a coordinator's account may do, with these verbs on the scale.
func role(verbs string) string {
	return `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"netbank-scaler"},"rules":[
		{"apiGroups":["apps"],"resources":["deployments/scale"],"resourceNames":["netbank-worker"],"verbs":[` + verbs + `]},
		{"apiGroups":["autoscaling"],"resources":["horizontalpodautoscalers"],"verbs":["list"]}]}`
}

// build makes the namespace with everything that a cluster of netbank has there, and gives a token of the coordinators' account.
func (s *stage) build() string {
	s.admin(http.MethodPost, "/api/v1/namespaces", asJSON, `{"metadata":{"name":"bank"}}`)
	s.admin(http.MethodPost, "/api/v1/namespaces/bank/serviceaccounts", asJSON, `{"metadata":{"name":"netbank"}}`)
	s.admin(http.MethodPost, "/apis/apps/v1/namespaces/bank/deployments", asJSON, `{"metadata":{"name":"netbank-worker"},"spec":{"replicas":2,
		"selector":{"matchLabels":{"app":"netbank-worker"}},"template":{"metadata":{"labels":{"app":"netbank-worker"}},"spec":{"containers":[{"name":"netbank","image":"netbank"}]}}}}`)
	s.admin(http.MethodPost, rolesURL+"roles", asJSON, role(`"get","patch"`))
	s.admin(http.MethodPost, rolesURL+"rolebindings", asJSON, `{"metadata":{"name":"netbank-scaler"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"netbank-scaler"},
		"subjects":[{"kind":"ServiceAccount","name":"netbank","namespace":"bank"}]}`)
	var made struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	must(s.t, json.Unmarshal(s.admin(http.MethodPost, "/api/v1/namespaces/bank/serviceaccounts/netbank/token", asJSON, `{"spec":{}}`), &made))
	return made.Status.Token
}

// keep writes the recording down.
func (s *stage) keep() {
	if s.real == nil {
		if s.next < len(s.all) {
			s.t.Errorf("%d calls of the recording were not made", len(s.all)-s.next)
		}
		return
	}
	text, err := json.MarshalIndent(s.all, "", " ")
	must(s.t, err)
	must(s.t, os.WriteFile(recording, append(text, '\n'), 0o644))
}

// What kube-apiserver 1.34.2 itself said to this provider: with RBAC on, over a service account with the rights that the documentation names.
func TestARealKubernetesAsItWasRecorded(t *testing.T) {
	s, k := newStage(t)
	standsAt := func(want int) {
		t.Helper()
		if now, err := k.Status(t.Context()); err != nil || now.Wanted != want {
			t.Fatalf("%+v, %v; want %d", now, err, want)
		}
	}
	standsAt(2)
	must(t, k.Scale(t.Context(), order(5, 1)))
	standsAt(5)
	must(t, k.Scale(t.Context(), order(5, 1)))

	// Somebody else changes the Deployment between look and change: the server refuses, and it is tried again.
	s.between = func() {
		s.admin(http.MethodPatch, workersURL, "application/merge-patch+json", `{"metadata":{"annotations":{"who":"else"}}}`)
	}
	must(t, k.Scale(t.Context(), order(3, 2)))
	standsAt(3)

	s.admin(http.MethodPost, "/apis/autoscaling/v2/namespaces/bank/horizontalpodautoscalers", asJSON, `{"metadata":{"name":"evening"},"spec":{"minReplicas":2,"maxReplicas":9,
		"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"netbank-worker"}}}`)
	faulty(t, k.Scale(t.Context(), order(4, 3)), "belongs to the autoscaler evening", "minReplicas")
	s.admin(http.MethodDelete, "/apis/autoscaling/v2/namespaces/bank/horizontalpodautoscalers/evening", asJSON, "")

	s.admin(http.MethodPut, rolesURL+"roles/netbank-scaler", asJSON, role(`"get"`))
	faulty(t, k.Scale(t.Context(), order(4, 3)), "may not patch deployments/scale", "a Role with verb patch on deployments/scale")
	s.admin(http.MethodPut, rolesURL+"roles/netbank-scaler", asJSON, role(`"patch"`))
	_, err := k.Status(t.Context())
	faulty(t, err, "may not get deployments/scale", "a Role with verb get on deployments/scale")
	s.admin(http.MethodPut, rolesURL+"roles/netbank-scaler", asJSON, role(`"get","patch"`))

	s.admin(http.MethodDelete, workersURL, asJSON, "")
	faulty(t, k.Scale(t.Context(), order(4, 3)), "there is no deployments/netbank-worker", "--scale-kubernetes")

	must(t, os.WriteFile(filepath.Join(k.dir, accountToken), []byte("of yesterday"), 0o600))
	faulty(t, k.Scale(t.Context(), order(4, 3)), "does not know the service account", "token is mounted")
	s.keep()
}
