package session

import (
	"encoding/binary"
	"time"

	"netbank/cluster/journal"
)

// Limits of a device cookie.
const (
	// DeviceLifetime is how long a browser stays known without a further second factor. It is known for less if the root key
	// leaves the journal before: of the journal's newest 64 keys, the oldest is 64 days old when one comes each day.
	DeviceLifetime = 180 * 24 * time.Hour
	// deviceRenewAfter is the age at which RememberDevice makes a new cookie.
	deviceRenewAfter = 30 * 24 * time.Hour
	// deviceContent is customer (8) and issued, ms (8), big-endian.
	deviceContent = 16
)

// RememberDevice gives the device cookie to set, for DeviceLifetime, after a second factor has been accepted and its payment
// authorised; or "" if the browser's own (device, may be empty) will do. Call it at no other time: who has only the password
// must not get into the lane of the customer's own devices.
func (s *Store) RememberDevice(session *Session, device []byte) string {
	now := s.clock()
	if customer, issued, ok := s.openDevice(device, now); ok && customer == session.Customer && now.Sub(issued) < deviceRenewAfter {
		return ""
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	b := binary.BigEndian.AppendUint64(memory.plain[:0], uint64(session.Customer))
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	token, err := s.seal(&deviceKind, b, memory, now)
	if err != nil {
		return ""
	}
	return token
}

// openDevice gives whose device it is. Anything wrong with the cookie makes the device an unknown one, no more.
func (s *Store) openDevice(device []byte, now time.Time) (customer journal.CustomerID, issued time.Time, ok bool) {
	if len(device) != encoding.EncodedLen(tokenOverhead+deviceContent) {
		return 0, time.Time{}, false
	}
	memory := scratches.Get().(*scratch)
	defer scratches.Put(memory)
	b, err := s.KeyRing.open(&deviceKind, device, memory, now)
	if err != nil || len(b) != deviceContent {
		return 0, time.Time{}, false
	}
	issued = time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:])))
	if age := now.Sub(issued); age >= DeviceLifetime || age < -skewMax {
		return 0, time.Time{}, false
	}
	return journal.CustomerID(binary.BigEndian.Uint64(b)), issued, true
}
