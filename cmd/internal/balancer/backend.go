package balancer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// State of a backend.
type State uint8

// The states, from the worst to the best.
const (
	Down State = iota
	Starting
	NotReady
	Ready
)

// String gives the state's name.
func (s State) String() string {
	return [...]string{"down", "starting", "not ready", "ready"}[min(s, Ready)]
}

// MarshalText gives the name, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *State) UnmarshalText(text []byte) error {
	for *s = Down; *s <= Ready; *s++ {
		if s.String() == string(text) {
			return nil
		}
	}
	return fmt.Errorf("balancer: no state is called %.32q", text)
}

// backend is a backend as the balancer sees it. The balancer's lock guards all but look and end.
type backend struct {
	Backend
	state    State
	since    time.Time // of the state
	heard    time.Time // when it last answered, whatever it said
	silences int       // answers that did not come, one after the other
	leaving  bool      // no longer of the set
	open     int       // connections, those that are being opened included
	taken    uint64    // connections that it took
	missed   uint64    // connections that it did not take
	why      string    // what was wrong at last
	doubted  time.Time // when it ended a connection of its own accord; zero: it has said since that it is ready

	look chan struct{} // asks it at once
	end  context.CancelFunc
}

func (k *backend) same(b Backend) bool {
	return k.Name == b.Name && k.Ready == b.Ready && maps.Equal(k.Doors, b.Doors) && slices.Equal(k.Reserve, b.Reserve)
}

// take chooses a backend for a connection of a front, and counts the connection as its own; it says who leads. It gives nil, and a channel that
// is closed at the next change, when there is none but those that were tried.
func (b *Balancer) take(f *front, tried []*backend) (best *backend, leader string, changed <-chan struct{}) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.turn++
	bestRank, bestLoad, now := 0, 0.0, time.Now()
	warm := slices.ContainsFunc(b.backends, func(k *backend) bool { return k.state == Ready && now.Sub(k.since) >= b.config.SlowStart })
	for i := range b.backends {
		k := b.backends[(b.turn+i)%len(b.backends)]
		rank, load := b.rank(f, k), float64(k.open)
		if warm {
			load = (load + 1) / k.share(now, b.config.SlowStart)
		}
		if rank == 0 || rank < bestRank || best != nil && rank == bestRank && load >= bestLoad || slices.Contains(tried, k) {
			continue
		}
		best, bestRank, bestLoad = k, rank, load
	}
	if best != nil {
		best.open++
	}
	return best, b.leader, b.changed
}

// share is what part of its share of the connections a backend is given beside one that has been ready for long: one that has just come has
// the fewest, and would be given every new one while its caches are empty.
func (k *backend) share(now time.Time, slowStart time.Duration) float64 {
	if k.state != Ready {
		return 1
	}
	return min(max(float64(now.Sub(k.since))/float64(slowStart), slowestShare), 1)
}

// rank says how well a backend suits a front: 0 is not at all. The lock is held.
func (b *Balancer) rank(f *front, k *backend) int {
	switch {
	case k.leaving || k.Doors[f.Name] == "":
		return 0
	case f.Policy == ToLeader && k.Name == b.leader && k.state != Down:
		return 5
	case k.state == Ready && slices.Contains(k.Reserve, f.Name):
		return 2
	case k.state == Ready && k.doubted.IsZero():
		return 4
	case k.state == Ready:
		return 3
	case k.state == NotReady:
		return 1
	}
	return 0
}

// release gives a connection's place back.
func (b *Balancer) release(k *backend) {
	b.lock.Lock()
	defer b.lock.Unlock()
	k.open--
	if k.leaving && k.open == 0 {
		b.backends = slices.DeleteFunc(b.backends, func(other *backend) bool { return other == k })
		b.tell()
	}
}

// failed notes that a backend did not take a connection, and has it asked at once how it is.
func (b *Balancer) failed(k *backend, err error) {
	b.release(k)
	b.lock.Lock()
	defer b.lock.Unlock()
	k.missed++
	if b.ctx.Err() == nil {
		b.enter(k, Down, err.Error())
	}
	select {
	case k.look <- struct{}{}:
	default:
	}
}

// doubt notes that a backend has ended a connection of its own accord, and has it asked how it is. As long as it has not answered, others are preferred: a
// process that dies goes on taking connections until its listener is closed, and whoever has just lost one would come to it again.
func (b *Balancer) doubt(k *backend) {
	b.lock.Lock()
	defer b.lock.Unlock()
	k.doubted = time.Now()
	select {
	case k.look <- struct{}{}:
	default:
	}
}

// enter changes a backend's state. The lock is held.
func (b *Balancer) enter(k *backend, s State, why string) {
	k.why = why
	if k.state == s {
		return
	}
	b.logger.Info("balancer: a backend changed", "backend", k.Name, "from", k.state, "to", s, "why", why)
	k.state, k.since = s, time.Now()
	b.tell()
}

// watch asks a backend how it is until ctx is done.
func (b *Balancer) watch(ctx context.Context, k *backend) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: checkTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	tick := time.NewTicker(b.config.CheckEvery)
	defer tick.Stop()
	for {
		asked := time.Now()
		state, why, err := ask(ctx, client, k.Ready)
		if ctx.Err() != nil {
			return
		}
		b.heard(k, asked, state, why, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(lookPause, b.config.CheckEvery)):
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.look:
		}
	}
}

// heard takes a backend's answer to a question, or its silence.
func (b *Balancer) heard(k *backend, asked time.Time, state State, why string, err error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	if err == nil {
		if asked.After(k.doubted) {
			k.doubted = time.Time{}
		}
		k.silences, k.heard = 0, time.Now()
		b.enter(k, state, why)
		return
	}
	switch k.silences++; {
	case k.silences >= silencesMax || refusedNow(err):
		b.enter(k, Down, err.Error())
	case k.state == Ready:
		b.enter(k, NotReady, err.Error())
	}
	if k.state == Down && time.Since(k.heard) > b.config.silent {
		for l := range b.links {
			if l.backend == k {
				l.reset()
			}
		}
	}
}

// startingLine stands in the answer of a node that has taken its addresses and does not serve yet (package ops, Starting).
const startingLine = "[-]started failed"

// firstFault gives the first check that failed, of an answer as /readyz gives it, or otherwise the status.
func firstFault(body []byte, status string) string {
	for line := range bytes.Lines(body) {
		if fault, ok := bytes.CutPrefix(line, []byte("[-]")); ok {
			return string(bytes.TrimSpace(fault))
		}
	}
	return status
}

// answerMax is how much of an answer is read.
const answerMax = 4 << 10

// ask gives a backend's state as it says itself, and why when it is not ready.
func ask(ctx context.Context, client *http.Client, url string) (State, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Down, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return Down, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return Down, "", err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return Ready, "", nil
	case bytes.Contains(body, []byte(startingLine)):
		return Starting, "it is starting", nil
	}
	return NotReady, firstFault(body, resp.Status), nil
}
