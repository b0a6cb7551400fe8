#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Every command that runs tasks or threads, with several numbers of workers: the same bits.  Built with
# -Db_sanitize=thread this is where races show (make tsan): the small run takes every stage to its end.
#     tests/faults/workers.sh [WORKERS ...]        without: 1 2 3 7 16
. "$(dirname "$0")/common.sh"
[ $# -gt 0 ] || set -- 1 2 3 7 16
small_images
ok $? "simulate"
pdb=$data/structures/1aki.pdb
small -o first --workers 1 > first.out 2>&1
ended $?
ok $? "reconstruct"
map=first/density.mrc
[ -s $map ] || map=first/failed_validation/density.mrc
A=$(dirname $map)/autocorrelation.mrc

# stage NAME WORKERS: into made/
stage() {
	rm -rf made && mkdir made
	case $1 in
	simulate) "$SPINIFEL" simulate "$pdb" -o made/x.h5 --images 40 --detector 24x24 --resolution 12 --photons 1000 \
		--fluence-spread 0.3 --seed 5 --workers "$2" ;;
	reconstruct) small -o made/run --workers "$2" ;;
	resume)
		small -o made/run --workers "$2" --set algorithm.N_generations=7
		small -o made/run --workers "$2" --resume
		;;
	merge) "$SPINIFEL" merge images.h5 --orientations truth -o made/m.mrc --diameter 50 --workers "$2" ;;
	average) "$SPINIFEL" merge images.h5 --orientations truth -o made/m.mrc --diameter 50 --average 0.5 --workers "$2" ;;
	levels | rings) "$SPINIFEL" match images.h5 --model "$A" -o made/o.h5 --diameter 50 --method "$1" --refine \
		--workers "$2" ;;
	brute) "$SPINIFEL" match images.h5 --model "$A" -o made/o.h5 --diameter 50 --method brute --q-max 0.05 \
		--workers "$2" ;;
	esac
}
# The numbers in the files of made/: without provenance, which names the workers.
numbers() {
	find made -type f ! -name '*.json' ! -name '*.jsonl' ! -name settings.toml ! -name state.bin ! -name .lock | sort |
		while read -r f; do
			case $f in
			*.h5) "$python" "$root/tests/faults/datasets.py" "$f" ;;
			*.mrc) tail -c +1025 "$f" | sha256sum ;;
			*) sha256sum < "$f" ;;
			esac
		done
}
python=${PYTHON:-/usr/bin/python3}
for command in simulate merge average levels rings brute reconstruct resume; do
	same= first=
	for workers; do
		stage $command "$workers" > stage.out 2>&1
		status=$?
		if [ $status != 0 ] && { [ $status != 3 ] || [ ! -d made/run ]; }; then
			echo "# $workers workers: exit code $status: $(tail -n 3 stage.out)"
			same="$same $workers"
			continue
		fi
		numbers > numbers.now
		[ -n "$first" ] || cp numbers.now numbers.first
		first=1
		cmp -s numbers.now numbers.first || same="$same $workers"
	done
	[ -z "$same" ] && [ -s numbers.first ]
	ok $? "$command: the same bits with $* workers${same:+; others with$same}"
done
finish
