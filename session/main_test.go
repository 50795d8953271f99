package session

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing that the package starts outlives its Store.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
