package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"netbank/bench/report"
)

// Front is a process that stands between customers and a bank whose own admission control is off, such as another's limiter. It is an arm of the
// scenarios that have arms.
type Front struct {
	Name string // of the arm: lower-case letters, digits and hyphens
	// Command is a program and its arguments. It is given --listen and --bank with an address each, proxies from the one to the other, and ends
	// when it is asked to (SIGTERM).
	Command []string
}

// FrontsMax bounds the arms of one run.
const FrontsMax = 8

var frontName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// ReadFront reads NAME=PROGRAM ARGUMENTS. Blanks part the arguments; none can hold one.
func ReadFront(text string) (Front, error) {
	name, command, ok := strings.Cut(text, "=")
	f := Front{Name: name, Command: strings.Fields(command)}
	if !ok || !frontName.MatchString(name) || len(f.Command) == 0 {
		return Front{}, fmt.Errorf("scenario: a front of %q; write NAME=PROGRAM ARGUMENTS, with a name of up to 40 lower-case letters, digits and hyphens", text)
	}
	return f, nil
}

func (f *Front) String() string { return f.Name + "=" + strings.Join(f.Command, " ") }

// front finds the one of an arm; nil: the arm is the bank alone.
func (o *Options) front(arm string) *Front {
	if i := slices.IndexFunc(o.Fronts, func(f Front) bool { return f.Name == arm }); i >= 0 {
		return &o.Fronts[i]
	}
	return nil
}

// checkFronts says what of the fronts and arms cannot be.
func (o *Options) checkFronts() error {
	if len(o.Fronts) > FrontsMax {
		return fmt.Errorf("scenario: %d fronts; up to %d in one run", len(o.Fronts), FrontsMax)
	}
	for i, f := range o.Fronts {
		if f.Name == armWord(report.ArmOn) || f.Name == armWord(report.ArmOff) || o.front(f.Name) != &o.Fronts[i] {
			return fmt.Errorf("scenario: two arms are called %q; give the front another name", f.Name)
		}
	}
	for _, arm := range o.Arms {
		if arm != report.ArmOn && arm != report.ArmOff && o.front(arm) == nil {
			return fmt.Errorf("scenario: arm %q; there are %q, %q and the fronts that are given", arm, report.ArmOn, report.ArmOff)
		}
	}
	return nil
}

// bankOf is the bank of an arm.
func (b *bench) bankOf(arm string) Bank {
	bank := Bank{AdmissionOff: arm != report.ArmOn, PasswordHash: "cheap"}
	if f := b.front(arm); f != nil {
		bank.Front = f.Command
	}
	return bank
}

// frontHeadlines sets each front beside the bank's own admission control, where both were measured, and says what it was. name is that of an arm's phase,
// and figure of what is compared.
func (b *bench) frontHeadlines(figure string, name func(arm string) string) {
	on := b.result.Phase(name(report.ArmOn))
	for _, f := range b.Fronts {
		if p := b.result.Phase(name(f.Name)); p != nil && on != nil {
			b.headline(report.Headline{
				Name: figure + ": " + f.Name, Value: p.GoodputPercent, Unit: "% of the peak", Against: "with the bank's own admission control", Baseline: on.GoodputPercent,
				Text: "The bank's own admission control is off, and something else stands before it; the notes say what.",
			})
		}
		b.note("In the arm %q the bank's own admission control is off, and this stands between the customers and it, as a process of its own: %s.", f.Name, strings.Join(f.Command, " "))
	}
}

// armWord is an arm as a part of a name.
func armWord(arm string) string { return strings.TrimPrefix(arm, "admission ") }
