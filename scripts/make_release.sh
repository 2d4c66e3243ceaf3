#!/usr/bin/env bash
# Makes the release folder of a signed tag: source archive, programs, image, SBOMs, provenance, release notes, SHA256SUMS,
# and an SSH signature over those sums. Every number in the notes is read from the files themselves.
# Usage: scripts/make_release.sh --tag TAG --key FILE --allowed-signers FILE [--out DIR] [--prebuilt TARGET_DIR] [--trial]
#   --key FILE              the SSH key that signs SHA256SUMS: a private key, or a public one whose private half the agent has
#   --allowed-signers FILE  who may sign tags and releases (ssh-keygen(1), ALLOWED SIGNERS); goes into the folder as allowed_signers
#   --prebuilt TARGET_DIR   takes programs and image from there; their commit must be the tag's
#   --trial                 marks the notes as a trial, and takes programs of any commit
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

readonly NAMESPACE=fluxheim-release   # what a signature is for: one over another file can't be passed off as this
tag='' key='' signers='' out='' prebuilt='' trial=false
while [ $# -gt 0 ]; do
    case $1 in
    --tag) tag=$(value_of "$@"); shift 2 ;;
    --key) key=$(path_of "$@"); shift 2 ;;
    --allowed-signers) signers=$(path_of "$@"); shift 2 ;;
    --out) out=$(path_of "$@"); shift 2 ;;
    --prebuilt) prebuilt=$(path_of "$@"); shift 2 ;;
    --trial) trial=true; shift ;;
    -h | --help) usage; exit 0 ;;
    *) fail 64 "unknown argument $1" ;;
    esac
done
for needed in "$tag" "$key" "$signers"; do [ -n "$needed" ] || fail 64 "--tag, --key and --allowed-signers are needed"; done
need_packages git:git jq:jq openssh-client:ssh-keygen python3:python3
in_git || fail 66 "not a git checkout"

# --- What is released.
git -c gpg.format=ssh -c "gpg.ssh.allowedSignersFile=$signers" verify-tag "$tag" >&2 ||
    fail 1 "$tag is not a tag signed by one of $signers"
tagged=$(git rev-parse "$tag^{commit}")
[ "$(git rev-parse HEAD)" = "$tagged" ] || fail 66 "$tag is commit $tagged, and another one is checked out: git checkout $tag"
[ -z "$(git status --porcelain)" ] || fail 66 "the tree has changes: release from a clean checkout of $tag"
version=$(version)
scripts/release_metadata.sh --tag "$tag"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$tagged")
export SOURCE_DATE_EPOCH
name=fluxheim-$version target=$(host_target)
out=${out:-$ROOT/target/release-$version}
[ ! -e "$out" ] || fail 73 "$out exists: a release is never written over"
mkdir -p "$out"

# archive FILE FOLDER ENTRY...: a tar.gz that is the same for the same content.
archive() {
    tar --create --format=ustar --sort=name --numeric-owner --owner 0 --group 0 --mode 'u=rwX,go=rX' \
        --mtime "@$SOURCE_DATE_EPOCH" -C "$2" "${@:3}" | gzip -n -9 >"$1"
}

# --- Programs and image.
built=${prebuilt:-$ROOT/target}
[ -n "$prebuilt" ] || scripts/build-image --target-dir "$built" --out "$built/image"
programs=$built/$target/release
for program in fluxheim fluxheim-init; do
    said=$("$programs/$program" --version) || fail 66 "no $program in $programs"
    $trial || [[ $said == *"commit $tagged,"* ]] ||
        fail 1 "$program says \"$said\", and $tag is commit $tagged: build it from the tag"
    [[ $said == *" $version "* ]] || fail 1 "$program says \"$said\", and $tag is version $version"
done
cp -- "$built/image/fluxheim.tar" "$out/$name-image.tar"
digest=$(cat "$built/image/digest")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# With the programs: their manual, completions, the service for machines without containers.
mkdir -p "$work/programs/completions"
cp -- "$programs/fluxheim" "$programs/fluxheim-init" "$programs/third-party-licenses.txt" LICENSE image/systemd/fluxheim.service "$work/programs/"
scripts/man-pages --binaries "$programs" --out "$work/programs/man"
"$programs/fluxheim" completions bash >"$work/programs/completions/fluxheim.bash"
"$programs/fluxheim" completions zsh >"$work/programs/completions/_fluxheim"
"$programs/fluxheim" completions fish >"$work/programs/completions/fluxheim.fish"
archive "$out/$name-$target.tar.gz" "$work/programs" .
# Manifests and chart that name the image by this digest.
cp -r image/kubernetes "$work/kubernetes"
sed -i "s|fluxheim/fluxheim:$version|fluxheim/fluxheim@$digest|" "$work/kubernetes/base/deployment.yaml"
sed -i "s|^  digest: \"\"|  digest: $digest|" "$work/kubernetes/chart/values.yaml"
[ "$(grep -rlF "$digest" "$work/kubernetes" | wc -l)" -eq 2 ] || fail 70 "the manifests do not name their image as they used to"
archive "$out/$name-kubernetes.tar.gz" "$work/kubernetes" .

# --- Source, SBOMs, provenance.
git archive --format=tar --prefix="$name/" "$tagged" | gzip -n -9 >"$out/$name-source.tar.gz"
scripts/generate-sbom.sh --out "$out" --image "$built/image" --binaries "$programs"
cp -- "$signers" "$out/allowed_signers"

sum() { sha256sum "$1" | cut -d ' ' -f 1; }

