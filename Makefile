# One word for each thing one does with this project. Every target sets up what it needs (Debian packages that are
# missing, a Python environment in .venv), works as root without sudo, and costs nothing the second time.

SHELL := /bin/bash
PYTHON ?= python3
TARGETS ?= squashfs qcow2 iso tarball wsl
VENV := .venv
STAMP := $(VENV)/.installed
RUN := $(VENV)/bin
# Root tests run in two streams at a time, the images and all others: a build has one thing to do at most times.
STREAMS := --numprocesses 2 --dist loadscope
# Long tests in three, which leave two processors no time to idle.
LONG_STREAMS := --numprocesses 3 --dist loadscope
# Tests build whole images, and Debian 13 keeps /tmp in memory.
export TMPDIR ?= /var/tmp

# What `image-builder build` starts on this machine; live-build and its tools are in the tool root it makes.
BUILD_PACKAGES := python3-venv ca-certificates debian-archive-keyring dpkg gpgv iproute2 mmdebstrap mount nftables \
	squashfs-tools util-linux
# `image-builder boot`
BOOT_PACKAGES := mtools ovmf qemu-system-x86 qemu-utils
# `image-builder archive`: what can be built, what is offered, under whose signature
ARCHIVE_PACKAGES := apt-utils dose-builddebcheck gpg gpg-agent
# The tests sign a small archive of their own, pack and unpack roots, and run live-build as its users do.
TEST_PACKAGES := apt-utils cpio curl debootstrap dosfstools dpkg-dev e2fsprogs faketime fdisk gpg gpg-agent gpgconf \
	live-build pigz postgresql procps python3-jinja2 qemu-user-static rsync runc skopeo squashfs-tools umoci \
	xorriso xz-utils zstd
# Images of arm64, and the web view in a browser, in make test-full
FULL_PACKAGES := chromium chromium-driver qemu-system-arm qemu-efi-aarch64
# The peers of the proxy and of the snap client. Debian starts the first and the third as daemons; the bench runs its own.
BENCH_PACKAGES := apt-cacher-ng curl nginx-light openssl
LINT_PACKAGES := python3-venv shellcheck

.DEFAULT_GOAL := help
.PHONY: help setup images test test-full lint bench clean root packages-venv packages-images packages-archive packages-test \
	packages-full packages-bench packages-lint

help: ## print this
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'make images TARGETS="qcow2 vmdk" builds these; TARGETS=all all; default: $(TARGETS).'
	@echo 'PYTHON=python3.12 says which Python .venv is made with.'

setup: packages-images packages-archive $(STAMP) ## what image-builder needs, and nothing built

images: root packages-images $(STAMP) ## build images; needs root
	$(RUN)/image-builder build $(TARGETS)

test: packages-test $(STAMP) ## unit tests, then the tests that mount, build and boot for real; these need root
	$(RUN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal --durations 10
	@$(call be_root,the unit tests passed; the tests that mount, build and boot)
	$(RUN)/pytest -m 'root and not full' $(STREAMS) --durations 25

test-full: root packages-full $(STAMP) ## what takes long, also in fresh roots of Debian 12 and 13
	$(RUN)/pytest -m full $(LONG_STREAMS) --durations 40

lint: packages-lint $(STAMP) ## ruff, mypy, shellcheck; all of them, whatever the first one finds
	@failed=; check() { echo "$$*"; "$$@" || failed+=" $${1##*/}"; }; \
	check $(RUN)/ruff check; \
	check $(RUN)/ruff format --check; \
	check $(RUN)/mypy --strict image_builder proxy snaps; \
	check shellcheck $$($(shell_files)); \
	[ -z "$$failed" ] || { echo "make lint: failed:$$failed" >&2; exit 1; }

bench: root packages-bench $(STAMP) ## measure, and print tables of ratios; needs root and a quiet machine
	@failed=; for bench in tests/bench/bench_*.py; do \
		echo "== $$bench"; $(RUN)/python "$$bench" || failed+=" $$bench"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

clean: ## remove builds/, .venv and caches; the layer store and image-builder.lock stay
	rm -rf builds build $(VENV) *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find image_builder proxy snaps tests -name __pycache__ -prune -exec rm -rf {} +

# $(call be_root,what): end with a word about it unless this is root
be_root = [ "$$(id -u)" = 0 ] || { echo "make $@: $1 need root: run it as root, or with sudo" >&2; exit 1; }

root:
	@[ "$$(id -u)" = 0 ] || { echo "make $(MAKECMDGOALS): needs root: run it as root, or with sudo" >&2; exit 1; }

# Shell is what begins with a shell's #! line, and *.sh without one.
shell_files = find hooks.d auto image_builder proxy snaps tests docs .ci -type f ! -name '*.py' ! -name '*.pyc' \
	-exec awk 'FNR == 1 && (/^\#!.*sh( .*)?$$/ || FILENAME ~ /\.sh$$/) { print FILENAME } { nextfile }' {} +

# $(call install,packages): those that are missing, in one call
define install
@missing=$$(for name in $1; do \
	dpkg-query --show --showformat='$${db:Status-Status}' "$$name" 2>/dev/null | grep -qx installed || echo "$$name"; \
done); \
[ -n "$$missing" ] || exit 0; \
[ "$$(id -u)" = 0 ] || { echo "make: packages are missing; as root: apt-get install" $$missing >&2; exit 1; }; \
echo "installing:" $$missing; \
export DEBIAN_FRONTEND=noninteractive; \
apt() { apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 "$$@" 2>&1; }; \
said=$$(apt update) || echo "make: apt-get update failed, trying with the lists there are: $$said" >&2; \
said=$$(apt install --yes --no-install-recommends $$missing) || { echo "$$said" >&2; exit 1; }
endef

packages-venv:
	$(call install,python3-venv)

packages-images:
	$(call install,$(BUILD_PACKAGES) $(BOOT_PACKAGES))

packages-archive:
	$(call install,$(BUILD_PACKAGES) $(ARCHIVE_PACKAGES))

packages-test:
	$(call install,$(BUILD_PACKAGES) $(BOOT_PACKAGES) $(ARCHIVE_PACKAGES) $(TEST_PACKAGES))

packages-full: packages-test
	$(call install,$(FULL_PACKAGES))

packages-bench: packages-test
	$(call install,$(BENCH_PACKAGES))

packages-lint:
	$(call install,$(LINT_PACKAGES))

# Whose checkout it is, owns what is made in it, also when sudo made it.
$(STAMP): pyproject.toml | packages-venv
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install -qq --disable-pip-version-check --editable '.[test,lint]'
	touch $@
	@[ -z "$$SUDO_UID" ] || chown -R "$$SUDO_UID:$$SUDO_GID" $(VENV) *.egg-info
