package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"netbank/bench/audit"
	"netbank/bench/flow"
	"netbank/cmd/internal/bank"
)

// command runs a command of the product to its end, wants its exit code, and gives what it printed.
func (r *rig) command(code int, args ...string) string {
	r.t.Helper()
	cmd := exec.Command(bankProgram, args...)
	cmd.Dir = r.t.TempDir()
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), &out, &out // a pipe: nobody can be asked
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		r.t.Errorf("%v: exit code %d, want %d\n%s", args, got, code, out.String())
	}
	return out.String()
}

func (r *rig) backup(out string, more ...string) string {
	r.t.Helper()
	return r.command(0, r.backupArgs(out, more...)...)
}

func (r *rig) backupArgs(out string, more ...string) []string {
	return append([]string{"backup", "--out", out, "--operator", r.demo.Operator.URL, "--operator-token-file", r.demo.Path(r.demo.Operator.TokenFile)}, more...)
}

// entry is a line of the core's ledger.
type entry struct {
	Reference string `json:"reference"`
	Payment   string `json:"paymentId"`
	Minor     int64  `json:"debitedMinor"`
	Reversed  bool   `json:"reversed"`
	Debits    int    `json:"debits"`
}

// booked is a line of the journal.
type booked struct {
	ID    string `json:"paymentId"`
	State string `json:"state"`
	Minor int64  `json:"minor"`
	RRN   string `json:"rrn"`
}

func readLines[T any](r *rig, url string) (all []T) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	token, err := os.ReadFile(r.demo.Path(r.demo.Operator.TokenFile))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d", url, resp.StatusCode)
	}
	for d := json.NewDecoder(resp.Body); ; {
		var one T
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, one)
	}
}

// books compares the journal of a restored bank with the core's ledger. lost are the payments that the core has debited, and that the
// journal does not hold as settled: what a restore cannot know, and what an operator has to look for.
func (r *rig) books() (ledger map[string]entry, lost map[string]entry) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), resolveWait)
	defer cancel()
	if err := r.auditor.Await(ctx, false); err != nil {
		r.t.Errorf("%v\n%s", err, r.bank.tail())
	}
	journal := make(map[string]booked)
	for _, p := range readLines[booked](r, r.demo.Operator.URL+"/api/v1/payments") {
		journal[p.ID] = p
	}
	ledger, lost = make(map[string]entry), make(map[string]entry)
	standing := make(map[string]int)
	for _, e := range readLines[entry](r, r.demo.Core.Admin+"/ledger/references") {
		ledger[e.Reference] = e
		if e.Debits > 1 {
			r.t.Errorf("reference %s was debited %d times", e.Reference, e.Debits)
		}
		if e.Debits == 0 || e.Reversed {
			continue
		}
		if standing[e.Payment]++; standing[e.Payment] > 1 {
			r.t.Errorf("payment %s is debited twice; the second time as %s", e.Payment, e.Reference)
		}
		if journal[e.Payment].State != "settled" {
			lost[e.Payment] = e
		}
	}
	for _, p := range journal {
		if p.State != "settled" {
			continue
		}
		if e := ledger[p.RRN]; e.Payment != p.ID || e.Minor != p.Minor || e.Debits != 1 || e.Reversed {
			r.t.Errorf("payment %s is settled as %s with %d, and there the core has %+v", p.ID, p.RRN, p.Minor, e)
		}
	}
	return ledger, lost
}

// restoreInto makes a data directory of a backup, and starts the bank on it.
func (r *rig) restoreInto(from string) {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), "restored")
	said := r.command(0, "restore", "--from", from, "--data-dir", dir, "--yes")
	r.t.Log(said)
	r.bankArgs = append(r.bankArgs, "--data-dir="+dir)
	r.startBank()
	r.partner.Close() // connections of the bank's earlier life
	r.site.Close()
}

