package session

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"netbank/cluster/journal"
	"netbank/session/derive"
)

// Directory is what the sessions need of a node: the customers, the keys and the sessions in force as the journal has them, and a
// way to commit. *cluster.Node is one.
type Directory interface {
	// Submit commits a command and gives its result, or an error by the deadline.
	Submit(cmd *journal.Command, deadline time.Time) (journal.Result, error)
	// Lookups report false if there is nothing, which is certain; an error says that this cannot be known at the moment.
	Customer(username string) (journal.Customer, bool, error)
	CustomerByID(journal.CustomerID) (journal.Customer, bool, error)
	Access(journal.CustomerID) (journal.Access, bool, error)
	Keys() []journal.Key
	Now() journal.Millis
}

// Deriver computes password hashes.
type Deriver interface {
	// Key gives the derived key, or an error if it cannot be computed there.
	Key(*derive.Request) ([]byte, error)
}

// Config is what New needs.
type Config struct {
	Directory Directory // required
	Opener    Opener    // required; the key-encryption key
	Sealer    Sealer    // the same key; nil: customers cannot change their passwords
	// Clock gives the time that sessions are measured by; nil: the directory's, which all nodes share.
	Clock func() time.Time
	// CodeClock gives the time of one-time codes; nil: Clock. A bank gives the machine's: customers' devices go by that, and
	// the directory's time may be far from it, if an operator has accepted so.
	CodeClock func() time.Time
	// Passkeys is the site whose passkeys are taken; the zero value takes none.
	Passkeys PasskeySite
	// Params are those of the passwords in the directory, or of most: a user name that nobody has costs as much. The zero
	// value is Standard.
	Params Params
	// AllowCheapHash admits password hashes weaker than Standard. For netbank-lab only.
	AllowCheapHash bool
	// Registerer takes the metrics netbank_session_* and netbank_signin_*; nil: they are not exported.
	Registerer prometheus.Registerer
	// Breached are lists of passwords that nobody may choose, because others know them.
	Breached []Breached
	// Listed are those of them that are asked at each sign-in too, of the password that was right: lists on this machine, since a service would learn
	// something of every customer's password, and could keep everybody waiting.
	Listed []Breached
	// Bank is what customers know the bank by: a password is not made of it.
	Bank string
	// Deriver computes the hashes of passwords; nil: this process, where all else waits for them. *derive.Process is one.
	Deriver Deriver
	Limits  Limits // zero fields take their defaults
}

// Limits bounds what the package holds. A zero field takes its default.
type Limits struct {
	// CacheEntries is the number of profiles kept; default 100,000 (about 600 bytes each).
	CacheEntries int64
	// HashWorkers is the number of passwords checked at once, each with the memory of its hash (19 MiB); default GOMAXPROCS, or
	// one less if hashes are computed in this process.
	HashWorkers int
	// HashQueue is the number of sign-ins that wait for a worker; default 128 for each worker.
	HashQueue int
	// SignInWait is how long a sign-in waits for its turn; default 2s. Who would wait longer than three quarters of it is refused at
	// once. It leaves a third of SignInObjective for the hash and two commits.
	SignInWait time.Duration
	// Guesses is the number of user names of which wrong attempts from unknown devices are remembered; default 65,536.
	Guesses int
	// Addresses is the number of addresses of which wrong attempts from unknown devices are remembered; default 65,536.
	Addresses int
}

// SignInObjective is how long a customer waits at most for the page behind the sign-in form who is not told that the bank is busy.
const SignInObjective = 3 * time.Second

// withDefaults fills in the zero fields. apart says that hashes are computed in another process.
func (l Limits) withDefaults(apart bool) Limits {
	if l.CacheEntries < 1 {
		l.CacheEntries = 100_000
	}
	if l.HashWorkers < 1 {
		l.HashWorkers = runtime.GOMAXPROCS(0)
		if !apart {
			l.HashWorkers = max(1, l.HashWorkers-1)
		}
	}
	if l.HashQueue < 1 {
		l.HashQueue = 128 * l.HashWorkers
	}
	if l.SignInWait <= 0 {
		l.SignInWait = 2 * time.Second
	}
	if l.Guesses < 1 {
		l.Guesses = 65_536
	}
	if l.Addresses < 1 {
		l.Addresses = 65_536
	}
	return l
}

