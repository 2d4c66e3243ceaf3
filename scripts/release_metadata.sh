#!/usr/bin/env bash
# Holds what a release says of itself against the facts: review dates of advisory exceptions, whether each exception is
# still needed and stands where it is reported, versions in Cargo.toml, Cargo.lock, CHANGELOG.md, the tag and the notes.
# Usage: scripts/release_metadata.sh [--tag TAG] [--notes FILE] [--today YYYY-MM-DD]
#   FLUXHEIM_ADVISORY_DB=DIR takes the RustSec database from that folder; without it, it is fetched.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

arguments=()
while [ $# -gt 0 ]; do
    case $1 in
    --tag | --today) arguments+=("$1" "$(value_of "$@")"); shift 2 ;;
    --notes) arguments+=("$1" "$(path_of "$@")"); shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) fail 64 "unknown argument $1" ;;
    esac
done
need_packages python3:python3
reported=$(mktemp)
trap 'rm -f "$reported"' EXIT
scripts/audit --reported >"$reported"
python3 scripts/metadata.py check --reported "$reported" "${arguments[@]}" || fail 1 "the lines above must be mended before a release"
say "versions agree; $(python3 scripts/metadata.py exceptions | grep -c RUSTSEC) reviewed exceptions hold"
