package scenario

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"netbank/bench/load"
	"netbank/bench/report"
)

// generatorConnections are the numbers of connections at which the generator is measured.
var generatorConnections = []int{16, 128, 1000}

// generatorScenario measures the load generator itself.
func generatorScenario() *Scenario {
	return &Scenario{
		Name:     "generator",
		Help:     "the load generator itself, against a server that does nothing, beside wrk where that is installed",
		Defaults: Options{Seconds: 5, Customers: CustomersMin},
		Short:    Options{Seconds: 1.5},
		run:      func(ctx context.Context, b *bench) error { return b.generator(ctx) },
	}
}

func (b *bench) generator(ctx context.Context) error {
	b.result.Asked = "How many requests a second the generator itself can make and read answers of, on this machine, when the server does nothing: what is measured with it cannot be faster. " +
		"Beside it, where it is installed, wrk, which is written in C for nothing else, with as many connections and in turn with ours."
	wrk, _ := exec.LookPath("wrk")
	b.Plan(time.Duration(len(generatorConnections)) * 4 * b.measure())
	if err := b.raise(ctx, Bank{PasswordHash: "cheap"}); err != nil {
		return err
	}
	defer b.lower()
	for _, connections := range generatorConnections {
		var ours, theirs float64
		// ABBA: what drifts in one direction over the time takes as much from the one as from the other.
		for turn, own := range []bool{true, false, false, true} {
			b.Do(fmt.Sprintf("%d connections", connections))
			name := fmt.Sprintf("generator-%d-%d", connections, turn+1)
			if !own {
				if wrk == "" {
					continue
				}
				rate, err := b.wrk(ctx, wrk, connections)
				if err != nil {
					return err
				}
				theirs += rate / 2
				continue
			}
			before := b.used()
			r, err := load.Ceiling(ctx, b.target.Hello, connections, b.measure())
			if err != nil {
				return err
			}
			b.take(report.Phase{
				Name: name, What: "GET of a server that does nothing, over kept-alive connections", Server: "hello", Loop: "closed", Connections: connections, Unit: "requests", RequestsEach: 1,
			}, r, before)
			ours += r.PerSecond() / 2
		}
		h := report.Headline{
			Name: fmt.Sprintf("requests with %d connections", connections), Value: ours, Unit: "requests/s", Against: "wrk, two threads, in turn with it", Baseline: theirs,
			Text: "The generator and the server share the machine's processors.",
		}
		if wrk == "" {
			h.Against, h.Text = "", "wrk is not installed here, so there is nothing to compare with. "+h.Text
		}
		b.headline(h)
	}
	if wrk == "" {
		b.note("wrk was not found; on Debian, apt-get install wrk puts it beside the generator.")
	}
	return nil
}

// rateOf finds the rate in what wrk prints.
var rateOf = regexp.MustCompile(`(?m)^Requests/sec:\s*([0-9.]+)`)

// wrk runs wrk against the hello world.
func (b *bench) wrk(ctx context.Context, program string, connections int) (float64, error) {
	seconds := max(1, int(b.measure().Round(time.Second).Seconds()))
	out, err := exec.CommandContext(ctx, program, "-t2", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(seconds)+"s", "http://"+b.target.Hello+"/").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("scenario: %s: %w: %s", program, err, out)
	}
	m := rateOf.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("scenario: %s prints no rate: %s", program, out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
