# Every target does its own set-up: on a fresh Debian 12 with Rust nothing else needs to be installed by hand.
# Caches live under ~/.cache/weir, so that a second clone doesn't build or download again.

SHELL := /bin/bash
CACHE ?= $(HOME)/.cache/weir
export CARGO_TARGET_DIR ?= $(CACHE)/target
export WEIR_CACHE := $(CACHE)
# Test binaries that another clone built look for accepted snapshots there.
export INSTA_WORKSPACE_ROOT := $(CURDIR)
CARGO ?= cargo

ROUNDS ?= 20

.PHONY: help demo demo-kafka test chaos bench bench-flink lint dev build release unit integration setup toolchain accept clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: release ## Start a real local cluster and run fraud detection on it until Ctrl-C
	@examples/demo.sh "$(CARGO_TARGET_DIR)/release/weir"

demo-kafka: release ## The same from topic to topic through a real broker, which it starts, until Ctrl-C
	@integration-tests/setup/install.sh kafka
	@examples/demo-kafka/demo.sh "$(CARGO_TARGET_DIR)/release/weir"

test: setup lint unit integration ## Everything that must be green

lint: toolchain ## Formatting and clippy, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# Every call selects the whole workspace, so that features are unified in one way and nothing is built twice.
unit: toolchain ## Unit and property tests of every crate, the command line, and the protocol in virtual time
	$(CARGO) test --workspace --lib --bins --test command_line --test simulation

integration: toolchain setup ## Real processes, real files, DuckDB as the judge
	$(CARGO) test --workspace --no-run --test command_line --test integration
	WEIR_PYTHON="$(CACHE)/venv/bin/python" WEIR_BIN="$(CARGO_TARGET_DIR)/debug/weir" \
		$(CARGO) test --workspace --test integration -- --test-threads 2

chaos: setup build ## Break a real cluster ROUNDS times and judge its output; goes on where the last series ended
	"$(CARGO_TARGET_DIR)/debug/weir-chaos" round --rounds $(ROUNDS) --results docs/reliability.md

bench: setup release ## The figures of docs/benchmarks.md, measured here
	WEIR_PYTHON="$(CACHE)/venv/bin/python" "$(CACHE)/venv/bin/python" benchmarks/run.py --weir "$(CARGO_TARGET_DIR)/release/weir"

bench-flink: setup release ## The figures on Kafka, side by side with Apache Flink on the same topics
	@benchmarks/flink/install.sh
	WEIR_PYTHON="$(CACHE)/venv/bin/python" "$(CACHE)/venv/bin/python" benchmarks/run.py --weir "$(CARGO_TARGET_DIR)/release/weir" \
		--only topic --flink

build: toolchain ## Debug build
	$(CARGO) build --workspace

release: toolchain ## Release build
	$(CARGO) build --release --workspace

dev: build ## A local cluster from the debug build
	"$(CARGO_TARGET_DIR)/debug/weir" local

accept: toolchain ## Renew pages and snapshots that are made from the code
	WEIR_ACCEPT=1 INSTA_UPDATE=always $(CARGO) test --workspace --lib

toolchain: # What the build of librdkafka and OpenSSL calls
	@integration-tests/setup/install.sh toolchain

setup: ## Install what tests and benchmarks use besides Rust
	@integration-tests/setup/install.sh

clean: ## Remove the caches
	rm -rf "$(CACHE)"
