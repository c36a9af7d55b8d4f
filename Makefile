# make demo    back up real files, list and restore them
# make check   everything that has to hold: format, vet, staticcheck, all tests
# make bench   side by side with rsync, rsnapshot, restic, borg and kopia
SHELL = /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0)
PREFIX ?= /usr/local
PROGRAMS = $(notdir $(wildcard cmd/*))
GOFLAGS += -trimpath
LDFLAGS = -s -w -X b1000/internal/host.Version=$(VERSION)

# What the programs need to run, what the tests need, what the benchmark needs.
RUN_PACKAGES = rsync
CHECK_PACKAGES = $(RUN_PACKAGES) acl attr dbus e2fsprogs iproute2 kmod mariadb-server openssh-client openssh-server postgresql procps prometheus python3 shellcheck systemd systemd-container systemd-sysv util-linux
# Built there once: mongodump, mongorestore and FerretDB are no packages.
MONGODB = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/b1000/mongodb
# The manual and the packages.
CHECK_PACKAGES += binutils cpio mandoc rpm zstd
BENCH_PACKAGES = $(RUN_PACKAGES) borgbackup e2fsprogs python3 rsnapshot util-linux

# Programs that the tests need and Debian does not have, built once.
TEST_PROGRAMS ?= $(HOME)/.cache/b1000-tests

.PHONY: build install demo check test lint bench clean demo-setup check-setup bench-setup

build:
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o bin/ $(PROGRAMS:%=./cmd/%)

# Where systemd looks; PREFIX is for the programs.
UNITDIR ?= /usr/lib/systemd

install: build
	install -D -t $(DESTDIR)$(PREFIX)/bin bin/b1000 bin/b1000ctl bin/b1000d
	install -D -t $(DESTDIR)$(UNITDIR)/system-generators bin/b1000-generator
	install -d $(DESTDIR)$(UNITDIR)/system
	for u in units/*.service units/*.socket units/*.slice; do sed 's,/usr/bin/b1000,$(PREFIX)/bin/b1000,' $$u >$(DESTDIR)$(UNITDIR)/system/$$(basename $$u) || exit 1; done
	install -D -m 644 units/b1000.catalog $(DESTDIR)$(UNITDIR)/catalog/b1000.catalog
	install -D -m 644 units/b1000.tmpfiles $(DESTDIR)$(dir $(UNITDIR))tmpfiles.d/b1000.conf
	install -D -m 644 units/b1000.sysusers $(DESTDIR)$(dir $(UNITDIR))sysusers.d/b1000.conf
	for page in man/*.[1-9]; do install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit 1; done
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then journalctl --update-catalog; systemctl daemon-reload; fi

demo: demo-setup build
	contrib/demo.sh

check: check-setup build lint test

lint:
	@unformatted=$$(gofmt -l cmd internal contrib man); if [ -n "$$unformatted" ]; then echo "not gofmt-clean: $$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	go mod verify
	shellcheck contrib/*.sh .ci/run
	cd contrib/bench && shellcheck -x ./*.sh contenders/*.sh

# No test may be skipped where CI is set: what a test needs, check-setup installs.
test:
	@mkdir -p .cache
	PATH="$(TEST_PROGRAMS):$(MONGODB):$$PATH" go tool gotestsum --format pkgname --jsonfile .cache/tests.json -- -count=1 ./...
	@if [ -n "$$CI" ] && grep '"Action":"skip"' .cache/tests.json | grep '"Test"'; then echo "tests were skipped"; exit 1; fi

bench: bench-setup build
	contrib/bench/run.sh $(BENCH)

clean:
	rm -rf bin .cache

demo-setup:
	@contrib/packages.sh $(RUN_PACKAGES)

check-setup:
	@contrib/packages.sh $(CHECK_PACKAGES)
	@contrib/mongodb.sh $(MONGODB)
	@contrib/restic.sh $(TEST_PROGRAMS)

bench-setup:
	@contrib/packages.sh $(BENCH_PACKAGES)
