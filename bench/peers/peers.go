package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"netbank/bench/sim"
)

// arrangement is how a limiter stands before the core.
type arrangement string

// The arrangements.
const (
	asBare   arrangement = "bare"
	asQueued arrangement = "own queue"
	asBehind arrangement = "behind our queue"
	ours     arrangement = "netbank"
)

// settingsMax is how many settings of a peer are tried.
const settingsMax = 20

// peer is a limiter in an arrangement, with the settings that are tried. The first are its defaults.
type peer struct {
	name        string
	arrangement arrangement
	settings    []setting
}

type setting struct {
	text  string
	begin func() admission
}

func (p *peer) add(text string, begin func() admission) {
	p.settings = append(p.settings, setting{text, begin})
}

func (p *peer) String() string { return p.name + ", " + string(p.arrangement) }

// peers are all there are, in the order of the tables.
func peers() []peer {
	all := fixedPeers()
	all = append(all, failsafePeers()...)
	all = append(all, concurrencyPeers()...)
	all = append(all, passPeers()...)
	return append(all, sentinelPeers()...)
}

// tunedFile holds the setting of each peer that did best on tuning seeds, written by --tune.
//
//go:embed tuned.json
var tunedFile []byte

// tuned gives the peer's best setting; its defaults, if it has no others.
func (p *peer) tuned() (setting, error) {
	var best map[string]string
	if err := json.Unmarshal(tunedFile, &best); err != nil {
		return setting{}, fmt.Errorf("peers: tuned.json: %w; write it anew with --tune", err)
	}
	text, known := best[p.String()]
	i := slices.IndexFunc(p.settings, func(s setting) bool { return s.text == text })
	switch {
	case !known:
		return p.settings[0], nil // one that has nothing to tune
	case i < 0:
		return setting{}, fmt.Errorf("peers: tuned.json has %q for %s, which is none of its settings; write it anew with --tune", text, p)
	}
	return p.settings[i], nil
}

// record is one run.
type record struct {
	Scenario string
	Seed     uint64
	Peer     string
	Kind     arrangement
	Tuned    bool
	Setting  string
	Percent  float64 // of the clairvoyant's value
	Finished float64 // of the flows let in, in percent
	Wasted   float64 // of the core's work, in percent
}

// entrant is what is played, and how it is recorded.
type entrant struct {
	as     record
	policy func(w *world) sim.Policy
}

// entrants are netbank and every peer, with defaults and with its best setting where that is another.
func entrants() ([]entrant, error) {
	all := []entrant{{as: record{Peer: "netbank", Kind: ours}, policy: func(*world) sim.Policy { return sim.Seek(0) }}}
	for _, p := range peers() {
		best, err := p.tuned()
		if err != nil {
			return nil, err
		}
		played := []setting{p.settings[0]}
		if best.text != p.settings[0].text {
			played = append(played, best)
		}
		for i, s := range played {
			all = append(all, entrant{
				as:     record{Peer: p.name, Kind: p.arrangement, Tuned: i > 0, Setting: s.text},
				policy: func(w *world) sim.Policy { return w.policy(p.String(), s.begin) },
			})
		}
	}
	return all, nil
}

// scenarios are those of the simulator. Where five times too much is asked for and more, everybody who is told no is work for the simulator; these are
// cut short.
func scenarios() []sim.Scenario {
	all := sim.Scenarios()
	for i := range all {
		switch {
		case all[i].Times >= 50:
			all[i].Length = min(all[i].Length, 10*time.Second)
		case all[i].Times >= 5:
			all[i].Length = min(all[i].Length, 60*time.Second)
		}
	}
	return all
}
