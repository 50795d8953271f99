package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func (r *rig) join(token Token) (*Identity, []Member, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	return Join(ctx, JoinConfig{Token: token, Addr: "10.0.0.9:7443", Now: r.clock, Logger: slog.New(slog.NewTextHandler(r.log, nil))})
}

func TestANodeJoinsWithAToken(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	for _, role := range []Role{Coordinator, Worker} {
		line := r.newToken(TokenTerms{Addrs: []string{one.Addr().String()}, Role: role}).Text()
		token, err := ParseToken(line)
		if err != nil {
			t.Fatal(err)
		}
		id, members, err := r.join(token)
		if err != nil {
			t.Fatal(err)
		}
		if s := id.Subject(); s.Cluster != "main" || s.Role != role || s.Node <= 100 {
			t.Fatalf("it became %v", s)
		}
		told := map[uint32]string{}
		for _, m := range members {
			told[uint32(m.Node)] = m.Addr
		}
		if told[1] != one.Addr().String() || told[uint32(id.Subject().Node)] != "10.0.0.9:7443" {
			t.Fatalf("it was told of %v", members)
		}
		// What it has got opens the other protocols.
		cfg := r.config(id.Subject().Node, role)
		cfg.Identity = must(OpenIdentity(sealer(1), must(id.Seal(sealer(1)))))
		says(t, r.dial(r.listen(id.Subject().Node, cfg), 1, ALPNStream), "hello")
	}
}

func TestATokenOfOneUseLetsOneNodeIn(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	once := r.newToken(TokenTerms{Addrs: []string{one.Addr().String()}, Role: Worker})
	if _, _, err := r.join(once); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.join(once); !errors.Is(err, ErrTokenUsed) || !strings.Contains(err.Error(), "make a new one") {
		t.Fatalf("the replayed token gave %v", err)
	}
	often := r.newToken(TokenTerms{Addrs: []string{one.Addr().String()}, Role: Worker, Multiple: true})
	first, _, err := r.join(often)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := r.join(often)
	if err != nil || second.Subject() == first.Subject() {
		t.Fatalf("the second use gave %v, %v", second.Subject(), err)
	}
}

func TestAJoinIsRefusedInWords(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	addrs := []string{one.Addr().String()}
	refuse := func(token Token, want error, words string) {
		t.Helper()
		id, _, err := r.join(token)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), words) {
			t.Fatalf("Join = %v, %v, want %v that says %q", id, err, want, words)
		}
	}
	wrong := r.newToken(TokenTerms{Addrs: addrs, Role: Worker})
	wrong.secret[0] ^= 1
	refuse(wrong, ErrTokenRefused, "netbank cluster token")
	unknown := r.newToken(TokenTerms{Addrs: addrs, Role: Worker})
	delete(r.tokens, unknown.ID)
	refuse(unknown, ErrTokenRefused, "netbank cluster token")
	expired := r.newToken(TokenTerms{Addrs: addrs, Role: Worker, Lifetime: time.Minute})
	r.advance(time.Minute)
	refuse(expired, ErrTokenExpired, "make a new one")
	counted(t, one, resultToken, 3)
	cfg := r.config(3, Coordinator)
	cfg.Enrol = func(context.Context, Enrolment) (Granted, error) { return Granted{}, ErrRefused }
	full := r.listen(3, cfg)
	refuse(r.newToken(TokenTerms{Addrs: []string{full.Addr().String()}, Role: Coordinator}), ErrRefused, "node-3")
	refuse(Token{}, ErrToken, "")
	if _, _, err := Join(t.Context(), JoinConfig{Token: r.newToken(TokenTerms{Addrs: addrs, Role: Coordinator})}); err == nil || !strings.Contains(err.Error(), "where the others can dial it") {
		t.Fatalf("a coordinator without an address = %v", err)
	}
}

