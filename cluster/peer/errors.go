package peer

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of certificates, tokens and connections. Each says what to do.
var (
	// ErrAuthority says that a certificate comes from an authority that is not trusted here, or that ours is not trusted there.
	ErrAuthority = errors.New("peer: the certificate comes from an authority that the other side does not trust; check that both nodes belong to the same cluster, and that a rotation of the authority was not cut short")
	// ErrLapsed says that a certificate is no longer, or not yet, valid.
	ErrLapsed = errors.New("peer: the certificate has lapsed or is not valid yet; set both clocks right, or let the node join again with a new token")
	// ErrCertificate says that a certificate is missing or is not one of a node of this cluster.
	ErrCertificate = errors.New("peer: not the certificate of a node of this cluster; let the node join with a token of this cluster")
	// ErrNode says that another node than the one that was asked for answered at its address.
	ErrNode = errors.New("peer: another node answers at this address; correct the address in the cluster's member list")
	// ErrRole says that a node's role does not allow what it asked for.
	ErrRole = errors.New("peer: the node's role does not allow this; only coordinators take part in Raft and issue certificates")
	// ErrRemoved says that the node is not, or no longer, a member.
	ErrRemoved = errors.New("peer: the node is not a member of the cluster; if it was removed by mistake, let it join again with a new token")
	// ErrRefused says that the cluster does not want what was asked for, as one coordinator too many. The caller's Enrol gives it.
	ErrRefused = errors.New("peer: the cluster does not allow this; do what its sentence says")
	// ErrBusy says that a bound on connections is reached.
	ErrBusy = errors.New("peer: too many connections; try again, and see the bounds of cluster/peer in docs/limits.md if it stays")
	// ErrUnavailable says that the cluster cannot decide now. Nothing was decided; the same request may be repeated.
	ErrUnavailable = errors.New("peer: the cluster cannot answer now, as when it has no leader; try again")
	// ErrUnreachable says that no connection came about.
	ErrUnreachable = errors.New("peer: cannot reach the node; check that it runs, its address in the member list, and the network between the two")
	// ErrClosed says that the port is closed or closing.
	ErrClosed = errors.New("peer: the port is closed")
	// ErrRequest says that a join or renewal request, or its answer, is malformed or too large.
	ErrRequest = errors.New("peer: not a request or answer of this protocol; check that both nodes run versions that may be mixed")
	// ErrIdentity says that key, certificate and authorities do not fit together.
	ErrIdentity = errors.New("peer: key, certificate and authorities of the node do not fit together")
	// ErrALPN says that a connection did not offer exactly one of the four protocols.
	ErrALPN = errors.New("peer: the connection offers none or several of this port's protocols; only nodes of netbank may dial it")

	// ErrToken says that a text is not a join token.
	ErrToken = errors.New("peer: not a join token; copy the whole line that `netbank cluster token` printed")
	// ErrTokenRefused says that the cluster does not know the token, or that its secret is wrong.
	ErrTokenRefused = errors.New("peer: the cluster does not know this token; make a new one with `netbank cluster token`")
	// ErrTokenExpired says that the token's time is over.
	ErrTokenExpired = errors.New("peer: the token has expired; make a new one with `netbank cluster token`, and check the clocks if it is new")
	// ErrTokenUsed says that a token for one use has let another node in.
	ErrTokenUsed = errors.New("peer: the token was used before and is good for one node only; make a new one with `netbank cluster token`")
)

// word is how a refusal names its error between nodes. The words are part of the protocol.
type word struct {
	text string
	err  error
}

func words() []word {
	return []word{
		{"role", ErrRole},
		{"removed", ErrRemoved},
		{"refused", ErrRefused},
		{"busy", ErrBusy},
		{"unavailable", ErrUnavailable},
		{"closed", ErrClosed},
		{"request", ErrRequest},
		{"token", ErrTokenRefused},
		{"token-expired", ErrTokenExpired},
		{"token-used", ErrTokenUsed},
	}
}

// wordOf names an error for the other side. What it does not know is "unavailable": the request may be repeated.
func wordOf(err error) string {
	for _, w := range words() {
		if errors.Is(err, w.err) {
			return w.text
		}
	}
	return "unavailable"
}

// refusal is the other side's no: the error that its word stands for, with its sentence.
func refusal(from, text, sentence string) error {
	for _, w := range words() {
		if w.text == text {
			return fmt.Errorf("peer: %s refused: %w (it says %q)", from, w.err, clip(sentence, RefusalBytesMax))
		}
	}
	return fmt.Errorf("peer: %s refused with the unknown word %q: %w", from, clip(text, 32), ErrRequest)
}

// clip cuts a text that comes from outside.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
