//go:build race

package replica

const patience = 3
