package corelink

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	coreadapter "netbank/core-adapter"
	"netbank/core-adapter/iso8583"
)

// moody is a core that answers, stalls, forgets, repeats itself, cuts connections and talks rubbish, by the dice. It
// keeps what the tests hold the link against: which references it has seen so much as a byte's end of, and what it said.
type moody struct {
	t *testing.T

	mu   sync.Mutex
	rnd  *rand.Rand
	seen map[uint32]int    // complete 0200s by STAN
	said map[uint32]string // the code of the core's own ledger, fixed at first sight
}

func (c *moody) dice(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.IntN(n)
}

// run plays the core's side of a connection.
func (c *moody) run(p *peer) {
	defer p.nc.Close()
	for {
		if c.dice(40) == 0 {
			time.Sleep(time.Duration(c.dice(3000)) * time.Millisecond) // does not read
		}
		b, err := iso8583.ReadFrame(p.r, nil)
		if err != nil {
			return
		}
		var m iso8583.Message
		if err := iso8583.Parse(b, &m); err != nil {
			c.t.Errorf("the link wrote what cannot be read: %v", err)
			return
		}
		code := iso8583.CodeApproved
		if m.MTI() == iso8583.DebitRequest {
			code = c.book(&m)
		}
		switch c.dice(60) {
		case 0: // cut
			return
		case 1: // rubbish
			p.nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			return
		case 2: // half an answer
			b := answerTo(c.t, &m, code, nil)
			p.nc.Write(b[:1+c.dice(len(b)-1)])
			return
		case 3, 4: // forgotten
			continue
		}
		pause, times := time.Duration(c.dice(20))*time.Millisecond, 1+c.dice(10)/9
		if c.dice(10) == 0 {
			pause = time.Duration(c.dice(4000)) * time.Millisecond
		}
		go func() {
			time.Sleep(pause)
			for range times {
				if _, err := p.nc.Write(answerTo(c.t, &m, code, nil)); err != nil {
					return
				}
			}
		}()
	}
}

func (c *moody) book(m *iso8583.Message) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	stan, _ := m.Int(iso8583.FieldSTAN)
	c.seen[uint32(stan)]++
	if c.said[uint32(stan)] == "" {
		c.said[uint32(stan)] = []string{"00", "00", "00", "51", "96"}[c.rnd.IntN(5)]
	}
	return c.said[uint32(stan)]
}

// TestRefusedMeansNotCharged_NotSentMeansTheCoreNeverSawIt lets many customers debit through a link to a moody core.
func TestRefusedMeansNotCharged_NotSentMeansTheCoreNeverSawIt(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { bubble(t, func(t *testing.T) { moodyRun(t, seed) }) })
	}
}

func moodyRun(t *testing.T, seed uint64) {
	core := &moody{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), seen: make(map[uint32]int), said: make(map[uint32]string)}
	s := newScripted(t)
	l := s.open(func(c *Config) {
		c.Conns, c.InFlightMax, c.WaitersMax = 1+core.dice(3), 1+core.dice(6), 1+core.dice(20)
		c.Logger = nil
	})
	stop := make(chan struct{})
	var cores sync.WaitGroup
	cores.Go(func() {
		for {
			select {
			case p := <-s.peers:
				cores.Go(func() { core.run(p) })
			case <-stop:
				return
			}
		}
	})
	const customers, each = 20, 20
	answers := make([]coreadapter.Answer, customers*each+1)
	var all sync.WaitGroup
	for who := range customers {
		rnd := rand.New(rand.NewPCG(seed, uint64(who)+2))
		all.Go(func() {
			for n := range each {
				number := who*each + n + 1
				ctx := within(t, time.Duration(rnd.IntN(3000))*time.Millisecond)
				answers[number] = l.Debit(ctx, debit(number), time.Now().Add(time.Duration(rnd.IntN(2000))*time.Millisecond))
				time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
			}
		})
	}
	all.Wait()
	time.Sleep(10 * time.Second) // for what is late
	if st := l.Stats(); st.Waiting != 0 || st.InFlight > st.Up {
		t.Errorf("something is left: %+v", st) // an echo on each connection at most
	}
	must(t, l.Close())
	close(stop)
	cores.Wait()
	judgeMoodyRun(t, core, s, answers)
}

