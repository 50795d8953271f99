// Package machine says where a measurement was made: processor, kernel, runtime, the disk's cost of a sync, and how much
// processor time each process took. A figure without these cannot be compared with another.
//
// What cannot be found out is left empty and never guessed. On systems other than Linux most of it is.
package machine
