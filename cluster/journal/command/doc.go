// Package command holds the generated codecs of the journal's commands: what stands in the Raft log.
//
// It is generated from journal.proto by `make generate`; a test of the repository fails when the two have
// drifted apart. Nothing here is written by hand but this sentence.
package command
