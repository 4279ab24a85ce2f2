# `make help` lists what there is to make. git, go and make are enough to start.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Go and the linter keep their caches below HOME; without one, below .tools,
# which the go command passes over because of its dot.
ifeq ($(strip $(HOME)),)
export HOME := $(CURDIR)/.tools/home
endif

# The version is told by -X below; Go's own stamp would only fail where git
# refuses a checkout that belongs to someone else.
# Google's storage library without its other protocol, which Fairlead never speaks:
# it would be a sixth of the program, and of what lies in memory at rest.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false -tags=disable_grpc_modules)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export GOARCH := $(or $(GOARCH),$(shell go env GOARCH))

# DEMO_SHELL is the shell of the demo's images, which the program carries.
DEMO_SHELL := internal/demoimage/embedded/sh-linux-$(GOARCH).gz

LINT_VERSION := v2.15.0
LINT := .tools/golangci-lint-$(LINT_VERSION)/golangci-lint

# axe-core tests pages for accessibility. It is of npm, and of tests alone.
AXE_VERSION := 4.14.1
AXE_SHA512 := 1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
AXE := .tools/axe/axe.min.js
AXE_PACKAGE := .tools/axe/axe-core-$(AXE_VERSION).tgz

# What make test tests, the time for each target of make fuzz, and what make
# bench measures: all, if nothing is named.
PACKAGES ?= ./...
FUZZTIME ?= 20s
MEASURES ?=

# What make bench-pull is told: --quick, --size 100MB, --runs 3, --json…
PULL ?=

# What make bench-cache is told: --quick, --size 100MB, --steps warm, --only distribution…
CACHE ?=

# What make bench-lazy is told: --size 100MB, --runs 1, --link shaped, --json…
LAZY ?=

# Programs that make bench-pull and bench-cache measure beside Fairlead, of these versions, that
# make test-trees has images made by, and that make test-conformance pulls with.
PEERS := .tools/peers
CONTAINERD_VERSION := v2.4.2
CRANE_VERSION := v0.22.1
DISTRIBUTION_VERSION := v3.1.2
CONFORMANCE_VERSION := v0.0.0-20260831232431-97274622c111
peer = CGO_ENABLED=0 GOBIN='$(CURDIR)/$(PEERS)' go install $(1)

.PHONY: help
help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: $(DEMO_SHELL) ## Build bin/fairlead, one static program
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/fairlead ./cmd/fairlead

