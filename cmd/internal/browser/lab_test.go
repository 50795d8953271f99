package browser

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"

	"netbank/bench/demo"
)

// bankLab is a whole bank of its own: its processes, its data, its ports.
type bankLab struct {
	*demo.Demo
	partner *http.Client
	next    int // customers that no test has signed in as begin here
}

// startLab builds netbank-lab and runs it, with further flags of its command dev, until the test is over.
func startLab(t *testing.T, more ...string) *bankLab {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "netbank-lab")
	build := exec.Command("go", "build", "-o", program, "netbank/cmd/netbank-lab")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building netbank-lab: %v\n%s", err, out)
	}
	data := filepath.Join(dir, "data")
	ports := freePorts(t, 6)
	args := []string{
		"dev", "--alone", "--data-dir", data, "--customers", "40", "--password-hash", "cheap",
		// Another name than the shop's, so that the two are other sites to a browser, as they are in life.
		"--customer-addr", "localhost:" + ports[0], "--partner-addr", "127.0.0.1:" + ports[1], "--operator-addr", "127.0.0.1:" + ports[2],
		"--shop-addr", "127.0.0.1:" + ports[3], "--core-addr", "127.0.0.1:" + ports[4], "--core-admin", "127.0.0.1:" + ports[5],
	}
	lab := exec.Command(program, append(args, more...)...)
	var out bytes.Buffer
	lab.Stdout, lab.Stderr = &out, &out
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- lab.Wait() }()
	t.Cleanup(func() {
		_ = lab.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = lab.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("netbank-lab said:\n%s", out.String())
		}
	})
	eventually(t, "the shop opens", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("netbank-lab ended: %v\n%s", err, out.String())
		default:
		}
		resp, err := http.Get("http://127.0.0.1:" + ports[3])
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	d, err := demo.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	return &bankLab{Demo: d, partner: partnerClient(t, d)}
}

// eventually asks until it is so, for at most a minute.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !so(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
	}
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
	}
	return ports
}

func partnerClient(t *testing.T, d *demo.Demo) *http.Client {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(d.Path(d.Partner.Cert), d.Path(d.Partner.Key))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(d.Path(d.Partner.CA))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}}
}

// ask calls the partner API as the demo partner.
func (l *bankLab) ask(t *testing.T, method, path string, body, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, l.Partner.URL+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", uuid.NewString())
		r.Header.Set("TPP-Redirect-URI", l.Partner.RedirectURI+"?state=a%20b")
		r.Header.Set("TPP-Notification-URI", l.Partner.NotificationURI)
	}
	resp, err := l.partner.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
}

// pay creates a payment through the partner API and gives its id and the link that a customer is sent to.
func (l *bankLab) pay(t *testing.T, currency, amount, payee, text string, life time.Duration) (id, link string) {
	t.Helper()
	order := map[string]any{
		"endToEndIdentification": "order-1", "instructedAmount": map[string]string{"currency": currency, "amount": amount},
		"creditorAccount": map[string]any{"iban": "DE89370400440532013000"}, "creditorName": payee, "remittanceInformationUnstructured": text,
		"expiresAt": time.Now().Add(life).UTC().Format(time.RFC3339Nano),
	}
	var answer struct {
		PaymentID string `json:"paymentId"`
		Links     struct {
			Redirect struct {
				Href string `json:"href"`
			} `json:"scaRedirect"`
		} `json:"_links"`
	}
	l.ask(t, http.MethodPost, "/v1/payments/domestic-transfers", order, &answer)
	return answer.PaymentID, answer.Links.Redirect.Href
}

func (l *bankLab) simplePay(t *testing.T) (id, link string) {
	t.Helper()
	return l.pay(t, "CNY", "128.00", "Demo Shop 示例商店", "Reading lamp", 15*time.Minute)
}

func (l *bankLab) status(t *testing.T, id string) string {
	t.Helper()
	var answer struct {
		Status string `json:"transactionStatus"`
	}
	l.ask(t, http.MethodGet, "/v1/payments/domestic-transfers/"+id+"/status", nil, &answer)
	return answer.Status
}

// loseAnswers makes the core do what it is asked and lose every answer, until healed is called; that may be often.
func (l *bankLab) loseAnswers(t *testing.T) (healed func()) {
	t.Helper()
	put := func(part float64) {
		body := strings.NewReader(fmt.Sprintf(`{"dropAnswers": %g}`, part))
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPut, l.Core.Admin+"/faults", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if said, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Fatalf("the core's faults: %d %s", resp.StatusCode, said)
		}
	}
	put(1)
	return func() { put(0) }
}

// somebody gives a customer that no test has used: nobody's session replaces another's.
func (l *bankLab) somebody() demo.Identity {
	l.next++
	return l.Customers[l.next+1]
}

// codeOf gives a customer's one-time code, so many steps of 30 s from now; one step either way is taken.
func codeOf(t *testing.T, who demo.Identity, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(who.TOTP, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// wrongCode gives a code that is not taken now or within the next half minute.
func wrongCode(t *testing.T, who demo.Identity) string {
	t.Helper()
	for n := 0; ; n++ {
		code := fmt.Sprintf("%06d", n)
		if code != codeOf(t, who, -1) && code != codeOf(t, who, 0) && code != codeOf(t, who, 1) && code != codeOf(t, who, 2) {
			return code
		}
	}
}

// startBrowser starts a headless Chromium, or skips the test where there is none; in CI that is a failure.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no chromium in the path, and CI must not skip the browser tests: run .ci/needs")
		}
		t.Skip("no chromium in the path: install Debian's chromium to run the browser tests")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute),
	}
	for _, flag := range strings.Fields("disable-quic disable-background-networking disable-component-update disable-sync disable-dev-shm-usage hide-scrollbars") {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocated, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, quit := chromedp.NewContext(allocated)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		quit()
		release()
	})
	return ctx
}
