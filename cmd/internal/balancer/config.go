package balancer

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"
)

// Bounds of a balancer.
const (
	// FrontsMax is how many addresses it listens on.
	FrontsMax = 8
	// BackendsMax is how many backends it knows at once, those that are leaving included.
	BackendsMax = 64
	// DefaultConnectionsMax is how many connections a front holds at once. Each takes two file descriptors.
	DefaultConnectionsMax = 4096
	// DefaultCheckEvery is the time between two questions to a backend.
	DefaultCheckEvery = 100 * time.Millisecond
	// checkTimeout is how long a backend may take to say how it is. One answer that fails to come makes it not ready, silencesMax of them make
	// it down: a machine that is busy is not dead.
	checkTimeout = 500 * time.Millisecond
	silencesMax  = 3
	// lookPause is how long a backend is left alone after a question, however many connections end meanwhile.
	lookPause = 5 * time.Millisecond
	// silentLimit is how long a backend may say nothing before the connections that it has are reset. A process that is frozen keeps its
	// sockets open, and its clients would wait for ever.
	silentLimit = 3 * time.Second
	// DefaultSlowStart is how long a backend that has become ready is given less than its share, when others have been ready for longer.
	DefaultSlowStart = 3 * time.Second
	// slowestShare is what it is given at first, as a part of its share.
	slowestShare = 0.1
	// connectTimeout is how long a backend may take to take a connection, before another is asked.
	connectTimeout = 100 * time.Millisecond
	// holdLimit is how long a connection waits for a backend that takes it.
	holdLimit = 5 * time.Second
	// halfClosedLimit is how long one direction of a connection may go on after the other has ended.
	halfClosedLimit = 2 * time.Minute
	// stalledLimit is how long one end may take nothing of what the other has sent.
	stalledLimit = time.Minute
	// refusalsMax is how many clients are told at once that they are refused; beyond them the connection is reset without a word.
	refusalsMax = 128
	// lingerLimit is how long an end that is no longer listened to may take to read the last of what it was sent.
	lingerLimit = 5 * time.Second
	// refusalLimit is how long telling a client may take.
	refusalLimit = time.Second
	// acceptBackoffMax is the longest pause of a front that cannot accept, because the process is short of file descriptors.
	acceptBackoffMax = time.Second
	// bufferBytes is what one read may bring.
	bufferBytes = 16 << 10
)

// Policy says which backend a front's connections go to.
type Policy uint8

// The policies.
const (
	// Spread is: to the backend with the fewest connections among those that are ready.
	Spread Policy = iota
	// ToLeader is: to the backend that Lead named, while it answers at all, and otherwise as Spread. When another is named, connections that
	// are elsewhere are reset.
	ToLeader
)

// Front is an address that clients reach.
type Front struct {
	Name   string // the door's name, which each backend's Doors use
	Addr   string // host:port to listen on
	Policy Policy
	// ProxyHeader puts the client's address before the first byte, as a header of the PROXY protocol, version 2.
	ProxyHeader bool
	// Refusal is what a client is sent who cannot be served, before the connection is closed. Empty: it is reset.
	Refusal []byte
}

// Backend is a process behind the fronts.
type Backend struct {
	Name  string
	Ready string            // URL that is asked; 200 means that connections may come
	Doors map[string]string // host:port by the name of the front; a front that is not named has no such door there
	// Reserve keeps connections of these fronts away as long as another backend is ready.
	Reserve []string
}

// Config of a balancer.
type Config struct {
	Fronts         []Front
	ConnectionsMax int           // of each front; 0: DefaultConnectionsMax
	CheckEvery     time.Duration // 0: DefaultCheckEvery
	SlowStart      time.Duration // 0: DefaultSlowStart
	Logger         *slog.Logger

	silent, hold time.Duration // 0: silentLimit, holdLimit; tests wait less long
}

// Errors of a configuration.
var (
	ErrConfig  = errors.New("balancer: bad configuration")
	ErrBackend = errors.New("balancer: bad backend")
	ErrClosed  = errors.New("balancer: closed")
)

func (c *Config) check() error {
	if len(c.Fronts) == 0 || len(c.Fronts) > FrontsMax {
		return fmt.Errorf("%w: %d fronts; there may be 1 to %d", ErrConfig, len(c.Fronts), FrontsMax)
	}
	if c.ConnectionsMax < 0 || c.CheckEvery < 0 || c.SlowStart < 0 {
		return fmt.Errorf("%w: %d connections, a check every %v, a slow start of %v; none may be negative", ErrConfig, c.ConnectionsMax, c.CheckEvery, c.SlowStart)
	}
	if c.ConnectionsMax == 0 {
		c.ConnectionsMax = DefaultConnectionsMax
	}
	if c.CheckEvery == 0 {
		c.CheckEvery = DefaultCheckEvery
	}
	if c.SlowStart == 0 {
		c.SlowStart = DefaultSlowStart
	}
	if c.silent == 0 {
		c.silent = silentLimit
	}
	if c.hold == 0 {
		c.hold = holdLimit
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	names := make(map[string]bool)
	for _, f := range c.Fronts {
		if f.Name == "" || names[f.Name] {
			return fmt.Errorf("%w: a front is called %q; names are not empty, and not given twice", ErrConfig, f.Name)
		}
		names[f.Name] = true
	}
	return nil
}

// checkBackends refuses a set that could not be served.
func (c *Config) checkBackends(all []Backend) error {
	if len(all) > BackendsMax {
		return fmt.Errorf("%w: %d of them; there may be %d", ErrBackend, len(all), BackendsMax)
	}
	fronts := make(map[string]bool)
	for _, f := range c.Fronts {
		fronts[f.Name] = true
	}
	names := make(map[string]bool)
	for _, b := range all {
		if b.Name == "" || names[b.Name] {
			return fmt.Errorf("%w: one is called %q; names are not empty, and not given twice", ErrBackend, b.Name)
		}
		names[b.Name] = true
		if u, err := url.Parse(b.Ready); err != nil || u.Host == "" {
			return fmt.Errorf("%w: %s is to be asked at %q; write a URL such as http://127.0.0.1:9090/readyz", ErrBackend, b.Name, b.Ready)
		}
		for door, addr := range b.Doors {
			if !fronts[door] {
				return fmt.Errorf("%w: %s has a door %q, and no front has that name", ErrBackend, b.Name, door)
			}
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return fmt.Errorf("%w: %s has its door %s at %q; write host:port", ErrBackend, b.Name, door, addr)
			}
		}
	}
	return nil
}
