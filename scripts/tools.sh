# Installs what the checks need and the toolchain does not bring, once per machine. Sourced.
# Programs go to ${CRASHWISE_TOOLS:-$HOME/.cache/crashwise-tools}/bin, which is put on PATH.
tools=${CRASHWISE_TOOLS:-$HOME/.cache/crashwise-tools}
export PATH="$tools/bin:$PATH"

# cargo_tool CRATE VERSION [FLAG...]: a program from the crate registry, by exact version.
cargo_tool() {
    local name=$1 version=$2
    shift 2
    if ! grep -qs "\"$name $version " "$tools/.crates.toml"; then
        echo "installing $name $version"
        cargo install --quiet --locked --root "$tools" "$name" --version "$version" "$@"
    fi
}

cargo_tool cargo-deny 0.20.2
