#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# doc/math.md and doc/formats.md are what their fragments make.
root=${1:-.}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
sh "$root/tools/assemble_docs.sh" "$root" "$tmp" || exit 2
bad=0
for f in math formats; do
	cmp "$tmp/$f.md" "$root/doc/$f.md" || { echo "doc/$f.md is not up to date: make docs"; bad=1; }
done
exit $bad