// A token is sent to a coordinator of the authority that it names, and to nobody else.
func TestATokensSecretGoesToItsOwnClusterOnly(t *testing.T) {
	r := newRig(t)
	token := r.newToken(TokenTerms{Addrs: []string{"127.0.0.1:1"}, Role: Worker})
	foreign := must(must(NewAuthority("main", r.clock())).Identity(Subject{"main", 1, Coordinator}, r.clock()))
	trap := func(want error, shown *tls.Certificate) {
		t.Helper()
		l := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*shown}, NextProtos: []string{ALPNJoin}}))
		var caught []byte
		var served sync.WaitGroup
		served.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				got, _ := io.ReadAll(c)
				caught = append(caught, got...)
				c.Close()
			}
		})
		token.Addrs = []string{l.Addr().String()}
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err := Join(ctx, JoinConfig{Token: token, Now: r.clock, Logger: slog.New(slog.NewTextHandler(&cancelling{cancel}, nil))})
		l.Close()
		served.Wait()
		if !errors.Is(err, want) {
			t.Fatalf("Join = %v, want %v", err, want)
		}
		if len(caught) > 0 {
			t.Fatalf("the trap caught %d bytes", len(caught))
		}
	}
	trap(ErrAuthority, foreign.introduced)
	// A worker of the right cluster is no coordinator, nor is the authority itself.
	trap(ErrRole, r.identity(5, Worker).introduced)
	trap(ErrCertificate, &tls.Certificate{Certificate: [][]byte{r.authority.cert.Raw}, PrivateKey: r.authority.key})
	// A certificate of the right authority beside one of another does not help.
	mixed := *foreign.shown
	mixed.Certificate = append(mixed.Certificate[:1:1], r.authority.cert.Raw)
	trap(ErrAuthority, &mixed)
	lapsed := r.forged(func(c *x509.Certificate) { c.NotAfter = r.clock().Add(-time.Second) })
	lapsed.Certificate = append(lapsed.Certificate, r.authority.cert.Raw)
	trap(ErrLapsed, &lapsed)
}

// cancelling ends a Join after its first failure, which it logs.
type cancelling struct{ cancel func() }

func (c *cancelling) Write(p []byte) (int, error) {
	c.cancel()
	return len(p), nil
}

func TestAJoinGoesOnUntilACoordinatorCanDecide(t *testing.T) {
	r := newRig(t)
	one, two := r.port(1, Coordinator), r.port(2, Coordinator)
	cut := r.config(3, Coordinator)
	forgetful := r.listen(3, cut)
	r.mu.Lock()
	r.leaderless = true
	r.mu.Unlock()
	token := r.newToken(TokenTerms{Addrs: []string{"127.0.0.1:1", one.Addr().String(), two.Addr().String(), forgetful.Addr().String()}, Role: Worker})
	done := make(chan error, 1)
	var id *Identity
	go func() {
		var err error
		id, _, err = r.join(token)
		done <- err
	}()
	eventually(t, "each has been asked", func() bool {
		return handshakes(one, resultOK) > 0 && handshakes(two, resultOK) > 0 && handshakes(forgetful, resultOK) > 0
	})
	r.mu.Lock()
	r.leaderless = false
	r.mu.Unlock()
	if err := <-done; err != nil || id == nil {
		t.Fatalf("Join = %v", err)
	}
}

// One coordinator takes the request and never answers; the new node waits for a bounded time and asks the next.
func TestAJoinWaitsForAnAnswerForABoundedTime(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	cfg := r.config(2, Coordinator)
	cfg.Limits.ExchangeTimeout = time.Minute
	mute := make(chan struct{})
	cfg.Enrol = func(ctx context.Context, _ Enrolment) (Granted, error) {
		<-mute
		return Granted{}, ctx.Err()
	}
	two := r.listen(2, cfg)
	defer close(mute)
	token := r.newToken(TokenTerms{Addrs: []string{two.Addr().String(), one.Addr().String()}, Role: Worker})
	limits := Limits{HandshakeTimeout: time.Second, ExchangeTimeout: 20 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, _, err := Join(ctx, JoinConfig{Token: token, Now: r.clock, Limits: limits, Logger: slog.New(slog.NewTextHandler(r.log, nil))}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.log.String(), "gave no answer") {
		t.Fatalf("the log does not say that there was no answer: %s", r.log)
	}
	// A member's renewal is bounded by its own port's limits.
	own := r.config(3, Worker)
	own.Limits = limits
	three := r.listen(3, own)
	renewing := r.config(4, Coordinator)
	renewing.Limits.ExchangeTimeout = time.Minute
	renewing.Renew = func(context.Context, Renewal) (Granted, error) {
		<-mute
		return Granted{}, ErrUnavailable
	}
	r.listen(4, renewing)
	if err := three.Renew(t.Context(), 4, nil); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("Renew = %v", err)
	}
}

// The first answer is lost after the decision; the node asks again and is the same node.
func TestALostAnswerCostsNeitherTokenNorNumber(t *testing.T) {
	r := newRig(t)
	one := r.port(1, Coordinator)
	var mu sync.Mutex
	var asked []Enrolment
	cfg := r.config(2, Coordinator)
	cfg.Enrol = func(ctx context.Context, e Enrolment) (Granted, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, e)
		if _, err := r.enrol(ctx, e); err != nil {
			return Granted{}, err
		}
		return Granted{}, errors.New("the answer is lost")
	}
	lossy := r.listen(2, cfg)
	id, _, err := r.join(r.newToken(TokenTerms{Addrs: []string{lossy.Addr().String(), one.Addr().String()}, Role: Worker}))
	if err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || r.last != id.Subject().Node || r.last != 101 {
		t.Fatalf("%d requests, %d numbers drawn, the node is %s", len(asked), r.last-100, Name(id.Subject().Node))
	}
	if e := asked[0]; e.Role != Worker || e.Addr != "10.0.0.9:7443" || !strings.HasPrefix(e.From, "127.0.0.1:") {
		t.Fatalf("Enrol was told %+v", e)
	}
}