// Store is the only door to sessions. It is safe for concurrent use.
type Store struct {
	*KeyRing

	directory Directory
	opener    Opener
	sealer    Sealer
	breached  []Breached
	listed    []Breached
	bank      string
	params    Params
	deriver   Deriver
	site      PasskeySite
	clock     func() time.Time
	wall      func() time.Time // of one-time codes
	right     *rightCodes
	profiles  profiles
	hasher    *hasher
	clicks    *clicks
	dummy     Hash
	decoyPHC  string // the same as a PHC string
	decoy     []byte // what no key has sealed, as long as a sealed PHC string
	cheap     bool
	guesses   *guesses
	sprays    *sprays
	metrics   *metrics
}

// decoyBytes is the size of a sealed PHC string with the standard parameters.
const decoyBytes = 160

// New makes a Store. Close it.
func New(c Config) (*Store, error) {
	if c.Directory == nil || c.Opener == nil {
		return nil, errors.New("session: Config needs Directory and Opener")
	}
	if c.Params == (Params{}) {
		c.Params = Standard
	}
	if err := c.Params.check(c.AllowCheapHash); err != nil {
		return nil, err
	}
	clock, wall := c.Clock, c.CodeClock
	if clock == nil {
		clock = func() time.Time { return time.UnixMilli(int64(c.Directory.Now())) }
	}
	if wall == nil {
		wall = clock
	}
	ring, err := NewKeyRing(c.Directory.Keys, c.Opener, clock)
	if err != nil {
		return nil, err
	}
	c.Limits = c.Limits.withDefaults(c.Deriver != nil)
	cached, err := newCachedProfiles(c.Limits.CacheEntries)
	if err != nil {
		return nil, err
	}
	s := &Store{
		KeyRing:   ring,
		directory: c.Directory,
		opener:    c.Opener,
		sealer:    c.Sealer,
		breached:  c.Breached,
		listed:    c.Listed,
		bank:      c.Bank,
		params:    c.Params,
		deriver:   c.Deriver,
		site:      c.Passkeys,
		clock:     clock,
		wall:      wall,
		right:     newRightCodes(),
		profiles:  cached,
		hasher:    newHasher(c.Limits.HashWorkers, c.Limits.HashQueue, c.Limits.SignInWait),
		clicks:    newClicks(),
		dummy:     dummyHash(c.Params),
		decoy:     make([]byte, decoyBytes),
		cheap:     c.AllowCheapHash,
		guesses:   newGuesses(c.Limits.Guesses),
		sprays:    newSprays(c.Limits.Addresses),
	}
	if c.Deriver != nil {
		s.hasher.matchesBy(c.Deriver)
	}
	s.decoyPHC = s.dummy.String()
	s.metrics = newMetrics(s)
	if c.Registerer != nil {
		if err := c.Registerer.Register(s.metrics); err != nil {
			cached.close()
			return nil, fmt.Errorf("session: %w", err)
		}
	}
	return s, nil
}

// PasskeySite is whose passkeys are taken.
func (s *Store) PasskeySite() *PasskeySite { return &s.site }

// SignInsPerSecond is what the password pool can do, from measured times: admission releases no more than that.
func (s *Store) SignInsPerSecond() float64 { return s.hasher.rate() }

// Pool is how busy the password pool is.
type Pool struct {
	Workers int           // passwords that it checks at once
	Worked  time.Duration // that its workers have spent on passwords since it was made, all together
	Wait    time.Duration // that who signs in now would wait for a worker, from measured times
}

// Pool tells how busy the password pool is.
func (s *Store) Pool() Pool {
	h := s.hasher
	p := Pool{Workers: int(h.workers), Worked: time.Duration(h.worked.Load())}
	if ahead := h.reserved.Load(); ahead >= h.workers {
		p.Wait = h.expected(ahead - h.workers)
	}
	return p
}

// Close releases the cache. The Store is not used after it.
func (s *Store) Close() { s.profiles.close() }

