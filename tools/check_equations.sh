#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Every equation "(X12)" and every "doc/NAME.md section N" cited in src/ exists, once.
# An equation is defined where its number begins a line: "    (X12)  ..." or "**(X12)** ...".
# With a second argument, that text is checked too: the test shows that it can fail.
root=${1:-.}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
cd "$root" || exit 2
sed -nE 's/^( +|\*\*)\(([A-Z][0-9]+)\).*/\2/p' doc/math.md | sort > "$tmp/all"
sort -u "$tmp/all" > "$tmp/defined"
uniq -d "$tmp/all" | sed 's/.*/doc\/math.md: (&) is defined twice/' > "$tmp/twice"
{
	grep -rnoE '\([A-Z][0-9]+\)' --include='*.[ch]' src
	[ -n "$2" ] && printf 'argument:1:%s\n' "$2"
} | awk -F: -v defined="$tmp/defined" '
	BEGIN {while ((getline d < defined) > 0) known[d] = 1}
	{k = $3; gsub(/[()]/, "", k); if (!(k in known)) print $1 ":" $2 ": (" k ") is not in doc/math.md"}' > "$tmp/missing"
grep -rnoE 'doc/[a-z]+\.md section [0-9]+' --include='*.[ch]' src |
	while IFS=: read -r file line what; do
		doc=${what%% *}
		grep -q "^## ${what##* }\. " "$doc" 2> /dev/null ||
			echo "$file:$line: $what does not exist"
	done > "$tmp/sections"
cat "$tmp/twice" "$tmp/missing" "$tmp/sections"
[ -s "$tmp/twice" ] || [ -s "$tmp/missing" ] || [ -s "$tmp/sections" ] && bad=1
exit $bad
