#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# doc/math.md and doc/formats.md are what their fragments make; CITATION.cff and CHANGELOG.md name the
# version of meson.build; spinifel-images(5) names datasets that doc/formats.d/images.md has.
root=${1:-.}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
sh "$root/tools/assemble_docs.sh" "$root" "$tmp" || exit 2
bad=0
for f in math formats; do
	cmp -s "$tmp/$f.md" "$root/doc/$f.md" || { echo "doc/$f.md is not up to date: make docs"; bad=1; }
done
version=$(sed -n "s/^project('[^']*', '[^']*', version: '\([^']*\)'.*/\1/p" "$root/meson.build")
grep -qx "version: $version" "$root/CITATION.cff" || { echo "CITATION.cff does not have version $version of meson.build"; bad=1; }
[ "$(sed -n 's/^## \([^ ]*\).*/\1/p' "$root/CHANGELOG.md" | head -n 1)" = "$version" ] ||
	{ echo "CHANGELOG.md does not begin with version $version of meson.build"; bad=1; }
for name in $(sed -n 's/^\.It Pa \([^ ]*\) .*/\1/p' "$root/doc/man/spinifel-images.5"); do
	grep -q "^| .$name. |" "$root/doc/formats.d/images.md" ||
		{ echo "doc/man/spinifel-images.5: $name is no dataset of doc/formats.d/images.md"; bad=1; }
done
exit $bad
