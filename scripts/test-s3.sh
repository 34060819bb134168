#!/usr/bin/env bash
# 250 MB through real S3-compatible servers, and where the server keeps connections, also with each cut after 40 MB.
#
#   scripts/test-s3.sh [--release]     with --release the times mean something
set -euo pipefail
cd "$(dirname "$0")/.."
profile=dev
[ "${1:-}" != --release ] || profile=bench
for server in s3s moto; do
    echo "$server:"
    scripts/s3-server.sh "$server" cargo bench --quiet --profile "$profile" --bench workspace_s3
done
