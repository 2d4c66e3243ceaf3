#!/bin/sh
# Verifies a folder with the files of a Fluxheim release: the signature over SHA256SUMS, every file's checksum, that no
# file is there besides, the image's digest and the checksums in the release notes, and what the provenance names.
# Usage: sh verify_release.sh --signer IDENTITY [--allowed-signers FILE] [DIR]   (default: DIR is ".", FILE is DIR/allowed_signers)
# Take IDENTITY and its key from the project's SECURITY.md, not from the folder: allowed_signers there could be anybody's.
# Needs ssh-keygen, sha256sum, tar. Exit code 0: all of it holds; 1: something does not, with a line that says what.
set -eu

signer='' signers='' dir=.
fail() { printf 'verify_release: %s\n' "$2" >&2; exit "$1"; }
while [ $# -gt 0 ]; do
    case $1 in
    --signer) [ $# -gt 1 ] || fail 64 "--signer needs a value"; signer=$2; shift 2 ;;
    --allowed-signers) [ $# -gt 1 ] || fail 64 "--allowed-signers needs a value"; signers=$2; shift 2 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) fail 64 "unknown argument $1" ;;
    *) dir=$1; shift ;;
    esac
done
[ -n "$signer" ] || fail 64 "--signer IDENTITY is needed: who is believed"
for tool in ssh-keygen sha256sum tar; do command -v "$tool" >/dev/null || fail 69 "$tool is not installed (Debian: openssh-client, coreutils, tar)"; done
case $signers in '' | /*) ;; *) signers=$PWD/$signers ;; esac
cd "$dir" || exit 66
signers=${signers:-allowed_signers}
for file in SHA256SUMS SHA256SUMS.sig RELEASE_NOTES.md "$signers"; do [ -f "$file" ] || fail 66 "no $file here"; done

ssh-keygen -Y verify -f "$signers" -I "$signer" -n fluxheim-release -s SHA256SUMS.sig <SHA256SUMS >/dev/null 2>&1 ||
    fail 1 "the signature over SHA256SUMS is not $signer's"
printf 'ok  SHA256SUMS is signed by %s\n' "$signer"
sha256sum --check --strict --quiet SHA256SUMS || fail 1 "a file is not what was signed"
printf 'ok  %s files have the checksums that were signed\n' "$(wc -l <SHA256SUMS | tr -d ' ')"
for file in *; do
    case $file in SHA256SUMS | SHA256SUMS.sig) continue ;; esac
    grep -qF "  $file" SHA256SUMS || fail 1 "$file is not part of the release"
done

sum() { sha256sum "$1" | cut -d ' ' -f 1; }
# Each file that the notes list has the checksum that they give.
for file in *.tar.gz *-image.tar *.cdx.json *.spdx.json *.provenance.json; do
    grep -qF "| $file | \`$(sum "$file")\` |" RELEASE_NOTES.md || fail 1 "RELEASE_NOTES.md gives another checksum for $file, or none"
done
printf 'ok  the release notes give the same checksums\n'

for image in *-image.tar; do :; done
manifest=$(tar -xOf "$image" index.json | tr ',' '\n' | sed -n 's/.*"digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' | head -n 1)
[ "$(tar -xOf "$image" "blobs/sha256/${manifest#sha256:}" | sha256sum | cut -d ' ' -f 1)" = "${manifest#sha256:}" ] ||
    fail 1 "$image: its manifest is not what its index names"
grep -qF "fluxheim/fluxheim@$manifest" RELEASE_NOTES.md || fail 1 "$image has the digest $manifest, and the notes another"
printf 'ok  the image is %s\n' "$manifest"

for provenance in *.provenance.json; do :; done
for file in *.tar.gz *-image.tar; do
    grep -qF "\"$(sum "$file")\"" "$provenance" || fail 1 "$provenance does not name $file"
done
grep -qF "\"${manifest#sha256:}\"" "$provenance" || fail 1 "$provenance does not name the image"
printf 'ok  the provenance names the archives and the image\n'
