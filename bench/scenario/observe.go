package scenario

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"netbank/bench/report"
)

// observed is what the bank's metrics say at one moment.
type observed struct {
	resident, goroutines, files float64
	seats, queued               float64 // of the gate, all classes
	admitted                    float64 // confirmations that were given a seat, since the bank's start
}

// metricsTimeout bounds one look at the metrics: a bank under load may be slow to answer.
const metricsTimeout = 5 * time.Second

// metrics reads the bank's metrics, as any collector does.
func (t *Target) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	return metricsAt(ctx, t.Demo.Operator.URL)
}

// metricsAt reads the metrics at a node's operator's port.
func metricsAt(ctx context.Context, operator string) (map[string]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, operator+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("scenario: the bank's metrics: %w", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, profileMax))
	if err != nil {
		return nil, fmt.Errorf("scenario: the bank's metrics: %w", err)
	}
	return families, nil
}

// debits is how many debits of a node's the core has answered since the node's start.
func (t *Target) debits(ctx context.Context, operator string) (n uint64, err error) {
	families, err := metricsAt(ctx, operator)
	for _, m := range families["netbank_core_call_seconds"].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "op" && label.GetValue() == "debit" {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n, err
}

// journaled is what the leader has brought into its journal since its start.
type journaled struct{ entries, commands, bytes float64 }

func (t *Target) journaled(ctx context.Context) (j journaled, err error) {
	families, err := t.metrics(ctx)
	for _, m := range families["netbank_journal_batch_commands"].GetMetric() {
		j.entries += float64(m.GetHistogram().GetSampleCount())
		j.commands += m.GetHistogram().GetSampleSum()
	}
	for _, m := range families["netbank_journal_proposed_bytes_total"].GetMetric() {
		j.bytes += m.GetCounter().GetValue()
	}
	return j, err
}

// observe looks at the bank at this moment.
func (t *Target) observe(ctx context.Context) (o observed, err error) {
	families, err := t.metrics(ctx)
	if err != nil {
		return o, err
	}
	for _, f := range []struct {
		name string
		into *float64
	}{
		{"process_resident_memory_bytes", &o.resident},
		{"go_goroutines", &o.goroutines},
		{"process_open_fds", &o.files},
		{"netbank_gate_seats", &o.seats},
		{"netbank_gate_queued", &o.queued},
		{"netbank_gate_wait_seconds", &o.admitted},
	} {
		for _, m := range families[f.name].GetMetric() {
			*f.into += m.GetGauge().GetValue()
			for _, label := range m.GetLabel() {
				if label.GetName() == "class" && label.GetValue() == "confirm" {
					*f.into += float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	return o, nil
}

// watch looks at the bank now and then until it is ended.
type watch struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	first   observed
	last    observed
	queued  float64 // most at once
	seats   float64 // most at once
	samples []report.Sample
	missed  int
}

// watching begins to look at the bank, once in every period; samples says whether each look is kept for the report.
func (b *bench) watching(ctx context.Context, every time.Duration, samples bool) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{stop: cancel}
	look := func() {
		o, err := b.target.observe(ctx)
		if err != nil {
			if ctx.Err() == nil {
				w.missed++
			}
			return
		}
		if w.first == (observed{}) {
			w.first = o
		}
		w.last, w.queued, w.seats = o, max(w.queued, o.queued), max(w.seats, o.seats)
		if samples && len(w.samples) < samplesMax {
			w.samples = append(w.samples, report.Sample{
				Second: time.Since(b.result.Started).Seconds(), ResidentMB: int64(o.resident) >> 20, Goroutines: int64(o.goroutines), Files: int64(o.files),
			})
		}
	}
	look()
	w.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				look()
			}
		}
	})
	return w
}

// samplesMax bounds the samples of a run: one a second for a day.
const samplesMax = 24 * 3600

// end ends the looking, with a last look.
func (w *watch) end(ctx context.Context, t *Target) {
	w.stop()
	w.done.Wait()
	if o, err := t.observe(ctx); err == nil {
		w.last, w.queued, w.seats = o, max(w.queued, o.queued), max(w.seats, o.seats)
	}
}

// admitted is how many confirmations were given a seat since the first look.
func (w *watch) admitted() int64 { return int64(w.last.admitted - w.first.admitted) }