// Invariant AtMostOneDebit and rule 5: a bank that was restored from a backup gives no reference that the core has seen, and debits nothing
// that was debited after the backup.
func TestAtMostOneDebit_RestoredFromABackup(t *testing.T) {
	r := newRig(t, 4000, "fixed:15ms", "--snapshot-bytes=1048576")
	l := r.startLoad(shoppers)
	l.progress(200)
	open, ok := l.create(1_000_001) // nobody has confirmed it when the backup is made
	if !ok {
		t.Fatal("no payment was created")
	}
	told := r.told.all()
	file := filepath.Join(t.TempDir(), "netbank.backup")
	r.backup(file) // under load
	l.progress(100)
	l.finish()
	payer := r.people.take(t.Context())
	if said, err := payer.Pay(open.Link, false); err != nil || said != flow.ToldSettled {
		t.Fatal(said, err)
	}
	r.bank.kill()
	lives := []map[string]entry{} // what the core's ledger held at the end of each life
	for life := range 3 {
		if life > 0 {
			r.restoreInto(file) // the same backup, each time
			r.mustStand(l, told, open)
			r.payAgain(open)
			next := r.startLoad(shoppers)
			next.progress(100)
			next.finish()
			ledger, lost := r.books()
			if e, ok := lost[open.PaymentID]; !ok || !strings.HasPrefix(e.Reference, "00") {
				t.Errorf("what was paid after the backup is not on the list: %+v", e)
			}
			for reference, e := range lives[life-1] {
				if ledger[reference] != e {
					t.Errorf("reference %s was %+v and is %+v", reference, e, ledger[reference])
				}
			}
			fresh := 0
			for reference := range ledger {
				if _, old := lives[life-1][reference]; !old {
					fresh++
					if !strings.HasPrefix(reference, "01") {
						t.Errorf("reference %s is not of the restored epoch", reference)
					}
				}
			}
			t.Logf("life %d: %d new references; %d debits that only the core knows", life+1, fresh, len(lost))
			if fresh < 100 {
				t.Errorf("only %d new references", fresh)
			}
			r.bank.kill()
		}
		ledger := make(map[string]entry)
		for _, e := range readLines[entry](r, r.demo.Core.Admin+"/ledger/references") {
			ledger[e.Reference] = e
		}
		lives = append(lives, ledger)
	}
}

// payAgain has a customer try to pay what is paid.
func (r *rig) payAgain(open flow.Created) {
	r.t.Helper()
	payer := r.people.take(r.t.Context())
	defer r.people.give(payer)
	payer.Forget()
	if said, err := payer.Pay(open.Link, true); err != nil || said != flow.ToldCancelled {
		r.t.Errorf("who pays what was paid after the backup is told %v (%v)", said, err)
	}
}

// mustStand holds a restored bank to what was told for good before the backup, and to the keys of that time.
func (r *rig) mustStand(l *load, told []audit.Told, open flow.Created) {
	r.t.Helper()
	final := make(map[string]string)
	for _, one := range told {
		if one.Status == "ACSC" || one.Status == "RJCT" || one.Status == "CANC" {
			final[one.Payment] = one.Status
		}
	}
	checked := 0
	for id, status := range final {
		if checked++; checked > 300 {
			break
		}
		if s, err := r.partner.Status(id); err != nil || s.Status != status {
			r.t.Errorf("payment %s was told as %s and is %s (%v)", id, status, s.Status, err)
		}
	}
	if checked < 200 {
		r.t.Errorf("only %d payments were final before the backup", checked)
	}
	// An idempotency key from before the backup gives the same payment.
	if again, ok := l.create(1_000_001); !ok || again.PaymentID != open.PaymentID {
		r.t.Errorf("the key of payment %s gives %s", open.PaymentID, again.PaymentID)
	}
	if s, err := r.partner.Status(open.PaymentID); err != nil || s.Status != "CANC" {
		r.t.Errorf("the payment that was open at the backup is %s (%v)", s.Status, err)
	}
}

// half serves the first half of a backup, and then nothing more.
func half(t *testing.T, whole []byte) *httptest.Server {
	t.Helper()
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		_, _ = w.Write(whole[:len(whole)/2])
		_ = http.NewResponseController(w).Flush()
		<-stop
	}))
	t.Cleanup(func() { close(stop); s.Close() })
	return s
}

func TestAnInterruptedBackupLeavesNothingThatLooksWhole(t *testing.T) {
	r := newRig(t, 20, "fixed:0ms")
	whole, out := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "out")
	r.backup(whole)
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(whole); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v (%v)", info.Mode(), err)
	}
	slow := half(t, text)
	partial := out + ".partial"
	interrupt := func(how func(*process)) {
		t.Helper()
		p := start(t, bankProgram, r.log("interrupted"), r.backupArgs(out, "--operator", slow.URL)...)
		r.await("half a backup", func() bool {
			info, err := os.Stat(partial)
			return err == nil && info.Size() == int64(len(text)/2)
		}, p)
		if said := r.command(bank.ExitUsage, r.backupArgs(out)...); !strings.Contains(said, "another") {
			t.Errorf("a second backup to the same file: %s", said)
		}
		how(p)
		if _, err := os.Stat(out); err == nil {
			t.Error("half a backup bears the name of a whole one")
		}
	}
	interrupt(func(p *process) {
		if code := p.stop(t); code != 1 {
			t.Errorf("interrupted, it ended with %d\n%s", code, p.tail())
		}
		if _, err := os.Stat(partial); err == nil {
			t.Error("interrupted, it left its half behind")
		}
	})
	interrupt((*process).kill)
	if said := r.command(bank.ExitUsage, "restore", "--from", partial, "--data-dir", filepath.Join(t.TempDir(), "x"), "--yes"); !strings.Contains(said, "ends at byte "+strconv.Itoa(len(text)/2)) {
		t.Errorf("half a backup was refused with: %s", said)
	}
	r.backup(out)
	if said := r.command(bank.ExitUsage, r.backupArgs(out)...); !strings.Contains(said, "exists") {
		t.Errorf("a backup was overwritten: %s", said)
	}
	r.command(0, "restore", "--from", out, "--data-dir", filepath.Join(t.TempDir(), "x"), "--dry-run")
}

