# `make help` lists the targets. Everything that is fetched or built lies in bin/ and .cache/.

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION)

GOLANGCI_VERSION := v2.15.0
GOLANGCI         := .cache/tools/golangci-lint-$(GOLANGCI_VERSION)
NFPM_VERSION     := v2.45.2
NFPM             := .cache/tools/nfpm-$(NFPM_VERSION)

# Packages and the image are for these; the time in them is the commit's.
ARCHES  ?= amd64 arm64 ppc64le s390x
CREATED := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
IMAGE   := dist/routed-$(VERSION).oci.tar

# The Kubernetes whose API server `make test-kube` builds: what lab/kube/go.mod requires.
KUBE_VERSION := $(shell sed -n 's,^	k8s.io/kubernetes \(v[^ ]*\).*,\1,p' lab/kube/go.mod)
KUBE         := .cache/kube/$(KUBE_VERSION)

.DEFAULT_GOAL := build

.PHONY: help build package image $(ARCHES:%=image-%) demo demo-bookinfo test unit test-arch test-install test-kube bench bench-scale gobench soak partition flood screenshots lint fmt fuzz deps clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-15s %s\n", $$1, $$2}' Makefile

build: ## the static binary bin/routed
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/routed ./cmd/routed

package: image $(NFPM) ## .deb, .rpm and the image in dist/, for each of ARCHES
	NFPM=$(CURDIR)/$(NFPM) VERSION=$(VERSION) REVISION=$(REVISION) SOURCE_DATE_EPOCH=$(CREATED) \
		deploy/packages/build.sh dist deb,rpm $(ARCHES)

image: $(ARCHES:%=image-%) ## the container image for all ARCHES, an OCI archive in dist/; needs no container engine
	$(GO) run ./deploy/image/pack -version $(VERSION) -revision $(REVISION) -created $(CREATED) -o $(IMAGE) \
		$(foreach arch,$(ARCHES),$(arch)=dist/linux-$(arch)/routed)

$(ARCHES:%=image-%): image-%:
	CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o dist/linux-$*/routed ./cmd/routed

demo: deps build ## the mesh of two clusters, end to end, on this machine
	CGO_ENABLED=0 $(GO) build -o bin/demo ./lab/demo
	bin/demo --routed bin/routed $(DEMO_FLAGS)

demo-bookinfo: deps build ## Bookinfo across the two clusters; DEMO_FLAGS=--serve stays up for a browser
	CGO_ENABLED=0 $(GO) build -o bin/bookinfo ./examples/bookinfo/cmd/bookinfo
	CGO_ENABLED=0 $(GO) build -o bin/demo-bookinfo ./examples/bookinfo/cmd/demo
	bin/demo-bookinfo --routed bin/routed --bookinfo bin/bookinfo $(DEMO_FLAGS)

test: deps lint unit ## everything CI runs

# One package at a time: tests that measure times must not compete with each other for the processors. Not from the test
# cache: kernels and BIRDs are not in it.
unit: $(NFPM) ## every test, without the linter
	ROUTED_TEST_NFPM=$(CURDIR)/$(NFPM) ROUTED_TEST_BIRDS=$$($(GO) run ./lab/fetch) $(GO) test -race -count=1 -p 1 -timeout 20m ./...

test-arch: ## the tests without a kernel of their own on arm64, ppc64le and s390x, by qemu
	lab/arch.sh

test-install: deps $(NFPM) ## the package on a clean Debian (or SUITE=…), by debootstrap, as root
	ROUTED_TEST_NFPM=$(CURDIR)/$(NFPM) lab/install.sh $(or $(SUITE),bookworm)

test-kube: deps $(KUBE)/kube-apiserver ## the manifests and the roster against a real Kubernetes API server
	cd lab/kube && CGO_ENABLED=0 ROUTED_KUBE=$(CURDIR)/$(KUBE) ROUTED_LAB_CACHE=$(CURDIR)/.cache/lab \
		$(GO) test -trimpath -count=1 -timeout 20m ./...

# Once for each version; minutes. The tests are built in the same way, so that they find client-go compiled.
$(KUBE)/kube-apiserver:
	mkdir -p $(KUBE)
	cd lab/kube && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION)' \
		-o $(CURDIR)/$(KUBE)/ tool

bench: deps build ## routed beside BIRD 1.6, BIRD 2 and FRR, in one run; BENCH_FLAGS=-quick for less
	CGO_ENABLED=0 $(GO) build -o bin/bench ./lab/bench
	bin/bench -routed bin/routed $(BENCH_FLAGS)

bench-scale: deps build ## the same with up to 1,000 sessions, and with 100,000 routes of two reflectors
	CGO_ENABLED=0 $(GO) build -o bin/bench ./lab/bench
	bin/bench -routed bin/routed -competitors routed,bird2,frr -parts sessions,reflectors,scrape -idle 10s $(BENCH_FLAGS)

gobench: ## the Go benchmarks, of a real table as root; BENCH=REGEXP for some of them
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./kernel ./peering ./page ./metrics

soak: ## ten minutes of everything that can happen to a route table, as root
	ROUTED_SOAK=$(or $(SOAKTIME),10m) $(GO) test -count=1 -timeout 60m -run '^TestKernelSoak$$' -v ./kernel

partition: deps ## ten minutes without the other cluster, then ten without the local BIRD
	ROUTED_PARTITION=$(or $(PARTITIONTIME),10m) $(GO) test -race -count=1 -timeout 120m -run '^TestAway$$' -v ./lab

flood: deps ## a peer that announces a million prefixes, and what that costs
	ROUTED_FLOOD=1 $(GO) test -count=1 -run '^TestFlood$$' -v ./lab

screenshots: deps ## the pictures of docs/status-page.md and of Bookinfo, anew
	ROUTED_SCREENSHOTS=$(CURDIR)/docs/images $(GO) test -count=1 -run '^TestStatusPageOfALargeMesh$$|^TestOperating$$/^(ColdStart|StatusPage)$$' ./lab
	ROUTED_SCREENSHOTS=$(CURDIR)/docs/images $(GO) test -count=1 -run '^TestStory$$' ./examples/bookinfo/cmd/demo

lint: $(GOLANGCI) ## golangci-lint
	$(GOLANGCI) run --allow-parallel-runners ./...

fmt: $(GOLANGCI) ## gofumpt and goimports
	$(GOLANGCI) fmt ./...

fuzz: ## each fuzz target for FUZZTIME
	lab/fuzz.sh $(or $(FUZZTIME),30s)

$(GOLANGCI):
	mkdir -p $(@D)
	GOBIN=$(CURDIR)/$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(@D)/golangci-lint $@

$(NFPM):
	mkdir -p $(@D)
	GOBIN=$(CURDIR)/$(@D) $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	mv $(@D)/nfpm $@

deps: ## the few host tools the lab and the race detector need
	@lab/deps.sh

clean: ## what was fetched or built
	rm -rf bin .cache dist
