package scaling

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Bounds of the Kubernetes provider.
const (
	// KubernetesAnswerMax is the size of an answer of the API server: a namespace's autoscalers may be many.
	KubernetesAnswerMax = 4 << 20
	// KubernetesConflictsMax is how often a change is tried again at once because somebody else has changed the target meanwhile.
	KubernetesConflictsMax = 3
	kubernetesDialTimeout  = 5 * time.Second
)

// Where a pod finds its service account.
const (
	ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	accountToken      = "token"
	accountCA         = "ca.crt"
	accountNamespace  = "namespace"
)

// Kubernetes runs workers as the replicas of a Deployment or StatefulSet, by its scale subresource: one GET and one PATCH. Both bear the resource's
// version, so that of two leaders one is refused. A target that a HorizontalPodAutoscaler owns is left to that.
//
// The service account needs, in the target's namespace: get and patch on deployments/scale (or statefulsets/scale), and list on
// horizontalpodautoscalers.
type Kubernetes struct {
	target    Target
	namespace string
	server    *url.URL
	dir       string
	client    *http.Client
}

var _ Provider = (*Kubernetes)(nil)

// Target is what is scaled.
type Target struct {
	Resource string // deployments or statefulsets
	Name     string
}

func (t Target) String() string { return t.Resource + "/" + t.Name }

// kind is the target's, as an autoscaler names it.
func (t Target) kind() string {
	if t.Resource == "statefulsets" {
		return "StatefulSet"
	}
	return "Deployment"
}

// A name in Kubernetes: RFC 1123, as its API checks it.
var kubernetesName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// ParseTarget reads deployments/NAME or statefulsets/NAME.
func ParseTarget(text string) (Target, error) {
	resource, name, ok := strings.Cut(text, "/")
	if !ok || resource != "deployments" && resource != "statefulsets" || !kubernetesName.MatchString(name) {
		return Target{}, fmt.Errorf("scaling: %.80q names nothing that can be scaled; write deployments/NAME or statefulsets/NAME", text)
	}
	return Target{resource, name}, nil
}

// KubernetesConfig says where the API server is, and who asks. What is left empty is what a pod has.
type KubernetesConfig struct {
	Target    Target
	Namespace string // empty: the service account's
	Server    string // https://HOST:PORT; empty: from KUBERNETES_SERVICE_HOST and _PORT
	Dir       string // token, ca.crt and namespace; empty: ServiceAccountDir
}

// NewKubernetes makes the provider. It asks nobody yet.
func NewKubernetes(c KubernetesConfig) (*Kubernetes, error) {
	if c.Dir == "" {
		c.Dir = ServiceAccountDir
	}
	if c.Server == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return nil, errors.New("scaling: no API server is named, and this is no pod (KUBERNETES_SERVICE_HOST is not set); name one, https://HOST:PORT")
		}
		c.Server = "https://" + net.JoinHostPort(host, port)
	}
	server, err := url.Parse(c.Server)
	if err != nil || server.Scheme != "https" || server.Host == "" || strings.Trim(server.Path, "/") != "" || server.RawQuery != "" || server.User != nil {
		return nil, fmt.Errorf("scaling: the API server is %.200q; write https://HOST:PORT", c.Server)
	}
	if c.Namespace == "" {
		text, err := os.ReadFile(filepath.Join(c.Dir, accountNamespace))
		if err != nil {
			return nil, fmt.Errorf("scaling: no namespace is named, and the service account has none: %w", err)
		}
		c.Namespace = strings.TrimSpace(string(text))
	}
	if !kubernetesName.MatchString(c.Namespace) {
		return nil, fmt.Errorf("scaling: the namespace is %.80q; it may have small letters, digits and dashes", c.Namespace)
	}
	text, err := os.ReadFile(filepath.Join(c.Dir, accountCA))
	if err != nil {
		return nil, fmt.Errorf("scaling: who signs the API server's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("scaling: %s holds no certificate in PEM form", filepath.Join(c.Dir, accountCA))
	}
	return &Kubernetes{
		target: c.Target, namespace: c.Namespace, server: server, dir: c.Dir,
		client: &http.Client{
			// A redirect would carry the token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: kubernetesDialTimeout}).DialContext,
				TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout: kubernetesDialTimeout, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
			},
		},
	}, nil
}

// Name implements Provider.
func (*Kubernetes) Name() string { return "kubernetes" }

// scale is the resource autoscaling/v1 Scale, as far as it is read here.
type scale struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Spec struct {
		Replicas int `json:"replicas"`
	} `json:"spec"`
	Status struct {
		Replicas int `json:"replicas"`
	} `json:"status"`
}

// Status implements Provider.
func (k *Kubernetes) Status(ctx context.Context) (Standing, error) {
	s, err := k.get(ctx)
	if err != nil {
		return Standing{}, err
	}
	return Standing{Wanted: s.Spec.Replicas, Running: min(s.Status.Replicas, s.Spec.Replicas), Leaving: max(s.Status.Replicas-s.Spec.Replicas, 0)}, nil
}

