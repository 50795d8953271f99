package scenario

import (
	"slices"
	"testing"

	"netbank/bench/report"
)

func TestAFrontIsANameAndACommand(t *testing.T) {
	f := func(text, name string, command ...string) {
		t.Helper()
		got, err := ReadFront(text)
		if name == "" {
			if err == nil {
				t.Errorf("%q was taken as %v", text, got)
			}
			return
		}
		if err != nil || got.Name != name || !slices.Equal(got.Command, command) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	f("gradient2=bin/peers live --limiter Gradient2", "gradient2", "bin/peers", "live", "--limiter", "Gradient2")
	f("a= proxy --flag=1", "a", "proxy", "--flag=1")
	f("", "")
	f("proxy", "")
	f("=proxy", "")
	f("a=", "")
	f("A b=proxy", "")
}

func TestAFrontIsAnArmOfABankWithoutAdmissionControl(t *testing.T) {
	b := &bench{Options: Options{Fronts: []Front{{Name: "peer", Command: []string{"proxy"}}}}}
	f := func(arm string, off bool, front ...string) {
		t.Helper()
		if got := b.bankOf(arm); got.AdmissionOff != off || !slices.Equal(got.Front, front) {
			t.Errorf("%s: %+v", arm, got)
		}
	}
	f(report.ArmOn, false)
	f(report.ArmOff, true)
	f("peer", true, "proxy")
}

func TestOnlyScenariosWithArmsTakeFronts_EachByANameOfItsOwn(t *testing.T) {
	f := func(scenario string, ok bool, arms []string, names ...string) {
		t.Helper()
		var o Options
		for _, name := range names {
			o.Fronts = append(o.Fronts, Front{Name: name, Command: []string{"proxy"}})
		}
		o.Arms = arms
		s, err := Find(scenario)
		if err != nil {
			t.Fatal(err)
		}
		o = s.With(o, false)
		if err := s.Check(&o); (err == nil) != ok {
			t.Errorf("%s with %v and arms %v: %v", scenario, names, arms, err)
		}
	}
	f("overload", true, []string{"peer"}, "peer")
	f("core-weather", true, []string{report.ArmOn, "peer", "other"}, "peer", "other")
	f("single", false, nil, "peer")
	f("overload", false, nil, "peer", "peer")
	f("overload", false, nil, "on")
	f("overload", false, []string{"another"}, "peer")
	f("overload", false, nil, "a", "b", "c", "d", "e", "f", "g", "h", "i")
}
