//go:build !linux

package load

func newPace() pace { return timers{} }
