package gate

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// steady plays a core with as many places as the gate has seats, in which every call takes 50 ms per unit of weight, and
// counts the work that starts. offer is called every millisecond and makes the load.
func steady(c Config, length time.Duration, offer func(now Time) []Offer) (started map[uint32]float64, out []Decision) {
	g := New(c)
	started = map[uint32]float64{}
	offers := map[Ticket]Offer{}
	ends := map[Time][]Ticket{}
	var all []Decision
	for now := Time(0); now < length; now += time.Millisecond {
		from := len(all)
		for _, t := range ends[now] {
			all = g.Answer(now, t, time.Duration(50*offers[t].Weight)*time.Millisecond, false, all)
		}
		for _, o := range offer(now) {
			offers[o.Ticket] = o
			all = g.Offer(now, o, all)
		}
		all = g.Tick(now, all)
		for _, d := range all[from:] {
			if o := offers[d.Ticket]; d.Action == Start {
				started[o.Partner] += o.Weight
				end := now + time.Duration(50*o.Weight)*time.Millisecond
				ends[end] = append(ends[end], d.Ticket)
			}
		}
	}
	return started, all
}

// flood keeps a class full: more offers than ever can start, with so much patience that none is too late.
func flood(next *Ticket, class Class, partner uint32, weight float64, n int) []Offer {
	var offers []Offer
	for range n {
		*next++
		offers = append(offers, Offer{Ticket: *next, Class: class, Partner: partner, Weight: weight, Budget: 5 * time.Minute})
	}
	return offers
}

func TestNobodyStarves_WhoAsksForHalfOfAGuaranteedShare(t *testing.T) {
	f := func(limit int, class Class, weight float64) {
		t.Helper()
		c := Config{Limit: limit, QueueMax: 1024}.withDefaults()
		// The seats carry limit/50ms units of work; the class asks for half of its share of that, evenly. All the others are
		// confirmations, twice as many as the seats can carry.
		every := time.Duration(float64(50*time.Millisecond)*weight/(0.5*c.Shares[class]*float64(limit))) / time.Millisecond * time.Millisecond
		budget := max(4*every, 2*time.Second)
		next, asked, served := Ticket(0), 0, 0
		_, out := steady(c, 10*time.Second+10*every, func(now Time) []Offer {
			offers := flood(&next, Confirm, 1, 1, limit/25+1)
			if now%every == 0 {
				next++
				asked++
				offers = append(offers, Offer{Ticket: 1<<40 + next, Class: class, Partner: 2, Weight: weight, Budget: budget})
			}
			return offers
		})
		for _, d := range out {
			if d.Ticket >= 1<<40 && d.Action == Refuse {
				t.Fatalf("%v asks for half of its share of %d seats and is refused: %v", class, limit, d.Reason)
			}
			if d.Ticket >= 1<<40 {
				served++
			}
		}
		if asked-served > 1+int(budget/every) {
			t.Fatalf("%v: %d of %d were served", class, served, asked)
		}
	}
	for _, limit := range []int{1, 4, 19, 64} {
		for _, class := range []Class{Express, SignIn} {
			f(limit, class, 1)
			f(limit, class, 3)
		}
	}
}

func TestGuaranteedShares_AreReachedAndNotExceeded(t *testing.T) {
	f := func(limit int, class Class) {
		t.Helper()
		next := Ticket(0)
		c := Config{Limit: limit, QueueMax: 512}.withDefaults()
		started, _ := steady(c, 20*time.Second, func(Time) []Offer {
			return append(flood(&next, Confirm, 1, 1, 2), flood(&next, class, 2, 1, 2)...)
		})
		got := started[2] / (started[1] + started[2])
		if share := c.Shares[class]; started[2] < share*(started[1]+started[2])-2 || got > share*1.25 {
			t.Fatalf("%v got %.3f of %d seats, its share is %.3f", class, got, limit, share)
		}
	}
	for _, limit := range []int{1, 4, 10, 19, 32} {
		f(limit, Express)
		f(limit, SignIn)
	}
}

