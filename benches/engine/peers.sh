#!/bin/sh
# The same work on other engines: steps that do nothing, each durable before the next. Needs python3, node, cargo and the
# network the first time. Takes the folder in which everything is kept; the disk that counts is the one it is on.
set -eu
here=$(cd "$(dirname "$0")/peers" && pwd)
folder=${1:-${TMPDIR:-/tmp}/crashwise-peers}
mkdir -p "$folder/state"
cd "$folder"

if [ ! -d python ]; then
    python3 -m venv python
    python/bin/pip install -q dbos==3.4.0 prefect==3.8.8 fastapi==0.139.0
fi
python/bin/python "$here/dbos_peer.py" "$folder/state"
PREFECT_HOME="$folder/state/prefect" PREFECT_LOGGING_LEVEL=ERROR PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300 \
    python/bin/python "$here/prefect_peer.py"

CARGO_TARGET_DIR="$folder/duroxide" cargo build --quiet --release --manifest-path "$here/duroxide/Cargo.toml"
duroxide/release/duroxide-peer "$folder/state"

if [ ! -d node_modules ]; then
    npm install --silent @restatedev/restate-server@1.7.12 @restatedev/restate-sdk@1
fi
base="$folder/state/restate"
rm -rf "$base"
RESTATE_BIND_ADDRESS=127.0.0.1:15122 RESTATE_ADVERTISED_ADDRESS=http://127.0.0.1:15122 \
    RESTATE_INGRESS__BIND_ADDRESS=127.0.0.1:18080 RESTATE_ADMIN__BIND_ADDRESS=127.0.0.1:19070 RESTATE_LOG_FILTER=error \
    node_modules/.bin/restate-server --base-dir "$base" --node-name bench >"$folder/state/restate.log" 2>&1 &
server=$!
trap 'kill $server' EXIT
cp "$here/restate_peer.mjs" "$folder/restate_peer.mjs"
RESTATE_LOGGING=ERROR node restate_peer.mjs http://127.0.0.1:18080 http://127.0.0.1:19070 19080
