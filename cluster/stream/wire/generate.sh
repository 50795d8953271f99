#!/bin/sh
# Makes the Go code of stream.proto. Needs protoc (Debian: protobuf-compiler); the plugins come from go.mod's tools.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN="$bin" go install google.golang.org/protobuf/cmd/protoc-gen-go github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto
out=${1:-.}
PATH="$bin:$PATH" protoc --proto_path=. \
	--go_out="$out" --go_opt=paths=source_relative \
	--go-vtproto_out="$out" --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size \
	stream.proto
