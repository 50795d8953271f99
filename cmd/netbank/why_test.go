package main

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/frontend/ops"
)

// Who supports customers has a token of his own, which is good for this and nothing else.
func TestWhyNeedsTheSupportTokenOnly(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	file := filepath.Join(t.TempDir(), "support.token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	handler, err := ops.New(ops.Config{
		Bank: still{}, Gatherer: prometheus.NewRegistry(), Token: strings.Repeat("x", 64), SupportToken: secret, Logger: slog.New(slog.DiscardHandler),
		Why: func(reference string) (ops.Explained, bool, error) {
			return ops.Explained{
				Reference: reference, Code: "declined", Payment: "019ab0c4-5b7e-7c3a-9d2f-0123456789ab", Amount: "CNY 128.00", Payee: "Shop", Partner: 3, State: "rejected",
				Status: "RJCT", ResponseCode: "51", Granted: time.Unix(1e9, 0), Tell: map[string][]string{"en": {"Not paid", "Nothing was charged."}},
			}, reference == "7KQ2M-X9R4T queue-full", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	f := func(want int, says string, args ...string) {
		t.Helper()
		code, out, said := try("", false, append(args, "--operator="+server.URL, "--operator-token-file="+file)...)
		if code != want || !strings.Contains(out+said, says) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s%s", args, code, want, says, out, said)
		}
	}
	f(0, "7KQ2M-X9R4T queue-full: declined", "why", "7KQ2M-X9R4T queue-full")
	f(0, "CNY 128.00 to Shop, platform 3", "why", "7KQ2M-X9R4T queue-full")
	f(0, "Tell the customer (en):\n  Not paid\n  Nothing was charged.", "why", "7KQ2M-X9R4T queue-full")
	f(0, `"responseCode":"51"`, "why", "7KQ2M-X9R4T queue-full", "--json")
	f(1, "ask the customer for the payment's number", "why", "other")
	f(exitDenied, "needs the operator's token", "status")
}
