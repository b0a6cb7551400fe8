#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# doc/math.md and doc/formats.md are what their fragments make, the tables of doc/performance.md what
# benches/results/speed.jsonl makes; CITATION.cff and CHANGELOG.md name the
# version of meson.build; spinifel-images(5) names datasets that doc/formats.d/images.md has; and what the documents refer to exists
# (tools/check_references.py).
root=${1:-.}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
sh "$root/tools/assemble_docs.sh" "$root" "$tmp" || exit 2
bad=0
for f in math formats; do
	cmp -s "$tmp/$f.md" "$root/doc/$f.md" || { echo "doc/$f.md is not up to date: make docs"; bad=1; }
done
cp "$root/doc/performance.md" "$tmp/" || exit 2
"${PYTHON:-/usr/bin/python3}" "$root/benches/speed_table.py" "$root/benches/results/speed.jsonl" "$tmp/performance.md" || bad=1
cmp -s "$tmp/performance.md" "$root/doc/performance.md" || { echo "doc/performance.md is not up to date: make docs"; bad=1; }
version=$(sed -n "s/^project('[^']*', '[^']*', version: '\([^']*\)'.*/\1/p" "$root/meson.build")
grep -qx "version: $version" "$root/CITATION.cff" || { echo "CITATION.cff does not have version $version of meson.build"; bad=1; }
[ "$(sed -n 's/^## \([^ ]*\).*/\1/p' "$root/CHANGELOG.md" | head -n 1)" = "$version" ] ||
	{ echo "CHANGELOG.md does not begin with version $version of meson.build"; bad=1; }
for name in $(sed -n 's/^\.It Pa \([^ ]*\) .*/\1/p' "$root/doc/man/spinifel-images.5"); do
	grep -q "^| .$name. |" "$root/doc/formats.d/images.md" ||
		{ echo "doc/man/spinifel-images.5: $name is no dataset of doc/formats.d/images.md"; bad=1; }
done
"${PYTHON:-/usr/bin/python3}" "$root/tools/check_references.py" "$root" || bad=1
exit $bad
