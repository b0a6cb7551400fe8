#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Success from random orientations over seeds: simulate, reconstruct, compare with the truth.
#   benches/convergence.sh [SETS] [SEEDS]      SETS, any of
#     polii cex adk         1I3Q at 12 A, 2CEX at 5 A, 4AKE at 4 A: 3,000 noise-free images; also with
#       1e4                 10^4 photons an image (polii1e4, cex1e4, adk1e4)
#       1e3                 10^3 photons an image, 10,000 images
#       hard                1e4 with fluences spread (sigma 0.5), a beam stop of 4 pixels and half of
#                           the detector missing
#     narrow wide           polii1e4 with a diameter 15 % too small, too large
#     groel groelD7 d7ideal d7idealD7 tmv tmvC17     symmetric particles, group found or given
#     few                   300 images of 10^4 photons: a result, at 20 A or so
#     noise mix mix41 view  must end with exit code 3: pure noise; two particles 1:1 and 4:1; all
#                           images from one side
# Prints a table (and keeps one JSON line a run in OUT/results.jsonl); every number can be had
# again by the same command.  Environment: SPINIFEL (binary), OUT (directory), EXTRA (options of
# reconstruct, e.g. "--diameter 150").
sets=${1:-"polii polii1e4 cex groel noise"}
seeds=${2:-"1 2 3 4 5 6 7 8 9 10"}
here=$(cd "$(dirname "$0")/.." && pwd)
spinifel=${SPINIFEL:-$here/build/spinifel}
out=${OUT:-$here/bench-out}
data=$here/data/structures
mkdir -p "$out" || exit 1

# setup SET -> structure and options; limits are what doc/results.md calls success
setup() {
	symmetry= extra_truth= extra_run= more= code_wanted=0
	polii="--resolution 12 --energy 1600"
	case $1 in # particle; limit: degrees, one Shannon angle; fsc: A, against the truth
	polii*) structure=1I3Q.pdb.gz optics=$polii limit=2.28 fsc=17 ;;
	cex*) structure=2cex_a.pdb.gz optics="--resolution 5 --energy 6000" limit=2.1 fsc=7 ;;
	adk*) structure=4ake_ilmode.pdb.gz optics="--resolution 4 --energy 6000" limit=1.9 fsc=5.6 ;;
	*) structure=1I3Q.pdb.gz optics=$polii limit=2.5 fsc=17 ;;
	esac
	case $1 in
	polii) options="--images 3000" fsc=15 ;;
	cex | adk) options="--images 3000" ;;
	polii1e4 | cex1e4 | adk1e4) options="--images 3000 --photons 10000" ;;
	polii1e3 | cex1e3 | adk1e3) options="--images 10000 --photons 1000" ;;
	poliihard | cexhard | adkhard)
		options="--images 3000 --photons 10000 --fluence-spread 0.5 --beam-stop 4 --mask-rect 0:128,64:128" ;;
	narrow | wide) options="--images 3000 --photons 10000" # diameter 15 % wrong (true: 151 A)
		[ "$1" = narrow ] && extra_run="--diameter 129" || extra_run="--diameter 174" ;;
	noise) options="--images 3000 --photons 10000 --pure-noise" code_wanted=3 ;;
	few) options="--images 300 --photons 10000" limit=2.28 fsc=22 ;;
	view) options="--images 3000 --photons 10000 --views 5" code_wanted=3 ;;
	mix) more=1OEL.pdb.gz options="--images 3000 --photons 10000 --assembly 1" code_wanted=3 ;;
	mix41) more=1OEL.pdb.gz code_wanted=3
		options="--images 3000 --photons 10000 --assembly 1 --proportions 4:1" ;;
	groel | groelD7) structure=1OEL.pdb.gz limit=2.5 fsc=15 symmetry=D7 extra_truth="--assembly 1"
		options="--images 4000 --assembly 1"
		[ "$1" = groelD7 ] && extra_run="--symmetry D7" ;;
	d7ideal | d7idealD7) structure=groel_D7_T_subunit.pdb.gz limit=2.5 fsc=15 symmetry=D7
		extra_truth="--assembly 1"
		options="--images 4000 --assembly 1"
		[ "$1" = d7idealD7 ] && extra_run="--symmetry D7" ;;
	tmv | tmvC17) structure=1EI7.pdb.gz limit=2.5 fsc=15 extra_truth="--assembly 1"
		symmetry=D17 # of its 34 operators: two disks of C17, face to face
		options="--images 4000 --assembly 1"
		[ "$1" = tmvC17 ] && extra_run="--symmetry C17" ;;
	*) echo "convergence.sh: unknown set '$1'" >&2; exit 2 ;;
	esac
}

