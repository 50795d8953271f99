package customer

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"

	"netbank/cluster"
	"netbank/cluster/gate"
)

// Every refusal has one word for why: in the metric, in the log, at the foot of the page, for support, and in the operator's handbook.
func TestRefusedMeansNotCharged_EachRefusalHasOneWordEverywhere(t *testing.T) {
	f := func(code string, counted bool, refused func(h *house) page) {
		t.Helper()
		var log bytes.Buffer
		h := newHouse(t)
		var err error
		if h.pages.refused, err = newRefusals(prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		p := refused(h)
		shown := shownReference.FindStringSubmatch(p.body)
		if len(shown) != 2 || !strings.HasSuffix(shown[1], " "+code) {
			t.Errorf("%s: the foot of the page says %q", code, shown)
			return
		}
		if e := h.why(shown[1]); e.Code != code || len(e.Told["en"]) == 0 {
			t.Errorf("support says %+v", e)
		}
		if !counted {
			return
		}
		if got := testutil.ToFloat64(h.pages.refused.counted.WithLabelValues(code)); got != 1 {
			t.Errorf("%s: the metric says %v", code, got)
		}
		if !strings.Contains(log.String(), "code="+code+" ") {
			t.Errorf("%s: the log says %s", code, log.String())
		}
	}
	for r := gate.Reason(1); r < gate.Reasons; r++ {
		f(r.String(), true, func(h *house) page {
			h.bank.refusals[gate.SignIn] = cluster.Refusal{Reason: r, RetryAfter: time.Second}
			v := h.visitor()
			_, link := h.pay()
			return v.follow(v.submit(v.open(link), "sign-in", "username", "anna", "password", password))
		})
		f(r.String(), true, func(h *house) page { // without a payment
			h.bank.refusals[gate.SignIn] = cluster.Refusal{Reason: r, RetryAfter: time.Second}
			v := h.visitor()
			return v.follow(v.submit(v.open("/sign-in"), "sign-in", "username", "anna", "password", password))
		})
	}
	f(CodeRate, true, func(h *house) page {
		_, link := h.pay()
		v := h.visitor()
		h.pages.pace()
		p := v.get(link)
		for n := 0; p.status != fasthttp.StatusTooManyRequests && n < 100*LinkBurstMax; n++ {
			p = v.get(link)
		}
		return p
	})
	for code, why := range map[string]string{CodeBusy: "sign-in-busy", CodeAddress: "address"} { // where the sign-in leads is session's to test
		f(code, false, func(h *house) page {
			_, link := h.pay()
			return h.visitor().open(link + "&why=" + why)
		})
	}
}

func TestEachRefusalsWordStandsInTheHandbook(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Why something was refused")
	table, _, _ = strings.Cut(table, "\n## ")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(table, -1) {
		listed = append(listed, row[1])
	}
	codes := RefusalCodes()
	slices.Sort(codes)
	if slices.Sort(listed); !slices.Equal(codes, listed) {
		t.Errorf("the code has %v, docs/operations.md %v", codes, listed)
	}
	api, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for r := gate.Reason(1); r < gate.Reasons; r++ {
		words = append(words, r.String())
	}
	if want := "enum: [" + strings.Join(words, ", ") + "]"; !strings.Contains(string(api), want) {
		t.Errorf("docs/openapi.yaml lacks %s", want)
	}
}

// Not all come again at one moment, and none before there is a chance.
func TestRetryAfterIsSpreadAndNotBeforeTheMeasuredTime(t *testing.T) {
	h := newHouse(t)
	h.bank.refusals[gate.SignIn] = cluster.Refusal{Reason: gate.TooLate, RetryAfter: 20 * time.Second}
	seen := map[string]bool{}
	for range 30 {
		v := h.visitor()
		_, link := h.pay()
		p := v.follow(v.submit(v.open(link), "sign-in", "username", "anna", "password", password))
		wait := string(p.header.Peek("Retry-After"))
		seen[wait] = true
		if len(wait) != 2 || wait < "20" || wait > "41" {
			t.Errorf("Retry-After is %s", wait)
		}
	}
	if len(seen) < 5 {
		t.Errorf("all come again within %v", seen)
	}
}
