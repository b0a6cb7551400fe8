#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Includes may only go down (or stay in the same folder); src/LAYERS has the ranks.
# Within a folder no two modules include each other, not even over others.  A module is a .c file with its
# header; a header without a .c file is part of what includes it.  "circle A B" in src/LAYERS lets the two pass.
# Only src/task may name StarPU or MPI; only src/app may print to the terminal or exit.
cd "${1:-.}/src" || exit 2
bad=0
grep -rnoE '#include "[a-z]+/' --include='*.[ch]' . |
awk -F: 'BEGIN { while ((getline line < "LAYERS") > 0) { split(line, f, " "); rank[f[1]] = f[2] } }
	{ split($1, p, "/"); from = p[2]; to = $3; sub(/.*"/, "", to); sub("/", "", to)
	  if (!(from in rank) || !(to in rank)) { print $1 ":" $2 ": no rank for " from " or " to; bad = 1 }
	  else if (from != to && rank[to] >= rank[from]) { print $1 ":" $2 ": " from " may not include " to; bad = 1 } }
	END { exit bad }' || bad=1
{ find . -name '*.c'; grep -roE '#include "[a-z0-9_/]+\.h"' --include='*.[ch]' .; } |
awk 'BEGIN { while ((getline line < "LAYERS") > 0) { split(line, f, " "); if (f[1] == "circle") stands[f[2] " " f[3]] = stands[f[3] " " f[2]] = line } }
	function folder(name) { sub(/\/.*/, "", name); return name }
	{ sub(/^\.\//, "") }
	/\.c$/ { module[substr($0, 1, length($0) - 2)] = 1; next }
	{ split($0, part, ":"); to = part[2]; sub(/^#include "/, "", to); sub(/\.h"$/, "", to); includes[part[1]] = includes[part[1]] " " to; next }
	# the modules that a file includes, itself or over headers without a .c file
	function gather(file, from,   n, list, i, h) {
		n = split(includes[file], list, " ")
		for (i = 1; i <= n; i++) {
			h = list[i]
			if (folder(h) != folder(from) || h == from || (from, h) in seen) continue
			seen[from, h] = 1
			if (h in module) next_to[from] = next_to[from] " " h
			else gather(h ".h", from)
		}
	}
	function reaches(at, goal,   n, list, i) {
		if (at == goal) return 1
		if (at in been) return 0
		been[at] = 1
		n = split(next_to[at], list, " ")
		for (i = 1; i <= n; i++) if (reaches(list[i], goal)) return 1
		return 0
	}
	END {
		for (m in module) { gather(m ".c", m); gather(m ".h", m) }
		for (m in module) {
			n = split(next_to[m], list, " ")
			for (i = 1; i <= n; i++) {
				split("", been)
				if (!reaches(list[i], m)) continue
				if ((m " " list[i]) in stands) { met[stands[m " " list[i]]] = 1; continue }
				print m ": includes " list[i] ", which includes " m ", itself or over others"; bad = 1
			}
		}
		for (s in stands) if (!(stands[s] in met)) { print "LAYERS: there is no " stands[s]; met[stands[s]] = bad = 1 }
		exit bad
	}' || bad=1
grep -rnE '#include <(starpu|mpi)' --include='*.[ch]' . | grep -v '^./task/' && bad=1
# src/task/copies.c ends a program whose task breaks its promise, as assert does
grep -rnE '(^|[^A-Za-z0-9_])(printf|puts|putchar|exit|abort)[ ]?\(' --include='*.c' . |
	grep -vE '^./(app/|base/log\.c|task/copies\.c:[0-9]*: *abort)' && bad=1
exit $bad
