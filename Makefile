# netbank. `make help` lists the targets.
SHELL := /bin/bash
GO ?= go
TOOL = $(GO) tool -modfile=.ci/tools.mod
# Packages whose tests run the real programs, browsers among them. They wait more than they work, so two of them run at once.
SYSTEM = netbank/cmd/internal/browser netbank/cmd/internal/system netbank/cmd/internal/benchmark
BASE ?= HEAD~1

.DEFAULT_GOAL := help
.PHONY: help build run test unit system needs check screenshots generate limits fuzz bench bench-compare chaos chaos-bugs peers clean go-version

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

go-version:
	@$(GO) version >/dev/null 2>&1 || { echo "netbank needs Go 1.26 or newer; no '$(GO)' command was found. See https://go.dev/doc/install" >&2; exit 2; }
	@v=$$($(GO) env GOVERSION | sed 's/^go//; s/[^0-9.].*//'); \
	[ "$$(printf '%s\n' 1.26 "$$v" | sort -V | head -n1)" = 1.26 ] || { echo "netbank needs Go 1.26 or newer; this is Go $$v. See https://go.dev/doc/install" >&2; exit 2; }

build: go-version ## make bin/netbank and bin/netbank-lab
	CGO_ENABLED=0 $(GO) build -o bin/ ./cmd/netbank ./cmd/netbank-lab

run: build ## a whole bank on this machine, with a shop to try it; NODES=3 WORKERS=2: as a cluster
	exec bin/netbank-lab dev $(if $(NODES),--nodes $(NODES)) $(if $(WORKERS),--workers $(WORKERS))

test: go-version needs check unit system ## everything: rules, unit and property tests, browsers, crashes

needs: ## install what the tests use beside Go
	.ci/needs

check: go-version ## formatting, go vet, staticcheck
	@bad=$$($(TOOL) gofumpt -l $$(git ls-files '*.go' | xargs grep -L '^// Code generated .* DO NOT EDIT')); test -z "$$bad" || { echo "gofumpt would change:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	$(TOOL) staticcheck ./...

unit: go-version ## unit and property tests, with the race detector
	$(GO) test -race $$($(GO) list ./... | grep -v -F -x $(SYSTEM:%=-e %) -e netbank/bench/sim)
	$(GO) test ./bench/sim # which has one goroutine, and plays hours
	$(GO) test ./cluster -run 'Invariants_HoldInRandomHistories$$' -rapid.checks=2000

system: go-version build ## browsers and crashes, with the real programs
	$(GO) test -p 2 -count=1 -timeout 20m $(SYSTEM)

screenshots: go-version needs ## pictures of every page customers see, in both languages, light and dark, into results/screenshots
	@mkdir -p results/screenshots
	NETBANK_SCREENSHOTS=$(CURDIR)/results/screenshots $(GO) test -count=1 -run 'TestInABrowser/AxeFindsNothing|TestTheLineInABrowser' ./cmd/internal/browser

generate: ## write the generated code anew (needs protoc: Debian's protobuf-compiler)
	.ci/generate cluster/journal/command/journal.proto
	.ci/generate cluster/stream/wire/stream.proto

limits: ## write docs/limits.md anew
	$(GO) test ./cmd/internal/repository -run Limits -update

FUZZTIME ?= 30s
fuzz: go-version ## every fuzz target for FUZZTIME (30s)
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; \
		done; \
	done

SCENARIO ?=
BENCHFLAGS ?=
bench: build ## measure everything in short, within ten minutes; the reports go to results/
	bin/netbank-lab bench $(or $(SCENARIO),all) --commit "$$(git describe --always --dirty --exclude='*' --abbrev=40 2>/dev/null)" $(BENCHFLAGS)

RUNS ?= 4
SECONDS ?=
bench-compare: go-version ## two commits side by side: BASE=HEAD~1 SCENARIO=single RUNS=4 SECONDS=5 BENCHFLAGS=...
	@bench/compare --scenario '$(or $(SCENARIO),single)' --runs '$(RUNS)' $(if $(SECONDS),--seconds '$(SECONDS)') '$(BASE)' -- $(BENCHFLAGS)

SEED ?=
CHAOSFLAGS ?=
chaos: build ## faults from a seed for SECONDS (120) against a bank of processes, and a look at its promises: SEED=1 CHAOSFLAGS=...
	bin/netbank-lab chaos --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) $(CHAOSFLAGS)

chaos-bugs: go-version ## plant bugs into copies of netbank, and show that chaos finds each: BUGS="ended-session"
	GO=$(GO) cmd/internal/chaos/planted $(BUGS)

peers: go-version ## check and test the module that puts others' limiters before the simulated core (cd bench/peers && go run . for its table)
	cd bench/peers && $(GO) vet ./... && $(GO) tool -modfile=$(CURDIR)/.ci/tools.mod staticcheck ./... && $(GO) test ./...

clean: ## remove what was built and the demo bank's data
	rm -rf bin data results
