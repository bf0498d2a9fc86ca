# Every command that a person or CI runs. Needs gcc, make and cargo (rustup fetches the pinned toolchain by itself).

PORT ?= 8080
CARGO_TARGET_DIR ?= target

DENY_VERSION := 0.20.2
TOOLS := $(CURDIR)/target/tools
DENY := PATH="$(TOOLS)/bin:$$PATH" cargo-deny

.PHONY: help demo build test test-client check bench tools

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run a user pool, a sample upstream and the proxy on this machine (PORT=8080)
	cargo run --locked -p cognigate -- demo --port $(PORT)

build: ## Build what is shipped: target/release/cognigate (slow: fat LTO)
	cargo build --locked --release -p cognigate

test: ## Run all Rust tests, those in the documentation included
	cargo test --locked --workspace

test-client: ## Run the unmodified amazon-cognito-identity-js against a real proxy
	cargo build --locked -p cognigate
	tests/client/run $(CARGO_TARGET_DIR)/debug/cognigate

check: tools ## Check formatting, lints, documentation and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	$(DENY) --locked check bans licenses sources

bench: ## Run the micro benchmarks
	cargo bench --locked -p benches

tools: ## Install cargo-deny into target/tools, unless a version that will do is there or on the PATH
	@have=$$($(DENY) --version 2>/dev/null | cut -d ' ' -f 2); \
	printf '%s\n' $(DENY_VERSION) "$$have" | sort -C -V || \
	cargo install --locked --root "$(TOOLS)" cargo-deny --version $(DENY_VERSION)