func TestPartnersShareByWeight_WhoeverFloods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := []float64{0, rapid.SampledFrom([]float64{1, 0.02}).Draw(t, "weight of 1"), rapid.SampledFrom([]float64{0.01, 0.5, 1, 3}).Draw(t, "weight of 2"), rapid.SampledFrom([]float64{1, 2.5, 100, 0.03}).Draw(t, "weight of 3")}
		costs := []float64{0, 1, float64(rapid.IntRange(1, 16).Draw(t, "cost of 2")), float64(rapid.IntRange(1, 3).Draw(t, "cost of 3"))}
		q := newQueue(make([]entry, 3000), 3000, [Classes]float64{}, map[uint32]float64{1: weights[1], 2: weights[2], 3: weights[3]})
		for slot := range int32(3000) {
			partner := uint32(slot%3 + 1)
			q.entries[slot] = entry{class: Express, cost: workOf(costs[partner]), deadline: Time(slot)}
			q.add(slot, partner)
		}
		var started [4]float64
		for range 900 {
			slot, lane := q.next(Express)
			partner := q.lanes[lane].partner
			q.lanes[lane].deficit -= q.entries[slot].cost
			started[partner] += costs[partner]
			q.remove(slot)
		}
		// Shreedhar and Varghese, theorem 4.3 in our terms: two backlogged flows differ, each over its weight, by no more than
		// one quantum and the largest call of each.
		for a := 1; a <= 3; a++ {
			for b := 1; b <= 3; b++ {
				bound := 1 + costs[a]/weights[a] + 1 + costs[b]/weights[b]
				if d := started[a]/weights[a] - started[b]/weights[b]; d > bound {
					t.Fatalf("partner %d got %v, partner %d got %v, weights %v, costs %v", a, started[a], b, started[b], weights, costs)
				}
			}
		}
	})
}

func TestOnePartnersFlood_IsNotNoticedByOthers(t *testing.T) {
	for _, many := range []int{4, 20} {
		next, asked, served := Ticket(0), 0, 0
		// The seats carry 1.28 calls a millisecond. Partner 2 asks for a fifth of that, partner 1 for three or 16 times as
		// much as there is, and with more patience.
		_, out := steady(Config{Limit: 64}, 5*time.Second, func(now Time) []Offer {
			offers := flood(&next, Express, 1, 1, many)
			if now%(4*time.Millisecond) == 0 {
				next++
				asked++
				offers = append(offers, Offer{Ticket: 1<<40 + next, Class: Express, Partner: 2, Weight: 1, Budget: 2 * time.Second})
			}
			return offers
		})
		for _, d := range out {
			if d.Ticket >= 1<<40 && d.Action == Refuse {
				t.Fatalf("partner 1 asks %d times a millisecond, and partner 2 is refused: %v", many, d.Reason)
			}
			if d.Ticket >= 1<<40 {
				served++
			}
		}
		if served < asked*98/100 {
			t.Fatalf("partner 2 was served %d of %d times", served, asked)
		}
	}
}

func TestAcceptReleaseAndRefusal_AllocateNothing(t *testing.T) {
	g := full()
	out := make([]Decision, 0, 16)
	next := Ticket(1 << 20)
	now := Time(0)
	f := func(name string, do func()) {
		t.Helper()
		if n := testing.AllocsPerRun(2000, do); n != 0 {
			t.Fatalf("%s allocates %v times", name, n)
		}
	}
	f("a refusal", func() {
		next++
		out = g.Offer(now, Offer{Ticket: next, Class: Confirm, Weight: 1, Budget: time.Millisecond}, out[:0])
	})
	f("an offer that waits and is withdrawn", func() {
		next++
		out = g.Offer(now, Offer{Ticket: next, Class: Express, Partner: uint32(next), Weight: 1, Budget: time.Minute}, out[:0])
		out = g.Withdraw(now, next, out[:0])
	})
	g = New(Config{})
	f("a call", func() {
		next++
		now += time.Millisecond
		out = g.Offer(now, Offer{Ticket: next, Class: SignIn, Weight: 1, Budget: time.Minute}, out[:0])
		out = g.Answer(now, next, time.Millisecond, false, out)
	})
	f("a level", func() {
		levels := g.Level()
		levels[Confirm].Refuses(1, time.Second)
	})
}

func TestFullSize_EverythingIsBounded(t *testing.T) {
	g := New(Config{Limit: CeilingMax})
	for ticket := range Ticket(2 * SeatsMax) {
		g.Occupy(0, ticket, Confirm, 1, 0)
	}
	refusals := 0
	for ticket := Ticket(1 << 20); ticket < 1<<20+10_000; ticket++ {
		for _, d := range g.Offer(0, Offer{Ticket: ticket, Class: Class(ticket % 7), Tier: uint8(ticket), Partner: uint32(ticket), Weight: math.NaN(), Budget: math.MaxInt64}, nil) {
			if d.Action == Refuse {
				refusals++
			}
		}
	}
	if s := g.Snapshot(); s.Taken != SeatsMax || s.Queued != DefaultQueueMax || refusals != 10_000-DefaultQueueMax-ResolveSeats {
		t.Fatalf("%d seats, %d waiting, %d refused", s.Taken, s.Queued, refusals)
	}
	if err := g.sound(); err != nil {
		t.Fatal(err)
	}
}

