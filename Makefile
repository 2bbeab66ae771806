# Everything a person does with this repository. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
NPM ?= npm
# What `make demo` is to be told: make demo ARGS='--listen 0.0.0.0:3000'
ARGS ?=

# Node's packages are installed again only when the lock file has changed.
NODE_STAMP := node_modules/.rowcast-installed
WEB_STAMP := web/dist/index.html
# What the pages are made of.
WEB_SOURCES := $(shell find clients/typescript/src web/src web/public -type f) \
  $(wildcard clients/typescript/*.json web/*.json web/*.html web/*.ts)

.PHONY: help
help: ## Say what can be made
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: web ## Build everything and show a live chart on http://127.0.0.1:3000
	$(CARGO) build --release --locked --package rowcast-server
	./target/release/rowcast demo $(ARGS)

.PHONY: web
web: $(WEB_STAMP) ## Build the TypeScript client and the pages that the binary embeds
	@:

$(NODE_STAMP): package-lock.json
	@command -v $(NPM) >/dev/null || { echo "error: npm is missing: install Node.js 20 or newer" >&2; exit 1; }
	$(NPM) ci --no-audit --no-fund
	@touch $@

$(WEB_STAMP): $(NODE_STAMP) $(WEB_SOURCES)
	$(NPM) run build --workspace clients/typescript
	$(NPM) run build --workspace web
	@touch $@

.PHONY: test
test: web ## Run every test
	./scripts/install-test-needs
	./scripts/test-rust
	$(CARGO) build --release --locked --package rowcast-server
	./target/debug/servers $(NPM) test --workspaces --if-present

.PHONY: lint
lint: web ## Check formatting, lints, licences, advisories and docs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	./scripts/deny
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --document-private-items
	$(NPM) run lint --workspaces --if-present

# ARGS that begin with a name are one of the benches; others are for `rowcast bench`, which measures delivery.
BENCH := $(firstword $(ARGS))
.PHONY: bench
bench: web ## Measure, and print the tables of docs/performance.md
ifeq ($(filter-out -%,$(BENCH)),)
	$(CARGO) build --release --locked --package rowcast-server
	./target/release/rowcast bench $(ARGS)
endif
ifeq ($(filter -%,$(BENCH)),)
	$(CARGO) run --release --locked --package benches -- $(or $(ARGS),all)
endif

.PHONY: soak
soak: web ## Run the random histories SOAK times as long (20 times unless set), on PostgreSQL 14 to 18, too
	ROWCAST_SOAK=$(or $(SOAK),20) $(CARGO) test --release --locked --package rowcast-server --test it histories -- --nocapture
	ROWCAST_SOAK=$(or $(SOAK),20) $(CARGO) test --release --locked --package rowcast-server --test it ingest_chaos -- --nocapture
	ROWCAST_SOAK=$(or $(SOAK),20) $(CARGO) test --release --locked --package rowcast --test it filter
	ROWCAST_SOAK=$(or $(SOAK),20) $(CARGO) test --release --locked --package rowcast --test it fuzz
	./scripts/soak-postgres

.PHONY: clean
clean: ## Remove what was built
	$(CARGO) clean
	rm -rf node_modules web/dist clients/typescript/dist
