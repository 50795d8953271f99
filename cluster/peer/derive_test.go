package peer

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"
)

func derived(t *testing.T, cluster string, fill byte) *Authority {
	t.Helper()
	a, err := DeriveAuthority(cluster, bytes.Repeat([]byte{fill}, DerivedSecretBytesMin))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// If the recorded fingerprint changes, nodes of two versions no longer found a cluster together, and a cluster whose journal is not
// read yet no longer finds its own.
func TestADerivedAuthorityIsTheSameForTheSameSecretAndCluster(t *testing.T) {
	a := derived(t, "main", 1)
	if again := derived(t, "main", 1); again.Fingerprint() != a.Fingerprint() || !again.key.Equal(a.key) {
		t.Error("derived twice, there are two authorities")
	}
	const recorded = "7f1032b454b177850cc6a34075e0ea897683b615fe73fb2ba4b667abca43b7b8"
	if got := a.Fingerprint().String(); got != recorded {
		t.Errorf("the fingerprint is %s, recorded is %s", got, recorded)
	}
	seen := map[Fingerprint]bool{a.Fingerprint(): true}
	for _, other := range []*Authority{derived(t, "main", 2), derived(t, "main2", 1), derived(t, "mai", 1)} {
		if seen[other.Fingerprint()] || other.key.Equal(a.key) {
			t.Error("another secret or cluster gave the same authority")
		}
		seen[other.Fingerprint()] = true
	}
}

func TestADerivedAuthorityIssuesForItsFounders(t *testing.T) {
	now := time.Date(2026, 11, 11, 10, 0, 0, 0, time.UTC)
	first, err := derived(t, "main", 1).Identity(Subject{"main", 1, Coordinator}, now)
	if err != nil {
		t.Fatal(err)
	}
	// Another founder, which has never met the first, has the same roots.
	second, err := derived(t, "main", 1).Identity(Subject{"main", 2, Coordinator}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(first.leaf, second.roots, now, x509.ExtKeyUsageClientAuth); err != nil {
		t.Error(err)
	}
	stranger, err := derived(t, "main", 2).Identity(Subject{"main", 1, Coordinator}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(stranger.leaf, second.roots, now, x509.ExtKeyUsageClientAuth); err == nil {
		t.Error("who has another secret is trusted")
	}
}

func TestAnAuthorityIsNotDerivedFromLittle(t *testing.T) {
	f := func(cluster string, secret int) {
		t.Helper()
		if _, err := DeriveAuthority(cluster, make([]byte, secret)); err == nil {
			t.Errorf("derived for %q from %d bytes", cluster, secret)
		}
	}
	f("main", DerivedSecretBytesMin-1)
	f("main", 0)
	f("Main", DerivedSecretBytesMin)
}