func TestABackupThatIsDamagedNewerOrMisplacedIsToldInOneLine(t *testing.T) {
	r := newRig(t, 20, "fixed:0ms")
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if said := r.backup(good); !strings.Contains(said, "key-encryption key") {
		t.Errorf("it does not say which key it needs: %s", said)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	f := func(code int, damaged []byte, words ...string) {
		t.Helper()
		from, to := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "new")
		if err := os.WriteFile(from, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		said := r.command(code, "restore", "--from", from, "--data-dir", to, "--yes")
		if strings.Count(said, "\n") != 1 {
			t.Errorf("not one line: %s", said)
		}
		for _, word := range append(words, from) {
			if !strings.Contains(said, word) {
				t.Errorf("it does not say %q: %s", word, said)
			}
		}
		if _, err := os.Stat(to); err == nil {
			t.Error("a directory was made of it")
		}
	}
	flipped := bytes.Clone(text)
	flipped[len(flipped)*2/3] ^= 4
	f(bank.ExitUsage, flipped, "at byte", "another backup")
	f(bank.ExitUsage, text[:len(text)-20], "ends at byte "+strconv.Itoa(len(text)-20)+"", "another backup")
	newer := bytes.Clone(text)
	newer[len("netbank\x00backup\x00")+1] = 9
	f(bank.ExitNewer, newer, "format 9", "later one")

	own := filepath.Join(r.dev.DataDir, "bank") // in use, too
	if said := r.command(bank.ExitDirectory, "restore", "--from", good, "--data-dir", own, "--yes"); !strings.Contains(said, "not empty") {
		t.Error(said)
	}
	missing := filepath.Join(dir, "missing")
	if said := r.command(bank.ExitUsage, "restore", "--from", missing, "--data-dir", filepath.Join(dir, "new"), "--yes"); !strings.Contains(said, missing) {
		t.Error(said)
	}
	// Nobody has said yes: standard input is empty.
	if said := r.command(bank.ExitUsage, "restore", "--from", good, "--data-dir", filepath.Join(dir, "new")); !strings.Contains(said, "--yes") {
		t.Error(said)
	}
	var v struct {
		KEK string `json:"kekId"`
	}
	if err := json.Unmarshal([]byte(r.backup(filepath.Join(dir, "again"), "--json")), &v); err != nil || len(v.KEK) != 16 {
		t.Errorf("the key's id is %q (%v)", v.KEK, err)
	}
	try := func(code int, key, word string) {
		t.Helper()
		if said := r.command(code, "restore", "--from", good, "--data-dir", filepath.Join(dir, "new"), "--kek-file", key, "--dry-run"); !strings.Contains(said, word) {
			t.Errorf("it does not say %q: %s", word, said)
		}
	}
	other := filepath.Join(dir, "kek")
	r.command(0, "keygen", "--kek-file", other)
	try(0, r.demo.Path("kek"), "nothing was written")
	try(bank.ExitUsage, other, v.KEK)
	if said := r.command(0, "restore", "--help"); strings.Index(said, "Examples:") > strings.Index(said, "Flags:") || !strings.Contains(said, "Examples:") {
		t.Errorf("the help does not begin with examples:\n%s", said)
	}
}

func TestABackupOrRestoreOntoAFullDiskSaysSoAndLeavesNothing(t *testing.T) {
	r := newRig(t, 20, "fixed:0ms")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("a small disk has to be mounted, which only the superuser may: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	free := fill(t, dir)
	if said := r.command(1, r.backupArgs(filepath.Join(dir, "backup"))...); !strings.Contains(said, "no space left") || !strings.Contains(said, "another disk") {
		t.Error(said)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "backup*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	free()
	whole := filepath.Join(t.TempDir(), "whole")
	r.backup(whole)
	if said := r.command(bank.ExitDirectory, "restore", "--from", whole, "--data-dir", filepath.Join(dir, "new"), "--yes"); !strings.Contains(said, "no space left") {
		t.Error(said)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "new", "*")); err != nil || len(left) > 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
