package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

const childDirectory = "NETBANK_LEDGER_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirectory); dir != "" {
		debitUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func mustOpen(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustDo(t testing.TB, l *Ledger, op Op) Outcome {
	t.Helper()
	out, err := l.Do(op)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func debitOf(t testing.TB, ref int, minor int64) Op {
	return Op{Kind: OpDebit, Reference: reference(ref), Number: number(t, "1"), Minor: minor, Currency: cny}
}

func mustAudit(t testing.TB, dir string) Report {
	t.Helper()
	report, err := Audit(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Fatalf("audit: %v", report.Violations)
	}
	return report
}

func TestLedger_KeepsEverythingOverARestart(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	if out, err := l.OpenAccounts([]Account{{Number: number(t, "1"), Currency: cny, Balance: 1000}}); err != nil || out.Opened != 1 {
		t.Fatal(out, err)
	}
	first := mustDo(t, l, debitOf(t, 1, 300))
	mustDo(t, l, debitOf(t, 2, 900))
	if _, err := l.Reverse(reference(3), number(t, "1"), 5, cny); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = mustOpen(t, dir)
	if out := mustDo(t, l, debitOf(t, 1, 300)); out.Code != CodeApproved || out.Approval != first.Approval || !out.Repeat {
		t.Errorf("repeat after the restart: %+v, first was %+v", out, first)
	}
	if out := mustDo(t, l, debitOf(t, 2, 900)); out.Code != CodeInsufficient {
		t.Errorf("repeat of the decline: %v, want 51", out.Code)
	}
	if out := mustDo(t, l, debitOf(t, 3, 5)); out.Code != CodeReversed {
		t.Errorf("debit after its reversal: %v, want 21", out.Code)
	}
	if out, err := l.Balance(number(t, "1"), cny); err != nil || out.Balance != 700 {
		t.Errorf("balance %d, want 700 (%v)", out.Balance, err)
	}
	if out, err := l.OpenAccounts([]Account{{Number: number(t, "1"), Currency: cny, Balance: 5}}); err != nil || out.Existing != 1 {
		t.Errorf("opening again: %+v (%v), want it to stay as it is", out, err)
	}
}

func TestLedger_HasOneProcess(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second opening: %v, want ErrInUse", err)
	}
	if report := mustAudit(t, dir); report.Records != 0 {
		t.Errorf("audit of an empty ledger in use: %+v", report)
	}
}

// slowDisk is a file whose Sync waits to be told its result.
type slowDisk struct {
	logFile
	writeErr error
	syncing  chan struct{}
	result   chan error
	over     chan struct{} // closed at the end of the test: one that fails must not hang
}

func (d *slowDisk) Write(b []byte) (int, error) {
	if d.writeErr != nil {
		return 0, d.writeErr
	}
	return d.logFile.Write(b)
}

func (d *slowDisk) Sync() error {
	select {
	case d.syncing <- struct{}{}:
		return <-d.result
	case <-d.over:
		return nil
	}
}

// onSlowDisk is a ledger with one account whose next batches wait for the test.
func onSlowDisk(t *testing.T) (*Ledger, *slowDisk) {
	t.Helper()
	l := mustOpen(t, t.TempDir())
	if _, err := l.OpenAccounts([]Account{{Number: number(t, "1"), Currency: cny, Balance: 1000}}); err != nil {
		t.Fatal(err)
	}
	disk := &slowDisk{logFile: l.file, syncing: make(chan struct{}), result: make(chan error, 1), over: make(chan struct{})}
	t.Cleanup(func() { close(disk.over) })
	l.file = disk // the ledger's goroutine reads it after the next Submit, which orders the two
	return l, disk
}

func TestNothingAcknowledgedIsLost_NoAnswerBeforeTheDiskHasTheRecord(t *testing.T) {
	l, disk := onSlowDisk(t)
	first, second, question := make(waiterChan, 1), make(waiterChan, 1), make(waiterChan, 1)
	l.Submit(debitOf(t, 1, 10), first)
	<-disk.syncing
	// Decided, not durable: neither the debit nor a question about it may be answered.
	l.Submit(Op{Kind: OpInquire, Reference: reference(1)}, question)
	l.Submit(debitOf(t, 1, 10), second)
	if len(first)+len(second)+len(question) != 0 {
		t.Error("an answer left before its record was durable")
	}
	disk.result <- nil
	for _, c := range []waiterChan{first, second, question} {
		if r := <-c; r.err != nil || r.outcome.Code != CodeApproved {
			t.Errorf("%+v", r)
		}
	}
}

func TestLedger_AnswersNothingMoreOnceItsDiskHasFailed(t *testing.T) {
	f := func(spoil func(*slowDisk)) {
		t.Helper()
		l, disk := onSlowDisk(t)
		answer, behind := make(waiterChan, 1), make(waiterChan, 1)
		spoil(disk)
		l.Submit(debitOf(t, 1, 10), answer)
		if disk.writeErr == nil {
			<-disk.syncing
			if err := l.Submit(Op{Kind: OpInquire, Reference: reference(1)}, behind); err != nil {
				t.Fatal(err)
			}
			disk.result <- errors.New("input/output error")
			if r := <-behind; r.err == nil {
				t.Errorf("what waited behind the failure was answered %+v", r.outcome)
			}
		}
		if r := <-answer; r.err == nil {
			t.Errorf("answered %+v without a record on the disk", r.outcome)
		}
		<-l.Broken()
		if _, err := l.Do(debitOf(t, 2, 1)); err == nil || l.Err() == nil {
			t.Errorf("a broken ledger answered (%v)", err)
		}
	}
	f(func(*slowDisk) {})
	f(func(d *slowDisk) { d.writeErr = errors.New("no space left on device") })
}

func TestEverythingIsBounded_OperationsInTheQueue(t *testing.T) {
	l, disk := onSlowDisk(t)
	var all countDown
	all.left.Add(1 + QueueMax)
	l.Submit(debitOf(t, 1, 10), &all)
	<-disk.syncing
	for range QueueMax {
		if err := l.Submit(Op{Kind: OpBarrier}, &all); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Submit(Op{Kind: OpBarrier}, &all); !errors.Is(err, ErrBusy) {
		t.Errorf("operation %d: %v, want ErrBusy", QueueMax+1, err)
	}
	disk.result <- nil
	all.left.Wait()
}

func TestAtMostOneDebit_TheSameReferencesFromManyCallersAtOnce(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	if _, err := l.OpenAccounts([]Account{{Number: number(t, "1"), Currency: cny, Balance: 1_000_000}}); err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for ref := range 200 {
				if out, err := l.Do(debitOf(t, ref, 10)); err != nil || out.Code != CodeApproved {
					t.Errorf("debit %d: %+v, %v", ref, out, err)
				}
			}
		})
	}
	callers.Wait()
	sums, balances := l.Sums()
	if sums.Debited != 200 || sums.Duplicates != 7*200 || balances[cny].Clearing != 2000 || balances[cny].Total != 0 {
		t.Errorf("%+v %+v, want 200 debits of 10", sums, balances[cny])
	}
	seen := 0
	if err := l.References(func(entries []Entry) error { seen += len(entries); return nil }); err != nil || seen != 200 {
		t.Errorf("%d references (%v), want 200", seen, err)
	}
	if report := mustAudit(t, dir); report.Debits != 200 || report.Currencies["CNY"].Debited != 2000 {
		t.Errorf("audit while running: %+v", report)
	}
}

