package external

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbank/bench/load"
)

const connections = 64

// pages makes the work of fetching the payment links in $LINKS, as wrk.lua does.
func pages(b *testing.B) (*load.Pool, load.Work) {
	b.Helper()
	path := os.Getenv("LINKS")
	if path == "" {
		b.Skip("LINKS names no file of payment links; own.sh writes one from a running bank, and calls this")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	var host string
	var requests [][]byte
	for _, line := range bytes.Fields(text) {
		link, err := url.Parse(string(line))
		if err != nil {
			b.Fatal(err)
		}
		host = link.Host
		requests = append(requests, []byte("GET "+link.RequestURI()+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"))
	}
	pool, err := load.NewPool(context.Background(), load.Dialer{Addr: host}, connections)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool, func(c *load.Client, n int64) load.Verdict {
		answer, err := c.Do(requests[int(n)%len(requests)])
		switch {
		case err != nil:
			return load.Verdict{Outcome: load.Failed, Reason: load.Reason(err)}
		case answer.Status != 200:
			return load.Verdict{Outcome: load.Refused, Reason: "status " + strconv.Itoa(answer.Status)}
		}
		return load.Verdict{}
	}
}

func measured(b *testing.B) time.Duration {
	b.Helper()
	d, err := time.ParseDuration(os.Getenv("DURATION"))
	if err != nil {
		b.Fatalf("DURATION: %v", err)
	}
	return d
}

func report(b *testing.B, r *load.Result, latency *hdrhistogram.Histogram) {
	b.Helper()
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(r.Completed), "requests")
	b.ReportMetric(float64(r.Dropped+r.Refused+r.Failed), "lost")
	b.ReportMetric(ms(latency.ValueAtQuantile(50)), "p50")
	b.ReportMetric(ms(latency.ValueAtQuantile(95)), "p95")
	b.ReportMetric(ms(latency.ValueAtQuantile(99)), "p99")
	b.ReportMetric(ms(latency.ValueAtQuantile(99.9)), "p999")
	b.ReportMetric(ms(latency.Max()), "max")
}

// The project's own generator on the pages that the others fetch, once as customers come and once as wrk asks.
func BenchmarkSignInPages(b *testing.B) {
	pool, work := pages(b)
	run := load.Run{Pool: pool, Work: work, Measure: measured(b)}
	b.Run("closed", func(b *testing.B) {
		r, err := load.Closed(b.Context(), run)
		if err != nil {
			b.Fatal(err)
		}
		report(b, r, r.Latency)
	})
	open := func(b *testing.B) *load.Result {
		rate, err := strconv.ParseFloat(os.Getenv("RATE"), 64)
		if err != nil {
			b.Fatalf("RATE: %v", err)
		}
		schedule, err := load.NewSchedule(1, load.Constant(rate), run.Measure)
		if err != nil {
			b.Fatal(err)
		}
		r, err := load.Open(b.Context(), run, schedule)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Void(); err != nil {
			b.Error(err)
		}
		return r
	}
	b.Run("open", func(b *testing.B) { r := open(b); report(b, r, r.Latency) })
	b.Run("open-from-sending", func(b *testing.B) { r := open(b); report(b, r, r.Service) })
}
