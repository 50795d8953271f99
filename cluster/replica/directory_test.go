package replica

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestTwoProcessesCannotOpenOneDirectory(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	start(t, cfg)
	_, err := open(cfg, small)
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("%v, want %v", err, ErrLocked)
	}
	for _, want := range []string{cfg.Dir, strconv.Itoa(os.Getpid()), "stop that process"} {
		if !containsText(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestADataDirectoryThatDoesNotFitIsRefusedInOneLine(t *testing.T) {
	f := func(version string, want error, says ...string) {
		t.Helper()
		cfg, _ := testConfig(t, t.TempDir())
		if err := os.WriteFile(filepath.Join(cfg.Dir, versionName), []byte(version), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := open(cfg, small)
		if err == nil {
			r.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", version, err, want)
			return
		}
		for _, text := range append(says, cfg.Dir) {
			if want != nil && (!containsText(err.Error(), text) || containsText(err.Error(), "\n")) {
				t.Errorf("%q: %q does not say %q in one line", version, err, text)
			}
		}
		entries, err := os.ReadDir(cfg.Dir)
		if want != nil && (err != nil || len(entries) != 2) { // LOCK and version
			t.Errorf("%q: the directory was changed: %v, %v", version, entries, err)
		}
	}
	f("netbank data 1 node 1\n", nil)
	f("netbank data 2 node 1\n", ErrNewer, "format 2", "up to 1", "later one")
	f("netbank data 7 whatever comes\n", ErrNewer, "format 7", "up to 1")
	f("netbank data 1 node 2\n", ErrOtherNode, "node 2", "node 1")
	f("netbank data 0 node 1\n", ErrDamaged)
	f("netbank data 1\n", ErrDamaged)
	f("", ErrDamaged)
	f("something else", ErrDamaged, "restore")
}

func TestALogWithoutAVersionIsNotTakenForAnEmptyDirectory(t *testing.T) {
	cfg, _ := testConfig(t, t.TempDir())
	if err := start(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(cfg.Dir, versionName)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(cfg, small); !errors.Is(err, ErrDamaged) {
		t.Fatalf("%v, want %v", err, ErrDamaged)
	}
}

func TestADirectoryThatCannotBeWrittenIsRefused(t *testing.T) {
	base := t.TempDir()
	plain := filepath.Join(base, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(base, "blocked")
	if err := os.MkdirAll(filepath.Join(blocked, lockName), 0o700); err != nil {
		t.Fatal(err)
	}
	f := func(dir string) {
		t.Helper()
		cfg, _ := testConfig(t, dir)
		_, err := open(cfg, small)
		if !errors.Is(err, ErrUnwritable) || !containsText(err.Error(), dir) || !containsText(err.Error(), "free space") {
			t.Errorf("%s: %v, want %v and a remedy", dir, err, ErrUnwritable)
		}
	}
	f(plain)
	f(filepath.Join(plain, "below"))
	f(blocked)
}

func TestAMissingDirectoryIsMadeWithWhatIsAboveIt(t *testing.T) {
	cfg, _ := testConfig(t, filepath.Join(t.TempDir(), "a", "b", "c"))
	start(t, cfg)
	info, err := os.Stat(cfg.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatal(info, err)
	}
}

func TestAConfigThatMakesNoSenseIsRefused(t *testing.T) {
	f := func(change func(*Config)) {
		t.Helper()
		cfg, _ := testConfig(t, t.TempDir())
		change(&cfg)
		if r, err := Open(cfg); err == nil {
			r.Close()
			t.Errorf("opened with %+v", cfg)
		}
	}
	f(func(c *Config) { c.Dir = "" })
	f(func(c *Config) { c.Node = 0 })
	f(func(c *Config) { c.SnapshotBytes = 1 })
}
