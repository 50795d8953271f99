package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

const (
	// JoinRetryEvery is the pause before a new node asks the coordinators again, when none could decide.
	JoinRetryEvery = time.Second
)

// JoinConfig says how a new node joins.
type JoinConfig struct {
	Token Token
	// Addr is where this node's own port can be dialled; a coordinator needs one. Empty: nobody dials it.
	Addr string
	// Now is the clock by which certificates are judged. nil: time.Now.
	Now func() time.Time
	// Logger gets a line for each attempt that failed and is repeated. nil: slog.Default().
	Logger *slog.Logger
	// Limits bounds each attempt. Zero: DefaultLimits.
	Limits Limits
}

// Join makes a key and asks the token's coordinators for a certificate, one after the other and again until one has decided or
// ctx is done. It gives what the new node is from now on, to be sealed and stored, and the members that it should know.
// Errors are ErrTokenRefused, ErrTokenExpired, ErrTokenUsed, ErrAuthority and other refusals that no repetition helps
// against, or the last failure when ctx is done. A process that dies in between has used up its token: the key is lost.
func Join(ctx context.Context, cfg JoinConfig) (*Identity, []Member, error) {
	if err := cfg.Token.check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if cfg.Addr != "" {
		if err := CheckAddr(cfg.Addr); err != nil {
			return nil, nil, err
		}
	} else if cfg.Token.Role == Coordinator {
		return nil, nil, fmt.Errorf("peer: a coordinator that joins must say where the others can dial it; JoinConfig.Addr is empty")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	var err error
	if cfg.Limits, err = cfg.Limits.orDefaults(); err != nil {
		return nil, nil, err
	}
	// One key for all attempts: by it the cluster knows a repetition.
	key, csr, err := newRequest()
	if err != nil {
		return nil, nil, err
	}
	for {
		for _, addr := range cfg.Token.Addrs {
			var id *Identity
			var members []Member
			id, members, err = cfg.ask(ctx, addr, key, csr)
			if err == nil || final(err) {
				return id, members, err
			}
			cfg.Logger.Warn("could not join here; trying on", "from", "peer", "coordinator", addr, "error", err)
			if ctx.Err() != nil {
				return nil, nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, nil, err
		case <-time.After(JoinRetryEvery):
		}
	}
}

// final says whether no other coordinator and no repetition can help.
func final(err error) bool {
	for _, no := range []error{ErrTokenRefused, ErrTokenExpired, ErrTokenUsed, ErrRefused, ErrIdentity, ErrRequest} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// ask makes one attempt at one coordinator.
func (cfg *JoinConfig) ask(ctx context.Context, addr string, key *ecdsa.PrivateKey, csr []byte) (*Identity, []Member, error) {
	dialing, cancel := context.WithTimeout(ctx, cfg.Limits.DialTimeout)
	defer cancel()
	var peer Peer
	config := clientConfig(kindJoin, cfg.Now, nil, cfg.Token.Cluster, &peer)
	config.VerifyConnection = func(s tls.ConnectionState) error {
		roots, err := cfg.pinned(s)
		if err != nil {
			return err
		}
		return clientConfig(kindJoin, cfg.Now, roots, cfg.Token.Cluster, &peer).VerifyConnection(s)
	}
	s, err := connect(dialing, addr, config)
	if err != nil {
		return nil, nil, dialError("the coordinator at "+addr, kindJoin, err)
	}
	defer s.Close()
	answering, cancel := context.WithTimeout(ctx, cfg.Limits.HandshakeTimeout+cfg.Limits.ExchangeTimeout)
	defer cancel()
	defer whenDone(answering, s)()
	at := fmt.Sprintf("%s at %s", peer, addr)
	req := joinRequest{Token: &cfg.Token.ID, Secret: cfg.Token.secret[:], Request: csr, Addr: cfg.Addr}
	granted, err := request(s, at, &req)
	if err != nil {
		return nil, nil, err
	}
	id, err := newIdentity(key, granted.Certificate, granted.Authorities)
	if err != nil {
		return nil, nil, err
	}
	if want := (Subject{Cluster: cfg.Token.Cluster, Node: granted.Node, Role: cfg.Token.Role}); id.subject != want {
		return nil, nil, fmt.Errorf("%w: the certificate names %s, the answer %s", ErrIdentity, id.subject, want)
	}
	return id, granted.Members, nil
}

// pinned finds the authority that the token names among the certificates that a coordinator shows.
func (cfg *JoinConfig) pinned(s tls.ConnectionState) (*x509.CertPool, error) {
	for _, c := range s.PeerCertificates {
		if !slices.Contains(cfg.Token.Fingerprints, FingerprintOf(c.Raw)) {
			continue
		}
		if _, err := parseAuthority(c.Raw); err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AddCert(c)
		return roots, nil
	}
	return nil, fmt.Errorf("%w (the token names another one; make a new token if the authority was rotated)", ErrAuthority)
}

// request sends a request and reads the answer.
func request(s *tls.Conn, at string, req *joinRequest) (*Granted, error) {
	var a answer
	err := writeMessage(s, req, JoinRequestBytesMax)
	// A refusal may be on its way before all is written.
	if read := readMessage(s, &a, JoinAnswerBytesMax); read != nil {
		if err == nil || errors.Is(read, ErrRequest) {
			err = read
		}
		if errors.Is(err, ErrRequest) {
			return nil, fmt.Errorf("peer: %s: %w", at, err)
		}
		return nil, fmt.Errorf("%w: %s gave no answer: %w", ErrUnreachable, at, err)
	}
	return a.yes(at)
}
