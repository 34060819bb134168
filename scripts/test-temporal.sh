#!/usr/bin/env bash
# Runs on a real Temporal server, which is started on a free loopback port and stopped again. Skips nothing.
#
#   scripts/test-temporal.sh [TEST...]
set -euo pipefail
cd "$(dirname "$0")/.."
# The features are those of all other tests, so that nothing is built twice.
scripts/temporal-server.sh cargo test --quiet --workspace --all-features --test temporal -- "$@"
