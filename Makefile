# Everything that is done with eksup's sources. `make demo` and `make test` set up what they need.

.PHONY: help build demo test lint bench bench-live torture clean-cache

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: ## Build eksup and the local cloud
	cargo build --locked

demo: build ## Build a whole platform on a local cloud, change it, take it down, prove that nothing is left
	PATH="$(CURDIR)/target/debug:$$PATH" target/debug/sandbox run --kubernetes -- tests/demo.sh

demo-%: build ## Tell one story of the autoscaler: `make demo-scale`, `make demo-drift`, … (tests/demos)
	PATH="$(CURDIR)/target/debug:$$PATH" target/debug/sandbox run --kubernetes -- tests/demos/$*.sh

lint: ## Check formatting and lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

test: lint ## Run everything that continuous integration runs
	cargo test --locked --no-fail-fast

torture: ## Kill apply and destroy at every call and request that changes something; takes long
	EKSUP_TORTURE=all cargo test --locked --test torture -- --nocapture
	EKSUP_TORTURE=all cargo test --locked --test cluster killed -- --nocapture

bench: ## Measure what the README claims, and print it beside Terraform's and Karpenter's figures
	cargo bench --locked --bench stack
	cargo bench --locked --profile quick --bench scheduling
	cargo bench --locked --profile quick --bench disruption

bench-live: ## Measure the autoscaler beside upstream Karpenter, and hand a fleet over; LIVE="--scenario web-small" for one row
	cargo bench --locked --profile quick --bench live -- $(LIVE)
	cargo test --locked --test compatibility -- --ignored