// Open gives the session of a cookie's value: ErrNoSession, ErrExpired, ErrReplaced, ErrEnded or ErrIdle if there is none.
// It asks the journal on every call whether the session is in force. cookie is not kept.
func (s *Store) Open(cookie []byte) (*Session, error) {
	session, err := s.openSession(cookie, false)
	s.metrics.opened(err)
	return session, err
}

// OpenToEnd is Open for SignOut only: it opens a session that has been idle for too long as well. A copy of its cookie may have been kept
// alive elsewhere, so whoever asks for its end must get it.
func (s *Store) OpenToEnd(cookie []byte) (*Session, error) { return s.openSession(cookie, true) }

func (s *Store) openSession(cookie []byte, idle bool) (*Session, error) {
	now := s.clock()
	c, err := s.openCookie(cookie, now)
	if err != nil {
		return nil, err
	}
	ms := journal.Millis(now.UnixMilli())
	if ms-c.signedIn >= journal.Millis(AbsoluteLimit.Milliseconds()) || c.lastSeen-ms > journal.Millis(skewMax.Milliseconds()) {
		return nil, ErrExpired
	}
	if err := s.inForce(c.customer, c.epoch, c.signedIn, ms); err != nil {
		return nil, err
	}
	if !idle && ms-c.lastSeen >= journal.Millis(IdleLimit.Milliseconds()) {
		return nil, ErrIdle
	}
	profile, err := s.profile(c.customer, c.epoch, now)
	if err != nil {
		return nil, err
	}
	return newSession(&c, profile, now), nil
}

// inForce asks the journal: invariant OutMeansOut as far as reading goes. Apply checks again where money moves.
func (s *Store) inForce(customer journal.CustomerID, epoch journal.Epoch, signedIn, now journal.Millis) error {
	access, _, err := s.directory.Access(customer)
	switch {
	case err != nil:
		return fmt.Errorf("%w: session in force: %w", ErrUnavailable, err)
	case access.Epoch < epoch:
		// The cookie is genuine, so the sign-in was committed; this node has not applied it yet. If that goes on, the
		// journal was restored from a backup, and the session is none of its own.
		if now-signedIn <= journal.Millis(LagMax.Milliseconds()) {
			return nil
		}
		return ErrReplaced
	case access.Epoch > epoch, access.SignedIn != signedIn:
		return ErrReplaced
	case access.Ended:
		return ErrEnded
	}
	return nil
}

func newSession(c *state, profile *Profile, now time.Time) *Session {
	return &Session{
		Profile:     profile,
		Customer:    c.customer,
		Epoch:       c.epoch,
		SignedIn:    time.UnixMilli(int64(c.signedIn)),
		LastSeen:    time.UnixMilli(int64(c.lastSeen)),
		Seen:        now,
		KnownDevice: c.knownDevice,
		Listed:      c.listed,
		csrf:        c.csrf,
	}
}

// Renew gives the cookie to set with the answer, or "" while the one that came is younger than RenewAfter. Without a key
// it gives "" too: the session goes on with the cookie it has.
func (s *Store) Renew(session *Session) string {
	if session.Seen.Sub(session.LastSeen) < RenewAfter {
		return ""
	}
	c := session.state()
	c.lastSeen = journal.Millis(session.Seen.UnixMilli())
	cookie, err := s.sealCookie(&c, session.Seen)
	if err != nil {
		return ""
	}
	return cookie
}

func (s *Session) state() state {
	return state{
		customer:    s.Customer,
		epoch:       s.Epoch,
		signedIn:    journal.Millis(s.SignedIn.UnixMilli()),
		lastSeen:    journal.Millis(s.LastSeen.UnixMilli()),
		csrf:        s.csrf,
		knownDevice: s.KnownDevice,
		listed:      s.Listed,
	}
}

// SignOut ends the session for every node and device. A session that has ended already is no error. On ErrUnavailable it may
// still be in force: say so, and ask to try again.
func (s *Store) SignOut(session *Session, deadline time.Time) error {
	result, err := s.submit(endSession(session.Customer, session.Epoch), deadline)
	if err != nil {
		return err
	}
	switch result.Verdict {
	case journal.Done, journal.Repeated, journal.NoSession, journal.NotFound:
		return nil
	}
	return fmt.Errorf("%w: end of session: %s", ErrUnavailable, result.Verdict)
}
