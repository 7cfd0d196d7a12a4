#!/usr/bin/env bash
# Runs the main job on the embedded hub: a plan that shows changes, an apply with its checks, a plan that is empty.
# Builds twinctl first; leaves nothing behind. Needs no cloud account.
set -euo pipefail
cd "$(dirname "$0")/.."

# The profile that the tests use too, so that a fresh machine compiles once.
cargo build --quiet --locked
twinctl=${CARGO_TARGET_DIR:-target}/debug/twinctl
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT

run() {
    printf '\n$ twinctl %s\n' "$*"
    "$twinctl" "$@"
}

cp examples/fleet.yaml "$data/fleet.yaml"
cd "$data"
case $twinctl in /*) ;; *) twinctl=$OLDPWD/$twinctl ;; esac

run plan fleet.yaml --hub embedded:hub
run apply fleet.yaml --hub embedded:hub --yes
run query "SELECT deviceId, tags.location.plant FROM devices WHERE tags.location.plant = 'Redmond43' AND properties.desired.power_level > 1" --hub embedded:hub
run plan fleet.yaml --hub embedded:hub --detailed-exitcode
