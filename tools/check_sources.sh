#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Every source names its licence in its first two lines.
#   tools/check_sources.sh ROOT
cd "${1:-.}" || exit 2
find src tests tools benches meson.build Makefile demo check \
	\( -path tests/cases -prune \) -o -type f \
	\( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name meson.build -o -name Makefile -o -name demo -o -name check \) \
	-print 2> /dev/null | sort | xargs awk '
	function close_file() { if (name != "" && !found) { print name ": no SPDX-License-Identifier in the first two lines"; bad = 1 } }
	FNR == 1 { close_file(); name = FILENAME; found = 0 }
	FNR <= 2 && /SPDX-License-Identifier: GPL-3\.0-or-later/ { found = 1 }
	END { close_file(); exit bad }'
