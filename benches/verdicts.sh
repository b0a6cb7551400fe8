#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Is what the program says of its results true?  Many small sets, each reconstructed with default
# settings and compared with its structure afterwards; and controls without a particle.
#   benches/verdicts.sh [WHICH ...]     WHICH: particles (those with a background too), controls, all
#   (default), or names of sets
# A line a set: exit code, the resolution claimed, the true one (FSC 0.5 with the structure), and
#   refused    exit 3 although the map is better than 1.3 times the claim            (a fault;
#              not where a background was added and the refusal names it)
#   overstated exit 0 and a claim more than 5 % finer than the truth                 (a fault)
#   accepted   a control that ended with exit 0                                      (a fault)
# Environment: SPINIFEL (binary), OUT (directory), JOBS (sets side by side, default: one a core),
# EXTRA (options of reconstruct), KEEP (keep images and runs).  One JSON line a set goes to
# OUT/verdicts.jsonl.  Seeds are fixed: a name is a set.
here=$(cd "$(dirname "$0")/.." && pwd)
spinifel=${SPINIFEL:-$here/build/spinifel}
out=${OUT:-$here/bench-out/verdicts}
python=${PYTHON:-/usr/bin/python3}
data=$here/data/structures
mkdir -p "$out" || exit 1

# ---- the sets: name kind particle D/d images photons(0: noise-free) detector seed what-is-done
sets() {
	seed=100
	row() { seed=$((seed + 1)); echo "$1 $2 $3 $4 $5 $6 $7 $seed $8"; }
	for p in cex adk polii groel; do
		for photons in 0 10000 1000; do
			row $p-4-$photons particle $p 4 1000 $photons 48
			row $p-5-$photons particle $p 5 300 $photons 56
			row $p-8-$photons particle $p 8 1000 $photons 80
		done
		row $p-4.5-100000 particle $p 4.5 500 100000 48
		row $p-5.5-500 particle $p 5.5 4000 500 64
		row $p-6-100000 particle $p 6 2000 100000 64
		row $p-6-1000 particle $p 6 2000 1000 64
		row $p-10-3000 particle $p 10 1000 3000 96
		row $p-12-10000 particle $p 12 2000 10000 112
	done
	for p in cex polii; do
		row $p-5-200 particle $p 5 10000 200 56
		row $p-7-400 particle $p 7 3000 400 64
		row $p-16-10000 particle $p 16 3000 10000 128
		row $p-25-10000 particle $p 25 3000 10000 192
		row $p-12-1000 particle $p 12 10000 1000 128
	done
	row polii-8-doublets particle polii 8 2000 10000 80 --doublets=0.03
	row polii-8-junk particle polii 8 2000 10000 80 --junk=0.1
	row polii-8-zingers particle polii 8 2000 10000 80 --zingers=0.02,500
	row polii-8-adu particle polii 8 2000 10000 80 --gain=37.5
	row polii-8-blank particle polii 8 2000 10000 80 --blank=0.3
	row polii-8-shift particle polii 8 2000 10000 80 --shift=1
	row polii-8-flat02 background polii 8 2000 10000 80 --share=0.02
	row polii-8-flat10 background polii 8 2000 10000 80 --share=0.1
	row polii-8-flat30 background polii 8 2000 10000 80 --share=0.3
	row polii-8-radial background polii 8 2000 10000 80 --radial=1
	row cex-6-flat41 background cex 5.65 1000 11000 64 --flat=2
	for p in cex adk polii groel; do
		for x in 4 6 8; do
			for photons in 1000 10000 100000; do
				row noise-$p-$x-$photons control $p $x 500 $photons 64 noise
			done
			for photons in 1000 10000; do
				row still-$p-$x-$photons control $p $x 500 $photons 64 --still=1
			done
			row junk-$p-$x control $p $x 500 10000 64 --junk=1
			row few-junk-$p-$x control $p $x 300 1000 64 --junk=1
		done
		for x in 4 8; do
			row flat-$p-$x control $p $x 500 10000 64 --dust=1+--flat=2
			row radial-$p-$x control $p $x 500 10000 64 --dust=1+--radial=20
			row noise-$p-$x-200 control $p $x 2000 200 64 noise
		done
	done
}

field() { # JSON file, key
	sed -n "s/.*\"$2\": *\([-0-9.eE+]*\|true\|false\|null\).*/\1/p" "$1" 2> /dev/null | head -n 1
}

