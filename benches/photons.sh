#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Error of the orientations against photons per image, for each score: the images of known
# orientations are matched against the true model.
#   benches/photons.sh [PHOTONS] [IMAGES]     PHOTONS: "100000 10000 1000 300 100" or fewer
# Writes OUT/photons.csv (median error, degrees), OUT/photons_90.csv (90 % are below) and a
# picture of the first, and prints both as tables.  Environment: SPINIFEL (binary), OUT
# (directory).
photons=${1:-"100000 10000 1000 300 100"}
images=${2:-400}
here=$(cd "$(dirname "$0")/.." && pwd)
spinifel=${SPINIFEL:-$here/build/spinifel}
out=${OUT:-$here/bench-out}
structure=$here/data/structures/1I3Q.pdb.gz
geometry="--resolution 12 --energy 1600 --detector 128x128"
diameter=151
mkdir -p "$out" || exit 1
cd "$out" || exit 1

field() { # JSON file, key
	sed -n "s/.*\"$2\": *\([-0-9.eE+]*\).*/\1/p" "$1" | head -n 1
}

# the true model: noise-free images merged at their true orientations
if [ ! -s photons_model.mrc ]; then
	$spinifel simulate "$structure" -o photons_true.h5 --images 3000 $geometry --seed 1 --quiet \
		> /dev/null || exit 1
	$spinifel merge photons_true.h5 --orientations truth -d $diameter -o photons_model.mrc \
		--set algorithm.lambda_min=1e-7 --quiet > /dev/null || exit 1
	rm photons_true.h5
fi
# columns: search alone (poisson), then refined by each score
columns="poisson_search poisson gaussian euclid"
head=photons,$(echo $columns | tr ' ' ,)
echo "$head" > photons.csv
echo "$head" > photons_90.csv
for p in $photons; do
	$spinifel simulate "$structure" -o photons_im.h5 --images "$images" $geometry --seed 2 \
		--photons "$p" --quiet > /dev/null || exit 1
	median=$p p90=$p
	for c in $columns; do
		refine=--refine
		[ "$c" = poisson_search ] && refine=
		$spinifel match photons_im.h5 -m photons_model.mrc -d $diameter -o photons_o.h5 \
			--score "${c%_search}" $refine --true truth --json --quiet \
			> photons.json || exit 1
		median=$median,$(field photons.json error_deg_median)
		p90=$p90,$(field photons.json error_deg_p90)
	done
	echo "$median" >> photons.csv
	echo "$p90" >> photons_90.csv
done
rm -f photons_im.h5 photons_o.h5 photons.json
$spinifel plot photons.csv -o photons.png --log-x --log-y \
	--title "Error of orientations, 1I3Q at 12 A, matched against the true model" \
	--x-label "photons per image" --y-label "median error (degrees)" || exit 1
for f in photons photons_90; do
	echo "$f.csv (degrees)"
	awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) printf "| %s ", $i; print "|"
		for (i = 1; i <= NF; i++) printf "|---"; print "|"; next}
		{printf "| %d ", $1; for (i = 2; i <= NF; i++) printf "| %.2f ", $i; print "|"}' $f.csv
done
echo "picture: $out/photons.png"
