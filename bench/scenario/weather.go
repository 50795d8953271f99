package scenario

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"netbank/bench/load"
	"netbank/bench/people"
	"netbank/bench/report"
)

// Limits of the scenario core-weather.
const (
	// backShare is the part of the best at which the bank counts as being back.
	backShare = .9
	// backOver is over how long that is looked at: fewer payments than this takes say nothing.
	backOver = 2 * time.Second
	// weatherLatency is how much longer the core's answers are on their way in that part of the timeline.
	weatherLatency = 50 * time.Millisecond
	// weatherStorm is how many times as many customers come in the last part as in the others.
	weatherStorm = 5
)

// change is one turn of the weather. Times are in lengths of a part, which is Options.Seconds.
type change struct {
	at       float64
	what     string
	capacity float64
	latency  time.Duration
	// until is when what is looked at ends; 0: the change only ends another.
	until float64
}

// timeline is the weather. The outage takes a twelfth of a part: 5 s of 60.
func timeline() []change {
	return []change{
		{at: 0, what: "all is well", capacity: 1, until: 1},
		{at: 1, what: "the core does 0.3 of its work", capacity: .3, until: 2},
		{at: 2, what: "it does all of it again", capacity: 1, until: 3},
		{at: 3, what: "it does nothing", capacity: 0},
		{at: 3 + 1./12, what: "it does all again after an outage", capacity: 1, until: 4},
		{at: 4, what: "its answers take 50 ms longer on their way", capacity: 1, latency: weatherLatency, until: 5},
		{at: 5, what: "five times as many customers come", capacity: 1, until: 5.5},
		{at: 5.5, what: "as many as before come", capacity: 1, until: 6},
	}
}

const timelineParts = 6

// coreWeather changes the core under a load that is twice what it can do.
func coreWeather() *Scenario {
	return &Scenario{
		Name: "core-weather",
		Help: "a core that slows down, stands still and is far away, under too many customers: how long until the bank is back?",
		Defaults: Options{
			Seconds: 20, CoreModel: narrowCore, CoreSeats: 4 * narrowCoreSeats, Pace: .1, Multiples: []float64{2},
			Arms: []string{report.ArmOff, report.ArmOn}, Habits: "impatient", Customers: 60_000,
		},
		Short: Options{Seconds: 4, Customers: 30_000, Arms: []string{report.ArmOn}},
		run:   func(ctx context.Context, b *bench) error { return b.coreWeather(ctx) },
	}
}

func (b *bench) coreWeather(ctx context.Context) error {
	b.result.Asked = "A core system has its own weather: it slows down, it stands still for a while, the way to it gets longer, and its customers come in rushes. Twice as many customers as the core can serve come " +
		"from the shop, sign in and confirm, to a bank with admission control and to one without, while all this happens to the core. How long does it take after each change until the bank does nine tenths of what could be done?"
	if len(b.Multiples) != 1 {
		return fmt.Errorf("core-weather has one load; give --multiples one number")
	}
	b.Plan(time.Duration(len(b.Arms)) * (timelineParts*b.measure() + 40*time.Second))
	back := make(map[string][]float64)
	for _, arm := range b.Arms {
		seconds, err := b.weatherArm(ctx, arm)
		if err != nil {
			return fmt.Errorf("%s: %w", arm, err)
		}
		back[arm] = seconds
	}
	b.weatherHeadlines(back)
	b.frontHeadlines("confirmed in time over the whole timeline", weatherName)
	for _, f := range b.Fronts {
		b.note("Behind %s the bank was back, %s.", f.Name, backInWords(back[f.Name]))
	}
	b.note("The core is simulated and speaks ISO 8583 over TCP: %s. The bank may have at most %d calls inside and finds by itself how many are best.", b.CoreModel, b.CoreSeats)
	b.note("Back is the beginning of the first %v in which %.0f %% of what the core could do then was confirmed in time. Some of that is chance: a core of %s does few payments a second.", backOver, 100*backShare, b.CoreModel)
	b.leftOut("A partner who sends twenty times his debits, which the timeline in virtual time has: there are no express debits in this load.", "The waiting line, and a network that loses something.")
	return nil
}

