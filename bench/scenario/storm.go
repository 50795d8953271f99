package scenario

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Rates of the scenario sign-in-storm.
const (
	// stormConfirmations are confirmed each second throughout, by customers who signed in before.
	stormConfirmations = 25.
	// storm is how many times as many sign-ins come as the machine can check passwords.
	storm = 20.
	// signInObjective is how long a customer may wait for the page behind the sign-in form.
	signInObjective = 3 * time.Second
	// hashing is how long the machine's own rate of password hashes is measured.
	hashing = 2 * time.Second
	// The product's password hash (OWASP Password Storage Cheat Sheet): argon2id with 19 MiB, two passes, one lane.
	argonKiB, argonPasses, argonLanes, argonKey = 19 << 10, 2, 1, 32
)

// signInStorm asks what more sign-ins than passwords can be checked do to customers who are signed in.
func signInStorm() *Scenario {
	return &Scenario{
		Name:     "sign-in-storm",
		Help:     "twenty times as many sign-ins as passwords can be checked: do confirmations notice?",
		Defaults: Options{Seconds: 20, Customers: 60_000},
		Short:    Options{Seconds: 5, Customers: 30_000},
		run:      func(ctx context.Context, b *bench) error { return b.signInStorm(ctx) },
	}
}

func (b *bench) signInStorm(ctx context.Context) error {
	b.result.Asked = "Checking a password is made to cost much, so that a stolen list of hashes is of little use. That makes signing in the dearest thing that the bank does, and a rush of " +
		"sign-ins the easiest way to jam it. Customers who are signed in confirm payments at a steady rate while, for a while, twenty times as many people sign in as " +
		"passwords can be checked on this machine. What do those who confirm notice, and how many of the others get in?"
	b.Plan(3*b.measure() + 60*time.Second)
	b.Do("the machine's own rate of password hashes")
	raw, err := hashRate(ctx)
	if err != nil {
		return err
	}
	b.Do("starting a bank")
	if err := b.raise(ctx, Bank{PasswordHash: "standard"}); err != nil {
		return err
	}
	defer b.lower()
	for _, part := range []struct {
		name    string
		signIns float64
	}{{"quiet-before", 0}, {"storm", storm * raw}, {"quiet-after", 0}} {
		b.Do(part.name)
		phases := []report.Phase{{
			Name: "confirm-" + part.name, What: "payments confirmed with sessions open", Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Confirm], OfferedPerSecond: stormConfirmations,
		}}
		jobs := []people.Job{{
			Kind: people.Confirm, Curve: load.Constant(stormConfirmations), WarmUp: b.warmUp(), Measure: b.measure(), Grace: overloadGrace, SLO: confirmObjective, Connections: b.Connections,
		}}
		if part.signIns > 0 {
			phases = append(phases, report.Phase{
				Name: "sign-in-" + part.name, What: "people who open a payment's link and sign in", Server: "bank", Unit: "sign-ins", RequestsEach: requestsEach[people.SignIn], OfferedPerSecond: part.signIns,
			})
			jobs = append(jobs, people.Job{
				Kind: people.SignIn, Curve: load.Constant(part.signIns), WarmUp: b.warmUp(), Measure: b.measure(), CoolDown: signInObjective, Grace: overloadGrace, SLO: signInObjective, Connections: customerConnections,
			})
		}
		if _, err := b.together(ctx, phases, jobs); err != nil {
			return err
		}
	}
	b.beforeAndAfter("confirm", "storm", "confirmation p99 in the storm", "What 99 of 100 customers who confirmed waited for at most, while twenty times as many signed in as passwords can be checked.")
	if p := b.result.Phase("sign-in-storm"); p != nil {
		b.headline(report.Headline{
			Name: "sign-ins in the storm", Value: p.PerSecond, Unit: "sign-ins/s", Against: "password hashes and nothing else, on the idle machine", Baseline: raw,
			Text: "How many got in each second. The rest were told at once that the bank is busy, and to come back.",
		})
	}
	b.note("A password hash is argon2id with %d MiB, %d passes and %d lane, as in the product.", argonKiB>>10, argonPasses, argonLanes)
	return b.audit(ctx, "")
}

// hashRate is how many passwords a second all processors of the machine hash when they do nothing else.
func hashRate(ctx context.Context) (float64, error) {
	var (
		done  atomic.Int64
		group sync.WaitGroup
	)
	start := time.Now()
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			salt := make([]byte, 16)
			for time.Since(start) < hashing && ctx.Err() == nil {
				argon2.IDKey([]byte("lotus-river-42"), salt, argonPasses, argonKiB, argonLanes, argonKey)
				done.Add(1)
			}
		})
	}
	group.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), ctx.Err()
}
