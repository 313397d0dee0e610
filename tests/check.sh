#!/usr/bin/env bash
# Every check there is, in order; what CI runs, and what must pass before a commit.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

# A bare toolchain has neither of the two; the rest of the list still means something.
has() {
    cargo "$1" --version >/dev/null 2>&1 || {
        printf '\n== cargo %s is not installed: left out (rustup component add %s)\n' "$1" "$2"
        return 1
    }
}

if has fmt rustfmt; then
    step cargo fmt --all --check
fi
if has clippy clippy; then
    step cargo clippy --workspace --all-targets -- -D warnings
fi
RUSTDOCFLAGS="-D warnings" step cargo doc --no-deps --workspace
step cargo test --workspace
step cargo run --release --example quickstart -- --seconds 20