// weatherArm lets the timeline happen to one bank, and gives for each change with an end how many seconds it took to be back; infinity where it was not.
func (b *bench) weatherArm(ctx context.Context, arm string) ([]float64, error) {
	b.Do(arm + ": starting a bank")
	if err := b.raise(ctx, b.bankOf(arm)); err != nil {
		return nil, err
	}
	defer b.lower()
	peak, err := b.corePeak(ctx)
	if err != nil {
		return nil, err
	}
	var (
		part    = b.measure()
		habits  = b.habits()
		warm    = min(overloadWarmUp, part) + habits.Think.Whole()
		offered = b.Multiples[0] * peak
		after   = func(parts float64) time.Duration { return time.Duration(parts * float64(part)) }
	)
	b.Do(fmt.Sprintf("%s: %.0f customers a second, %v × the core's peak, and weather", arm, offered, b.Multiples[0]))
	phase := report.Phase{
		Name: weatherName(arm), Server: "bank", Unit: "payments", RequestsEach: requestsEach[people.Flow],
		What: fmt.Sprintf("customers come from the shop at %.0f a second while the core changes every %v", offered, part),
		Arm:  arm, Multiple: b.Multiples[0], PeakPerSecond: peak * meanCapacity(), OfferedPerSecond: offered,
	}
	weather, stop := context.WithCancel(ctx)
	defer stop()
	turned := make(chan error, 1)
	b.onStart = func() {
		began := time.Now()
		go func() {
			for _, c := range timeline() {
				if err := pause(weather, time.Until(began.Add(warm+after(c.at)))); err != nil {
					turned <- nil // the load has ended first
					return
				}
				if err := b.target.coreWeather(weather, c.capacity, c.latency); err != nil {
					turned <- err
					return
				}
			}
			turned <- nil
		}()
	}
	_, err = b.together(ctx, []report.Phase{phase}, []people.Job{{
		Kind: people.Flow, Curve: load.Curve{{From: 0, PerSecond: offered}, {From: warm + after(5), PerSecond: weatherStorm * offered}, {From: warm + after(5.5), PerSecond: offered}},
		WarmUp: warm, Measure: timelineParts * part, CoolDown: habits.Think.Whole() + confirmObjective, Grace: overloadGrace,
		Habits: habits, SLO: confirmObjective, Connections: customerConnections,
	}})
	stop()
	if err != nil {
		return nil, err
	}
	if err := <-turned; err != nil {
		return nil, fmt.Errorf("the weather: %w", err)
	}
	seconds := backAfter(b.result.Phases[len(b.result.Phases)-1].Timeline, peak, part)
	if err := b.heal(ctx, arm); err != nil {
		return nil, err
	}
	return seconds, b.audit(ctx, arm)
}

// weatherName names a phase by its arm.
func weatherName(arm string) string { return "core-weather-" + armWord(arm) }

// meanCapacity is the part of its peak that the core can do over the whole timeline.
func meanCapacity() (mean float64) {
	all := timeline()
	for i, c := range all {
		end := float64(timelineParts)
		if i+1 < len(all) {
			end = all[i+1].at
		}
		mean += c.capacity * (end - c.at) / timelineParts
	}
	return mean
}

// backAfter finds, for each change with an end, how many seconds passed until what was confirmed in time over backOver was backShare of what the core could do.
func backAfter(seconds []report.Second, peak float64, part time.Duration) []float64 {
	var all []float64
	window := int(backOver / time.Second)
	for _, c := range timeline() {
		if c.until == 0 {
			continue
		}
		from, until := int(math.Ceil(c.at*part.Seconds()-1e-9)), int(c.until*part.Seconds()+1e-9)
		back := math.Inf(1)
		for s := from; s+window <= min(until, len(seconds)); s++ {
			done := 0.
			for _, at := range seconds[s : s+window] {
				done += float64(at.InSLO)
			}
			if done >= backShare*c.capacity*peak*float64(window) {
				back = float64(s) - c.at*part.Seconds()
				break
			}
		}
		all = append(all, back)
	}
	return all
}

// weatherHeadlines says how long each change took.
func (b *bench) weatherHeadlines(back map[string][]float64) {
	on, off := b.result.Phase(weatherName(report.ArmOn)), b.result.Phase(weatherName(report.ArmOff))
	if on == nil {
		return
	}
	whole := report.Headline{
		Name: "confirmed in time over the whole timeline", Value: on.GoodputPercent, Unit: "% of what the core could do", Text: "The core's changes are counted into what it could do.",
	}
	if off != nil {
		whole.Against, whole.Baseline = "without admission control", off.GoodputPercent
	}
	b.headline(whole)
	i := 0
	for _, c := range timeline() {
		if c.until == 0 {
			continue
		}
		length := (c.until - c.at) * b.measure().Seconds()
		h := report.Headline{Name: "back: " + c.what, Unit: "s"}
		var with string
		h.Value, with = backWithin(back[report.ArmOn][i], length)
		h.Text = fmt.Sprintf("This lasted %.1f s. With admission control the bank was back %s", length, with)
		if off != nil {
			var without string
			h.Against = "without admission control"
			h.Baseline, without = backWithin(back[report.ArmOff][i], length)
			h.Text += ", and without it " + without
		}
		h.Text += "."
		b.headline(h)
		i++
	}
}

// backInWords lists how long each change with an end took.
func backInWords(back []float64) string {
	var said []string
	for _, c := range timeline() {
		if c.until == 0 {
			continue
		}
		_, words := backWithin(back[len(said)], 0)
		said = append(said, fmt.Sprintf("%s: %s", c.what, words))
	}
	return strings.Join(said, "; ")
}

// backWithin gives how many seconds it took, and in words; the length of the part where the bank was not back before its end.
func backWithin(seconds, length float64) (float64, string) {
	if math.IsInf(seconds, 1) {
		return length, "not before its end"
	}
	return seconds, fmt.Sprintf("after %.1f s", seconds)
}
