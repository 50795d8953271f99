package bank

import (
	"os"
	"path/filepath"
	"testing"

	"netbank/cluster/scaling/expansion"
)

func TestTheProcessorsOfAContainerAreItsShare(t *testing.T) {
	share := func(text string, want float64) {
		t.Helper()
		if got, ok := shareOf(text); got != want || ok != (want > 0) {
			t.Errorf("%q: %v, %v, want %v", text, got, ok, want)
		}
	}
	share("max 100000\n", 0)
	share("50000 100000\n", 0.5)
	share("250000 100000", 2.5)
	share("", 0)
	share("0 0", 0)
	share("-1 100000", 0)
	if periods, throttled := periodsOf("usage_usec 5\nnr_periods 40\nnr_throttled 9\nnr_throttled\nthrottled_usec x\n"); periods != 40 || throttled != 9 {
		t.Errorf("%d periods, %d of them stopped", periods, throttled)
	}

	root := t.TempDir()
	group := filepath.Join(root, "bank.service")
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"cpu.stat": "nr_periods 1\n", "bank.service/cpu.stat": "nr_periods 7\nnr_throttled 3\n", "bank.service/cpu.max": "10000 100000\n"} {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := func(text, want string) {
		t.Helper()
		if got := groupOf(text, root); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	found("12:cpu:/x\n0::/bank.service\n", group)
	found("0::/host/path/of/a/container\n", root)
	found("0::/../../etc\n", root)
	found("3:cpu:/only/version/1\n", "")
	var r expansion.Reading
	processor(&r, group)
	if r.Processor <= 0 || r.Processors != 0.1 || r.Periods != 7 || r.Throttled != 3 {
		t.Errorf("%+v", r)
	}
	processor(&r, "")
	if r.Processors < 1 {
		t.Errorf("%+v without a group", r)
	}
}
