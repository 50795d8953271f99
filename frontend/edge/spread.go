package edge

import (
	"math/rand/v2"
	"time"
)

// Spread makes of a wait one that differs from client to client, so that those who are refused at one moment do not come again at one moment: no
// shorter than it, and up to twice as long, or a second longer where it is short.
func Spread(wait time.Duration) time.Duration {
	wait = max(wait, 0)
	return wait + rand.N(max(wait, time.Second)+1)
}
