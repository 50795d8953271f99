package system

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Rule 7: a clock that jumps stops new grants, says what to do, and goes on once it is right or an operator has accepted it.
func TestRule7_AWrongClockStopsGrantsUntilItIsRightOrAccepted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	r := newRig(t, 200, "fixed:5ms", "--clock-file="+file)
	set := func(off string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(off), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	ready := r.demo.Operator.URL + "/readyz?verbose"
	why := func() string {
		t.Helper()
		resp, err := r.client.Get(ready)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	stopped := func(where string) {
		t.Helper()
		r.await("the clock to be noticed", func() bool { return !r.answers(ready) }, r.bank)
		if text := why(); !strings.Contains(text, "[-]clock failed") || !strings.Contains(text, where) || !strings.Contains(text, "set the clock right") {
			t.Errorf("a clock that is %s is told as:\n%s", where, text)
		}
	}
	r.customersPay("clock right", 2)
	set("8s")
	stopped("ahead of")
	set("0s")
	r.await("the clock to be right again", func() bool { return r.answers(ready) }, r.bank)
	r.customersPay("clock right again", 2)
	set("-8s")
	stopped("behind")
	r.bank.kill()
	r.bank = r.launchBank()
	r.await("the bank to live", func() bool { return r.answers(r.demo.Operator.URL + "/livez") }, r.bank)
	r.await("the clock to be noticed at the start", func() bool { return strings.Contains(why(), "[-]clock failed") }, r.bank)
	r.bank.kill()
	r.bankArgs = append(r.bankArgs, "--accept-clock")
	r.startBank()
	// The client's connections are those of the killed bank until it has noticed.
	r.await("partners to be served", func() bool { _, err := r.partner.Keys(); return err == nil }, r.bank)
	r.customersPay("clock accepted", 2)
	r.audit()
}
