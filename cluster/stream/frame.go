package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"netbank/cluster/stream/wire"
)

// Bounds of a frame.
const (
	// FrameBytesMax is the size of a frame without its length. The largest message holds one entry of the journal (64 KiB).
	FrameBytesMax = 1 << 20
	// FrameMessagesMax is the number of messages in a frame. An empty message takes two bytes on the wire and a hundred in memory.
	FrameMessagesMax = 8192
	// headBytes is the length before a frame, most significant byte first.
	headBytes = 4
	// messageTag is field 1 of Frame, length-delimited.
	messageTag = 1<<3 | 2
)

// ErrFrame says that what came over a connection is no frame of ours. Nothing after it can be understood.
var ErrFrame = errors.New("stream: not a frame of this protocol; is the other side a node of the same version?")

// batch collects messages in frames. Frames lie behind each other in bytes, complete at any time.
type batch struct {
	bytes    []byte
	at       int // where the last frame begins; meaningless while bytes is empty
	messages int // in the last frame
}

// add appends a message, in the last frame if it has room.
func (b *batch) add(m *wire.Message) error {
	size := m.SizeVT()
	need := 1 + uvarintSize(uint64(size)) + size
	if need > FrameBytesMax {
		return fmt.Errorf("stream: a message of %d bytes; a frame takes %d", need, FrameBytesMax)
	}
	if len(b.bytes) == 0 || b.messages == FrameMessagesMax || len(b.bytes)-b.at-headBytes+need > FrameBytesMax {
		b.at, b.messages = len(b.bytes), 0
		b.bytes = append(b.bytes, 0, 0, 0, 0)
	}
	was := len(b.bytes)
	b.bytes = binary.AppendUvarint(append(b.bytes, messageTag), uint64(size))
	at := len(b.bytes)
	b.bytes = append(b.bytes, make([]byte, size)...)
	if _, err := m.MarshalToSizedBufferVT(b.bytes[at:]); err != nil {
		b.bytes = b.bytes[:was]
		return fmt.Errorf("stream: encode a message: %w", err)
	}
	b.messages++
	binary.BigEndian.PutUint32(b.bytes[b.at:], uint32(len(b.bytes)-b.at-headBytes))
	return nil
}

func uvarintSize(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// readFrame reads one frame's body into buffer, which it may grow. The result is valid until the next read.
func readFrame(from io.Reader, buffer []byte) ([]byte, error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return buffer, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > FrameBytesMax {
		return buffer, fmt.Errorf("%w: it says that it has %d bytes; the most is %d", ErrFrame, size, FrameBytesMax)
	}
	if cap(buffer) < int(size) {
		buffer = make([]byte, size)
	}
	buffer = buffer[:size]
	if _, err := io.ReadFull(from, buffer); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return buffer, err
	}
	return buffer, nil
}

// decode gives the messages of a frame's body. They share no memory with it: calls outlive the buffer by far.
func decode(body []byte) ([]*wire.Message, error) {
	var all []*wire.Message
	for len(body) > 0 {
		if len(all) == FrameMessagesMax {
			return nil, fmt.Errorf("%w: it holds more than %d messages", ErrFrame, FrameMessagesMax)
		}
		size, n := binary.Uvarint(body[1:])
		if body[0] != messageTag || n <= 0 || size > uint64(len(body)-1-n) {
			return nil, fmt.Errorf("%w: message %d is cut off or is none", ErrFrame, len(all))
		}
		m := new(wire.Message)
		if err := m.UnmarshalVT(body[1+n : 1+n+int(size)]); err != nil {
			return nil, fmt.Errorf("%w: message %d: %v", ErrFrame, len(all), err)
		}
		all = append(all, m)
		body = body[1+n+int(size):]
	}
	return all, nil
}
