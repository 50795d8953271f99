//go:build !linux

package chaos

import "net"

// ownerOf does not know: the links of a node can then be stopped all together only.
func ownerOf(_, _ net.Addr, _ []int) int { return 0 }
