#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The diameter that is estimated from images, over particles, photons and defects of the images,
# against the largest distance of two atoms.
#   benches/diameter.sh [SETS]     SETS: names of the table below, all by default
# Writes OUT/diameter.csv (a line a case) and prints the ratios as a table: a row a particle and
# photons (0: noise-free), a column a defect; "-": no estimate.  Seeds are fixed.  Environment:
# BENCH (bench_diameter, made by ninja -C build benches/bench_diameter), OUT (directory).
here=$(cd "$(dirname "$0")/.." && pwd)
bench=${BENCH:-$here/build/benches/bench_diameter}
out=${OUT:-$here/bench-out}
data=$here/data/structures
wanted=${1:-}
mkdir -p "$out" || exit 1
csv=$out/diameter.csv
echo "set,true_A,pixels,images,photons,defect,estimate_A,sigma_A,ratio,from,images_out,full_pixels,zero_pixels,message" > "$csv"

# name, structure, assembly, pixels a side, A at the edge, eV, images, beam stop (pixels)
table="1I3Q-128 1I3Q.pdb.gz 0 128 12 1600 600 0
1I3Q-64 1I3Q.pdb.gz 0 64 12 1600 300 0
1I3Q-fine 1I3Q.pdb.gz 0 128 6 3000 600 0
1I3Q-many 1I3Q.pdb.gz 0 64 12 1600 3000 0
2CEX-128 2cex_a.pdb.gz 0 128 5 6000 600 2
2CEX-64 2cex_a.pdb.gz 0 64 14 6000 300 0
4AKE-128 4ake_ilmode.pdb.gz 0 128 4 6000 600 0
1AKI-64 1aki.pdb 0 64 4 6000 600 0
1OEL-128 1OEL.pdb.gz 1 128 12 1600 600 4
1F2N-128 1f2n.pdb.gz 1 128 20 1600 600 0"

echo "$table" | while read -r name structure rest; do
	case " ${wanted:-$name} " in *" $name "*) ;; *) continue ;; esac
	# shellcheck disable=SC2086 # the rest is a list of arguments
	$bench "$name" "$data/$structure" $rest 2> "$out/diameter.err" >> "$csv" || {
		cat "$out/diameter.err" >&2
		exit 1
	}
done || exit 1

awk -F, '
NR > 1 {
	row = $1 " | " $2 " | " $5
	if (!(row in seen)) { seen[row] = 1; rows[++n] = row }
	if (!($6 in column)) { column[$6] = 1; names[++m] = $6 }
	value[row, $6] = $9 == "" ? "-" : $9
}
END {
	line = "| set | D (A) | photons |"; rule = "|---|---|---|"
	for (j = 1; j <= m; j++) { line = line " " names[j] " |"; rule = rule "---|" }
	print line; print rule
	for (i = 1; i <= n; i++) {
		line = "| " rows[i] " |"
		for (j = 1; j <= m; j++) line = line " " value[rows[i], names[j]] " |"
		print line
	}
}' "$csv"
