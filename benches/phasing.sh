#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Phasing alone: two half sets of images are merged at their true orientations, each is phased, and
# the maps are compared with each other and with the structure.
#   benches/phasing.sh [SETS] [WAYS]
#     SETS, any of
#       large      five complexes in 266 A, 10 A at the edge (q_max D = 27), 10^5 photons
#       large15    the same at 15 A (q_max D = 18), 10^4 photons
#       polii8     1I3Q at 8 A (19), 10^4 photons
#       few        300 images of 1I3Q at 12 A (13), 10^4 photons
#       cex5       2CEX at 5 A (14), 10^4 photons
#       adk4       4AKE at 4 A (16), 10^4 photons
#       groel      1OEL, the assembly, at 12 A (14), 10^4 photons
#     WAYS, any of
#       plain      in one level, W taken as exact
#       levels     half of |q| first (phasing.first_qD)
#       noise      in one level, W known to be noisy (phasing.modulus_tolerance)
#       both       as the program does by default
# Prints a table: starts averaged and best and worst R-factor of each half; FSC over 0.9 to 0.98 q_max of
# the half maps with each other and with the structure, and seconds of both halves.  Seeds are fixed.
# Environment: SPINIFEL (binary), OUT (directory; merged sets in it are used again), OPTIONS (of phase).
sets=${1:-"large large15 polii8 few cex5 adk4 groel"}
ways=${2:-"plain levels noise both"}
here=$(cd "$(dirname "$0")/.." && pwd)
spinifel=${SPINIFEL:-$here/build/spinifel}
out=${OUT:-$here/bench-out}
data=$here/data/structures
mkdir -p "$out" || exit 1

# place FILE A B C X Y Z: the atoms of a PDB file about their middle, rotated by Rz(C) Ry(B) Rz(A)
# (degrees) and moved (A)
place() {
	gzip -dc "$data/$1" | awk -v a="$2" -v b="$3" -v c="$4" -v X="$5" -v Y="$6" -v Z="$7" '
	function about_z(w,    t) { t = x * cos(w) - y * sin(w); y = x * sin(w) + y * cos(w); x = t }
	function about_y(w,    t) { t = x * cos(w) + z * sin(w); z = z * cos(w) - x * sin(w); x = t }
	/^ATOM/ {
		line[++n] = $0
		sx += at[n, 1] = substr($0, 31, 8); sy += at[n, 2] = substr($0, 39, 8)
		sz += at[n, 3] = substr($0, 47, 8)
	}
	END {
		deg = atan2(0, -1) / 180
		for (i = 1; i <= n; i++) {
			x = at[i, 1] - sx / n; y = at[i, 2] - sy / n; z = at[i, 3] - sz / n
			about_z(a * deg); about_y(b * deg); about_z(c * deg)
			printf "%s%8.3f%8.3f%8.3f%s\n", substr(line[i], 1, 30), x + X, y + Y, z + Z,
				substr(line[i], 55)
		}
	}'
}

setup() { # SET -> structure, diameter, d at the edge, images of a half, energy, assembly
	structure=$data/1I3Q.pdb.gz diameter=154 energy=1600 assembly=0 photons=10000
	case $1 in
	large | large15)
		structure=$out/large.pdb diameter=270 images=2500
		[ "$1" = large ] && edge=10 photons=100000 || edge=15
		[ -s "$structure" ] || {
			place 1I3Q.pdb.gz 10 20 30 -45 -35 -30
			place 1I3Q.pdb.gz 100 50 -30 50 -30 -25
			place 1I3Q.pdb.gz 200 110 70 0 45 -40
			place 1OEL.pdb.gz 30 75 0 25 30 55
			place 1OEL.pdb.gz 0 40 10 -40 -20 50
			echo END
		} > "$structure" ;;
	polii8) images=1500 edge=8 ;;
	few) images=150 edge=12 ;;
	cex5) structure=$data/2cex_a.pdb.gz diameter=70 images=1500 edge=5 energy=6000 ;;
	adk4) structure=$data/4ake_ilmode.pdb.gz diameter=64 images=1500 edge=4 energy=6000 ;;
	groel) structure=$data/1OEL.pdb.gz diameter=165 images=1500 edge=12 assembly=1 ;;
	*) echo "phasing.sh: unknown set '$1'" >&2; exit 2 ;;
	esac
}

options() { # WAY, autocorrelation of the other half
	case $1 in plain | noise) echo --set phasing.first_qD=1e6 ;; esac
	case $1 in noise | both) echo --half "$2" ;; esac
}

field() { # JSON file, key
	sed -n "s/.*\"$2\": *\([-0-9.eE+]*\).*/\1/p" "$1" | head -n 1
}

edge_of() { # FSC table, d at the edge -> mean FSC over 0.9 to 0.98 q_max
	awk -F, -v d="$2" 'NR > 1 && $1 * d > 0.9 && $1 * d < 0.98 { s += $3; n++ } END { printf "%.3f", s / n }' "$1"
}

agree() { # map, truth, d at the edge, options
	map=$1 truth=$2 d=$3
	shift 3
	$spinifel compare "$map" --truth "$truth" --fsc "$out/phasing.csv" --quiet "$@" > /dev/null || exit 1
	edge_of "$out/phasing.csv" "$d"
}

printf '%-8s %5s %6s %5s %13s %5s %13s %7s %7s %7s %5s\n' set qD way kept1 R1 kept2 R2 halves \
	truth1 truth2 s
for set in $sets; do
	setup "$set"
	for h in 1 2; do
		ac=$out/phasing-$set-$h.mrc
		[ -s "$ac" ] && continue
		$spinifel simulate "$structure" --assembly $assembly -o "$ac.h5" --images $images --photons $photons \
			--resolution $edge --energy $energy --seed $h --quiet > /dev/null || exit 1
		$spinifel merge "$ac.h5" --orientations truth --diameter $diameter -o "$ac" --quiet > /dev/null ||
			exit 1
		rm "$ac.h5"
	done
	for way in $ways; do
		row= seconds=$(date +%s)
		for h in 1 2; do
			$spinifel phase "$out/phasing-$set-$h.mrc" -o "$out/phasing-$h.mrc" --diameter $diameter --seed $h --json --quiet \
				--q-max "$(awk "BEGIN { print 0.995 / $edge }")" \
				$(options "$way" "$out/phasing-$set-$((3 - h)).mrc") $OPTIONS \
				> "$out/phasing.json" || exit 1
			row="$row $(field "$out/phasing.json" n_kept) $(sed -n '/"r_factor"/,/\]/p' "$out/phasing.json" |
				grep -o '[0-9][0-9.e-]*' | sort -n | sed -n '1p;$p' | awk '{printf "%s%.4f", s, $1; s = "-"}')"
		done
		seconds=$(($(date +%s) - seconds))
		halves=$(agree "$out/phasing-2.mrc" "$out/phasing-1.mrc" $edge) || exit 1
		for h in 1 2; do
			truth=$(agree "$out/phasing-$h.mrc" "$structure" $edge --assembly $assembly) || exit 1
			halves="$halves $truth"
		done
		printf '%-8s %5.1f %6s %5s %13s %5s %13s %7s %7s %7s %5s\n' "$set" \
			"$(awk "BEGIN { print $diameter / $edge }")" "$way" $row $halves "$seconds"
	done
done
