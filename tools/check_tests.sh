#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A test that leaves a function early must report it, for the plan is what was counted.  In C tests a
# bare `return;` stands only behind OK(...) or NOTE(...); NEED(...) of tests/tap.h does both.
#   tools/check_tests.sh FOLDER
cd "${1:-tests}" || exit 2
find . \( -name '*.c' -o -name '*.h' \) ! -name tap.h | sort | xargs awk '
	FNR == 1 { report = 0; open = 0 }
	/^[ \t]+return;/ && !report {
		print FILENAME ":" FNR ": a test returns without a word; NEED(...) reports it"; bad = 1 }
	/^[ \t]*(OK|NOTE)\(/ { report = 1; open = 1 }
	!open { report = 0 }
	open && /;[ \t]*$/ { open = 0 }
	END { exit bad }'