func judgeMoodyRun(t *testing.T, core *moody, s *scripted, answers []coreadapter.Answer) {
	core.mu.Lock()
	defer core.mu.Unlock()
	words := make(map[coreadapter.Word]int)
	inDoubt := make(map[uint32]bool)
	for number, a := range answers[1:] {
		stan := uint32(number + 1)
		words[a.Word]++
		said := core.said[stan]
		switch {
		case core.seen[stan] > 1:
			t.Errorf("payment %d was written %d times", stan, core.seen[stan])
		case a.Word == coreadapter.NotSent && core.seen[stan] != 0:
			t.Errorf("payment %d is said not to be sent, and the core has it", stan)
		case a.Word == coreadapter.NotSent && a.Err == nil:
			t.Errorf("payment %d is not sent, and nobody says why", stan)
		case a.Word == coreadapter.Approved && said != "00", a.Word == coreadapter.Declined && said != "51":
			t.Errorf("payment %d is %v, and the core said %q", stan, a.Word, said)
		case a.Word == coreadapter.InDoubt:
			inDoubt[stan] = true
		}
	}
	for _, late := range s.lates() {
		if !inDoubt[late.STAN] {
			t.Errorf("payment %d got a late answer after an answer in time, or two", late.STAN)
		}
		delete(inDoubt, late.STAN)
		if late.ResponseCode != core.said[late.STAN] {
			t.Errorf("payment %d: the late answer is %q, the core said %q", late.STAN, late.ResponseCode, core.said[late.STAN])
		}
	}
	if words[coreadapter.Approved] == 0 || words[coreadapter.InDoubt] == 0 || len(words) < 3 {
		t.Logf("a tame run: %v", words)
	}
}

// FuzzAnswers lets a core say anything while a debit is in flight. Whatever it says, only an answer that echoes the
// debit's own account, amount and references may end it, and nothing may bring the link down.
func FuzzAnswers(f *testing.F) {
	request := new(iso8583.Message)
	l := fuzzLink()
	c := fuzzCall(f, l)
	if err := iso8583.Parse(c.frame[2:], request); err != nil {
		f.Fatal(err)
	}
	t := new(testing.T)
	for _, code := range []string{"00", "51", "96", "21"} {
		f.Add(answerTo(t, request, code, nil)[2:])
	}
	f.Add(answerTo(t, request, "00", func(m *iso8583.Message) { m.Set(iso8583.FieldAmount, "000000019901") })[2:])
	f.Add(c.frame[2:])
	f.Fuzz(func(t *testing.T, b []byte) {
		l := fuzzLink()
		c := fuzzCall(t, l)
		k := &conn{link: l, gone: make(chan struct{}), wake: make(chan struct{}, 1)}
		k.nc, _ = net.Pipe()
		c.conn, c.claimed, c.written = k, true, time.Now()
		k.inFlight = 1
		l.calls[c.key] = c
		var m iso8583.Message
		err := parseAnswer(b, &m)
		if err == nil {
			err = k.deliver(&m)
		}
		if c.ended && (err != nil || !m.Is(iso8583.FieldAccount, testAccount) || !m.Is(iso8583.FieldAmount, "000000019900") ||
			!m.Is(iso8583.FieldRRN, c.debit.RRN) || !m.Is(iso8583.FieldAcquirer, "102") || m.MTI() != iso8583.DebitAnswer) {
			t.Fatalf("ended by %q", b)
		}
		if err != nil {
			k.shut(err)
			if !c.ended || c.answer.Word != coreadapter.InDoubt {
				t.Fatalf("after bad input the debit is %+v", c.answer)
			}
		}
		if errors.Is(err, io.EOF) {
			t.Fatal("no stream was read")
		}
	})
}

func fuzzLink() *Link {
	cfg, err := Config{Addr: "127.0.0.1:1", Acquirer: "102", Terminal: "NETBANK1", Acceptor: "NETBANKING"}.withDefaults()
	if err != nil {
		panic(err)
	}
	l := &Link{cfg: cfg, calls: make(map[key]*call), late: newLateBook(8), upping: make(chan struct{})}
	l.pool.New = func() any { return new(encoder) }
	return l
}

func fuzzCall(t testing.TB, l *Link) *call {
	t.Helper()
	d := debit(7)
	c, err := l.newCall(OpDebit, iso8583.DebitRequest, &d, func(e *encoder) { l.fillDebit(e, &d, 156) })
	if err != nil {
		t.Fatal(err)
	}
	c.numeric = 156
	return c
}
