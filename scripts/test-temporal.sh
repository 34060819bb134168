#!/usr/bin/env bash
# Runs on a real Temporal server, which is started on a free loopback port and stopped again; then sixty runs while a worker,
# the server and an S3 server are killed. Skips nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh
cargo_tool s3s-fs 0.14.1 --features binary
export S3_PROGRAM=$tools/bin/s3s-fs
# The features are those of all other tests, so that nothing is built twice.
tests=(cargo test --quiet --workspace --all-features --test temporal --)
# One at a time: workers of two tests that serve the same vertical would take each other's runs.
scripts/temporal-server.sh "${tests[@]}" --test-threads=1 --skip kill::
scripts/temporal-server.sh "${tests[@]}" --nocapture kill::
