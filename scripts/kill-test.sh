#!/bin/sh
# Kills processes in the middle of their runs, as often as the first argument says (10000 unless given), and looks at what is
# left. Fails when something acknowledged is lost, a step is journaled twice, or fewer kills happened than planned.
set -eu
CRASHWISE_KILLS="${1:-10000}" exec cargo test -p crashwise-runner --lib -- \
    --exact tests::campaign::nothing_is_lost_in_300_kills --nocapture
