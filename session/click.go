package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sync/singleflight"
)

// Client is who signs in, as far as a request tells.
type Client struct {
	// Address is the client's, of which as many wrong attempts are taken as AddressFailuresMax says; the zero Addr has no such bound.
	Address netip.Addr
	// Device is the value of the device cookie, or empty. It is not kept.
	Device []byte
	// Form names what was sent: the browser's own name, and the page. What one Address and Device send of one Form, with the same user name and password, while
	// that is being checked is the second half of a double click: it gets the answer of the first half. Empty: an attempt of its own.
	Form string
}

// clicks makes one sign-in of the halves of a double click that come to one node. Each of them on its own would begin a session, the one that is checked
// last would end the other's, and the browser may keep the cookie of either.
//
// It holds an entry for each sign-in under way, of which there are no more than requests in flight (edge.Limits), and nothing of it afterwards. The key is a keyed hash, so that no password is kept, and what the map's comparison
// takes tells nobody anything: a key cannot be aimed at.
type clicks struct {
	group singleflight.Group
	key   [sha256.Size]byte
}

func newClicks() *clicks {
	c := &clicks{}
	rand.Read(c.key[:])
	return c
}

// name is the key of equal attempts.
func (c *clicks) name(from *Client, username, password string) string {
	mac := hmac.New(sha256.New, c.key[:])
	for _, part := range [...]string{from.Address.String(), string(from.Device), from.Form, username, password} {
		var size [8]byte // so that no two lists of parts are one text
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write([]byte(part))
	}
	return string(mac.Sum(nil))
}

// once signs in, or waits for the answer of an equal attempt that is under way. That has come first, so its deadline is the earlier one.
func (s *Store) once(from *Client, username, password string, deadline time.Time) (SignedIn, error) {
	if from.Form == "" {
		return s.check(from, username, password, deadline)
	}
	first := false
	answer, err, _ := s.clicks.group.Do(s.clicks.name(from, username, password), func() (any, error) {
		first = true
		return s.check(from, username, password, deadline)
	})
	if !first {
		s.metrics.joined.Inc()
	}
	return answer.(SignedIn), err
}
