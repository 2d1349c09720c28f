# The verbs of this repository; .ci/run calls the same ones.
#
#   make test    needs Go and nothing else, installs nothing, and names the
#                foreign clients it had to skip
#   make deps    installs those: npm modules, Debian packages and Pebble

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

CLIENTS  := cmd/usher/testdata/clients
EXOTIC   := cmd/usher/testdata/exotic
PORTABLE := ./frame ./record/... ./upgrade/... ./limiter ./login
FUZZTIME ?= 10s
SOAKTIME ?= 30m
SIEGETIME ?= 5m
TIMEOUT  ?= 18m
SLOWEST  := ./cmd/usher ./server
# Of a package's tests at a time: most wait for a program.
PARALLEL ?= 6

# The race detector needs a C compiler; go test does without, where there is none.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

.PHONY: all fmt lint test fuzz bench slopes soak churn siege pings quiet guard cluster clusterbench million exotic deps vuln screenshots static deb image

all: lint test

fmt:
	gofmt -w $$(go list -f '{{.Dir}}' ./...)

lint:
	@unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); \
	if [ -n "$$unformatted" ]; then echo "not formatted; run make fmt:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	GOOS=darwin go vet $(PORTABLE)
	GOOS=windows go vet $(PORTABLE)
	@said=$$(GOOS=darwin go build -o /dev/null ./cmd/usher 2>&1 | grep -v '^#' || true); \
	if [ "$$(wc -l <<<"$$said")" != 1 ] || [[ "$$said" != *"usher runs on Linux only"* ]]; then \
		echo "GOOS=darwin go build ./cmd/usher does not say in one sentence why it fails:"; echo "$$said"; exit 1; fi
	go tool -modfile=internal/tools/go.mod staticcheck ./...

# A program that needs nothing else of the system: for any Linux, and for images. GOARCH=arm64
# for another processor.
DIST   := dist
GOARCH := $(shell go env GOARCH)

static:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) go build -trimpath -ldflags '-s -w' -o $(DIST)/usher-$(GOARCH) ./cmd/usher

