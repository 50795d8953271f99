package replica

import (
	"testing"
)

func TestAnEmptyDirectoryBecomesAClusterOfOneNode(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	r := start(t, cfg)
	propose(t, r, partner(), create(1))
	outcome := propose(t, r, cancel(1))
	if len(outcome.Changes) != 1 || outcome.Index == 0 || outcome.Term == 0 {
		t.Fatalf("%+v", outcome)
	}
}