// Scale implements Provider.
func (k *Kubernetes) Scale(ctx context.Context, o Order) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := k.unowned(ctx); err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		now, err := k.get(ctx)
		if err != nil || now.Spec.Replicas == o.Workers {
			return err
		}
		var next scale
		next.Metadata.ResourceVersion, next.Spec.Replicas = now.Metadata.ResourceVersion, o.Workers
		err = k.patch(ctx, &next)
		var refused *statusError
		if errors.As(err, &refused) && refused.code == http.StatusConflict && tries < KubernetesConflictsMax && o.holds() {
			continue
		}
		return err
	}
}

// Free implements Ownable: an autoscaler may own the target.
func (k *Kubernetes) Free(ctx context.Context) error { return k.unowned(ctx) }

// unowned refuses a target that an autoscaler owns: it would undo within seconds what is done here.
func (k *Kubernetes) unowned(ctx context.Context) error {
	var all struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Spec struct {
				Target struct {
					Kind string `json:"kind"`
					Name string `json:"name"`
				} `json:"scaleTargetRef"`
				Min *int `json:"minReplicas"`
				Max int  `json:"maxReplicas"`
			} `json:"spec"`
		} `json:"items"`
	}
	if err := k.call(ctx, http.MethodGet, "/apis/autoscaling/v2/namespaces/"+k.namespace+"/horizontalpodautoscalers", "", nil, &all); err != nil {
		return err
	}
	for _, a := range all.Items {
		if a.Spec.Target.Kind == k.target.kind() && a.Spec.Target.Name == k.target.Name {
			return fault(nil, fmt.Sprintf("raise its minReplicas, or delete it: kubectl -n %s patch hpa %s --type merge -p '{\"spec\":{\"minReplicas\":N}}'", k.namespace, a.Metadata.Name),
				"%s belongs to the autoscaler %.100s, which would undo what is wished for here", k.target, a.Metadata.Name)
		}
	}
	return nil
}

func (k *Kubernetes) path() string {
	return "/apis/apps/v1/namespaces/" + k.namespace + "/" + k.target.Resource + "/" + k.target.Name + "/scale"
}

func (k *Kubernetes) get(ctx context.Context) (s scale, err error) {
	return s, k.call(ctx, http.MethodGet, k.path(), "", nil, &s)
}

func (k *Kubernetes) patch(ctx context.Context, next *scale) error {
	body := map[string]any{
		"metadata": map[string]any{"resourceVersion": next.Metadata.ResourceVersion},
		"spec":     map[string]any{"replicas": next.Spec.Replicas},
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	var done scale
	if err := k.call(ctx, http.MethodPatch, k.path(), "application/merge-patch+json", text, &done); err != nil {
		return err
	}
	if done.Spec.Replicas != next.Spec.Replicas {
		return fault(nil, "look for an admission webhook that changes it", "the API server has made %d replicas of %d", done.Spec.Replicas, next.Spec.Replicas)
	}
	return nil
}

// statusError is an answer that is no success.
type statusError struct {
	code int
	said string // the server's own words
}

func (e *statusError) Error() string { return fmt.Sprintf("%d: %s", e.code, e.said) }

// call makes one call. The token is read for each: kubelet replaces it about every hour.
func (k *Kubernetes) call(ctx context.Context, method, path, kind string, body []byte, into any) error {
	token, err := os.ReadFile(filepath.Join(k.dir, accountToken))
	if err != nil {
		return fault(err, "mount the service account's token", "the service account's token cannot be read: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, k.server.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("scaling: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Accept", "application/json")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return fault(err, "look at the network, and at who signed the API server's certificate", "the API server does not answer: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, KubernetesAnswerMax+1))
	switch {
	case err != nil:
		return fault(err, "look at the network", "the API server stopped answering: %v", err)
	case len(text) > KubernetesAnswerMax:
		return fault(nil, "use a namespace of its own for netbank", "the API server answers with more than %d bytes", KubernetesAnswerMax)
	case resp.StatusCode != http.StatusOK:
		return k.refusal(method, path, &statusError{resp.StatusCode, messageOf(text)})
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fault(err, "see that the address is an API server's", "what the API server answers cannot be read: %v", err)
	}
	return nil
}

// messageOf gives the message of a Kubernetes Status.
func messageOf(text []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &status) != nil || status.Message == "" {
		return lastLine(text)
	}
	return lastLine([]byte(status.Message))
}

func (k *Kubernetes) refusal(method, path string, e *statusError) error {
	resource := k.target.Resource + "/scale"
	verb := "patch"
	if method == http.MethodGet {
		verb = "get"
	}
	if strings.HasSuffix(path, "horizontalpodautoscalers") {
		resource, verb = "horizontalpodautoscalers", "list"
	}
	switch e.code {
	case http.StatusUnauthorized:
		return fault(e, "see that the token is mounted, and not an old copy", "the API server does not know the service account (%s)", e.said)
	case http.StatusForbidden:
		return fault(e, fmt.Sprintf("grant it, in namespace %s: a Role with verb %s on %s, bound to the account of the coordinators' pods", k.namespace, verb, resource),
			"the service account may not %s %s (%s)", verb, resource, e.said)
	case http.StatusNotFound:
		return fault(e, "see that --scale-kubernetes names what runs the workers, and the namespace", "there is no %s in namespace %s (%s)", k.target, k.namespace, e.said)
	case http.StatusConflict:
		return fault(e, "it is tried again; see who else scales it", "somebody else changes %s at the same time (%s)", k.target, e.said)
	}
	return fault(e, "look at the API server", "the API server answered %d (%s)", e.code, e.said)
}