$(DEMO_SHELL): $(filter-out %_test.go,$(wildcard internal/demoimage/shell/*.go)) go.mod
	CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags '-s -w' -o build/sh ./internal/demoimage/shell
	gzip -9nc build/sh >$@

.PHONY: man
man: build ## Write the manual to build/man, a page for each command
	SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct 2>/dev/null || date +%s)" bin/fairlead man build/man

.PHONY: demo
demo: prerequisites build ## Build it and take the two-minute tour (as root)
	bin/fairlead demo $(if $(CI),--once)

.PHONY: test
test: test-prerequisites $(DEMO_SHELL) ## Run all tests with the race detector (as root)
	go test -race -timeout 15m -p 2 $(PACKAGES)

.PHONY: test-kills
test-kills: $(DEMO_SHELL) ## Kill a pull, a cache and the whole program at fifty moments and take it up again (as root)
	go test -v ./internal/pull -run '^TestAPullThatIsKilled' -rounds 50
	go test -v ./internal/blobs -run '^TestAProcessThatIsKilled' -rounds 50
	go test -v ./internal/cli/pullthrough -run '^TestTheProgramThatIsKilled|^TestALieOfTheRegistry' -rounds 50

.PHONY: test-trees
test-trees: $(DEMO_SHELL) test-trees-prerequisites ## Compare trees of many tools' images with containerd's (as root)
	PATH="$(CURDIR)/$(PEERS):$$PATH" GOFLAGS= go test -buildvcs=false -tags disable_grpc_modules,trees -timeout 15m \
		-run Tree ./internal/pull

# DEBS are of Debian, whose files are a distribution's.
DEBS := base-files bash coreutils dash libc6 login passwd perl-base tzdata util-linux

.PHONY: test-trees-prerequisites
test-trees-prerequisites: ## Install what makes the images of make test-trees
	$(call need,command -v skopeo && command -v umoci && command -v buildah && command -v bsdtar && command -v dpkg-deb,\
		skopeo umoci buildah libarchive-tools,make test-trees compares images that they make)
	$(call peer,github.com/google/go-containerregistry/cmd/crane@$(CRANE_VERSION))
	@mkdir -p .tools/debs && cd .tools/debs && { ls *.deb >/dev/null 2>&1 || { apt-get update -qq && apt-get download -qq $(DEBS); } || \
		{ echo "Put packages of Debian ($(DEBS)) into .tools/debs: make test-trees compares their files."; exit 1; }; }

.PHONY: test-conformance
test-conformance: $(DEMO_SHELL) test-conformance-prerequisites ## Run the OCI's own suite and other clients against the cache (as root)
	PATH="$(CURDIR)/$(PEERS):$$PATH" GOFLAGS= go test -buildvcs=false -tags disable_grpc_modules,conformance -count 1 \
		-run 'Suite|^TestTheClient' ./internal/mirror ./internal/cli/pullthrough

.PHONY: test-conformance-prerequisites
test-conformance-prerequisites: ## Install what make test-conformance runs
	$(call peer,github.com/opencontainers/distribution-spec/conformance@$(CONFORMANCE_VERSION))
	$(call peer,github.com/google/go-containerregistry/cmd/crane@$(CRANE_VERSION))
	$(call peer,github.com/containerd/containerd/v2/cmd/containerd@$(CONTAINERD_VERSION))
	$(call peer,github.com/containerd/containerd/v2/cmd/ctr@$(CONTAINERD_VERSION))
	$(call need,command -v skopeo && command -v podman && command -v buildah && command -v docker && command -v dockerd,\
		skopeo podman buildah docker.io,make test-conformance pulls with them)

.PHONY: lint
lint: $(LINT) $(DEMO_SHELL) ## Run go vet, gofumpt and the other linters of .golangci.yaml
	@# Without cgo and with the flags of build, so that compiled packages are shared with it.
	CGO_ENABLED=0 GOFLAGS='$(GOFLAGS) -trimpath' $(LINT) run

.PHONY: fmt
fmt: $(LINT) ## Format all Go files with gofumpt
	$(LINT) fmt

$(LINT):
	CGO_ENABLED=0 GOBIN='$(CURDIR)/$(@D)' go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

.PHONY: fuzz
fuzz: $(DEMO_SHELL) ## Run each fuzz target for a short time (FUZZTIME=20s)
	@grep -rEo '^func Fuzz\w+' --include='*_test.go' bench cmd internal | sort | while IFS=: read -r file func; do \
		echo "$$file: $${func#func }"; \
		go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "./$${file%/*}"; \
	done

.PHONY: bench
bench: prerequisites build ## Measure the real program beside its peers and limits (as root)
	go run ./bench $(MEASURES)

.PHONY: bench-pull
bench-pull: $(DEMO_SHELL) ## Measure a cold pull beside its peers and limits (as root; PULL=--quick)
	go build -o build/bench-pull ./bench/pull
	PATH="$(CURDIR)/$(PEERS):$$PATH" build/bench-pull $(PULL)

.PHONY: bench-pull-peers
bench-pull-peers: ## Install what make bench-pull compares with
	$(call peer,github.com/containerd/containerd/v2/cmd/containerd@$(CONTAINERD_VERSION))
	$(call peer,github.com/containerd/containerd/v2/cmd/ctr@$(CONTAINERD_VERSION))
	$(call peer,github.com/google/go-containerregistry/cmd/crane@$(CRANE_VERSION))
	$(call need,command -v skopeo && command -v umoci && command -v podman,skopeo umoci podman,make bench-pull measures pulls with them too)

.PHONY: bench-cache
bench-cache: build ## Measure the pull-through cache beside its peers and limits (as root; CACHE=--quick)
	go build -o build/bench-cache ./bench/cache
	PATH="$(CURDIR)/$(PEERS):$$PATH" build/bench-cache $(CACHE)

.PHONY: bench-cache-peers
bench-cache-peers: ## Install what make bench-cache compares with
	$(call peer,github.com/distribution/distribution/v3/cmd/registry@$(DISTRIBUTION_VERSION))
	$(call need,command -v nginx,nginx-light,make bench-cache measures it as a caching proxy)

.PHONY: bench-lazy
bench-lazy: $(DEMO_SHELL) ## Measure starting on an image before it is there (as root; LAZY='--size 100MB')
	cd bench/lazy && go vet ./... && go test ./... && go build -o ../../build/bench-lazy .
	build/bench-lazy $(LAZY)

.PHONY: bench-index
bench-index: ## Measure how an image's credential is found among many patterns
	go test -run '^$$' -bench Index -benchmem ./internal/image

# What a machine must have. Debian and Ubuntu get it if root asks; elsewhere one
# sentence says what to install.
# $(call need,IS IT THERE,PACKAGES,WHAT IT IS FOR)
need = @{ $(1); } >/dev/null 2>&1 || { \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing $(2)" && export DEBIAN_FRONTEND=noninteractive && \
		{ log=$$(apt-get update 2>&1 && apt-get install -y --no-install-recommends $(2) 2>&1) || { echo "$$log"; false; }; }; \
	else false; fi; } || { echo "Install $(2): $(3)."; exit 1; }

.PHONY: prerequisites
prerequisites: ## Install runc if neither runc nor crun is here
	$(call need,command -v runc || command -v crun,runc,Fairlead runs containers with runc or crun)

.PHONY: test-prerequisites
test-prerequisites: $(AXE) ## Install what the tests want: runc, crun, igzip, chromium, axe-core, mandoc, gcc and libc6-dev
	$(call need,command -v runc && command -v crun,runc crun,the tests run containers with both)
	$(call need,command -v igzip,isal,the tests unpack layers with igzip and without it)
	$(call need,command -v chromium || command -v chromium-browser || command -v google-chrome,chromium,the tests look at pages with it)
	$(call need,command -v mandoc,mandoc,the tests check the manual with it)
	$(call need,echo '#include <stdlib.h>' | $$(go env CC) -E -,gcc libc6-dev,Go's race detector needs a C compiler)

$(AXE): $(AXE_PACKAGE)
	@tar -xzOf $< package/axe.min.js >$@

$(AXE_PACKAGE):
	$(call need,command -v npm || command -v curl,curl ca-certificates,make fetches axe-core with it)
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then npm pack --silent --pack-destination $(@D) axe-core@$(AXE_VERSION) >/dev/null; \
		else curl -fsSL --retry 3 -o $@ https://registry.npmjs.org/axe-core/-/$(@F); fi
	@echo '$(AXE_SHA512)  $@' | sha512sum --check --quiet
