package report

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/google/pprof/profile"
)

// Profile is what a profile of the bank says, in short.
type Profile struct {
	Phase string    `json:"phase"`
	Kind  string    `json:"kind"` // cpu or allocs
	File  string    `json:"file"`
	Unit  string    `json:"unit"`
	Total int64     `json:"total"`
	Top   []Hotspot `json:"top"` // by Flat
	// Causes are the functions of netbank itself with the greatest Cum: where to begin reading.
	Causes []Hotspot `json:"causes"`
}

// Hotspot is a function's share of a profile.
type Hotspot struct {
	Function string `json:"function"`
	Flat     int64  `json:"flat"` // in the function itself
	Cum      int64  `json:"cum"`  // in it and what it calls
}

// Allocated gives the profile of what was allocated between two heap profiles of one process.
func Allocated(before, after []byte) ([]byte, error) {
	first, err := profile.Parse(bytes.NewReader(before))
	if err != nil {
		return nil, fmt.Errorf("report: the first profile: %w", err)
	}
	second, err := profile.Parse(bytes.NewReader(after))
	if err != nil {
		return nil, fmt.Errorf("report: the second profile: %w", err)
	}
	first.Scale(-1)
	between, err := profile.Merge([]*profile.Profile{first, second})
	if err != nil {
		return nil, fmt.Errorf("report: the profiles are of two processes: %w", err)
	}
	between.DefaultSampleType = "alloc_space"
	var b bytes.Buffer
	if err := between.Write(&b); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// TopMax is how many functions a Profile lists.
const TopMax = 15

// ReadProfile reads a profile in pprof's format and ranks its functions by one of its sample types ("cpu", "alloc_space").
// own tells which functions belong under Causes.
func ReadProfile(text []byte, sample string, own func(function string) bool) (*Profile, error) {
	p, err := profile.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("report: the profile: %w", err)
	}
	index, err := p.SampleIndexByName(sample)
	if err != nil {
		return nil, fmt.Errorf("report: the profile: %w", err)
	}
	flat, cum := map[string]int64{}, map[string]int64{}
	out := &Profile{Unit: p.SampleType[index].Unit}
	for _, s := range p.Sample {
		v := s.Value[index]
		out.Total += v
		seen := map[string]bool{}
		leaf := true
		for _, l := range s.Location {
			for _, line := range l.Line {
				if line.Function == nil {
					continue
				}
				name := line.Function.Name
				if leaf {
					flat[name] += v
					leaf = false
				}
				if !seen[name] {
					seen[name] = true
					cum[name] += v
				}
			}
		}
	}
	out.Top = rank(flat, cum, func(h *Hotspot) int64 { return h.Flat }, nil)
	out.Causes = rank(flat, cum, func(h *Hotspot) int64 { return h.Cum }, own)
	return out, nil
}

func rank(flat, cum map[string]int64, by func(*Hotspot) int64, own func(string) bool) []Hotspot {
	all := make([]Hotspot, 0, len(cum))
	for name, c := range cum {
		if own == nil || own(name) {
			all = append(all, Hotspot{name, flat[name], c})
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if x, y := by(&all[i]), by(&all[j]); x != y {
			return x > y
		}
		return all[i].Function < all[j].Function
	})
	return all[:min(TopMax, len(all))]
}
