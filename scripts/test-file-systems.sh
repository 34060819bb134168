#!/usr/bin/env bash
# The tests of workspaces and of their cache on file systems of their own, as root and as somebody who may not mount: overlay,
# snapshots of btrfs, reflinks and copies are each what a cache takes somewhere.
#
#   scripts/test-file-systems.sh      needs root, loop devices, mkfs.ext4, mkfs.btrfs and mkfs.xfs
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(cargo test --quiet -p crashwise-core --all-features --lib --no-run --message-format json |
    python3 -c 'import json, sys; print(*{m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "crashwise_core"})')

work=$(mktemp -d)
chmod 755 "$work"
cp "$program" "$work/tests"
trap 'umount -l "$work/disk" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/disk"
for system in ext4 btrfs xfs; do
    truncate -s 1G "$work/image"
    "mkfs.$system" -q "$work/image" >/dev/null 2>&1
    mount -o loop "$work/image" "$work/disk"
    chmod 1777 "$work/disk"
    for user in 0 65534; do
        told=$(cd "$work/disk" && TMPDIR=$work/disk setpriv --reuid "$user" --regid "$user" --clear-groups \
            "$work/tests" --nocapture --test-threads 2 workspace:: cache:: 2>&1) || { echo "$told"; exit 1; }
        way=$(sed -n 's/^copy-on-write by \([a-z]*\)$/\1/p' <<<"$told" | head -n 1)
        echo "$system, user $user: $(sed -n 's/^test result: //p' <<<"$told") copy-on-write by $way"
    done
    # What was unmounted lazily below it may still be on its way out.
    for _ in $(seq 50); do umount "$work/disk" 2>/dev/null && break || sleep 0.2; done
    if mountpoint -q "$work/disk"; then echo "$system is still in use:"; grep -F "$work" /proc/mounts; exit 1; fi
    rm "$work/image"
done
