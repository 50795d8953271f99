//go:build !race

package replica

// patience is how many times longer a cluster of a test waits before it gives a node up.
const patience = 1