// applicant sends anything on netbank-join/1 and gives the answer.
func applicant(t testing.TB, p *Port, send []byte) (answer, error) {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ALPNJoin}}}
	c, err := d.DialContext(t.Context(), "tcp", p.Addr().String())
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(send); err != nil {
		return answer{}, err
	}
	var a answer
	err = readMessage(c, &a, JoinAnswerBytesMax)
	return a, err
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func TestAnOversizeOrMalformedJoinRequestIsRefused(t *testing.T) {
	r := newRig(t)
	enrolled := 0
	cfg := r.config(1, Coordinator)
	cfg.Enrol = func(context.Context, Enrolment) (Granted, error) {
		enrolled++
		return Granted{}, errors.New("must not be asked")
	}
	p := r.listen(1, cfg)
	token := r.newToken(TokenTerms{Addrs: []string{p.Addr().String()}, Role: Worker})
	refuse := func(send []byte, word, sentence string) {
		t.Helper()
		a, err := applicant(t, p, send)
		if err != nil || a.Granted != nil || a.Refused != word || !strings.Contains(a.Sentence, sentence) {
			t.Fatalf("the answer was %+v, %v; want %q that says %q", a, err, word, sentence)
		}
		if secret := string(must(json.Marshal(token.secret[:]))); strings.Contains(a.Sentence, secret[1:20]) {
			t.Fatalf("the answer holds the secret: %s", a.Sentence)
		}
	}
	asking := func(change func(*joinRequest)) []byte {
		_, csr, _ := newRequest()
		req := joinRequest{Token: &token.ID, Secret: token.secret[:], Request: csr}
		change(&req)
		return framed(must(json.Marshal(req)))
	}
	refuse(binary.BigEndian.AppendUint32(nil, JoinRequestBytesMax+1), "request", "at most 8192")
	refuse(binary.BigEndian.AppendUint32(nil, 1<<31), "request", "at most 8192")
	refuse(asking(func(q *joinRequest) { q.Request = make([]byte, RequestBytesMax+1) }), "request", "1 to 2048")
	refuse(asking(func(q *joinRequest) { q.Request = nil }), "request", "1 to 2048")
	refuse(asking(func(q *joinRequest) { q.Request = []byte("x") }), "request", "cannot be read")
	refuse(asking(func(q *joinRequest) { q.Addr = "nowhere" }), "request", "host:port")
	refuse(framed([]byte(`{"request":"AA==","extra":1}`)), "request", "not of the form")
	refuse(framed([]byte(`{"request":"AA=="} {}`)), "request", "stands behind")
	refuse(framed([]byte(`[]`)), "request", "not of the form")
	refuse(framed(nil), "request", "not of the form")
	// Without a good token nothing else of the request is looked at.
	refuse(asking(func(q *joinRequest) { q.Token, q.Request = nil, []byte("x") }), "token", "does not know")
	refuse(asking(func(q *joinRequest) { q.Secret, q.Request = nil, []byte("x") }), "token", "does not know")
	counted(t, p, resultRequest, 10)
	counted(t, p, resultToken, 2)
	if enrolled != 0 {
		t.Fatalf("Enrol was asked %d times", enrolled)
	}
	if strings.Contains(r.log.String(), token.Text()[20:60]) {
		t.Fatal("the log holds the token")
	}
}

func TestAPortWithoutEnrolOffersNoJoin(t *testing.T) {
	r := newRig(t)
	worker := r.port(1, Worker)
	if _, err := applicant(t, worker, nil); err == nil {
		t.Fatal("a worker takes join requests")
	}
	counted(t, worker, resultALPN, 1)
}

