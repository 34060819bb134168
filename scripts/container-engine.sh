#!/usr/bin/env bash
# Runs a command with Podman answering on a socket of its own, with images and containers of its own, and stops it:
#
#   scripts/container-engine.sh COMMAND...
#
# What is missing of Podman is installed by apt-get where this is root. The command sees DOCKER_HOST, and CRASHWISE_TEST_ENGINE,
# the id of the engine's process, for a test that kills it.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: scripts/container-engine.sh COMMAND..." >&2; exit 64; }

missing=()
for program in podman runc conmon catatonit; do
    [ -n "$(PATH=$PATH:/usr/sbin:/usr/libexec/podman:/usr/lib/podman type -p "$program")" ] || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! type -p apt-get >/dev/null; then
        echo "containers cannot be tested: install ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

work=$(mktemp -d)
export DOCKER_HOST=unix://$work/engine.sock
# Overlays cannot be stacked in every place where tests run, and not every cgroup tree suits crun.
podman=(podman --root "$work/root" --runroot "$work/run" --storage-driver vfs --runtime runc --cgroup-manager cgroupfs)
stop() {
    kill "$CRASHWISE_TEST_ENGINE" 2>/dev/null || true
    wait "$CRASHWISE_TEST_ENGINE" 2>/dev/null || true
    "${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1 || true
    umount -R "$work/root" 2>/dev/null || true
    rm -rf "$work"
}
# What watches over memory leaves files where the service was started.
(cd "$work" && exec "${podman[@]}" system service --time 0 "$DOCKER_HOST") >"$work/log" 2>&1 &
export CRASHWISE_TEST_ENGINE=$!
trap stop EXIT
up=no
for _ in $(seq 300); do
    if [ -S "$work/engine.sock" ]; then up=yes; break; fi
    kill -0 "$CRASHWISE_TEST_ENGINE" 2>/dev/null || break
    sleep 0.1
done
[ "$up" = yes ] || { echo "podman did not start:" >&2; cat "$work/log" >&2; exit 1; }
"$@"
