#!/usr/bin/env bash
# Runs every check a change must pass, the same here and in CI: all steps, then one summary. Exit code 1 if any failed.
# Usage: scripts/checks.sh [STEP...]   (default: all). Needs root or sudo: installs what is missing, and tests change owners.
# Steps: fmt lint shellcheck workflows kubernetes supply metadata deny audit docs image sbom deployments commands tests doctests release
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

readonly STEPS=(fmt lint shellcheck workflows kubernetes supply metadata deny audit docs image sbom deployments commands tests doctests release)
readonly LOGS=$ROOT/target/test
readonly FUZZ=tests/fuzz/Cargo.toml   # a workspace of its own

step_fmt() { cargo fmt-check && cargo fmt --manifest-path "$FUZZ" -- --check --config-path .cargo/rustfmt.toml; }
step_lint() {
    cargo lint &&
        cargo clippy --manifest-path "$FUZZ" --target-dir "${CARGO_TARGET_DIR:-target}" --all-targets --locked -- -D warnings
}
step_shellcheck() { grep -lE '^#!.*\b(bash|sh)$' scripts/* | xargs shellcheck --external-sources scripts/lib.sh .ci/run; }
step_workflows() {
    need_python_tools
    "$PYTHON_TOOLS/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml &&
        "$PYTHON_TOOLS/check-jsonschema" --builtin-schema vendor.dependabot .github/dependabot.yml &&
        "$PYTHON_TOOLS/check-jsonschema" --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/{bug,wish}.yml &&
        "$PYTHON_TOOLS/check-jsonschema" --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml &&
        "$PYTHON_TOOLS/zizmor" --offline --no-progress --persona pedantic .github
}
step_kubernetes() { scripts/kubernetes; }
step_supply() { scripts/inventory_test; }
step_metadata() { python3 scripts/metadata_test.py && scripts/release_metadata.sh; }
step_deny() { scripts/audit deny; }
step_audit() { scripts/audit audit; }
step_docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked; }
step_image() { scripts/build-image && scripts/build-binaries --container-tests; }
step_sbom() { scripts/generate-sbom.sh && scripts/audit-image; }
step_commands() { scripts/docs-commands; }
step_deployments() { scripts/deployments; }
step_tests() {
    # Built as the caller, run as root: tests change owners, mount and start containers.
    local runner
    runner=CARGO_TARGET_$(host_target | tr 'a-z-' 'A-Z_')_RUNNER
    [ "$(id -u)" -eq 0 ] || export "$runner=sudo --preserve-env env PATH=$PATH"
    cargo nextest run --workspace --locked --no-fail-fast
}
step_doctests() { cargo test --doc --workspace --locked; }
step_release() { scripts/trial_release.sh; }

prepare() {
    need_build_tools
    need_packages acl:setfacl bind9-dnsutils:dig bindfs:bindfs curl:curl docker.io:docker faketime:faketime iproute2:ip \
        jq:jq knot:knotd knot-dnsutils:knsupdate nghttp2-client:h2load nginx-light:nginx openssl:openssl pebble:pebble \
        procps:ps redis-server:redis-server redis-tools:redis-cli shellcheck:shellcheck strace:strace testssl.sh:testssl tini:tini \
        util-linux:unshare wrk:wrk
    need_cargo_tool cargo-nextest 0.9.143
    scripts/peers
    PATH=$PATH:/usr/sbin:/sbin
    mkdir -p "$LOGS"
}

passed=0 failed=() report=()

# run_step NAME: its output goes to the terminal and to target/test/NAME.log.
run_step() {
    local started=$SECONDS result
    say "== $1"
    # `set -e` does not hold inside a condition: every step is one command, or a pipe.
    if "step_$1" 2>&1 </dev/null | tee "$LOGS/$1.log"; then
        result=passed passed=$((passed + 1))
    else
        result=FAILED
        failed+=("$1")
    fi
    report+=("$(printf '%-12s %-6s %4ds' "$1" "$result" $((SECONDS - started)))")
    say "== ${report[-1]}"
}

summary() {
    printf '\n'
    if [ -f "$LOGS/tests.log" ]; then grep -E 'Summary \[|^ +(FAIL|TIMEOUT|SIG[A-Z]+) \[' "$LOGS/tests.log" | sort -u || true; fi
    printf '%s\n' "${report[@]}"
    [ "${#failed[@]}" -eq 0 ] || printf 'failed: %s (full output in target/test/)\n' "${failed[*]}"
    printf '%d passed, %d failed\n' "$passed" "${#failed[@]}"
}

case ${1-} in -h | --help) usage; exit 0 ;; esac
steps=("$@")
[ $# -gt 0 ] || steps=("${STEPS[@]}")
for step in "${steps[@]}"; do
    [[ " ${STEPS[*]} " == *" $step "* ]] || fail 64 "no step $step; there are: ${STEPS[*]}"
done
prepare
rm -f "$LOGS"/*.log
for step in "${steps[@]}"; do run_step "$step"; done
summary
[ "${#failed[@]}" -eq 0 ]
