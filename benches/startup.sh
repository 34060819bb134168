#!/usr/bin/env bash
# Cold start of the release binary, beside the start of a program that does nothing: medians of 51 runs.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet -p crashwise-runner
crashwise=$PWD/target/release/crashwise
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/tree"
printf 'import os\nos.system("ping " + input())\n' > "$folder/tree/a.py"

median() { # NAME COMMAND...: wall and CPU time of a run, in milliseconds
    local name=$1 wall=() cpu=() start end times; shift
    TIMEFORMAT='%U %S'
    for _ in $(seq 51); do
        start=$EPOCHREALTIME
        times=$({ time "$@" >/dev/null 2>&1 || true; } 2>&1)
        end=$EPOCHREALTIME
        wall+=($(( ${end/./} - ${start/./} )))
        cpu+=("$(awk '{ print ($1 + $2) * 1000 }' <<< "$times")")
    done
    printf '%-44s %6.1f ms wall  %6.1f ms CPU\n' "$name" \
        "$(printf '%s\n' "${wall[@]}" | sort -n | awk 'NR == 26 { print $1 / 1000 }')" \
        "$(printf '%s\n' "${cpu[@]}" | sort -n | sed -n 26p)"
}

median "true" /bin/true
median "crashwise --version" "$crashwise" --version
export XDG_STATE_HOME=$folder/state XDG_CACHE_HOME=$folder/cache HOME=$folder
median "crashwise workflow run, one file" "$crashwise" workflow run security_assessment "$folder/tree"
