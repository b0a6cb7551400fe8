#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Memory that cannot be had: the n-th allocation of a command fails (SPI_FAIL_ALLOC=n) for every
# n, or for N of them spread evenly; and limits on the address space.  Each time one line and
# exit code 1, no crash, no hang, nothing temporary left; with an address sanitizer that looks for leaks, no leak.
#     tests/faults/memory.sh [N [FIRST [COMMAND ...]]]      (N 0: every n; FIRST: every n up to there, then N of the rest;
#                                                            without commands: all of them)
. "$(dirname "$0")/common.sh"
many=${1:-0}
first=${2:-0}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- info plot simulate slice phase merge match compare reconstruct finish
small_images
ok $? "simulate"
small -o run > run.out 2>&1
ended $?
ok $? "reconstruct"
map=run/density.mrc
[ -s $map ] || map=run/failed_validation/density.mrc
A=$(dirname $map)/autocorrelation.mrc
table=$(dirname $map)/fsc.csv
pdb=$data/structures/1aki.pdb

# once: the command that is walked, into out/
once() {
	rm -rf out && mkdir out
	case $1 in
	simulate) "$SPINIFEL" simulate "$pdb" -o out/x.h5 --images 8 --detector 24x24 --resolution 12 \
		--photons 1000 --quiet ;;
	reconstruct) small -o out/run --set algorithm.N_generations=3 --workers 2 ;;
	finish)
		cp -r run out/run
		small -o out/run --resume --workers 2
		;;
	merge) "$SPINIFEL" merge images.h5 --orientations truth -o out/m.mrc --diameter 50 --quiet \
		--workers 2 ;;
	phase) "$SPINIFEL" phase "$A" -o out/p.mrc --diameter 50 --starts 2 --recipe '3 RAAR, 1 SW, 2 ER' \
		--prtf out/prtf.csv --quiet ;;
	slice) "$SPINIFEL" slice "$A" --orientations truth --geometry images.h5 -o out/s.h5 --quiet ;;
	match) "$SPINIFEL" match images.h5 --model "$A" -o out/o.h5 --diameter 50 --quiet --workers 2 ;;
	compare) "$SPINIFEL" compare "$map" --truth "$pdb" --fsc out/f.csv --plot out/f.png --quiet ;;
	info) "$SPINIFEL" info images.h5 && "$SPINIFEL" info "$pdb" ;;
	plot) "$SPINIFEL" plot "$table" -o out/t.png ;;
	esac
}
# failed_well STATUS: what a failure must look like
failed_well() {
	[ "$1" = 1 ] && one_line err && nothing_left out
}
for command; do
	# how many allocations there are: by doubling, then halving
	lo=0 hi=1
	while SPI_FAIL_ALLOC=$hi once $command > stdout 2> err; [ $? = 1 ] && [ $hi -lt 10000000 ]; do
		lo=$hi
		hi=$((hi * 2))
	done
	while [ $((hi - lo)) -gt 1 ]; do
		mid=$(((lo + hi) / 2))
		SPI_FAIL_ALLOC=$mid once $command > stdout 2> err
		if [ $? = 1 ]; then lo=$mid; else hi=$mid; fi
	done
	step=1
	[ "$many" -gt 0 ] && [ "$lo" -gt "$first" ] && step=$(((lo - first) / many + 1))
	i=1 tried=0 bad=
	while [ $i -le $lo ]; do
		SPI_FAIL_ALLOC=$i once $command > stdout 2> err
		status=$?
		tried=$((tried + 1))
		if ! failed_well $status || ! grep -q "out of memory" err; then
			bad="$bad $i"
			echo "# $command, allocation $i: status $status, $(wc -l < err) lines: $(head -n 1 err)"
		fi
		[ $i -lt "$first" ] && i=$((i + 1)) || i=$((i + step))
	done
	[ -z "$bad" ] && [ $tried -gt 0 ]
	ok $? "$command: $tried of $lo allocations fail, each with one line and exit code 1"
done

# limits on the address space; the loader itself needs some 90 MB
if ldd "$SPINIFEL" | grep -q 'lib[at]san'; then # its shadow memory takes terabytes of addresses
	ok 0 "limits on the address space # SKIP a sanitizer"
elif [ "$(ulimit -v)" != unlimited ]; then
	skip "limits on the address space" "there is one already"
else
	for megabytes in 100 120 140 160 180 200 250 300; do
		for command in info merge reconstruct; do
			(
				ulimit -v $((megabytes * 1024))
				once $command > stdout 2> err
				echo $? > status
			)
			status=$(cat status)
			ended "$status" || failed_well "$status"
			ok $? "$command in $megabytes MB: $(head -n 1 err | cut -c 1-100) (status $status)"
		done
	done
fi
finish
