#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# doc/math.md and doc/formats.md are what their fragments make, the tables of doc/performance.md what
# benches/results/speed.jsonl makes; CITATION.cff and CHANGELOG.md name the
# version of meson.build; spinifel-images(5) names datasets that doc/formats.d/images.md has; what the documents refer to exists
# (tools/check_references.py); the files of a run and their kinds are those of the program's table, and neither the README
# nor the help, messages and sources of reconstruct name another one.
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
"$root/tools/run_files.sh" "$root" | sort > "$tmp/table"
awk -F '|' '/^## Files of a run directory/ { on = 1 } on && /^Keys of/ { exit }
	on && $2 ~ /`/ && $3 !~ /folder/ { n = split($2, name, "`"); gsub(/ /, "", $3); for (i = 2; i <= n; i += 2) print name[i], $3 }' \
	"$root/doc/formats.d/run.md" | grep -v '^[^ ]*/ ' | sort > "$tmp/documented"
[ -s "$tmp/table" ] || { echo "src/report/run_files.c: tools/run_files.sh finds no file of a run"; bad=1; }
diff "$tmp/table" "$tmp/documented" | sed -n 's/^< /doc\/formats.d\/run.md lacks a file of src\/report\/run_files.c: /p
	s/^> /src\/report\/run_files.c lacks a file of doc\/formats.d\/run.md: /p' > "$tmp/diff"
cat "$tmp/diff"
[ -s "$tmp/diff" ] && bad=1
for name in $(awk -F '|' '/writes into the run directory/ { on = 1 } on && /^No command/ { exit } on && /^\| / { print $2 }' "$root/README.md" |
	grep -o '`[^`]*[^/`]`' | tr -d '`'); do
	cut -d ' ' -f 1 "$tmp/table" | grep -qxF "$name" || { echo "README.md: $name is no file of src/report/run_files.c"; bad=1; }
done
for name in $(cd "$root/src" && grep -ohE '[a-z_0-9]+\.(mrc|png|csv|jsonl|toml|json|bin)\b' app/cmd_reconstruct.c app/reconstruct*.c app/rundir.c | sort -u); do
	cut -d ' ' -f 1 "$tmp/table" | grep -qxF "$name" ||
		{ echo "src/app/ of reconstruct: $name is no file of src/report/run_files.c"; bad=1; }
done
exit $bad
