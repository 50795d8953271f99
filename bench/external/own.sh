#!/usr/bin/env bash
# own.sh DATA_DIR LOOP: the same pages by this project's own generator, on 64 connections. LOOP is open, open-from-sending (the same,
# counting from when a request was sent) or closed; RATE (1000, open only) and DURATION (10s) are taken from the environment.
. "$(dirname "$0")/demo.sh"
. "$here/links.sh"
export RATE=${RATE:-1000} DURATION=${DURATION:-10s}
cd "$here"
go test -run '^$' -bench "^BenchmarkSignInPages\$/^${1:?which loop? open, open-from-sending or closed}\$" -benchtime 1x .