# An in-toto statement (v1) with SLSA's provenance (v1) of what was built here.
provenance() {
    local subjects=() file
    for file in "$out/$name"-*.tar.gz "$out/$name-image.tar"; do
        subjects+=("$(jq -n --arg name "${file##*/}" --arg sum "$(sum "$file")" '{name: $name, digest: {sha256: $sum}}')")
    done
    subjects+=("$(jq -n --arg sum "${digest#sha256:}" '{name: "fluxheim/fluxheim", digest: {sha256: $sum}}')")
    printf '%s\n' "${subjects[@]}" | jq -s --arg tag "$tag" --arg commit "$tagged" --arg repository "$(workspace_field repository)" \
        --arg rustc "$(rustc --version)" --arg cc "$(gcc --version | head -n 1)" --arg epoch "$SOURCE_DATE_EPOCH" \
        --arg lock "$(sum Cargo.lock)" --arg builder "${FLUXHEIM_BUILDER:-local}" '{
            "_type": "https://in-toto.io/Statement/v1",
            subject: .,
            predicateType: "https://slsa.dev/provenance/v1",
            predicate: {
                buildDefinition: {
                    buildType: ($repository + "/blob/" + $tag + "/scripts/make_release.sh"),
                    externalParameters: {tag: $tag},
                    internalParameters: {SOURCE_DATE_EPOCH: $epoch, rustc: $rustc, cc: $cc},
                    resolvedDependencies: [
                        {uri: ("git+" + $repository + "@refs/tags/" + $tag), digest: {gitCommit: $commit}},
                        {uri: "Cargo.lock", digest: {sha256: $lock}}
                    ]
                },
                runDetails: {builder: {id: ($repository + "/builder/" + $builder)}}
            }
        }'
}
provenance >"$out/$name.provenance.json"

# --- The notes.
# sums FILE...: a table of files and their checksums.
# shellcheck disable=SC2016  # backquotes are Markdown
sums() {
    local file
    printf '| File | SHA-256 |\n|---|---|\n'
    for file in "$@"; do printf '| %s | `%s` |\n' "${file##*/}" "$(sum "$file")"; done
}

# shellcheck disable=SC2016  # backquotes are Markdown
notes() {
    printf '# Fluxheim %s\n\n' "$version"
    ! $trial || printf '**This is a trial, not a release.**\n\n'
    printf 'Container image: `fluxheim/fluxheim@%s`. Commit `%s`, tag `%s`.\n\n' "$digest" "$tagged" "$tag"
    # Links that lead somewhere in the repository do so from the notes too.
    printf '## Changes\n\n%s\n\n' "$(python3 scripts/metadata.py changes | sed "s|](docs/|]($(workspace_field repository)/blob/$tag/docs/|g")"
    printf '## Verify\n\nIn a folder with all files of this release; who signs (`allowed_signers`) is also in the project'"'"'s SECURITY.md: compare.\n\n'
    printf '```sh\nssh-keygen -Y verify -f allowed_signers -I %s -n %s -s SHA256SUMS.sig <SHA256SUMS\nsha256sum --check --strict SHA256SUMS\n' "$signer" "$NAMESPACE"
    printf 'sh verify_release.sh --signer %s .\n```\n\nThe tag, in a clone of the repository:\n\n' "$signer"
    printf '```sh tag\ngit -c gpg.format=ssh -c gpg.ssh.allowedSignersFile=allowed_signers verify-tag %s\n```\n\n' "$tag"
    printf 'The image, from the file or from a registry; both have the digest above:\n\n'
    printf '```sh image\ndocker load --input %s-image.tar\ndocker run --rm fluxheim/fluxheim:%s --version\n```\n\n' "$name" "$version"
    printf '## Checksums\n\nSource archive:\n\n%s\n\n' "$(sums "$out/$name-source.tar.gz")"
    printf 'Binaries:\n\n%s\n\n' "$(sums "$out/$name-$target.tar.gz" "$programs/fluxheim" "$programs/fluxheim-init")"
    printf 'Kubernetes manifests and chart, by the digest below:\n\n%s\n' "$(sums "$out/$name-kubernetes.tar.gz")"
    printf '\nContainer image:\n\n%s\n| manifest digest | `%s` |\n\n' "$(sums "$out/$name-image.tar")" "$digest"
    printf 'SBOMs:\n\n%s\n\n' "$(sums "$out"/*.cdx.json "$out"/*.spdx.json)"
    printf 'Provenance:\n\n%s\n\n' "$(sums "$out/$name.provenance.json")"
    printf '## Reviewed advisory exceptions\n\n%s\n' "$(python3 scripts/metadata.py exceptions)"
}
# The first principal that signers lists for this key.
signer=$(ssh-keygen -Y find-principals -f "$signers" -s <(printf x | ssh-keygen -q -Y sign -f "$key" -n "$NAMESPACE" -) | head -n 1)
[ -n "$signer" ] || fail 1 "$key is not among the allowed signers in $signers"
cp -- scripts/verify_release.sh "$out/"
notes >"$out/RELEASE_NOTES.md"
scripts/release_metadata.sh --tag "$tag" --notes "$out/RELEASE_NOTES.md"

# --- Sums and signature, last.
(cd "$out" && sha256sum -- * >.SHA256SUMS && mv .SHA256SUMS SHA256SUMS)
ssh-keygen -q -Y sign -f "$key" -n "$NAMESPACE" "$out/SHA256SUMS"
sh "$out/verify_release.sh" --signer "$signer" "$out"
say "$out: $(wc -l <"$out/SHA256SUMS") files, image $digest"
