package derive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"
)

// Bounds of a request, in bytes. What is hashed has been checked before; these keep a fault from becoming a large allocation.
const (
	PasswordMax  = 512
	SaltMax      = 64
	KeyMax       = 64
	MemoryMaxKiB = 64 << 10
	PassesMax    = 10
	LanesMax     = 4
)

// Request asks for a key: argon2id (RFC 9106, version 19).
type Request struct {
	Password []byte // at most PasswordMax
	Salt     []byte // at most SaltMax
	// MemoryKiB is 1 to 65,536, Passes 1 to 10, Lanes 1 to 4, KeySize 4 to KeyMax bytes.
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
	KeySize   uint8
}

// ErrRequest says that a request is out of bounds, or that what came is none.
var ErrRequest = errors.New("derive: not a request, or one out of bounds")

func (r *Request) check() error {
	if len(r.Password) > PasswordMax || len(r.Salt) > SaltMax || r.KeySize < 4 || r.KeySize > KeyMax ||
		r.MemoryKiB < 1 || r.MemoryKiB > MemoryMaxKiB || r.Passes < 1 || r.Passes > PassesMax || r.Lanes < 1 || r.Lanes > LanesMax {
		return fmt.Errorf("%w: password of %d bytes (at most %d), salt of %d (%d), key of %d (4 to %d), m=%d,t=%d,p=%d (at most %d, %d, %d)", ErrRequest,
			len(r.Password), PasswordMax, len(r.Salt), SaltMax, r.KeySize, KeyMax, r.MemoryKiB, r.Passes, r.Lanes, MemoryMaxKiB, PassesMax, LanesMax)
	}
	return nil
}

// Key computes what is asked for in this process.
func (r *Request) Key() []byte {
	return argon2.IDKey(r.Password, r.Salt, r.Passes, r.MemoryKiB, r.Lanes, uint32(r.KeySize))
}

// A request on the wire, big endian: number 4, memory 4, passes 1, lanes 1, key size 1, salt size 1, password size 2; then salt and
// password.
const requestHead = 14

func appendRequest(b []byte, number uint32, r *Request) []byte {
	b = binary.BigEndian.AppendUint32(b, number)
	b = binary.BigEndian.AppendUint32(b, r.MemoryKiB)
	b = append(b, byte(r.Passes), r.Lanes, r.KeySize, byte(len(r.Salt)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Password)))
	b = append(b, r.Salt...)
	return append(b, r.Password...)
}

// readRequest reads a request: io.EOF if there is none any more.
func readRequest(from io.Reader) (number uint32, r *Request, err error) {
	var head [requestHead]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, nil, err
	}
	r = &Request{
		MemoryKiB: binary.BigEndian.Uint32(head[4:]), Passes: uint32(head[8]), Lanes: head[9], KeySize: head[10],
		Salt: make([]byte, head[11]), Password: make([]byte, binary.BigEndian.Uint16(head[12:])), // at most 64 KiB
	}
	if err := r.check(); err != nil {
		return 0, nil, err
	}
	rest := make([]byte, len(r.Salt)+len(r.Password))
	if _, err := io.ReadFull(from, rest); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	r.Salt, r.Password = rest[:len(r.Salt)], rest[len(r.Salt):]
	return binary.BigEndian.Uint32(head[:]), r, nil
}

// An answer on the wire: number 4, key size 1, key.
func appendAnswer(b []byte, number uint32, key []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, number)
	b = append(b, byte(len(key)))
	return append(b, key...)
}

func readAnswer(from io.Reader) (number uint32, key []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, nil, err
	}
	if head[4] > KeyMax {
		return 0, nil, fmt.Errorf("derive: an answer of %d bytes; at most %d", head[4], KeyMax)
	}
	key = make([]byte, head[4])
	_, err = io.ReadFull(from, key)
	return binary.BigEndian.Uint32(head[:]), key, err
}
