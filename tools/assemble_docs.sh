#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# doc/math.md and doc/formats.md from their fragments: assemble_docs.sh ROOT OUTPUT_FOLDER.
# Fragments in the order of the lists (which fix the section numbers that the code cites), then
# any others by name.  A fragment that begins with "# " is lowered by one level; sections ("## ")
# are numbered.
root=${1:-.}
out=${2:-$root/doc}

assemble() { # folder, title, fragments in order
	folder=$1 title=$2
	shift 2
	printf '# %s\n\n<!-- Made by `make docs` from %s/; edit there. -->\n' "$title" "$folder"
	listed=" $* "
	set -- "$@" $(cd "$root/$folder" && ls ./*.md | sed 's,^\./,,; s/\.md$//' |
		while read -r f; do case $listed in *" $f "*) ;; *) echo "$f" ;; esac; done)
	for f in "$@"; do
		[ -f "$root/$folder/$f.md" ] || { echo "assemble_docs.sh: $folder/$f.md is missing" >&2; exit 1; }
		echo
		awk 'NR == 1 && /^# / {lower = 1} /^```/ {code = !code}
			lower && !code && /^#+ / {$0 = "#" $0} {print}' "$root/$folder/$f.md"
	done | awk '/^```/ {code = !code} !code && /^## / {sub(/^## /, "## " ++n ". ")} {print}' | cat -s
}

assemble doc/math.d Mathematics core phase solve loop pixels nufft fsc sim density > "$out/math.md" &&
assemble doc/formats.d 'File formats' images structures mrc orientations settings run state > "$out/formats.md"
