package replica

import (
	"log/slog"
	"strings"
	"testing"

	"netbank/cluster/journal"
	"netbank/cluster/journal/command"
)

func contains(l *lines, text string) bool { return containsText(l.String(), text) }

func containsText(s, text string) bool { return strings.Contains(s, text) }

func testLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// encodeMore gives bytes that add commands to an encoded batch: repeated fields concatenate.
func encodeMore(t testing.TB, commands ...*command.Command) []byte {
	t.Helper()
	more, err := (&journal.Batch{Commands: commands}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return more
}
