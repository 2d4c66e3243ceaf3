# shellcheck shell=bash
# What every script shares: where the repository is, how to speak, what to install.
# Sourced, never run. Changes nothing by itself except the working directory.

shopt -s inherit_errexit          # `set -e` also inside $(...)
CALLED_FROM=$PWD
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$ROOT" || exit
export LC_ALL=C TZ=UTC
umask 022
unset GZIP TAR_OPTIONS

# Progress, on stderr so that results on stdout stay clean.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# fail CODE MESSAGE
fail() {
    local code=$1
    shift
    say "error: $*"
    exit "$code"
}

# usage: the comment at the top of the script, which is its manual.
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$ROOT/scripts/${0##*/}"; }

# value_of OPTION [VALUE]: the value, or a usage error when there is none.
value_of() {
    [ -n "${2-}" ] || fail 64 "$1 needs a value"
    printf '%s\n' "$2"
}

# path_of OPTION [PATH]: the same, made absolute where the caller stands.
path_of() {
    local path
    path=$(value_of "$@")
    case $path in
    /*) printf '%s\n' "$path" ;;
    *) printf '%s\n' "$CALLED_FROM/$path" ;;
    esac
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

package_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_packages NAME[:PROGRAM]...: installs the Debian or Ubuntu packages that are missing, and says so.
# A package whose program is already there, from wherever, is not missing.
need_packages() {
    local missing=() entry
    for entry in "$@"; do
        [[ $entry == *:* ]] && PATH=$PATH:/usr/sbin:/sbin command -v "${entry#*:}" >/dev/null && continue
        package_installed "${entry%:*}" || missing+=("${entry%:*}")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    command -v apt-get >/dev/null ||
        fail 69 "not Debian or Ubuntu: install what these packages hold: ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        fail 69 "neither root nor sudo here; as root, run: apt-get install ${missing[*]}"
    say "installing missing packages: ${missing[*]}"
    as_root apt-get update -q >&2
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
}

# What a build needs besides Rust: a C compiler and cmake for the cryptography and compression code.
need_build_tools() {
    need_packages binutils:readelf cmake:cmake gcc:gcc g++:g++ libc6-dev make:make pkg-config:pkg-config
    local wanted found
    wanted=$(rust_version)
    command -v cargo >/dev/null || fail 69 "no Rust here: install $wanted or newer with rustup, https://rustup.rs"
    found=$(rustc --version | cut -d ' ' -f 2)
    printf '%s\n' "$wanted" "$found" | sort -C -V ||
        fail 69 "Rust $found is too old: install $wanted or newer with rustup, https://rustup.rs"
}

# has_cargo_tool NAME VERSION: whether the one in PATH is of that version, by its own word or by cargo's list.
has_cargo_tool() {
    command -v "$1" >/dev/null || return
    cargo install --list | grep -qx "$1 v$2:" || "$1" --version 2>/dev/null | grep -qE "^$1 ${2//./\\.}( |\$)"
}

# need_cargo_tool NAME VERSION: the cargo subcommand at that version, and no other. A version that is not in PATH is installed
# into a folder of its own in the cargo home, where other checkouts find it too.
need_cargo_tool() {
    has_cargo_tool "$1" "$2" && return
    local into=${CARGO_HOME:-$HOME/.cargo}/tools/$1-$2
    if [ ! -x "$into/bin/$1" ]; then
        say "installing $1 $2 with cargo; this takes some minutes, once"
        cargo install --quiet --locked --version "$2" --root "$into" "$1" >&2
    fi
    PATH=$into/bin:$PATH
}

# need_python_tools: sets PYTHON_TOOLS to a folder with the programs of scripts/requirements.txt, and a Python that has its packages.
need_python_tools() {
    local into=${CARGO_TARGET_DIR:-$ROOT/target}/python pinned
    PYTHON_TOOLS=$into/bin
    pinned=$(sha256sum scripts/requirements.txt)
    [ "$(cat "$into/pinned" 2>/dev/null)" = "$pinned" ] && return
    need_packages python3:python3 python3-venv
    say "fetching the Python packages of scripts/requirements.txt"
    rm -rf "$into"
    python3 -m venv "$into"
    "$PYTHON_TOOLS/pip" install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --requirement scripts/requirements.txt >&2 || fail 75 "the Python package index does not give what scripts/requirements.txt pins"
    printf '%s\n' "$pinned" >"$into/pinned"
}

# The [workspace.package] field of that name in Cargo.toml.
workspace_field() {
    sed -n '/^\[workspace\.package\]/,/^$/s/^'"$1"' *= *"\(.*\)"$/\1/p' Cargo.toml
}
version() { workspace_field version; }
rust_version() { workspace_field rust-version; }

# The Rust target of this machine.
host_target() {
    case $(uname -m) in
    x86_64) echo x86_64-unknown-linux-gnu ;;
    aarch64) echo aarch64-unknown-linux-gnu ;;
    *) fail 69 "no image for $(uname -m): only x86_64 and aarch64 are supported" ;;
    esac
}

# Inside a checkout, git must answer: a build that can't name its commit would not be reproducible.
in_git() {
    [ -e .git ] || return 1
    git rev-parse HEAD >/dev/null || fail 69 "git does not work in this checkout (see its message above)"
}

# The commit in the working tree, with `-dirty` when it has changes; `unknown` outside git.
commit() {
    local id
    in_git || { echo unknown && return; }
    id=$(git rev-parse HEAD)
    [ -z "$(git status --porcelain)" ] || id=$id-dirty
    echo "$id"
}

# The commit's time in seconds since 1970; 0 outside git.
commit_time() { if in_git; then git log -1 --format=%ct; else echo 0; fi; }