func TestJoinsUnderWayAreBounded(t *testing.T) {
	r := newRig(t)
	cfg := r.config(1, Coordinator)
	cfg.Limits.Exchanges = 1
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	cfg.Enrol = func(ctx context.Context, e Enrolment) (Granted, error) {
		once.Do(func() { close(entered) })
		<-release
		return r.enrol(ctx, e)
	}
	p := r.listen(1, cfg)
	token := r.newToken(TokenTerms{Addrs: []string{p.Addr().String()}, Role: Worker, Multiple: true})
	done := make(chan error, 1)
	go func() {
		_, _, err := r.join(token)
		done <- err
	}()
	<-entered
	_, csr, _ := newRequest()
	a, err := applicant(t, p, framed(must(json.Marshal(joinRequest{Token: &token.ID, Secret: token.secret[:], Request: csr}))))
	if err != nil || a.Refused != "busy" {
		t.Fatalf("the second join was answered %+v, %v", a, err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A coordinator could answer with a certificate of another role, key or cluster; the new node does not become that.
func TestANewNodeChecksWhatItIsGiven(t *testing.T) {
	r := newRig(t)
	var grant func(Enrolment) Granted
	cfg := r.config(1, Coordinator)
	cfg.Enrol = func(_ context.Context, e Enrolment) (Granted, error) { return grant(e), nil }
	p := r.listen(1, cfg)
	token := r.newToken(TokenTerms{Addrs: []string{p.Addr().String()}, Role: Worker, Multiple: true})
	issue := func(e Enrolment, to Subject) Granted {
		return Granted{Node: to.Node, Certificate: must(r.authority.Issue(e.Request, to, r.clock())).Certificate, Authorities: r.authorities}
	}
	refuse := func(want error, g func(Enrolment) Granted) {
		t.Helper()
		grant = g
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if id, _, err := Join(ctx, JoinConfig{Token: token, Now: r.clock, Logger: slog.New(slog.NewTextHandler(&cancelling{cancel}, nil))}); !errors.Is(err, want) {
			t.Fatalf("Join = %v, %v; want %v", id, err, want)
		}
	}
	refuse(ErrIdentity, func(e Enrolment) Granted { return issue(e, Subject{"main", 7, Coordinator}) })
	refuse(ErrIdentity, func(e Enrolment) Granted {
		g := issue(e, Subject{"main", 7, Worker})
		g.Node = 8
		return g
	})
	refuse(ErrIdentity, func(e Enrolment) Granted {
		_, csr, _ := newRequest()
		e.Request = csr
		return issue(e, Subject{"main", 7, Worker})
	})
	refuse(ErrIdentity, func(e Enrolment) Granted {
		g := issue(e, Subject{"main", 7, Worker})
		g.Authorities = [][]byte{must(NewAuthority("main", r.clock())).Certificate()}
		return g
	})
	// An answer that cannot be sent is none: the node asks again.
	refuse(ErrUnavailable, func(Enrolment) Granted { return Granted{} })
}

func FuzzJoinRequest(f *testing.F) {
	_, csr, _ := newRequest()
	id := TokenID{1}
	f.Add(framed(must(json.Marshal(joinRequest{Token: &id, Secret: []byte("secret"), Request: csr, Addr: "a:1"}))))
	f.Add(framed([]byte(`{"request":null}`)))
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		var req joinRequest
		if err := readMessage(bytes.NewReader(in), &req, JoinRequestBytesMax); err != nil {
			return
		}
		if req.check() != nil {
			return
		}
		if csr, err := checkRequest(req.Request); err == nil && !knownKey(csr.PublicKey) {
			t.Fatal("a request for an unknown kind of key was taken")
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(framed(must(json.Marshal(answer{Granted: &Granted{Node: 1, Certificate: []byte{1}, Authorities: [][]byte{{1}}, Members: []Member{{1, Worker, "a:1"}}}}))))
	f.Add(framed(must(json.Marshal(refuse(ErrTokenUsed)))))
	f.Add(framed([]byte(`{}`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		var a answer
		if err := readMessage(bytes.NewReader(in), &a, JoinAnswerBytesMax); err != nil {
			return
		}
		granted, err := a.yes("node-1")
		if err == nil && (granted == nil || granted.Node == 0 || len(granted.Members) > MembersMax) {
			t.Fatalf("%s was taken as a yes", in)
		}
		if err == nil {
			key, _, _ := newRequest()
			_, _ = newIdentity(key, granted.Certificate, granted.Authorities)
		}
	})
}

func TestARefusalIsCutToItsBound(t *testing.T) {
	err := refusal("node-1", "busy", strings.Repeat("ä", RefusalBytesMax))
	if !errors.Is(err, ErrBusy) || len(err.Error()) > 2*RefusalBytesMax {
		t.Fatalf("refusal = %d bytes: %v", len(err.Error()), err)
	}
	for _, w := range words() {
		if wordOf(w.err) != w.text || !errors.Is(refusal("node-1", w.text, ""), w.err) {
			t.Fatalf("%q does not come back", w.text)
		}
	}
	if err := refusal("node-1", "nonsense\n", ""); !errors.Is(err, ErrRequest) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("an unknown word gave %v", err)
	}
	if wordOf(net.ErrClosed) != "unavailable" {
		t.Fatal("an unknown error is not repeatable")
	}
}
