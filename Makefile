# Every command that a person or CI runs. Needs gcc, make and cargo (rustup fetches the pinned toolchain by itself).

PORT ?= 8080
CARGO_TARGET_DIR ?= target

FUZZ_SECONDS ?= 600
FUZZ_TARGETS := config jwks path token

CHAOS_SECONDS ?= 30
DRILL_SECONDS ?= 5

DENY_VERSION := 0.20.2
FUZZ_VERSION := 0.13.2
TOOLS := $(CURDIR)/target/tools
DENY := PATH="$(TOOLS)/bin:$$PATH" cargo-deny

.PHONY: help demo build build-pgo test chaos test-client test-browser test-soak test-prometheus drills check bench \
	bench-instructions bench-peers fuzz tools

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run a user pool, a sample upstream and the proxy on this machine (PORT=8080)
	cargo run --locked -p cognigate -- demo --port $(PORT)

build: ## Build what is shipped: target/release/cognigate (slow: fat LTO)
	cargo build --locked --release -p cognigate

build-pgo: ## Build it once more, laid out by a profile of its work: target/pgo/cognigate (some 10 minutes, 2 cores)
	python3 benches/load/pgo.py

test: ## Run all Rust tests, those in the documentation included, but none that has a target of its own
	tests/programs
	CHAOS_SECONDS=0 cargo test --locked --workspace
	cargo test --locked --manifest-path fuzz/Cargo.toml --target-dir $(CARGO_TARGET_DIR)

chaos: ## Let key servers fail, keys rotate and strangers flood, CHAOS_SECONDS a phase (30), and print what came of it
	CHAOS_SECONDS=$(CHAOS_SECONDS) cargo test --locked -p e2e --test chaos

test-client: ## Run the unmodified amazon-cognito-identity-js against a real proxy
	cargo build --locked -p cognigate
	tests/client/run $(CARGO_TARGET_DIR)/debug/cognigate

test-browser: ## Run a page in headless Chromium that calls through a real proxy
	cargo build --locked -p cognigate
	tests/browser/run $(CARGO_TARGET_DIR)/debug/cognigate

test-soak: ## Reload, swap certificates and hand over under load from wrk: no request may fail
	tests/programs wrk
	cargo build --locked -p cognigate
	tests/soak/run $(CARGO_TARGET_DIR)/debug/cognigate

test-prometheus: ## Check rules and alerts, and ask a real Prometheus every expression of the rules and the dashboard
	tests/programs prometheus
	promtool check rules deploy/prometheus/rules.yaml
	promtool test rules deploy/prometheus/rules.test.yaml
	cargo test --locked -p e2e --test monitoring

drills: ## Let nginx upstreams fail in every way, DRILL_SECONDS each (5), and print what clients saw of it
	tests/programs nginx
	DRILL_SECONDS=$(DRILL_SECONDS) cargo test --locked -p e2e --test drills

check: tools ## Check formatting, lints, documentation and dependencies
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir $(CARGO_TARGET_DIR) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	$(DENY) --locked check bans licenses sources

bench: ## Run the micro benchmarks
	cargo bench --locked -p benches

bench-instructions: ## Count instructions, and fail if a case needs 3 % more than benches/instructions.json says (RENEW=1 writes it)
	python3 benches/instructions $(if $(RENEW),--renew)

bench-peers: ## Measure the proxy next to nginx, HAProxy and Envoy, and write docs/benchmarks (15 minutes after the build)
	ROUNDS=$(ROUNDS) SECONDS=$(SECONDS) LOADS=$(LOADS) python3 benches/load

fuzz: ## Look for bytes that break what must hold, FUZZ_SECONDS a target (600); needs a nightly compiler
	@test -x "$(TOOLS)/bin/cargo-fuzz" || cargo install --locked --root "$(TOOLS)" cargo-fuzz --version $(FUZZ_VERSION)
	for target in $(FUZZ_TARGETS); do \
		PATH="$(TOOLS)/bin:$$PATH" cargo +nightly fuzz run --features libfuzzer "$$target" -- \
			-max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

tools: ## Install cargo-deny into target/tools, unless a version that will do is there or on the PATH
	@have=$$($(DENY) --version 2>/dev/null | cut -d ' ' -f 2); \
	printf '%s\n' $(DENY_VERSION) "$$have" | sort -C -V || \
	cargo install --locked --root "$(TOOLS)" cargo-deny --version $(DENY_VERSION)
