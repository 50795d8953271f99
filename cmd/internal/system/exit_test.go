package system

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbank/cmd/internal/bank"
)

// refused starts a bank that cannot run, and wants the exit code and exactly one line, which names what is wrong and what to do.
func (r *rig) refused(code int, words ...string) {
	r.t.Helper()
	r.refusedAs(append(r.dev.BankArgs(), r.bankArgs...), code, words...)
}

func (r *rig) refusedAs(args []string, code int, words ...string) {
	r.t.Helper()
	log := r.log("refused")
	os.Remove(log)
	p := start(r.t, labProgram, log, args...)
	if got := p.exit(r.t, 30*time.Second); got != code {
		r.t.Errorf("exit code %d, want %d\n%s", got, code, p.tail())
	}
	text, err := os.ReadFile(log)
	if err != nil {
		r.t.Fatal(err)
	}
	// What went well until then may stand in the log.
	told := 0
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(`"level":"INFO"`)) {
			told++
		}
	}
	if told != 1 {
		r.t.Errorf("not one line:\n%s", text)
	}
	for _, word := range words {
		if !strings.Contains(string(text), word) {
			r.t.Errorf("the line does not say %q: %s", word, text)
		}
	}
}

func TestATakenPortIsToldInOneLine(t *testing.T) {
	r := prepare(t, 2, "fixed:0ms")
	f := func(addr, flag string) {
		t.Helper()
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		r.refused(bank.ExitAddress, addr, flag, "address already in use")
	}
	f(r.dev.CustomerAddr, "--customer-addr")
	f(r.dev.PartnerAddr, "--partner-addr")
	f(r.dev.OperatorAddr, "--operator-addr")
	if _, err := os.Stat(filepath.Join(r.dev.DataDir, "bank", "log")); err == nil {
		t.Error("a journal was made although the bank cannot be reached")
	}
}

func TestADataDirectoryInUseOrUnusableIsToldInOneLine(t *testing.T) {
	r := newRig(t, 2, "fixed:0ms")
	own := r.dev
	addr := ports(t, r.random, 3)
	r.dev.CustomerAddr, r.dev.PartnerAddr, r.dev.OperatorAddr = addr[0], addr[1], addr[2]
	dir := filepath.Join(own.DataDir, "bank")
	r.refused(bank.ExitDirectory, dir, "another")

	// The superuser may write anywhere but into what is no directory.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.bankArgs = []string{"--data-dir=" + file}
	r.refused(bank.ExitDirectory, file)
	if !r.answers(r.demo.Operator.URL + "/readyz") {
		t.Error("the bank that has the directory was disturbed")
	}
}

func TestANewerDataDirectoryIsToldInOneLineAndLeftAlone(t *testing.T) {
	r := newRig(t, 2, "fixed:0ms")
	if code := r.bank.stop(t); code != 0 {
		t.Errorf("the bank ended with %d", code)
	}
	version := filepath.Join(r.dev.DataDir, "bank", "version")
	old, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	newer := []byte("netbank data 99 node 1\n")
	if err := os.WriteFile(version, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	r.refused(bank.ExitNewer, "99", filepath.Dir(version))
	if text, err := os.ReadFile(version); err != nil || !bytes.Equal(text, newer) {
		t.Errorf("the version file was changed: %q (%v)", text, err)
	}
	if err := os.WriteFile(version, old, 0o600); err != nil {
		t.Fatal(err)
	}
	r.startBank()
}

// What a person meets who types `netbank-lab dev`.
func TestADemoBankThatCannotRunSaysWhyInOneLine(t *testing.T) {
	r := prepare(t, 2, "fixed:0ms")
	r.startCore()
	r.startBank()
	r.bank.stop(t)
	r.core.stop(t)
	dev := func() []string {
		return []string{
			"dev", "--alone", "--data-dir=" + r.dev.DataDir, "--customer-addr=" + r.dev.CustomerAddr, "--partner-addr=" + r.dev.PartnerAddr, "--operator-addr=" + r.dev.OperatorAddr,
			"--shop-addr=" + r.dev.ShopAddr, "--core-addr=" + r.dev.CoreAddr, "--core-admin=" + r.dev.CoreAdmin, "--customers=2", "--password-hash=cheap",
		}
	}
	l, err := net.Listen("tcp", r.dev.ShopAddr)
	if err != nil {
		t.Fatal(err)
	}
	r.refusedAs(dev(), bank.ExitAddress, r.dev.ShopAddr, "--shop-addr")
	l.Close()

	version := filepath.Join(r.dev.DataDir, "bank", "version")
	if err := os.WriteFile(version, []byte("netbank data 99 node 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.refusedAs(dev(), bank.ExitNewer, "99", "newer")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.refusedAs(append(dev(), "--data-dir="+file), bank.ExitDirectory, file, "--data-dir")
}

// The product does not take what is for measuring only.
func TestTheProductRefusesWhatIsForMeasuring(t *testing.T) {
	r := prepare(t, 2, "fixed:0ms")
	f := func(code int, args ...string) {
		t.Helper()
		log := r.log("product")
		os.Remove(log)
		p := start(t, bankProgram, log, args...)
		if got := p.exit(t, 30*time.Second); got != code {
			t.Errorf("%v: exit code %d, want %d\n%s", args, got, code, p.tail())
		}
	}
	f(bank.ExitUsage, "serve", "--data-dir", t.TempDir(), "--password-hash", "cheap")
	f(bank.ExitUsage, "dev")
	f(bank.ExitUsage, "serve")
	f(0, "version")
}
