//go:build !linux

package derive

// lowerPriority does nothing: apart from Linux, a process of its own has to do.
func lowerPriority() error { return nil }
