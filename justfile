# `just` alone lists what there is.
_default:
    @just --list

# All that CI runs.
ci:
    .ci/run

# Every test.
test:
    cargo test

# The main job on the embedded hub.
demo:
    examples/demo.sh

# Formatting, lints and documentation, as CI has them.
lint:
    cargo fmt --check
    cargo clippy --all-targets --all-features -- -D warnings
    cargo clippy --package twinctl --no-default-features --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

# Each fuzzing target for so many seconds; see fuzz/README.md.
fuzz seconds="60":
    fuzz/run {{seconds}}

# Small fleets under faults, kills and a second writer, for so many seconds; see ARCHITECTURE.md.
campaign seconds="900" seed="1":
    cargo test --test campaign -- --seconds {{seconds}} --seed {{seed}}

# Licences, bans and sources of dependencies.
deny:
    cargo deny check bans licenses sources
