package simulate

import (
	"bytes"
	"strings"
	"testing"
)

func TestList_NamesEveryScenario(t *testing.T) {
	var out bytes.Buffer
	if err := (&Command{Scenario: "list"}).play(&out); err != nil || !strings.Contains(out.String(), "core-weather") {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func TestWhatIsUnknownIsNamed(t *testing.T) {
	f := func(c Command, want string) {
		t.Helper()
		if err := c.play(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want something about %s", c, err, want)
		}
	}
	f(Command{Scenario: "load-3", Seeds: 1}, "load-2")
	f(Command{Scenario: "load-2", Seeds: 1, Policy: []string{"gradient"}}, "fixed-N")
	f(Command{Scenario: "load-2", Seeds: 0}, "--seeds is 0")
}
