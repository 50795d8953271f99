//go:build !linux

package chaos

import (
	"errors"
	"time"
)

// namespaces are Linux's.
type namespaces struct{ delays bool }

func newNamespaces(int, func(string, ...any)) (*namespaces, error) {
	return nil, errors.New("chaos: this system has no network namespaces")
}

func (s *namespaces) enter(int) error         { return nil }
func (s *namespaces) open(string, int) error  { return nil }
func (s *namespaces) offer(string, int) error { return nil }
func (s *namespaces) address(int) string      { return "" }
func (s *namespaces) stop(int, int) func()    { return func() {} }
func (s *namespaces) slow(int, time.Duration) {}
func (s *namespaces) heal()                   {}
func (s *namespaces) close()                  {}
