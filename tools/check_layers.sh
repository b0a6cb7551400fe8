#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Includes may only go down (or stay in the same folder); src/LAYERS has the ranks.
# Only src/task may name StarPU or MPI; only src/app may print to the terminal or exit.
cd "${1:-.}/src" || exit 2
bad=0
grep -rnoE '#include "[a-z]+/' --include='*.[ch]' . |
awk -F: 'BEGIN { while ((getline line < "LAYERS") > 0) { split(line, f, " "); rank[f[1]] = f[2] } }
	{ split($1, p, "/"); from = p[2]; to = $3; sub(/.*"/, "", to); sub("/", "", to)
	  if (!(from in rank) || !(to in rank)) { print $1 ":" $2 ": no rank for " from " or " to; bad = 1 }
	  else if (from != to && rank[to] >= rank[from]) { print $1 ":" $2 ": " from " may not include " to; bad = 1 } }
	END { exit bad }' || bad=1
grep -rnE '#include <(starpu|mpi)' --include='*.[ch]' . | grep -v '^./task/' && bad=1
# src/task/copies.c ends a program whose task breaks its promise, as assert does
grep -rnE '(^|[^A-Za-z0-9_])(printf|puts|putchar|exit|abort)[ ]?\(' --include='*.c' . |
	grep -vE '^./(app/|base/log\.c|task/copies\.c:[0-9]*: *abort)' && bad=1
exit $bad
