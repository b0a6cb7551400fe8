#!/bin/sh
# Success from random orientations over seeds: simulate, reconstruct, compare with the truth.
#   benches/convergence.sh [SETS] [SEEDS]      SETS: any of polii polii1e4 cex
#                                             groel groelD7 d7ideal d7idealD7 tmv tmvC17
#                                             narrow wide noise
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

# simulate_options SET -> structure and options; limits are what doc/results.md calls success
setup() {
	symmetry= extra_truth= extra_run=
	case $1 in
	polii) structure=1I3Q.pdb.gz options="--images 3000 --resolution 12 --energy 1600" limit=2.5 fsc=15 ;;
	polii1e4) structure=1I3Q.pdb.gz limit=2.5 fsc=17
		options="--images 3000 --resolution 12 --energy 1600 --photons 10000" ;;
	cex) structure=2cex_a.pdb.gz options="--images 3000 --resolution 5 --energy 6000" limit=2.1 fsc=99 ;;
	narrow | wide) structure=1I3Q.pdb.gz limit=2.5 fsc=17 # diameter 15 % wrong (true: 151 A)
		options="--images 3000 --resolution 12 --energy 1600 --photons 10000"
		[ "$1" = narrow ] && extra_run="--diameter 129" || extra_run="--diameter 174" ;;
	groel | groelD7) structure=1OEL.pdb.gz limit=2.5 fsc=15 symmetry=D7 extra_truth="--assembly 1"
		options="--images 4000 --resolution 12 --energy 1600 --assembly 1"
		[ "$1" = groelD7 ] && extra_run="--symmetry D7" ;;
	d7ideal | d7idealD7) structure=groel_D7_T_subunit.pdb.gz limit=2.5 fsc=15 symmetry=D7
		extra_truth="--assembly 1"
		options="--images 4000 --resolution 12 --energy 1600 --assembly 1"
		[ "$1" = d7idealD7 ] && extra_run="--symmetry D7" ;;
	tmv | tmvC17) structure=1EI7.pdb.gz limit=2.5 fsc=15 symmetry=C17 extra_truth="--assembly 1"
		options="--images 4000 --resolution 12 --energy 1600 --assembly 1"
		[ "$1" = tmvC17 ] && extra_run="--symmetry C17" ;;
	noise) structure=1I3Q.pdb.gz limit=0 fsc=0
		options="--images 3000 --resolution 12 --energy 1600 --photons 10000 --pure-noise" ;;
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
		$spinifel simulate "$data/$structure" -o "$run.h5" --detector 128x128 $options \
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
		if [ "$set" = noise ]; then
			[ $code = 3 ] && verdict=good || verdict=BAD
		else
			verdict=$(awk -v c="$code" -v m="${median:-999}" -v f="${fsc05:-999}" -v l="$limit" \
				-v F="$fsc" 'BEGIN { print (c == 0 && m < l && f <= F) ? "good" : "BAD" }')
		fi
		[ "$verdict" = good ] && good=$((good + 1))
		total=$((total + 1))
		seconds=$(field "$run.json" seconds)
		group=$(sed -n 's/.*"symmetry": *"\([^"]*\)".*/\1/p' "$run.json" | head -n 1)
		printf '%-9s %4s %5s %8.3s %8.3s %9.5s %9.5s %9.5s %9.5s %7.0f  %-4s %s\n' "$set" "$seed" "$code" \
			"${median:--}" "${p90:--}" "${fsc05:--}" "${fsc0143:--}" \
			"$(field "$run.json" resolution_A)" "$(field "$run.json" resolution05_A)" \
			"${seconds:-0}" "${group:--}" "$verdict"
		printf '{"set":"%s","seed":%s,"code":%s,"median_deg":%s,"p90_deg":%s,"fsc05_A":%s,"seconds":%s,"good":%s}\n' \
			"$set" "$seed" "$code" "${median:-null}" "${p90:-null}" "${fsc05:-null}" \
			"${seconds:-null}" "$([ "$verdict" = good ] && echo true || echo false)" \
			>> "$out/results.jsonl"
		[ -n "$KEEP" ] || rm -f "$run.h5"
	done
	echo "$set: $good of $total"
done