func TestTheNodesLevelAgreesWithTheGate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := observe(t, anyConfig(t))
		var now Time
		var ticket Ticket
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now += time.Duration(rapid.SampledFrom([]int{0, 1, 30, 400}).Draw(t, "ms")) * time.Millisecond
			step(t, o, now, &ticket)
		}
		o.event(now, nil)
		of := anyOffer(t, ticket+1)
		refused := false
		reason, retry := o.g.Level()[of.Class].Refuses(of.Weight, of.Budget)
		for _, d := range o.g.Offer(now, of, nil) {
			if d.Ticket == of.Ticket && d.Action == Refuse && reason == Admitted && d.Reason != TooLate && d.Reason != Stalled && d.Reason != QueueFull {
				t.Fatalf("the node would let %+v through, the gate refuses: %+v", of, d)
			}
			if d.Ticket == of.Ticket && d.Action == Refuse {
				refused = true
				if d.RetryAfter < retry {
					t.Fatalf("the node would refuse %+v with %v in %v, the gate says %+v", of, reason, retry, d)
				}
			}
		}
		if reason != Admitted && !refused {
			t.Fatalf("the node would refuse %+v with %v, the gate does not", of, reason)
		}
	})
}

func TestConfig_NamesTheValueTheLimitAndTheRemedy(t *testing.T) {
	f := func(c Config, words ...string) {
		t.Helper()
		err := c.Validate()
		if err == nil {
			t.Fatalf("%+v is accepted", c)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Fatalf("%q does not say %q", err, w)
			}
		}
		if New(c).Snapshot().Limit != DefaultLimit {
			t.Fatal("a gate of a bad configuration has not the defaults")
		}
	}
	f(Config{Limit: -1}, "limit -1", "ceiling 4096", "lower")
	f(Config{Limit: 100, Ceiling: 50}, "limit 100", "ceiling 50", "raise")
	f(Config{Ceiling: 5000}, "ceiling 5000", "4096")
	f(Config{QueueMax: 100_000}, "queue of 100000", "65536")
	f(Config{CoreLimit: -time.Second}, "core limit -1s", "10m0s")
	f(Config{ServiceTime: time.Minute}, "service time 1m0s", "10s")
	f(Config{Shares: [Classes]float64{Express: 1.5}}, "share 1.5", "express")
	f(Config{Shares: [Classes]float64{Express: math.NaN()}}, "share NaN", "express")
	f(Config{Shares: [Classes]float64{Express: 0.5, SignIn: 0.5}}, "1.000", "0.9")
	f(Config{PartnerWeights: map[uint32]float64{7: 0}}, "weight 0 of partner 7", "0.01")
	many := map[uint32]float64{}
	for p := range uint32(PartnerWeightsMax + 1) {
		many[p] = 1
	}
	f(Config{PartnerWeights: many}, "4097", "4096", "leave out")
	if err := (Config{}).Validate(); err != nil {
		t.Fatal(err)
	}
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestNext_NamesEveryTimeAtWhichATickDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := observe(t, anyConfig(t))
		var now Time
		var ticket Ticket
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			now += time.Duration(rapid.SampledFrom([]int{0, 1, 30, 400}).Draw(t, "ms")) * time.Millisecond
			step(t, o, now, &ticket)
		}
		// Until nothing is left, a tick just before the time that Next names changes nothing.
		for range 1000 {
			o.event(now, nil)
			next, any := o.g.Next(now)
			if !any {
				return
			}
			if next-1 > now {
				before := o.g.Snapshot()
				out := o.g.Tick(next-1, nil)
				after := o.g.Snapshot()
				if len(out) > 0 || before.Taken != after.Taken || before.Stalled != after.Stalled {
					t.Fatalf("a tick at %v decides %v, Next said %v", next-1, out, next)
				}
			}
			now = next
		}
		t.Fatal("Next never ends")
	})
}

func TestAStallIsIgnoredWhereThatIsAskedFor(t *testing.T) {
	f := func(ignore bool, want Action, reason Reason) {
		t.Helper()
		g := New(Config{Limit: 64, IgnoreStalls: ignore})
		out := g.Offer(0, Offer{Ticket: 1, Class: Confirm, Weight: 1, Budget: 5 * time.Second}, nil)
		out = g.Tick(5*time.Second, out[:0]) // not a word from the core
		for ticket := Ticket(2); ticket < 8; ticket++ {
			out = g.Offer(5*time.Second, Offer{Ticket: ticket, Class: Confirm, Weight: 1, Budget: time.Second}, out[:0])
		}
		if out = g.Tick(6*time.Second, out); len(out) == 0 || out[len(out)-1].Action != want || out[len(out)-1].Reason != reason {
			t.Errorf("ignoring stalls %v: %+v; want %v for %v", ignore, out, want, reason)
		}
	}
	f(false, Refuse, Stalled)
	f(true, Start, Admitted)
}
