package peer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"netbank/cluster/journal"
)

// Bounds of the messages on netbank-join/1 and netbank-renew/1, and of refusals. docs/limits.md lists them.
const (
	// JoinRequestBytesMax is the size of a join or renewal request.
	JoinRequestBytesMax = 8 << 10
	// JoinAnswerBytesMax is the size of the answer.
	JoinAnswerBytesMax = 128 << 10
	// MembersMax is the number of members in an answer; a larger cluster names its coordinators only.
	MembersMax = 256
	// RefusalBytesMax is the length of the sentence in a refusal.
	RefusalBytesMax = 512
)

// The first byte that the accepting side sends after the handshake, on all protocols but netbank-join/1.
const (
	welcome = 1
	refused = 2 // an answer with the refusal follows
)

// Member is a node as the member list has it.
type Member struct {
	Node journal.NodeID `json:"node"`
	Role Role           `json:"role"`
	Addr string         `json:"addr,omitempty"` // of its port, host:port; empty for one that nobody dials
}

// Granted is the cluster's yes to a join or a renewal.
type Granted struct {
	Node        journal.NodeID `json:"node"`
	Certificate []byte         `json:"certificate"` // DER
	Authorities [][]byte       `json:"authorities"` // DER; 1 to AuthoritiesMax
	Members     []Member       `json:"members,omitempty"`
}

// joinRequest asks for a certificate. On netbank-renew/1 only Request is set, and Addr by a node that can be dialled.
type joinRequest struct {
	Token   *TokenID `json:"token,omitempty"`
	Secret  []byte   `json:"secret,omitempty"`
	Request []byte   `json:"request"` // PKCS #10, DER
	Addr    string   `json:"addr,omitempty"`
}

// answer is a yes or a no; one of the two is set.
type answer struct {
	Granted  *Granted `json:"granted,omitempty"`
	Refused  string   `json:"refused,omitempty"` // one of words
	Sentence string   `json:"sentence,omitempty"`
}

// refuse makes the answer that carries an error. It goes to members and to holders of a token, and never quotes what they sent.
func refuse(err error) answer {
	return answer{Refused: wordOf(err), Sentence: clip(err.Error(), RefusalBytesMax)}
}

// A message is its length in four bytes, big endian, and as many bytes of JSON. A field that one side does not know is an error: what
// changes the messages changes the protocol's name.
func writeMessage(to io.Writer, v any, most int) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if len(body) > most {
		return fmt.Errorf("%w: the message would have %d bytes, at most %d are sent", ErrRequest, len(body), most)
	}
	_, err = to.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// readMessage reads a message into v. What is malformed or too large is ErrRequest; other errors are the connection's.
func readMessage(from io.Reader, v any, most int) error {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(most) {
		return fmt.Errorf("%w: a message of %d bytes is announced, at most %d are read", ErrRequest, n, most)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(from, body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		// The decoder's own words may quote what it read, and that may be a secret.
		return fmt.Errorf("%w: the message is not of the form that this version knows", ErrRequest)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something stands behind the message", ErrRequest)
	}
	return nil
}

func (r *joinRequest) check() error {
	if len(r.Request) == 0 || len(r.Request) > RequestBytesMax {
		return fmt.Errorf("%w: the certificate request has %d bytes, 1 to %d are read", ErrRequest, len(r.Request), RequestBytesMax)
	}
	if r.Addr != "" {
		if err := CheckAddr(r.Addr); err != nil {
			return fmt.Errorf("%w: %w", ErrRequest, err)
		}
	}
	return nil
}

// yes gives what was granted, or the refusal.
func (a *answer) yes(from string) (*Granted, error) {
	if a.Granted == nil {
		return nil, refusal(from, a.Refused, a.Sentence)
	}
	return a.Granted, a.Granted.check()
}

func (g *Granted) check() error {
	if g.Node == 0 || len(g.Certificate) == 0 || len(g.Authorities) == 0 {
		return fmt.Errorf("%w: node, certificate or authorities are missing", ErrRequest)
	}
	if len(g.Members) > MembersMax {
		return fmt.Errorf("%w: %d members, at most %d are told", ErrRequest, len(g.Members), MembersMax)
	}
	for _, m := range g.Members {
		if m.Addr != "" {
			if err := CheckAddr(m.Addr); err != nil {
				return fmt.Errorf("%w: %w", ErrRequest, err)
			}
		}
	}
	return nil
}
