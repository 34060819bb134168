#!/bin/sh
# Makes and builds what the bench `fuzzing` runs, in a directory outside of the repository: the same targets as libFuzzer
# programs (DIR/outside/bin) and as programs that fuzz themselves (DIR/inside/bin). Old crates with known bugs come from the
# crate registry. Usage: benches/fuzzing/prepare.sh DIR
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
targets='empty json asn1 hpack colors template yaml ron'
crates='simple_asn1 hpack csscolorparser tinytemplate yaml-rust ron'

dependencies() {
    cat <<END
csscolorparser = "=0.4.0"
hpack = "=0.3.0"
ron = "=0.6.4"
serde_json = "1"
simple_asn1 = "=0.6.0"
tinytemplate = "=1.2.0"
yaml-rust = "=0.4.0"
END
}

# package DIR NAME: the head of a manifest.
package() {
    mkdir -p "$1"
    printf '[workspace]\n\n[package]\nname = "%s"\nversion = "0.0.0"\nedition = "2024"\npublish = false\n\n' "$2"
}

outside=$out/outside/fuzz
mkdir -p "$outside/fuzz_targets"
{
    package "$outside" outside
    printf '[package.metadata]\ncargo-fuzz = true\n\n[dependencies]\nlibfuzzer-sys = "0.4"\n'
    dependencies
    for target in $targets; do
        printf '\n[[bin]]\nname = "%s"\npath = "fuzz_targets/%s.rs"\n' "$target" "$target"
        cat >"$outside/fuzz_targets/$target.rs" <<END
#![no_main]
#[path = "$here/targets/$target.rs"]
mod target;
libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
END
    done
} >"$outside/Cargo.toml"

inside=$out/inside
mkdir -p "$inside/src/bin"
{
    package "$inside" inside
    printf '[dependencies]\ncrashwise-core = { path = "%s/crashwise-core", features = ["testing"] }\n' "$root"
    printf 'crashwise-modules = { path = "%s/crashwise-modules", default-features = false, features = ["in-process"] }\n' "$root"
    printf 'tokio = { version = "1", features = ["rt-multi-thread"] }\n'
    dependencies
    # As in the programs of libFuzzer, overflow is looked for in the targets.
    for name in inside serde_json $crates; do
        printf '\n[profile.release.package.%s]\ndebug-assertions = true\noverflow-checks = true\n' "$name"
    done
    printf '\n[profile.release]\ndebug = 1\n'
    for target in $targets; do
        cat >"$inside/src/bin/$target.rs" <<END
#[path = "$here/inside.rs"]
mod inside;
#[path = "$here/targets/$target.rs"]
mod target;

fn main() {
    inside::fuzz("$target", target::run);
}
END
    done
} >"$inside/Cargo.toml"

# What cargo-fuzz builds with `-s none`.
flags="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cforce-frame-pointers=yes -Cdebuginfo=1 -Cpasses=sancov-module"
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$flag"
done
RUSTFLAGS="$flags" cargo build --quiet --release --target "$host" --manifest-path "$outside/Cargo.toml" --target-dir "$out/outside/target"
ln -sfn "$out/outside/target/$host/release" "$out/outside/bin"

cargo build --quiet --release --manifest-path "$root/crashwise-modules/Cargo.toml" --no-default-features \
    --features in-process --bin crashwise-rustc --target-dir "$out/wrapper"
RUSTC_WRAPPER="$out/wrapper/release/crashwise-rustc" CRASHWISE_INSTRUMENT=$(echo serde_json "$crates" | tr ' ' ,) \
    cargo build --quiet --release --target "$host" --manifest-path "$inside/Cargo.toml" --target-dir "$out/inside/target"
ln -sfn "$out/inside/target/$host/release" "$out/inside/bin"
