# Every target has a line of help; `make` alone lists them.

GO       ?= go
# The packages of the inner loop: no server is started.
UNIT     := ./binpack/... ./pricing/... ./cloudprovider/... ./provisioner/... ./charts/... ./cmd/... ./test/sim/... ./test/corpus/... ./test/scale/... ./test/tidy/... ./test/demo/...
# Those of the inner loop that have more than one goroutine.
RACE     := ./cloudprovider/... ./pricing/... ./cmd/... ./provisioner/state ./provisioner/provision \
            ./provisioner/lifecycle ./provisioner/nodepool ./provisioner/interrupt ./provisioner/disrupt ./provisioner/metrics ./test/sim/...
# Those that start servers: the EC2 simulator, or a real control plane.
SERVERS  := ./test/ec2sim/... ./test/conformance/... ./test/controlplane/... ./test/crd/... ./test/e2e/...
# A number of runs for each target. Where it is a time, go test may report its end as a failure
# (go.dev/issue/75804, until Go 1.27).
FUZZTIME ?= 20000x
# How many random clusters kube-scheduler's own plugins judge: always the same ones.
WORLDS   ?= 30000
# In how many random worlds make sim lets a cluster live.
LIVES    ?= 1000
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# One way to compile for everything but the race detector: it is compiled once.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath

.DEFAULT_GOAL := help
.PHONY: help build unit test demo lint fuzz sim day test-peer bench bench-peer generate golden clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/stowage
	$(GO) build -ldflags "-s -w -X main.version=$(VERSION)" -o bin/stowage ./cmd/stowage

unit: build ## the inner loop: every test that starts no server
	$(GO) test $(UNIT)

test: lint unit ## everything that CI checks, end to end on a real control plane included
	CGO_ENABLED=1 $(GO) test -race -timeout 40m $(RACE)
	$(MAKE) fuzz FUZZTIME=10000x WORLDS=10000
	$(GO) run ./test/controlplane/build
	$(GO) test -p 1 -timeout 30m $(SERVERS)
	$(MAKE) test-peer

test-peer: ## the released Karpenter and Stowage run one cluster in turn, and drift nothing
	cd test/peer && $(GO) vet ./... && $(GO) test ./handover

demo: build ## a cluster on loopback, 500 pods, live; KEEP=1 leaves it running
	$(GO) run ./test/demo $(if $(KEEP),-keep)

lint: ## formatting, vet, staticcheck
	@out=$$(gofmt -l binpack charts cloudprovider cmd pricing provisioner test); test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## each fuzz target for FUZZTIME runs (20000x), and WORLDS (30000) that kube-scheduler judges
	@set -e; for pkg in $$(grep -rl --include=*_test.go '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -rhoE --include=*_test.go '^func Fuzz[A-Za-z0-9]+' $$pkg | cut -c6- | sort); do \
	    echo "fuzz $$pkg $$target"; $(GO) test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) $$pkg; done; done
	STOWAGE_WORLDS=$(WORLDS) $(GO) test -run='^TestSchedulerAgrees$$' ./provisioner/problem

sim: ## nodes end in every way in LIVES (1000) random worlds on a virtual clock, while everything fails that can
	GOGC=off GOMEMLIMIT=4GiB $(GO) test ./test/sim -run '^TestLife$$' -lives $(LIVES) -trouble 20s -v -timeout 3h

day: ## a day of a churning workload, lived with each consolidation policy, as a table; two hours
	GOGC=400 $(GO) test ./test/sim -run '^TestDay$$' -day 24h -v -timeout 6h

bench: ## the benchmarks: pods/s, $/h, gap, allocations; 5,000 nodes at rest
	$(GO) test -run='^$$' -bench=. -benchmem ./binpack/... ./provisioner/... ./test/corpus/...
	$(GO) test -run='^$$' -bench=Memory -benchtime=1x ./test/scale
	$(GO) test -run='^$$' -bench=Steady -benchtime=120x -v ./test/scale

bench-peer: ## against Karpenter's scheduler and consolidation, an hour; writes docs/benchmarks*.md
	cd test/peer && $(GO) test . && $(GO) run . -out ../../docs/benchmarks.md && \
		$(GO) run . -consolidation -out ../../docs/benchmarks-consolidation.md

generate: ## deepcopy, CRDs, IAM policies, the API model, the embedded catalog and prices
	$(GO) generate ./...

golden: ## write the golden files anew; look at the diff
	$(GO) test ./binpack ./charts ./cloudprovider/aws ./cmd/stowage ./provisioner/problem ./test/tidy -rewrite

clean: ## remove what was built in the tree
	rm -rf bin dist
