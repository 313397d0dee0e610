# A thin index: tests/check.sh is the one list of checks.

default:
    @just --list

# Everything that CI checks
check:
    tests/check.sh

# The tests alone
test *ARGS:
    cargo test --workspace {{ARGS}}

# The programs end to end, on this machine's own /proc
e2e *ARGS:
    cargo test --test e2e -- {{ARGS}}

# Writes docs/SOURCES.md anew
bless:
    MEMSOAK_BLESS=1 cargo test --test source_docs

# Records this machine while a small leaker runs, and reports
quickstart *ARGS:
    cargo run --release --example quickstart -- {{ARGS}}
