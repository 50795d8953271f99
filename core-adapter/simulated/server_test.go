package simulated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"netbank/core-adapter/iso8583"
	"netbank/core-adapter/simulated/ledger"
)

func testLogger(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

func TestDebit_AnswerEchoesTheRequestAndBearsAnApproval(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	c := h.signedOn()
	request := c.debit(1, 2500)
	answer := c.wants("00", request)
	if answer.MTI() != iso8583.DebitAnswer {
		t.Errorf("answer of type %v", answer.MTI())
	}
	for _, field := range debitEchoes {
		if answer.Text(field) != request.Text(field) {
			t.Errorf("field %d: %q, want %q", field, answer.Text(field), request.Text(field))
		}
	}
	if len(answer.Text(iso8583.FieldApproval)) != 6 {
		t.Errorf("approval code %q", answer.Text(iso8583.FieldApproval))
	}
	balance := c.wants("00", c.balance())
	field, _ := balance.Get(iso8583.FieldAmounts)
	if amounts, err := iso8583.ParseAmounts(nil, field); err != nil || len(amounts) != 1 || amounts[0].Minor != 97500 || amounts[0].Currency != 156 {
		t.Errorf("balance %+v, %v; want 97500 in 156", amounts, err)
	}
	if report := h.audit(); report.Debits != 1 || report.Currencies["CNY"].Debited != 2500 {
		t.Errorf("%+v", report)
	}
}

func TestAtMostOneDebit_ARepeatOnTheWireGetsTheFirstAnswer(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	c, other := h.signedOn(), h.signedOn()
	first := c.wants("00", c.debit(1, 2500)).Text(iso8583.FieldApproval)
	if again := other.wants("00", other.debit(1, 2500)).Text(iso8583.FieldApproval); again != first {
		t.Errorf("approval %q, the first was %q", again, first)
	}
	c.wants("94", c.debit(1, 2501))
	c.wants("51", c.debit(2, 2_000_00))
	other.wants("51", other.debit(2, 2_000_00))
	if report := h.audit(); report.Debits != 1 || report.References != 2 {
		t.Errorf("%+v", report)
	}
}

// running starts a host where a debit takes a quarter of an hour and all else no time, and a debit in it.
func running(t *testing.T) (*host, *client) {
	m := DefaultModel()
	m.Debit, m.Balance, m.Inquiry, m.Reversal, m.CV = time.Second, 0, 0, 0, 0
	faults := Healthy()
	faults.Capacity = 0.001
	h := start(t, Config{Model: m, Faults: faults})
	c := h.signedOn()
	c.send(c.debit(1, 2500))
	c.wants("09", c.inquiry(1)) // the same connection: the debit was read before
	return h, c
}

func TestInquiry_SaysWhatBecameOfADebit(t *testing.T) {
	h, c := running(t)
	c.wants("25", c.inquiry(2))
	h.put("/faults", `{"capacity":100}`)
	if answer := c.receive(); !answer.Is(iso8583.FieldResponse, "00") || answer.MTI() != iso8583.DebitAnswer {
		t.Errorf("the debit's answer: %v %s", answer.MTI(), answer.Text(iso8583.FieldResponse))
	}
	c.wants("00", c.inquiry(1))
	c.wants("51", c.debit(3, 999_00_00))
	c.wants("05", c.inquiry(3))
	c.wants("00", c.reversal(iso8583.ReversalAdvice, 1, 2500))
	c.wants("21", c.inquiry(1))
}

func TestAtMostOneDebit_ARepeatWhileTheFirstRunsGetsItsAnswer(t *testing.T) {
	h, c := running(t)
	other := h.signedOn()
	other.send(other.debit(1, 2500), other.debit(1, 7777))
	other.wants("09", other.inquiry(1))
	if inside, _ := h.driver.Inside(); inside != 1 {
		t.Errorf("%d jobs in the model, want 1: a repeat is no work", inside)
	}
	h.put("/faults", `{"capacity":100}`)
	approval := c.receive().Text(iso8583.FieldApproval)
	if again := other.receive(); !again.Is(iso8583.FieldResponse, "00") || again.Text(iso8583.FieldApproval) != approval {
		t.Errorf("repeat: %s %q, the first got %q", again.Text(iso8583.FieldResponse), again.Text(iso8583.FieldApproval), approval)
	}
	if wrong := other.receive(); !wrong.Is(iso8583.FieldResponse, "94") {
		t.Errorf("repeat of another amount: %s, want 94", wrong.Text(iso8583.FieldResponse))
	}
	if report := h.audit(); report.Debits != 1 {
		t.Errorf("%+v", report)
	}
}

func TestReversal_OvertakesADebitThatStillRuns(t *testing.T) {
	h, c := running(t)
	c.wants("00", c.reversal(iso8583.ReversalAdvice, 1, 2500))
	c.wants("21", c.inquiry(1))
	h.put("/faults", `{"capacity":100}`)
	if answer := c.receive(); !answer.Is(iso8583.FieldResponse, "21") {
		t.Errorf("the debit's answer: %s, want 21", answer.Text(iso8583.FieldResponse))
	}
	c.wants("00", c.reversal(iso8583.ReversalRepeat, 1, 2500))
	if report := h.audit(); report.Debits != 0 || report.Voided != 1 {
		t.Errorf("%+v", report)
	}
}

func TestWorkGivenUpByTheCaller_GoesOn(t *testing.T) {
	h, c := running(t)
	c.conn.Close()
	h.until("the connection is gone", func() bool { return h.status().Connections == 0 })
	h.put("/faults", `{"capacity":100}`)
	h.until("its answer finds nobody", func() bool { return h.counts.unsent.Load() == 1 })
	if report := h.audit(); report.Debits != 1 {
		t.Errorf("%+v", report)
	}
}

func TestNothingAcknowledgedIsLost_TheHostStartsAgain(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	c := h.signedOn()
	first := c.wants("00", c.debit(1, 2500)).Text(iso8583.FieldApproval)
	c.wants("00", c.reversal(iso8583.ReversalAdvice, 2, 1))
	h.audit()
	h = start(t, Config{Model: fixed(0), Dir: h.dir})
	c = h.signedOn()
	if again := c.wants("00", c.debit(1, 2500)).Text(iso8583.FieldApproval); again != first {
		t.Errorf("approval %q, before the restart it was %q", again, first)
	}
	c.wants("21", c.debit(2, 1))
}

func TestBadInput_ClosesTheConnectionAndLogsWhy(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	f := func(reason string, bytes func(*client) []byte) {
		t.Helper()
		c := h.signedOn()
		if _, err := c.conn.Write(bytes(c)); err != nil {
			t.Fatal(err)
		}
		c.wantClosed()
		h.log.wait(t, reason)
	}
	raw := func(s string) func(*client) []byte { return func(*client) []byte { return []byte(s) } }
	f("a length of 65535 bytes", raw("\xff\xff"))
	f("a length of 3 bytes", raw("\x00\x03abc"))
	f("9999", raw("\x00\x0c9999\x00\x00\x00\x00\x00\x00\x00\x00"))
	f("an answer (0210) where a request is wanted", func(c *client) []byte {
		m := c.debit(1, 5)
		answer := c.message(iso8583.DebitAnswer, map[int]string{iso8583.FieldResponse: "00"})
		echo(answer, m, debitEchoes[:])
		b, err := answer.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
	f("0200", raw("\x00\x0c0200\x00\x00\x00\x00\x00\x00\x00\x00")) // no field at all
	unsigned := h.dial()
	unsigned.send(unsigned.debit(1, 5))
	unsigned.wantClosed()
	h.log.wait(t, "a message before the sign-on")
	echoing := h.dial()
	echoing.send(echoing.network(iso8583.NetworkEcho))
	echoing.wantClosed()
	c := h.signedOn()
	c.wants("00", c.debit(2, 5)) // others do not notice
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	if strings.Contains(h.log.lines.String(), customer) {
		t.Error("an account number is in the log")
	}
}

func TestRequestThatMakesNoSense_MovesNothing(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	c := h.signedOn()
	f := func(code string, m *iso8583.Message, field int, value string) {
		t.Helper()
		if err := m.Set(field, value); err != nil {
			t.Fatal(err)
		}
		c.wants(code, m)
	}
	f("05", c.debit(1, 5), iso8583.FieldProcessing, "310000")
	f("05", c.debit(2, 5), iso8583.FieldCurrency, "000")
	f("05", c.debit(3, 5), iso8583.FieldAmount, "000000000000")
	f("05", c.debit(4, 5), iso8583.FieldAdditional, "02004CN77")
	f("05", c.debit(4, 5), iso8583.FieldAdditional, "01036not-a-uuid-but-36-characters-long-xx")
	f("05", c.balance(), iso8583.FieldProcessing, "000000")
	f("05", c.network(iso8583.NetworkEcho), iso8583.FieldNetwork, "999")
	f("96", c.inquiry(4), iso8583.FieldAdditional, "02004CN77")
	wrong := c.reversal(iso8583.ReversalAdvice, 5, 5)
	original, _ := wrong.Get(iso8583.FieldOriginal)
	f("96", wrong, iso8583.FieldOriginal, "0100"+string(original[4:]))

	c.wants("94", c.debit(1, 5)) // its first answer was no
	c.wants("00", c.debit(6, 5))
	f("94", c.debit(6, 5), iso8583.FieldAmount, "000000000000") // its first answer was yes: 05 would contradict it
	if report := h.audit(); report.References != 4 || report.Debits != 1 {
		t.Errorf("%+v", report)
	}
}

func TestEverythingIsBounded_ConnectionsRequestsAndAnswers(t *testing.T) {
	m := DefaultModel()
	m.Debit, m.CV = time.Hour, 0
	h := start(t, Config{Model: m, Limits: Limits{Connections: 2, InFlight: 3, OutBytes: 2000}})
	c := h.signedOn()
	for payment := range 3 {
		c.send(c.debit(payment, 5))
	}
	c.wants("96", c.debit(9, 5))

	h.dial()
	h.until("two connections are open", func() bool { return h.status().Connections == 2 })
	h.wantRefused()
	h.log.wait(t, "too many are open")

	k := &link{server: h.Server, conn: c.conn, pending: make(chan struct{}, 1), gone: make(chan struct{})}
	for range 100 { // nobody writes for this link: its peer does not read
		k.queue(iso8583.NetworkAnswer, func(answer *iso8583.Message) {
			echo(answer, c.network(iso8583.NetworkEcho), networkEchoes[:])
			answer.Set(iso8583.FieldResponse, "00")
		})
	}
	select {
	case <-k.gone:
	default:
		t.Error("100 answers were kept for a peer that does not read")
	}
}

func TestEverythingIsBounded_AConnectionThatNeverSignsOn(t *testing.T) {
	h := start(t, Config{Model: fixed(0), Limits: Limits{SignOn: time.Millisecond}})
	h.dial().wantClosed()
	h.log.wait(t, "no sign-on")
}

func TestFaults_OnTheWire(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	c := h.signedOn()

	h.put("/faults", `{"dropAnswers":1}`)
	c.send(c.debit(1, 5))
	c.wants("00", c.network(iso8583.NetworkEcho)) // spared
	h.until("an answer is dropped", func() bool { return h.counts.dropped.Load() == 1 })
	h.put("/faults", `{"dropRequests":1}`)
	c.send(c.debit(2, 5))
	h.until("a request is dropped", func() bool { return h.counts.dropped.Load() == 2 })
	h.put("/faults", `{}`)
	c.wants("00", c.inquiry(1))
	c.wants("25", c.inquiry(2))

	h.put("/faults", `{"duplicateAnswers":1}`)
	c.wants("00", c.debit(3, 5))
	if again := c.receive(); !again.Is(iso8583.FieldResponse, "00") || again.MTI() != iso8583.DebitAnswer {
		t.Errorf("the second copy: %v %s", again.MTI(), again.Text(iso8583.FieldResponse))
	}

	h.put("/faults", `{"decline":"62"}`)
	c.wants("62", c.debit(4, 5))
	c.wants("00", c.debit(3, 5)) // known
	h.put("/faults", `{"decline":"96"}`)
	c.wants("96", c.debit(5, 5))
	h.put("/faults", `{"decline":"91"}`)
	c.wants("91", c.debit(6, 5))
	h.put("/faults", `{"extraLatencyMillis":1}`)
	c.wants("62", c.debit(4, 5))
	c.wants("00", c.inquiry(5)) // 96 was in doubt: it was done
	c.wants("25", c.inquiry(6)) // 91 was not

	h.put("/faults", `{"refuseConnections":true}`)
	h.wantRefused()
	h.put("/faults", `{"freeze":true}`)
	c.send(c.network(iso8583.NetworkEcho))
	late := h.dial()
	late.send(late.network(iso8583.NetworkSignOn))
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := c.in.Peek(1); err == nil {
		t.Error("a frozen core answered")
	}
	c.conn.SetReadDeadline(time.Now().Add(timeout))
	h.put("/faults", `{}`)
	if answer := c.receive(); !answer.Is(iso8583.FieldResponse, "00") {
		t.Errorf("after the thaw: %s", answer.Text(iso8583.FieldResponse))
	}
	late.receive()
	if status, text := h.call("DELETE", "/connections", ""); status != 200 || text != "{\"closed\":2}\n" {
		t.Errorf("closing connections: %d %s", status, text)
	}
	c.wantClosed()
}

func TestManyBanks_EveryPaymentIsDebitedOnce(t *testing.T) {
	h := start(t, Config{Model: fixed(0)})
	var banks sync.WaitGroup
	const payments = 300
	for range 4 {
		c := h.signedOn()
		banks.Go(func() {
			var wave []*iso8583.Message
			for payment := range payments {
				wave = append(wave, c.debit(payment, 3))
			}
			c.send(wave...)
			for range payments {
				if answer := c.receive(); !answer.Is(iso8583.FieldResponse, "00") {
					t.Errorf("answer %s", answer.Text(iso8583.FieldResponse))
				}
			}
		})
	}
	banks.Wait()
	if report := h.audit(); report.Debits != payments || report.Currencies["CNY"].Net != 3*payments {
		t.Errorf("%+v", report)
	}
}

func TestRun_SaysWhatIsWrong(t *testing.T) {
	f := func(want string, cfg Config) {
		t.Helper()
		err := Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f("another process has that port", Config{Addr: taken.Addr().String(), Dir: t.TempDir()})
	f("another process has that port", Config{Addr: "127.0.0.1:0", AdminAddr: taken.Addr().String(), Dir: t.TempDir()})
	f("without TLS", Config{Addr: "0.0.0.0:0", Dir: t.TempDir()})
	f("admin port listens on loopback only", Config{Addr: "127.0.0.1:0", AdminAddr: ":0", Dir: t.TempDir()})
	f("directory is missing", Config{Addr: "127.0.0.1:0"})
	f("model", Config{Addr: "127.0.0.1:0", Dir: t.TempDir(), Model: Model{Seed: 1}})
	f("capacity factor -1", Config{Addr: "127.0.0.1:0", Dir: t.TempDir(), Faults: Faults{Capacity: -1}})
	f("probability of 2", Config{Addr: "127.0.0.1:0", Dir: t.TempDir(), Faults: Faults{Capacity: 1, DropAnswers: 2}})
	f("00 is an approval", Config{Addr: "127.0.0.1:0", Dir: t.TempDir(), Faults: Faults{Capacity: 1, Decline: "00"}})

	dir := t.TempDir()
	books, err := ledger.Open(ledger.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	f("another core is running", Config{Addr: "127.0.0.1:0", Dir: dir})
	if err := books.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	err = Run(ctx, Config{Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Dir: dir, Sync: true, Ready: func(wire, admin net.Addr) {
		if wire == nil || admin == nil {
			t.Error("no addresses")
		}
		stop()
	}})
	if err != nil {
		t.Errorf("a run that was ended by its context: %v", err)
	}
	if _, err := Audit(t.TempDir()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("audit of an empty directory: %v", err)
	}
}

// Whatever a peer sends: no panic, and the books balance.
func FuzzTake(f *testing.F) {
	s, err := NewServer(Config{Addr: "127.0.0.1:0", Dir: f.TempDir(), Model: fixed(0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if !s.sums().Balanced {
			f.Error("the books do not balance")
		}
		s.Close()
	})
	if _, err := s.OpenAccounts(strings.NewReader(`{"number":"` + customer + `","currency":"CNY","balanceMinor":100000}`)); err != nil {
		f.Fatal(err)
	}
	c := &client{t: f}
	for _, m := range []*iso8583.Message{
		c.network(iso8583.NetworkSignOn), c.debit(1, 5), c.balance(), c.inquiry(1), c.reversal(iso8583.ReversalAdvice, 1, 5), c.reversal(iso8583.ReversalRepeat, 2, 5),
	} {
		frame, err := m.AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame[2:])
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	f.Fuzz(func(t *testing.T, frame []byte) {
		k := newLink(s, here)
		k.signed = true
		k.take(frame)
		if _, err := s.ledger.Do(ledger.Op{Kind: ledger.OpBarrier}); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkServer_Debits keeps 512 debits in flight over 4 connections, each reference new, each answer durable.
func BenchmarkServer_Debits(b *testing.B) {
	h := start(b, Config{Model: fixed(0)})
	if _, err := h.OpenAccounts(strings.NewReader(`{"number":"77","currency":"CNY","balanceMinor":999999999999}`)); err != nil {
		b.Fatal(err)
	}
	const links, depth = 4, 128
	payment := 0
	var clients [links]*client
	for i := range clients {
		clients[i] = h.signedOn()
		clients[i].conn.SetDeadline(time.Now().Add(time.Hour))
	}
	var frames [links][]byte
	template := clients[0].debit(1, 1)
	template.Set(iso8583.FieldAccount, "77")
	b.ReportAllocs()
	done := 0
	for b.Loop() {
		for i := range clients {
			frames[i] = frames[i][:0]
			for range depth {
				payment++
				template.Set(iso8583.FieldRRN, fmt.Sprintf("A%011d", payment))
				frames[i], _ = template.AppendTo(frames[i])
			}
		}
		var wave sync.WaitGroup
		for i, c := range clients {
			wave.Go(func() {
				c.conn.Write(frames[i])
				buf := make([]byte, iso8583.MaxMessage)
				for range depth {
					if _, err := iso8583.ReadFrame(c.in, buf); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wave.Wait()
		done += links * depth
	}
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "debits/s")
}
