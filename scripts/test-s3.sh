#!/usr/bin/env bash
# 250 MB through a real S3-compatible server, also when every connection is cut after 40 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/s3-server.sh s3s cargo bench --quiet --bench workspace_s3
if command -v moto_server >/dev/null; then
    scripts/s3-server.sh moto cargo bench --quiet --bench workspace_s3
fi
