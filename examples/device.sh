#!/usr/bin/env bash
# A device says that it fell back to the mobile network, and the back end finds it: on the embedded hub as a server, with a
# simulated device over MQTT. TWINCTL names the program; without it, it is built. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${TWINCTL:-}" ]; then
    cargo build --quiet --locked
    TWINCTL=$(realpath "${CARGO_TARGET_DIR:-target}/debug/twinctl")
fi
data=$(mktemp -d)
hub=
trap '[ -z "$hub" ] || kill "$hub"; wait; rm -rf "$data"' EXIT
cp examples/fleet.yaml "$data/fleet.yaml"
cd "$data"

run() {
    printf '\n$ twinctl %s\n' "$*"
    "$TWINCTL" "$@"
}
ready() { # the path of a member of the ready file
    python3 -c 'import functools, json, sys; print(functools.reduce(dict.get, sys.argv[1:], json.load(open("ready.json"))))' "$@"
}

# Free ports, so that nothing is in the way; `--https 127.0.0.1:8443` alone has MQTT on 8883, where SDKs look for it.
"$TWINCTL" hub serve --data hub --https 127.0.0.1:0 --ready-file ready.json >hub.log 2>&1 &
hub=$!
until test -s ready.json; do
    kill -0 "$hub" || { cat hub.log; exit 1; } # It did not start.
    sleep 0.1
done
IOTHUB_CONNECTION_STRING=$(ready connectionStrings iothubowner)
export IOTHUB_CONNECTION_STRING
mqtt=$(ready mqtt)

run apply fleet.yaml --yes --ca-file hub/ca.pem
run device run --id thermostat-001 --report connectivity=cellular --once --ca-file hub/ca.pem --port "${mqtt##*:}"
run query "SELECT deviceId FROM devices WHERE properties.reported.connectivity = 'cellular'" --ca-file hub/ca.pem

# The manifest's second check was that nobody is on cellular: exit code 6.
run check fleet.yaml --no-wait --ca-file hub/ca.pem || [ $? -eq 6 ]
