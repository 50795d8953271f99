// Package loadtest gives tests of the load a server that answers as they tell it.
package loadtest
