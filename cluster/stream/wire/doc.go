// Package wire holds the generated codecs of the messages between nodes: what travels in a stream's frames.
//
// It is generated from stream.proto by generate.sh (`make generate`); a test of the stream package fails when the two
// have drifted apart. Nothing here is written by hand but this sentence.
package wire
