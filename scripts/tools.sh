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

# python_tool NAME VERSION REQUIREMENT: a program from PyPI, by exact version, in an environment of its own.
python_tool() {
    local name=$1 version=$2 requirement=$3
    if [ "$(cat "$tools/$name/version" 2>/dev/null)" != "$version" ]; then
        echo "installing $name $version"
        python3 -m venv --clear "$tools/$name"
        "$tools/$name/bin/pip" install --quiet --disable-pip-version-check "$requirement==$version"
        echo "$version" >"$tools/$name/version"
    fi
}

cargo_tool cargo-deny 0.20.2