// debitUntilKilled is the child of the test below: it writes a line for each answer it was given, and never stops.
func debitUntilKilled(dir string) {
	l, err := Open(Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	n, _ := ParseNumber("1")
	l.OpenAccounts([]Account{{Number: n, Currency: cny, Balance: MinorMax}})
	sums, _ := l.Sums()
	var out sync.Mutex
	for caller := range 8 {
		go func() {
			for ref := sums.References*10 + caller; ; ref += 8 {
				answer, err := l.Debit(reference(ref), n, int64(ref%50)+1, cny)
				if err != nil {
					return
				}
				out.Lock()
				fmt.Println(ref, answer.Approval)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestNothingAcknowledgedIsLost_TheCoreKilledWhileItDebits(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[int]uint32{}
	for _, answers := range []int{1, 50, 400, 37, 900} {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDirectory+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == answers {
				child.Process.Kill() // SIGKILL; what it has written meanwhile is read to the end
			}
			ref, approval, _ := strings.Cut(lines.Text(), " ")
			a, err1 := strconv.Atoi(ref)
			b, err2 := strconv.ParseUint(approval, 10, 32)
			if err1 != nil || err2 != nil {
				t.Fatalf("the child said %q", lines.Text())
			}
			acknowledged[a] = uint32(b)
		}
		child.Wait()

		l := mustOpen(t, dir)
		for ref, approval := range acknowledged {
			if out, err := l.Inquire(reference(ref)); err != nil || out.Code != CodeApproved || out.Approval != approval {
				t.Fatalf("reference %d was acknowledged with approval %d and is now %+v (%v)", ref, approval, out, err)
			}
		}
		l.Close()
		mustAudit(t, dir)
	}
	if len(acknowledged) < 1000 {
		t.Fatalf("%d answers only", len(acknowledged))
	}
}

// threeFrames makes a ledger of three group commits, and says where each begins.
func threeFrames(t testing.TB) (dir string, log []byte, starts []int) {
	t.Helper()
	dir = t.TempDir()
	l, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	l.OpenAccounts([]Account{{Number: number(t, "1"), Currency: cny, Balance: 1000}})
	mustDo(t, l, debitOf(t, 1, 10))
	mustDo(t, l, debitOf(t, 2, 20))
	l.Close()
	log, err = os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; ; {
		next := bytes.Index(log[at:], frameMagic[:])
		if next < 0 {
			return dir, log, starts
		}
		starts = append(starts, at+next)
		at += next + 1
	}
}

func TestTornTail_IsCutOffAndTheRestIsKept(t *testing.T) {
	dir, log, starts := threeFrames(t)
	if len(starts) != 3 {
		t.Fatalf("%d frames", len(starts))
	}
	f := func(what string, contents []byte, debits uint64) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, FileName), contents, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Options{Dir: dir})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		defer l.Close()
		if report := mustAudit(t, dir); report.TornBytes != 0 {
			t.Errorf("%s: %d torn bytes were left in the file", what, report.TornBytes)
		}
		if sums, _ := l.Sums(); sums.Debited != debits {
			t.Errorf("%s: %d debits, want %d", what, sums.Debited, debits)
		}
		if sums, _ := l.Sums(); sums.Accounts == 1 {
			if out := mustDo(t, l, debitOf(t, 9, 1)); out.Code != CodeApproved {
				t.Errorf("%s: a debit afterwards: %v", what, out.Code)
			}
		}
	}
	for cut := starts[2]; cut < len(log); cut++ {
		f(fmt.Sprintf("cut to %d bytes", cut), log[:cut], 1)
	}
	for cut := range fileHeader {
		f(fmt.Sprintf("cut to %d bytes", cut), log[:cut], 0)
	}
	f("whole", log, 2)
	f("zeros behind", append(bytes.Clone(log), make([]byte, 5000)...), 2)
	f("half a frame behind", append(bytes.Clone(log), log[starts[1]:starts[1]+30]...), 2)
	f("a last frame with a bad checksum", append(bytes.Clone(log[:len(log)-1]), log[len(log)-1]^1), 1)
}

func TestDamageInTheMiddle_IsRefusedInsteadOfLosingWhatFollows(t *testing.T) {
	dir, log, starts := threeFrames(t)
	for at := starts[1]; at < starts[2]; at++ {
		bad := bytes.Clone(log)
		bad[at] ^= 0x20
		if err := os.WriteFile(filepath.Join(dir, FileName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(Options{Dir: dir}); !errors.Is(err, ErrDamaged) {
			if err == nil {
				l.Close()
			}
			t.Fatalf("byte %d flipped: %v, want ErrDamaged", at, err)
		}
		if after, _ := os.ReadFile(filepath.Join(dir, FileName)); !bytes.Equal(after, bad) {
			t.Fatalf("byte %d flipped: the file was changed", at)
		}
	}
	newer := bytes.Clone(log)
	newer[fileHeader-1]++
	os.WriteFile(filepath.Join(dir, FileName), newer, 0o600)
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrNotALedger) {
		t.Errorf("a newer version: %v, want ErrNotALedger", err)
	}
}

func TestAudit_FindsWhatTheBookWouldNeverDo(t *testing.T) {
	open := []Record{
		{Kind: RecordOwn, Currency: cny, Code: Code{equityMark}},
		{Kind: RecordOwn, Currency: cny, Code: Code{clearMark}},
		{Kind: RecordAccount, Number: number(t, "1"), Currency: cny, Minor: 1000, Postings: [2]Posting{{2, 1000}, {0, -1000}}},
	}
	debit := func(ref int, minor int64) Record {
		return Record{Kind: RecordDebit, Reference: reference(ref), Number: number(t, "1"), Currency: cny, Minor: minor, Postings: [2]Posting{{2, -minor}, {1, minor}}}
	}
	f := func(want string, records ...Record) {
		t.Helper()
		dir := t.TempDir()
		frame := make([]byte, frameHeader)
		for _, r := range append(open, records...) {
			frame = appendRecord(frame, &r)
		}
		sealFrame(frame, 0)
		if err := os.WriteFile(filepath.Join(dir, FileName), append(append(fileMagic[:], fileVersion), frame...), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := Audit(dir)
		if err != nil {
			t.Fatal(err)
		}
		if found := strings.Join(report.Violations, "; "); (want == "") != report.OK() || !strings.Contains(found, want) {
			t.Errorf("found %q, want %q", found, want)
		}
	}
	f("", debit(1, 10), debit(2, 20))
	f("is debited 2 times", debit(1, 10), debit(1, 10))
	other := debit(1, 10)
	other.Reference.RRN[0] = 'X'
	f("under different references", debit(1, 10), other)
	lopsided := debit(1, 10)
	lopsided.Postings[1].Minor = 9
	f("sum to -1 minor units", lopsided)
	f("falls to -1 minor units", debit(1, 1001))
	undo := Record{Kind: RecordReversal, Reference: reference(1), Currency: cny, Minor: 10, Postings: [2]Posting{{2, 10}, {1, -10}}}
	f("", debit(1, 10), undo)
	f("is reversed 2 times", debit(1, 10), undo, undo)
	astray := debit(1, 10)
	astray.Postings[0].Account = 7
	f("names account 7", astray)
}

func FuzzScanLog(f *testing.F) {
	_, log, starts := threeFrames(f)
	f.Add(log)
	f.Add(log[:starts[1]+9])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, log []byte) {
		book := NewBook()
		s, err := scanLog(bytes.NewReader(log), book.Apply)
		if err != nil {
			return
		}
		if s.good+s.torn != int64(len(log)) {
			t.Fatalf("%d bytes are %d good and %d torn", len(log), s.good, s.torn)
		}
		for currency, sum := range book.Balances() {
			_ = currency.String()
			_ = sum
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	for _, r := range []Record{
		{Kind: RecordOwn, Currency: cny, Code: Code{equityMark}},
		{Kind: RecordDebit, Reference: reference(1), Number: number(f, "1234"), Currency: cny, Minor: 5, Postings: [2]Posting{{2, -5}, {1, 5}}},
	} {
		f.Add(appendRecord(nil, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		rest, err := parseRecord(b, &r)
		if err == nil && !bytes.Equal(appendRecord(nil, &r), b[:len(b)-len(rest)]) {
			t.Fatalf("%x is read as %+v, which is written otherwise", b, r)
		}
	})
}

func BenchmarkBook_Debit(b *testing.B) {
	p := newPureLedger(b, Account{Number: number(b, "1"), Currency: cny, Balance: MinorMax})
	buffer := make([]byte, 0, recordMax)
	op := debitOf(b, 0, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		op.Reference.RRN = [12]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}
		_, record := p.book.Decide(&op)
		buffer = appendRecord(buffer[:0], &record)
		if err := p.book.Apply(&record); err != nil {
			b.Fatal(err)
		}
	}
}

type countDown struct{ left sync.WaitGroup }

func (c *countDown) Decided(Outcome, error) { c.left.Done() }

// BenchmarkLedger_Debits keeps 1,024 debits in the queue, as a busy wire does.
func BenchmarkLedger_Debits(b *testing.B) {
	f := func(name string, noSync bool) {
		b.Run(name, func(b *testing.B) {
			l, err := Open(Options{Dir: b.TempDir(), NoSync: noSync})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			l.OpenAccounts([]Account{{Number: number(b, "1"), Currency: cny, Balance: MinorMax}})
			b.ReportAllocs()
			op := debitOf(b, 0, 1)
			done := 0
			for b.Loop() {
				var wave countDown
				wave.left.Add(1024)
				for range 1024 {
					op.Reference.RRN = [12]byte{byte(done), byte(done >> 8), byte(done >> 16), byte(done >> 24)}
					if err := l.Submit(op, &wave); err != nil {
						b.Fatal(err)
					}
					done++
				}
				wave.left.Wait()
			}
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "debits/s")
		})
	}
	f("sync", false)
	f("no-sync", true)
}

func BenchmarkLedger_Open200kAccounts(b *testing.B) {
	accounts := make([]Account, 200_000)
	for i := range accounts {
		accounts[i] = Account{Number: number(b, fmt.Sprintf("622202%013d", i)), Currency: cny, Balance: 1_000_000}
	}
	for b.Loop() {
		l, err := Open(Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		if out, err := l.OpenAccounts(accounts); err != nil || out.Opened != len(accounts) {
			b.Fatal(out, err)
		}
		l.Close()
	}
}
