#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Run all tests of a build folder; the last line is "N passed, N failed, N skipped",
# counted in tests as Meson counts them (one program = one test).
# run_tests.sh [BUILD [N]]: N times the usual time limits.
build=${1:-build}
meson test -C "$build" -t "${2:-1}" --print-errorlogs --no-rebuild > "$build/test.out" 2>&1
status=$?
cat "$build/test.out"
awk '/^Ok:/ {ok += $2} /^Expected Fail:/ {ok += $3} /^Fail:/ {bad += $2}
     /^Unexpected Pass:/ {bad += $3} /^Timeout:/ {bad += $2} /^Skipped:/ {skip += $2}
     END {printf "%d passed, %d failed, %d skipped\n", ok, bad, skip}' "$build/test.out"
exit $status
