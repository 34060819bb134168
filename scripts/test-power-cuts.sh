#!/usr/bin/env bash
# Cuts the power of a disk while a cache on it publishes, as often as the first argument says (25 unless given), and looks at what
# is left. Fails when a tree that is visible is broken. The disk is an ext4 image on btrfs, where a copy of the image is made at
# once and holds what had reached the disk. With `loose` as the second argument nothing is synced, which shows that it can fail.
#
#   scripts/test-power-cuts.sh [CUTS] [sync|loose]      needs root, loop devices, mkfs.btrfs and mkfs.ext4
set -euo pipefail
cd "$(dirname "$0")/.."
cuts=${1:-25} mode=${2:-sync}
program=$(cargo test --quiet -p crashwise-core --features workspace --test cache_processes --no-run --message-format json |
    python3 -c 'import json, sys; print(*{m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "cache_processes"})')

work=$(mktemp -d)
user=
finish() {
    [ -z "$user" ] || { kill -9 "$user" 2>/dev/null || true; wait "$user" 2>/dev/null || true; }
    for place in cut disk images; do umount -l "$work/$place" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
mkdir "$work/images" "$work/disk" "$work/cut" "$work/targets"
truncate -s 2G "$work/btrfs"
mkfs.btrfs -q "$work/btrfs" >/dev/null 2>&1
mount -o loop "$work/btrfs" "$work/images"
truncate -s 256M "$work/images/disk"
mkfs.ext4 -q "$work/images/disk"
# Names reach the disk every second, content only when something asks for it.
mount -o loop,commit=1 "$work/images/disk" "$work/disk"

"$program" power-prepare "$work/targets"
"$program" power-use "$work/targets" "$work/disk" "$mode" &
user=$!
visible=0 broken=0 unsound=0
for cut in $(seq "$cuts"); do
    sleep "$(python3 -c "import random; print(0.05 + random.Random($cut).random() * 0.6)")"
    kill -0 "$user" || { echo "the user of the cache ended by itself"; exit 1; }
    cp --reflink=always "$work/images/disk" "$work/images/cut"
    mount -o loop "$work/images/cut" "$work/cut"
    told=$("$program" power-check "$work/targets" "$work/cut") || true
    read -r seen bad state <<<"$told"
    visible=$((visible + seen)) broken=$((broken + bad))
    [ "$state" = sound ] || unsound=$((unsound + 1))
    umount "$work/cut"
    rm "$work/images/cut"
done
echo "$cuts power cuts, $mode: $broken of $visible visible trees were broken, $unsound caches did not serve all targets afterwards"
[ "$broken" = 0 ] && [ "$unsound" = 0 ] && [ "$visible" -gt 0 ]