particle() { # -> structure, diameter (A), energy (eV), assembly
	assembly=
	case $1 in
	cex) structure=2cex_a.pdb.gz D=68 energy=6000 ;;
	adk) structure=4ake_ilmode.pdb.gz D=62 energy=6000 ;;
	polii) structure=1I3Q.pdb.gz D=151 energy=1600 ;;
	groel) structure=1OEL.pdb.gz D=189 energy=1600 assembly="--assembly 1" ;;
	esac
}

one() { # a line of sets()
	set -- $1
	name=$1 kind=$2 x=$4 images=$5 photons=$6 pixels=$7 seed=$8 what=$9
	particle "$3"
	# 1I3Q to 6 A: with 7.7 A of wavelength a flat detector would reach 80 degrees
	[ "$3$x" = polii25 ] && energy=3200
	run=$out/$name
	rm -rf "$run" "$run".*
	light="--photons $photons" more=
	[ "$photons" = 0 ] && light=
	[ "$what" = noise ] && more=--pure-noise what=
	$spinifel simulate "$data/$structure" $assembly -o "$run.h5" --images "$images" --detector "${pixels}x$pixels" \
		--energy $energy --resolution "$(awk "BEGIN {print $D / $x}")" $light $more --seed "$seed" --quiet > /dev/null 2> "$run.err" ||
		return 1
	if [ -n "$what" ]; then
		$python "$here/benches/spoil.py" "$run.h5" -o "$run.spoilt.h5" --seed "$seed" $(echo "$what" | tr '=,+' '   ') ||
			return 1
		mv "$run.spoilt.h5" "$run.h5"
	fi
	$spinifel reconstruct "$run.h5" -o "$run" --workers 1 --seed $((seed + 1000)) --quiet --json $EXTRA \
		> "$run.json" 2> "$run.err"
	code=$?
	map=$run/density.mrc true= median=
	[ -f "$map" ] || map=$run/failed_validation/density.mrc
	if [ $kind != control ] && [ -f "$map" ]; then
		$spinifel compare "$map" --truth "$data/$structure" $assembly --json --quiet > "$run.compare.json" 2> /dev/null
		true=$(field "$run.compare.json" fsc05_A)
	fi
	claimed=$(field "$run.json" claimed_A)
	grep -q "the images still contain a background" "$run.err" && named=1 || named=0
	verdict=$(awk -v kind=$kind -v named=$named -v code=$code -v c="${claimed:-null}" -v t="${true:-null}" 'BEGIN {
		known = c + 0 > 0 && t + 0 > 0
		v = "good"
		if (kind == "control" && code == 0) v = "ACCEPTED"
		else if (code != 0 && code != 3 && !(kind == "control" && code == 1)) v = "FAILED"
		else if (kind != "control" && code == 0 && !(known && c >= 0.95 * t)) v = "OVERSTATED"
		else if (kind == "background" && code == 3 && !named) v = "REFUSED"
		else if (kind == "particle" && code == 3 && known && t < 1.3 * c) v = "REFUSED"
		print v}')
	seconds=$(field "$run.json" seconds)
	printf '%-22s %4s %8.4s %8.4s %8.4s %6.0f  %-10s %s\n' "$name" $code "${claimed:--}" "${true:--}" \
		"$(field "$run.json" edge_A)" "${seconds:-0}" "$verdict" \
		"$([ $code != 0 ] && tail -n 1 "$run.err" | sed 's/^spinifel: //' | cut -c1-${WIDTH:-100})"
	printf '{"set":"%s","code":%s,"claimed_A":%s,"true_A":%s,"edge_A":%s,"phased":%s,"seconds":%s,"verdict":"%s"}\n' "$name" $code \
		"${claimed:-null}" "${true:-null}" "$(field "$run.json" edge_A | grep . || echo null)" \
		"$(field "$run.json" phase_consistency | grep . || echo null)" "${seconds:-null}" \
		"$verdict" >> "$out/verdicts.jsonl"
	[ -n "$KEEP" ] || rm -rf "$run.h5" "$run"
}

if [ "$1" = --one ]; then
	one "$2"
	exit
fi
printf '%-22s %4s %8s %8s %8s %6s  %s\n' set code claimed true edge seconds verdict
rm -f "$out/verdicts.jsonl"
sets | awk -v which="${*:-all}" 'BEGIN {n = split(which, w, " ")} {
	for (i = 1; i <= n; i++) if (w[i] == "all" || w[i] == $2 "s" || w[i] == "particles" && $2 == "background" || w[i] == $1) {print; next}}' |
	xargs -d '\n' -n 1 -P "${JOBS:-$(nproc)}" "$0" --one
awk -F'"' '{n[$(NF - 1)]++; total++} END {printf "%d sets:", total; for (v in n) printf " %d %s", n[v], v; print ""}' \
	"$out/verdicts.jsonl"