field() { # JSON file, key
	sed -n "s/.*\"$2\": *\([-0-9.eE+]*\|true\|false\|null\).*/\1/p" "$1" | head -n 1
}

printf '%-9s %4s %5s %8s %8s %9s %9s %9s %9s %7s  %-4s %s\n' set seed code median p90 fsc05 fsc0143 \
	halves143 halves05 seconds group verdict
for set in $sets; do
	setup "$set"
	good=0 total=0
	for seed in $seeds; do
		run=$out/$set-$seed
		rm -rf "$run"
		$spinifel simulate "$data/$structure" ${more:+"$data/$more"} -o "$run.h5" \
			--detector 128x128 $optics $options \
			--seed "$seed" --quiet > /dev/null || exit 1
		$spinifel reconstruct "$run.h5" -o "$run" --seed $((seed + 100)) --quiet --json $extra_run \
			$EXTRA \
			> "$run.json" 2> "$run.err"
		code=$?
		median= p90= fsc05= fsc0143=
		if [ $code = 0 ]; then
			$spinifel compare "$run/density.mrc" --truth "$data/$structure" $extra_truth \
				--orientations "$run/orientations.h5" --true "$run.h5" \
				${symmetry:+--symmetry $symmetry} --json --quiet > "$run.compare.json" \
				2> "$run.compare.err"
			median=$(field "$run.compare.json" orientation_error_deg_median)
			p90=$(field "$run.compare.json" orientation_error_deg_p90)
			fsc05=$(field "$run.compare.json" fsc05_A)
			fsc0143=$(field "$run.compare.json" fsc0143_A)
		fi
		if [ $code_wanted = 3 ]; then
			[ $code = 3 ] && verdict=good || verdict=BAD
		else
			verdict=$(awk -v c="$code" -v m="${median:-999}" -v f="${fsc05:-999}" -v l="$limit" \
				-v F="$fsc" 'BEGIN { print (c == 0 && m < l && f <= F) ? "good" : "BAD" }')
		fi
		[ "$verdict" = good ] && good=$((good + 1))
		total=$((total + 1))
		seconds=$(field "$run.json" seconds)
		group=$(sed -n 's/.*"symmetry": *"\([^"]*\)".*/\1/p' "$run.json" | head -n 1)
		printf '%-9s %4s %5s %8.5s %8.5s %9.5s %9.5s %9.5s %9.5s %7.0f  %-4s %s\n' "$set" "$seed" "$code" \
			"${median:--}" "${p90:--}" "${fsc05:--}" "${fsc0143:--}" \
			"$(field "$run.json" resolution_A)" "$(field "$run.json" resolution05_A)" \
			"${seconds:-0}" "${group:--}" "$verdict"
		printf '{"set":"%s","seed":%s,"code":%s,"median_deg":%s,"p90_deg":%s,"fsc05_A":%s,"seconds":%s,"good":%s}\n' \
			"$set" "$seed" "$code" "${median:-null}" "${p90:-null}" "${fsc05:-null}" \
			"${seconds:-null}" "$([ "$verdict" = good ] && echo true || echo false)" \
			>> "$out/results.jsonl"
		[ $code = 3 ] && sed -n 's/^spinifel: /    /p' "$run.err" | tail -n 1
		[ -n "$KEEP" ] || rm -f "$run.h5"
	done
	echo "$set: $good of $total"
done
