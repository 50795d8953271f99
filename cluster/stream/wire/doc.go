// Package wire holds the generated codecs of the messages between nodes: what travels in a stream's frames.
//
// It is generated from stream.proto by `make generate`; a test of the repository fails when the two have drifted
// apart. Nothing here is written by hand but this sentence.
package wire
