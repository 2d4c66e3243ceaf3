#!/usr/bin/env bash
# The release gate: every check of scripts/checks.sh (container tests and the trial release among them), then the fuzz
# targets for a bounded time, a soak, and the reproducible build. All steps run; exit code 1 if any failed.
# Usage: scripts/release_checks.sh [--fuzz-seconds N] [--soak-minutes N] [STEP...]   (60 a target, 60; default: all steps)
# Steps: checks smoke fuzz soak reproducible
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

readonly STEPS=(checks smoke fuzz soak reproducible)
fuzz_seconds=60 soak_minutes=60 steps=()
while [ $# -gt 0 ]; do
    case $1 in
    --fuzz-seconds) fuzz_seconds=$(value_of "$@"); shift 2 ;;
    --soak-minutes) soak_minutes=$(value_of "$@"); shift 2 ;;
    -h | --help) usage; exit 0 ;;
    -*) fail 64 "unknown argument $1" ;;
    *) steps+=("$1"); shift ;;
    esac
done
[ "${#steps[@]}" -gt 0 ] || steps=("${STEPS[@]}")
for step in "${steps[@]}"; do
    [[ " ${STEPS[*]} " == *" $step "* ]] || fail 64 "no step $step; there are: ${STEPS[*]}"
done

step_checks() { scripts/checks.sh; }
# As a user would: the image from the tar, started without arguments, asked, stopped.
step_smoke() { scripts/smoke; }
step_fuzz() { scripts/fuzz --time "$fuzz_seconds"; }
step_soak() { scripts/soak --minutes "$soak_minutes"; }
step_reproducible() { scripts/reproducible_build_check.sh; }

failed=() report=()
for step in "${steps[@]}"; do
    started=$SECONDS result=passed
    say "== $step"
    "step_$step" </dev/null || { result=FAILED; failed+=("$step"); }
    report+=("$(printf '%-14s %-6s %5ds' "$step" "$result" $((SECONDS - started)))")
done
printf '\n'
printf '%s\n' "${report[@]}"
printf '%d passed, %d failed\n' $((${#report[@]} - ${#failed[@]})) "${#failed[@]}"
[ "${#failed[@]}" -eq 0 ]
