#!/usr/bin/env bash
# Builds both programs and the image twice, from two copies of the committed tree in folders of different names and with
# separate target folders, and compares: the programs, the image's digest, the tar. Exit code 1 when any differs.
# Usage: scripts/reproducible_build_check.sh [--keep DIR]   (two full release builds: a quarter of an hour and more)
# What it proves: with the tools of this machine, the result depends on the commit alone, not on where, when or in which
# environment it is built. What it doesn't: that another compiler, C library or distribution gives the same bytes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

keep=''
while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=$(path_of "$@"); shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) fail 64 "unknown argument $1" ;;
    esac
done
in_git || fail 66 "not a git checkout: what is built is a commit"
[ -z "$(git status --porcelain)" ] || say "changes that are not committed are left out"
# Once: a commit that is made meanwhile is none of this check.
commit=$(git rev-parse HEAD)
work=${keep:-$(mktemp -d)}
mkdir -p "$work"
[ -n "$keep" ] || trap 'rm -rf "$work"' EXIT

# build NAME FOLDER: a copy of the commit there, built with a target folder outside of it.
build() {
    local tree=$work/$2/fluxheim-copy
    rm -rf "${work:?}/$2" "$work/target-$1"
    mkdir -p "$work/$2"
    git clone --quiet --no-hardlinks "$ROOT" "$tree"
    git -C "$tree" checkout --quiet "$commit"
    say "build $1 of 2, in $tree"
    # One is built with the clock's zone, language and umask of somebody else.
    (cd "$tree" && "${@:3}" scripts/build-image --target-dir "$work/target-$1" --out "$work/image-$1")
}

build one a env -u CARGO_TARGET_DIR
build two a-longer-name/below env -u CARGO_TARGET_DIR TZ=Asia/Kathmandu LANG=C.UTF-8
differences=0
# compare WHAT FILE FILE
compare() {
    local one two
    one=$(sha256sum "$2" | cut -d ' ' -f 1)
    two=$(sha256sum "$3" | cut -d ' ' -f 1)
    if [ "$one" = "$two" ]; then
        printf 'same       %-14s sha256:%s\n' "$1" "$one"
    else
        printf 'DIFFERENT  %-14s sha256:%s\n                          sha256:%s\n' "$1" "$one" "$two"
        differences=$((differences + 1))
    fi
}
target=$(host_target)
for program in fluxheim fluxheim-init; do
    compare "$program" "$work/target-one/$target/release/$program" "$work/target-two/$target/release/$program"
done
compare image "$work/image-one/fluxheim.tar" "$work/image-two/fluxheim.tar"
# The digest stands in the tar: where that is the same, this is.
printf 'image %s and %s, commit %s\n' "$(cat "$work/image-one/digest")" "$(cat "$work/image-two/digest")" "$commit"
[ "$differences" -eq 0 ] || fail 1 "$differences of 3 differ; run again with --keep DIR and compare what is there with diffoscope"
