#!/usr/bin/env bash
# Cuts a trial release out of the image in target/ with a key made for it, types what its notes tell a user to type, and
# sees that a changed file, a changed sum, another signer, an unsigned tag and a stranger's file are all refused.
# Usage: scripts/trial_release.sh [--keep DIR]   (scripts/build-image first; needs Docker for the image's commands)
# shellcheck disable=SC2046  # names of release files have no spaces
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

work=''
while [ $# -gt 0 ]; do
    case $1 in
    --keep) work=$(path_of "$@"); mkdir -p "$work"; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) fail 64 "unknown argument $1" ;;
    esac
done
need_packages git:git openssh-client:ssh-keygen docker.io:docker
in_git || fail 66 "not a git checkout"
target=${CARGO_TARGET_DIR:-$ROOT/target}
[ -f "$target/image/fluxheim.tar" ] || fail 66 "no image in $target/image: scripts/build-image"
if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

readonly SIGNER=releases@fluxheim.example
ssh-keygen -q -t ed25519 -N '' -C "$SIGNER" -f "$work/key"
ssh-keygen -q -t ed25519 -N '' -C "$SIGNER" -f "$work/other"
printf '%s namespaces="git,fluxheim-release" %s\n' "$SIGNER" "$(cut -d ' ' -f 1-2 "$work/key.pub")" >"$work/signers"
printf '%s namespaces="git,fluxheim-release" %s\n' "$SIGNER" "$(cut -d ' ' -f 1-2 "$work/other.pub")" >"$work/others"

# make ARGUMENT...: make_release.sh in the copy, with the programs that are already built here.
make() {
    (cd "$work/tree" && CARGO_TARGET_DIR=$target scripts/make_release.sh --prebuilt "$target" --key "$work/key" "$@")
}

# refused NAME MESSAGE COMMAND...: it must fail, and say so.
refused() {
    local said
    if said=$("${@:3}" 2>&1); then fail 1 "not refused: $1"; fi
    [[ $said == *"$2"* ]] || fail 1 "$1 was refused for another reason: $said"
    say "refused as it must be: $1"
}

# in_notes LANGUAGE: the commands in the code blocks of that kind.
in_notes() { awk -v begin="\`\`\`$1" '$0 == begin { on = 1; next } /^```/ { on = 0 } on' "$release/RELEASE_NOTES.md"; }

# A copy of the commit, one commit on: as at a release, CHANGELOG.md has a section for the version.
version=$(version) tag=v$(version)
git clone --quiet --no-hardlinks "$ROOT" "$work/tree"
releaser=(git -C "$work/tree" -c user.name=Trial -c "user.email=$SIGNER" -c gpg.format=ssh -c "user.signingkey=$work/key")
"${releaser[@]}" checkout --quiet "$(git rev-parse HEAD)"
"${releaser[@]}" tag --sign --message 'too early' "$tag"
grep -q "^## \[$version\]" CHANGELOG.md ||
    refused 'a version without a section in CHANGELOG.md' 'no section for' make --tag "$tag" --allowed-signers "$work/signers" --out "$work/none"
sed -i "s/^## \[Unreleased\]\$/## [$version] - 2000-01-01/" "$work/tree/CHANGELOG.md"
"${releaser[@]}" commit --quiet --all --allow-empty --message "Release $version"
"${releaser[@]}" tag --annotate --message 'not signed' unsigned
refused 'a tag without a signature' 'is not a tag signed' make --tag unsigned --allowed-signers "$work/signers" --out "$work/none"
"${releaser[@]}" tag --force --sign --message "Fluxheim $version" "$tag" >/dev/null
refused "another signer's tag" 'is not a tag signed' make --tag "$tag" --allowed-signers "$work/others" --out "$work/none"
refused 'programs of another commit' 'build it from the tag' make --tag "$tag" --allowed-signers "$work/signers" --out "$work/none2"

release=$work/release
make --trial --tag "$tag" --allowed-signers "$work/signers" --out "$release"

say "what the notes tell a user to type:"
in_notes sh | tee >(cat >&2) | (cd "$release" && bash -eu -o pipefail)
in_notes 'sh tag' | sed "s|allowed_signers|$release/allowed_signers|g" | tee >(cat >&2) | (cd "$work/tree" && bash -eu -o pipefail)
in_notes 'sh image' | tee >(cat >&2) | (cd "$release" && bash -eu -o pipefail)
for kind in sh 'sh tag' 'sh image'; do [ -n "$(in_notes "$kind")" ] || fail 1 "the notes have no commands of the kind $kind"; done

verify() { sh "$release/verify_release.sh" --signer "$SIGNER" "$@" "$release"; }
cp "$release/SHA256SUMS" "$work/sums"
cp "$release/RELEASE_NOTES.md" "$work/notes"
refused 'another signer' "is not $SIGNER's" verify --allowed-signers "$work/others"
printf '\n' >>"$release/RELEASE_NOTES.md"
refused 'a changed file' 'is not what was signed' verify
(cd "$release" && sha256sum -- RELEASE_NOTES.md) >"$work/line"
grep -v RELEASE_NOTES.md "$work/sums" | cat - "$work/line" >"$release/SHA256SUMS"
refused 'changed sums' 'the signature over SHA256SUMS' verify
cp "$work/sums" "$release/SHA256SUMS"
cp "$work/notes" "$release/RELEASE_NOTES.md"
: >"$release/stranger"
refused 'a file more' 'is not part of the release' verify
rm "$release/stranger"
# A release signed by whoever may, but with notes of another image.
sed -i 's/fluxheim@sha256:..../fluxheim@sha256:0000/' "$release/RELEASE_NOTES.md"
(cd "$release" && sha256sum -- $(cut -c 67- "$work/sums") >SHA256SUMS && rm SHA256SUMS.sig && ssh-keygen -q -Y sign -f "$work/key" -n fluxheim-release SHA256SUMS)
refused 'notes of another image' 'and the notes another' verify
say "the trial release can be verified, and nothing else passes for it"
