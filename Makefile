# make demo    back up real files, list and restore them
# make check   everything that has to hold: format, vet, staticcheck, all tests
# make packages  Debian and RPM packages, in bin/packages
# make bench   side by side with rsync, rsnapshot, restic, borg and kopia
SHELL = /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0)
PREFIX ?= /usr/local
PROGRAMS = $(notdir $(wildcard cmd/*))
GOFLAGS += -trimpath -buildvcs=false
BIN ?= bin
LDFLAGS = -s -w -X b1000/internal/host.Version=$(VERSION)

# What the programs need to run, what the tests need, what the benchmark needs.
RUN_PACKAGES = rsync
CHECK_PACKAGES = $(RUN_PACKAGES) acl attr dbus e2fsprogs iproute2 kmod mariadb-server nix-bin openssl openssh-client openssh-server postgresql procps prometheus python3 shellcheck systemd systemd-container systemd-sysv util-linux
# Built there once: mongodump, mongorestore and FerretDB are no packages.
MONGODB = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/b1000/mongodb
# The manual and the packages.
CHECK_PACKAGES += binutils btrfs-progs cpio mandoc rpm xfsprogs zstd
BENCH_PACKAGES = $(RUN_PACKAGES) borgbackup e2fsprogs openssh-client openssh-server openssl python3 rsnapshot stunnel4 util-linux

# Programs that the tests need and Debian does not have, built once.
TEST_PROGRAMS ?= $(HOME)/.cache/b1000-tests

.PHONY: build install packages demo check test lint bench clean demo-setup check-setup bench-setup

build:
	CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)' -o $(BIN)/ $(PROGRAMS:%=./cmd/%)

# Where systemd looks; PREFIX is for the programs.
UNITDIR ?= /usr/lib/systemd

# The b1000ctl that runs here, where the others are for another processor.
CTL = $(if $(GOARCH),.cache/b1000ctl,$(BIN)/b1000ctl)

install: build $(filter .cache/%,$(CTL))
	install -D -t $(DESTDIR)$(PREFIX)/bin $(filter-out %-generator,$(PROGRAMS:%=$(BIN)/%))
	install -D -t $(DESTDIR)$(UNITDIR)/system-generators $(BIN)/b1000-generator
	install -d $(DESTDIR)$(UNITDIR)/system
	for u in $(wildcard units/*.service units/*.socket units/*.slice units/*.target); do sed 's,/usr/bin/b1000,$(PREFIX)/bin/b1000,' $$u >$(DESTDIR)$(UNITDIR)/system/$$(basename $$u) || exit 1; done
	install -D -m 644 units/b1000.catalog $(DESTDIR)$(UNITDIR)/catalog/b1000.catalog
	for f in $(wildcard units/*.tmpfiles); do install -D -m 644 $$f $(DESTDIR)$(dir $(UNITDIR))tmpfiles.d/$$(basename $$f .tmpfiles).conf || exit 1; done
	for f in $(wildcard units/*.sysusers); do install -D -m 644 $$f $(DESTDIR)$(dir $(UNITDIR))sysusers.d/$$(basename $$f .sysusers).conf || exit 1; done
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/share/b1000/scripts contrib/scripts/*.sh
	for page in man/*.[1-9]; do install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit 1; done
	install -d $(dir $(COMPLETIONS))
	$(foreach c,$(COMPLETIONS),$(call complete,$(c)) &&) true
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemd-sysusers; journalctl --update-catalog; systemctl daemon-reload; fi

# Where the shells look. The script is the same whatever processor the programs
# are for; one for this machine's makes it.
COMPLETIONS = $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions/b1000ctl zsh/site-functions/_b1000ctl fish/vendor_completions.d/b1000ctl.fish)
complete = $(CTL) completion $(firstword $(subst -, ,$(subst /, ,$(patsubst $(DESTDIR)$(PREFIX)/share/%,%,$(1))))) >$(1)

.cache/b1000ctl: FORCE
	GOARCH= GOOS= CGO_ENABLED=0 go build $(GOFLAGS) -o $@ ./cmd/b1000ctl
FORCE:

packages:
	contrib/packaging/build.sh bin/packages

demo: demo-setup build
	contrib/demo.sh

check: check-setup build lint test

lint:
	@unformatted=$$(gofmt -l cmd internal contrib man nix); if [ -n "$$unformatted" ]; then echo "not gofmt-clean: $$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	go mod verify
	shellcheck contrib/*.sh contrib/packaging/*.sh .ci/run
	shellcheck -x contrib/scripts/*.sh
	cd contrib/bench && shellcheck -x ./*.sh contenders/*.sh

# Tests of the NixOS module need nixpkgs' lib, which no package of Debian has: they
# are left out unless NIXPKGS_LIB names a copy of github.com/nix-community/nixpkgs.lib.
ifeq ($(NIXPKGS_LIB),)
LEFT_OUT = -skip '^TestNixos'
else
override NIXPKGS_LIB := $(abspath $(NIXPKGS_LIB))
endif
export NIXPKGS_LIB

.PHONY: nixpkgs-lib vendor-hash
nixpkgs-lib:
	@if [ -z "$$NIXPKGS_LIB" ]; then echo "NIXPKGS_LIB is not set: the NixOS module is parsed, not evaluated (tests TestNixos... are left out)"; fi

# No test may be skipped where CI is set: what a test needs, check-setup installs.
test: nixpkgs-lib
	@mkdir -p .cache
	PATH="$(TEST_PROGRAMS):$(MONGODB):$$PATH" go tool gotestsum --format pkgname --jsonfile .cache/tests.json -- -count=1 -timeout 25m $(LEFT_OUT) ./...
	@if [ -n "$$CI" ] && grep '"Action":"skip"' .cache/tests.json | grep '"Test"'; then echo "tests were skipped"; exit 1; fi

bench: bench-setup build
	contrib/bench/run.sh $(BENCH)

# Writes what go.mod asks for into nix/package.nix.
vendor-hash:
	go run ./nix/vendorhash -update

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
