#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Run all tests of a build folder; the last line is "N passed, N failed, N skipped",
# counted in tests as Meson counts them (one program = one test).
# run_tests.sh [BUILD [N [MORE ...]]]: N times the usual time limits, more options of meson test.
build=${1:-build}
limits=${2:-1}
shift $(($# < 2 ? $# : 2))
meson test -C "$build" -t "$limits" --print-errorlogs --no-rebuild "$@" > "$build/test.out" 2>&1
status=$?
cat "$build/test.out"
awk '/^Ok:/ {ok += $2} /^Expected Fail:/ {ok += $3} /^Fail:/ {bad += $2}
     /^Unexpected Pass:/ {bad += $3} /^Timeout:/ {bad += $2} /^Skipped:/ {skip += $2}
     END {printf "%d passed, %d failed, %d skipped\n", ok, bad, skip}' "$build/test.out"
exit $status
