#!/usr/bin/env bash
# Processes in containers of a real engine: all tests of processes once more, then hosts and engines that are killed. Skips nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
# The features are those of all other tests, so that nothing is built twice.
tests=(cargo test --quiet --workspace --all-features)
# Few at a time: each container has half a dozen processes of the engine beside it.
scripts/container-engine.sh "${tests[@]}" --lib -- --test-threads=2 process::tests:: fuzzing::tests::a_leak_is_found
scripts/container-engine.sh "${tests[@]}" --test container -- --test-threads=2 --skip kill_the_engine
scripts/container-engine.sh "${tests[@]}" --test container -- kill_the_engine
