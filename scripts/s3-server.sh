#!/usr/bin/env bash
# Runs a command with an S3-compatible server on a free loopback port, and stops the server:
#
#   scripts/s3-server.sh [s3s|moto] COMMAND...
#
# Both servers are installed once per machine. The command sees S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY and
# S3_REGION, and S3_ONE_REQUEST where the server keeps no connection.
set -euo pipefail
cd "$(dirname "$0")/.."

server=s3s
case "${1:-}" in s3s | moto) server=$1; shift ;; esac
[ $# -gt 0 ] || { echo "usage: scripts/s3-server.sh [s3s|moto] COMMAND..." >&2; exit 64; }
source scripts/tools.sh

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export S3_ENDPOINT=http://127.0.0.1:$port S3_BUCKET=crashwise S3_REGION=us-east-1
export S3_ACCESS_KEY=crashwise-test S3_SECRET_KEY=crashwise-test-secret

case $server in
s3s)
    cargo_tool s3s-fs 0.14.1 --features binary
    mkdir -p "$work/root/$S3_BUCKET"
    s3s-fs --host 127.0.0.1 --port "$port" --access-key "$S3_ACCESS_KEY" --secret-key "$S3_SECRET_KEY" "$work/root" \
        >"$work/log" 2>&1 &
    ;;
moto)
    python_tool moto 5.2.1 'moto[server]'
    export S3_ONE_REQUEST=yes # it closes each connection
    "$tools/moto/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/log" 2>&1 &
    ;;
esac
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

up=no
for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then up=yes; break; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
[ "$up" = yes ] || { echo "$server did not start:" >&2; cat "$work/log" >&2; exit 1; }
if [ "$server" = moto ]; then
    python3 - "$port" "$S3_BUCKET" <<'PY'
import sys, urllib.request
port, bucket = sys.argv[1:]
request = urllib.request.Request(f"http://127.0.0.1:{port}/{bucket}", method="PUT")
urllib.request.urlopen(request, timeout=10).read()
PY
fi
"$@"
