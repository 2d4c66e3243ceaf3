#!/usr/bin/env bash
# Writes the SBOMs, CycloneDX 1.7 and SPDX 3.0.1: of the workspace (every crate that a build or a test takes), and of the
# image as built (both programs' own lists of crates, the C and Rust libraries linked in, the CA bundle, every file).
# Usage: scripts/generate-sbom.sh [--out DIR] [--workspace-only] [--binaries DIR] [--image DIR]
#        (default: into target/sbom, from the image in target/image and its programs; scripts/build-image makes both)
# The same tree and image give the same bytes. Each file is validated against its specification before this ends well.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

target=${CARGO_TARGET_DIR:-$ROOT/target}
out=$target/sbom image=$target/image binaries='' with_image=true
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=$(path_of "$@"); shift 2 ;;
    --image) image=$(path_of "$@"); shift 2 ;;
    --binaries) binaries=$(path_of "$@"); shift 2 ;;
    --workspace-only) with_image=false; shift ;;
    -h | --help) usage; exit 0 ;;
    *) fail 64 "unknown argument $1" ;;
    esac
done
need_packages binutils:objcopy gcc:gcc libc6-dev
need_python_tools
[ -n "$binaries" ] || binaries=$target/$(host_target)/release
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(commit_time)}
export SOURCE_DATE_EPOCH

# sbom NAME KIND [ARGUMENT...]: both documents of what components.py lists.
sbom() {
    local name=$1 kind=$2
    shift 2
    "$PYTHON_TOOLS/python" scripts/components.py "$kind" "$namespace/$name" "$@" >"$work/$name"
    "$PYTHON_TOOLS/python" scripts/sbom.py "$name" "$out" <"$work/$name"
    say "$out/$name.{cdx,spdx}.json: $(jq '.components | length' "$work/$name") components"
}

need_packages jq:jq
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(version)
namespace=$(workspace_field repository)/sbom/$version/$(commit)
sbom "fluxheim-$version-workspace" workspace
$with_image || exit 0
[ -f "$image/oci/index.json" ] || fail 66 "no image in $image: make it with scripts/build-image"
sbom "fluxheim-$version-image" image "$binaries" "$image/oci"
