# netbank. `make help` lists the targets.
SHELL := /bin/bash
GO ?= go

.DEFAULT_GOAL := help
.PHONY: help build run test check generate fuzz bench clean go-version

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

go-version:
	@$(GO) version >/dev/null 2>&1 || { echo "netbank needs Go 1.26 or newer; no '$(GO)' command was found. See https://go.dev/doc/install" >&2; exit 2; }
	@v=$$($(GO) env GOVERSION | sed 's/^go//; s/[^0-9.].*//'); \
	[ "$$(printf '%s\n' 1.26 "$$v" | sort -V | head -n1)" = 1.26 ] || { echo "netbank needs Go 1.26 or newer; this is Go $$v. See https://go.dev/doc/install" >&2; exit 2; }

build: go-version ## make bin/netbank and bin/netbank-lab
	CGO_ENABLED=0 $(GO) build -o bin/ ./cmd/netbank ./cmd/netbank-lab

run: build ## a whole bank on this machine, with a shop to try it
	exec bin/netbank-lab dev

check: go-version ## formatting, go vet, and the rules of the repository
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

test: go-version check ## all tests, with the race detector
	$(GO) test -race ./...

generate: ## write the generated code anew (needs protoc: Debian's protobuf-compiler)
	cluster/journal/command/generate.sh

clean: ## remove what was built and the demo bank's data
	rm -rf bin data results