# The version of a Debian package: 1.2.0 at the tag v1.2.0, 1.2.0+5.g1a2b3c4 five commits later.
VERSION ?= $(or $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-\([0-9]*\)-g/+\1.g/; s/-/~/g'),0.0.0~$(shell git log -1 --format=%cd.g%h --date=format:%Y%m%d))

# It is tried on a copy of this system, which takes root and systemd-nspawn.
deb: static
	cd internal/tools/nfpm && GOFLAGS=-mod=readonly GOOS= GOARCH= go build -o $(CURDIR)/$(DIST)/nfpm .
	BINARY=$(DIST)/usher-$(GOARCH) GOARCH=$(GOARCH) VERSION=$(VERSION) SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		$(DIST)/nfpm packaging/deb/nfpm.yaml $(DIST)/usher_$(VERSION)_$(GOARCH).deb
	packaging/deb/try $(DIST)/usher_$(VERSION)_$(GOARCH).deb

# An image of nothing but the program and the certificates that it trusts. Without buildah or a
# docker that answers there is none.
image: static
	packaging/image/build $(DIST)/usher-$(GOARCH) $(GOARCH)

# The tests write the names of clients they miss into $$USHER_SKIPPED. Allocations are counted without
# the race detector, which adds some. What takes longest begins first.
test:
	@skipped=$$(mktemp); trap 'rm -f "$$skipped"' EXIT; status=0; \
	echo "go test $(RACE) -parallel $(PARALLEL) -timeout $(TIMEOUT) $(SLOWEST) ./..."; \
	USHER_SKIPPED="$$skipped" go test $(RACE) -parallel $(PARALLEL) -timeout $(TIMEOUT) $(SLOWEST) ./... || status=$$?; \
	echo "go test -run Alloc ./upgrade/..."; go test -run Alloc ./upgrade/... || status=$$?; \
	if [ -z "$(RACE)" ]; then echo "without the race detector, for want of a C compiler"; fi; \
	if [ -s "$$skipped" ]; then \
		echo "skipped, for want of these foreign clients (make deps installs them):" $$(sort -u "$$skipped"); \
	fi; \
	exit $$status

# Until Go 1.27 a run may end with "context deadline exceeded" when its time is up,
# golang/go#75804; that is no finding.
fuzz:
	@go test -list '^Fuzz' ./... | \
	awk '/^Fuzz/ { target[++n] = $$1 } $$1 == "ok" { for (i = 1; i <= n; i++) print $$2, target[i]; n = 0 }' | \
	while read -r package target; do \
		echo "$$package $$target"; \
		log=$$(mktemp); \
		if ! go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" | tee "$$log"; then \
			if grep -q 'Failing input' "$$log" || ! grep -q 'context deadline exceeded' "$$log"; then exit 1; fi; \
		fi; \
		rm -f "$$log"; \
	done

# All figures: the packages' own, usher beside everybody, beside the nearest for longer,
# with a crowd of idle ones, and one loop beside two. With ALSO='NAME=COMMAND' another
# server is measured, too, and with ALSOTLS one that speaks TLS. It takes an hour or so.
PEERS := gws,gorilla,coder,gnet,nbio,greatws,gobwas

bench:
	go test -run '^$$' -bench . -benchmem ./...
	go build -o usher ./cmd/usher
	./usher bench versus --peers $(PEERS) $(if $(ALSO),--also '$(ALSO)') -d 300ms \
		--questions echo-20,echo-512,echo-16k,echo-20x16,fanout-1,fanout-8,handshake,handshake-jwt,refuse,idle
	./usher bench versus --peers gnet,gws,gorilla $(if $(ALSO),--also '$(ALSO)') -d 500ms --out bench/results/engine \
		--questions echo-20,echo-512,echo-16k,echo-20x16,echo-20-text,echo-20x16-text,handshake-jwt,refuse
	./usher bench versus $(if $(ALSO),--also '$(ALSO)') -d 1s --out bench/results/idle \
		--questions paced-p99,paced-p999,idle-auth
	./usher bench versus --questions echo-20,echo-20x16 -d 400ms --out bench/results/loops \
		--also 'two loops=./usher serve --listen {addr} --echo /echo --loops 2'
	./usher bench versus --peers gorilla,nbio $(if $(ALSOTLS),--also '$(ALSOTLS)') -d 800ms --out bench/results/tls \
		--questions echo-tls,handshake-tls,idle-tls --conns 9000
	./usher bench versus -d 800ms --out bench/results/guard --questions guard-20,guard-16k,guard-20x16,guard-idle \
		--also 'nginx=bench/proxies/nginx.sh {port} {upstream}' --also 'HAProxy=bench/proxies/haproxy.sh {port} {upstream}'

# What an idle connection costs, without a name, with one, and with one in a room: usher beside
# the leanest, in one run. SLOPES='--rounds 9' for more.
slopes:
	go build -o usher ./cmd/usher
	./usher bench versus --peers gnet,gorilla $(if $(ALSO),--also '$(ALSO)') --rounds 5 --out bench/results/slopes \
		--questions idle,idle-user,idle-room $(SLOPES)

# The pictures in README; the page asks for the font Inter, or else takes the system's.
screenshots:
	go test -count 1 -run "Looks|StatsPage" ./cmd/usher -screenshots $(CURDIR)/docs/images

# Half an hour of people of every kind against a program; SOAKTIME=3m for less.
soak:
	USHER_SOAK=$(SOAKTIME) go test -run '^TestSoak$$' -count 1 -timeout 0 -v ./cmd/usher

# Ten million connects over a table of a hundred thousand users that stay, each with a token of its
# own and in a room: the memory stays what it was. An hour; CONNECTS=500000 TABLE=10000 for less.
churn:
	go build -o usher ./cmd/usher
	CONNECTS=$(or $(CONNECTS),10000000) TABLE=$(or $(TABLE),100000) bench/churn.sh

# Those that want to hurt others, each attack for a while, and what the others notice: with
# ALSO=PATH the same against another binary in turns. Then everything at random for a minute,
# which finds what no attack was written for. SIEGE='-seed 7 -only angles,pages' repeats a part.
siege:
	go build -o usher ./cmd/usher
	status=0; go run ./bench/siege -for $(SIEGETIME) $(SIEGE) $(ALSO) ./usher || status=$$?; \
	USHER_RANDOM=1m go test $(RACE) -run '^TestAtRandom$$' -count 1 -timeout 0 ./server && exit $$status

# What it costs to ping ten thousand clients that say nothing. WATCH=20 for less.
pings:
	go build -o usher ./cmd/usher
	bench/pings.sh

# A client that says nothing behind nginx, HAProxy and Caddy, all with their defaults, for five minutes.
quiet:
	USHER_QUIET=5m10s go test -run '^TestQuiet$$' -parallel 3 -count 1 -timeout 0 -v ./cmd/usher

# As many pairs as the files of a process allow held by usher guard, and a GiB through one of them.
guard:
	USHER_GUARD_PAIRS=9500 USHER_GUARD_MIB=1024 go test -run '^TestGuard(Pairs|Sips)$$' -count 1 -timeout 0 -v ./cmd/usher

# Three nodes and three thousand that stay, while the nats-server between them is killed twice, one
# node stands still and another is killed: what was sent, what was heard and what the nodes count
# as lost. MEMBERS=300 for less.
cluster:
	USHER_CLUSTER=$(or $(MEMBERS),3000) go test $(RACE) -run '^TestClusterCrowd$$' -count 1 -timeout 0 -v ./cmd/usher

# What a delivery costs and how long it takes in clusters of one to eight nodes, by turns; a quarter
# of an hour. CLUSTER='-rounds 1 -members 100' for less.
clusterbench:
	go build -o usher ./cmd/usher
	go run ./bench/cluster $(CLUSTER) ./usher

# A million connections on this machine, each with a token of its own: three nodes that embed the
# servers, and some fifty that come as their clients. NODES=5 EACH=2000 for less.
million:
	USHER_MILLION="$(or $(NODES),54) $(or $(EACH),18519)" go test -run '^TestMillion$$' -count 1 -timeout 0 -v ./cmd/usher

# A CA for tests, which no go.mod needs to know.
PEBBLE         := github.com/letsencrypt/pebble/v2/cmd
PEBBLE_VERSION := v2.10.3

# Installs what is in want. It must not start: that is what policy-rc.d says meanwhile.
define install
if [ $${#want[@]} -gt 0 ]; then \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
		trap '$$sudo rm -f $$policy' EXIT; \
		printf '#!/bin/sh\nexit 101\n' | $$sudo tee $$policy >/dev/null; \
		$$sudo chmod +x $$policy; \
	fi; \
	$$sudo apt-get update -q; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${want[@]}"; \
fi
endef

deps:
	@want=(); \
	command -v npm >/dev/null || want+=(nodejs npm); \
	command -v curl >/dev/null || want+=(curl); \
	command -v openssl >/dev/null || want+=(openssl); \
	command -v gnutls-cli >/dev/null || want+=(gnutls-bin); \
	command -v chromium >/dev/null || want+=(chromium); \
	command -v caddy >/dev/null || want+=(caddy); \
	command -v systemd-analyze >/dev/null || want+=(systemd); \
	command -v systemd-nspawn >/dev/null || want+=(systemd-container); \
	/usr/bin/python3 -c 'import websockets' 2>/dev/null || want+=(python3-websockets); \
	/usr/bin/python3 -c 'import jwt, cryptography' 2>/dev/null || want+=(python3-jwt python3-cryptography); \
	/usr/bin/python3 -c 'import fastapi, uvicorn' 2>/dev/null || want+=(python3-fastapi python3-uvicorn); \
	PATH=$$PATH:/usr/sbin command -v nginx >/dev/null || want+=(nginx-light); \
	PATH=$$PATH:/usr/sbin command -v haproxy >/dev/null || want+=(haproxy); \
	$(install)
	cd $(CLIENTS) && npm ci
	GOFLAGS=-mod=mod GOOS= GOARCH= go install $(PEBBLE)/pebble@$(PEBBLE_VERSION) $(PEBBLE)/pebble-challtestsrv@$(PEBBLE_VERSION)

# Java's client and Firefox, which the tests of every day do without: in the clear, over TLS 1.2 and
# over 1.3; and usher.js in a page in Firefox.
exotic:
	@want=(); \
	command -v npm >/dev/null || want+=(nodejs npm); \
	command -v javac >/dev/null || want+=(openjdk-17-jdk-headless); \
	command -v firefox-esr >/dev/null || want+=(firefox-esr); \
	$(install)
	cd $(EXOTIC) && npm ci
	USHER_EXOTIC=1 go test $(RACE) -run '^(TestJava|TestFirefox)$$' -count 1 -timeout 0 -v ./cmd/usher
	USHER_EXOTIC=1 go test $(RACE) -run '^TestModule(Refused|Full|Restarts|Expiry)$$/^firefox$$' -count 1 -timeout 0 -v ./cmd/usher

# Not part of lint: it asks the vulnerability database, which is elsewhere.
vuln:
	go tool -modfile=internal/tools/go.mod govulncheck ./...
