package simulated

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"netbank/core-adapter/iso8583"
	"netbank/core-adapter/simulated/ledger"
)

// child is a host in a process of its own.
func child(t *testing.T, dir string) (*host, *os.Process) {
	t.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), childDirectory+"="+dir)
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Process.Kill()
		process.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "127.") {
		t.Fatalf("the child said %q", lines.Text())
	}
	return &host{t: t, addr: lines.Text(), dir: dir}, process.Process
}

func TestNothingAcknowledgedIsLost_TheHostKilledUnderLoad(t *testing.T) {
	dir := t.TempDir()
	books, err := ledger.Open(ledger.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	number, _ := ledger.ParseNumber(customer)
	if _, err := books.OpenAccounts([]ledger.Account{{Number: number, Currency: ledger.Currency{'C', 'N', 'Y'}, Balance: ledger.MinorMax}}); err != nil {
		t.Fatal(err)
	}
	if err := books.Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	approvals := map[int]string{} // approval codes by payment, as acknowledged on the wire
	for round, answers := range []int{30, 1, 200, 90} {
		h, process := child(t, dir)
		var banks sync.WaitGroup
		for bank := range 2 {
			c := h.signedOn()
			banks.Go(func() {
				for n := 0; ; n++ {
					payment := round*100_000 + bank*50_000 + n
					frame, err := c.debit(payment, 1).AppendTo(nil)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := c.conn.Write(frame); err != nil {
						return
					}
					var m iso8583.Message
					if frame, err = iso8583.ReadFrame(c.in, frame[:0]); err != nil {
						return // killed
					}
					if err := iso8583.Parse(frame, &m); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					approvals[payment] = m.Text(iso8583.FieldApproval)
					mu.Unlock()
					if n == answers {
						process.Kill()
					}
				}
			})
		}
		banks.Wait()
		process.Wait()
		report, err := Audit(dir)
		if err != nil || !report.OK() || report.Debits < uint64(len(approvals)) {
			t.Fatalf("%d debits are acknowledged; the audit says %+v (%v)", len(approvals), report, err)
		}
	}
	books, err = ledger.Open(ledger.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer books.Close()
	for payment, approval := range approvals {
		ref, err := ledger.ParseReference(rrn(payment), paymentID(payment))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := books.Inquire(ref); err != nil || out.Code != ledger.CodeApproved || out.ApprovalCode() != approval {
			t.Errorf("payment %d was acknowledged with approval %q, and is now %v %q (%v)", payment, approval, out.Code, out.ApprovalCode(), err)
		}
	}
}
