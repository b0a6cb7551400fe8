#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Every source names its licence in its first two lines.  Then it says what it is: a comment in its second line
# (of a script: among its first five); a .c file may leave that to the header of its name.
#   tools/check_sources.sh ROOT
cd "${1:-.}" || exit 2
find src tests tools benches meson.build Makefile demo check \
	\( -path tests/cases -prune \) -o -type f \
	\( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name meson.build -o -name Makefile -o -name demo -o -name check \) \
	-print 2> /dev/null | sort | xargs awk '
	function has_header(name,   line, there) {
		if (!sub(/\.c$/, ".h", name)) return 0
		there = (getline line < name) > 0
		close(name)
		return there
	}
	function close_file() {
		if (name == "") return
		if (!found) { print name ": no SPDX-License-Identifier in the first two lines"; bad = 1 }
		if (!told && name !~ /meson\.build$/ && !has_header(name)) { print name ": does not begin with what it is; its second line needs /* NAME, of HEADER: ... */"; bad = 1 }
	}
	FNR == 1 { close_file(); name = FILENAME; found = told = 0 }
	FNR == 2 && name ~ /\.[ch]$/ && /^\/\*/ { told = 1 }
	FNR <= 5 && name !~ /\.[ch]$/ && !/SPDX|^#!/ && /^(# |r?""")/ { told = 1 }
	FNR <= 2 && /SPDX-License-Identifier: GPL-3\.0-or-later/ { found = 1 }
	END { close_file(); exit bad }'
