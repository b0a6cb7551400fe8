#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a run says of its result is true: a right map whose detector ends at q D = 5 is valid, that
# of the same particle with a background that nobody told of as well, and not where the background
# is left in; empty shots are told at once; a tenth of junk among the images is left out.
#   test_verdicts.sh SPOIL.PY        (benches/spoil.py makes the background and the junk)
spoil=$1
. "$(dirname "$0")/tap.sh"
run() { # name, options
	name=$1
	shift
	"$SPINIFEL" reconstruct "$name.h5" -o "$name" --seed 101 --json --quiet "$@" > "$name.json" \
		2> "$name.err"
}

pdb=$SPI_TEST_DATA/structures/2cex_a.pdb.gz
"$SPINIFEL" simulate "$pdb" -o edge.h5 --detector 48x48 --resolution 14 --energy 6000 --images 500 \
	--photons 20000 --seed 1 --quiet > sim.out 2>&1
ok $? "simulate: 68 A, 14 A at the edge, q D = 5"
run edge
ok $? "the detector ends at q D = 5: exit code 0"
"$SPINIFEL" compare edge/density.mrc --truth "$pdb" --json --quiet > edge.compare 2>&1
claimed=$(key edge.json claimed_A) true=$(key edge.compare fsc05_A)
# the claim may be finer than the truth by 5 % and is worth nothing when it is 30 % coarser
within "$(awk "BEGIN {print 0.95 * ${true:-0}}")" "$claimed" "$(awk "BEGIN {print 1.3 * ${true:-0}}")"
ok $? "it is valid to $claimed A; the truth is $true A"
grep -q '"limit": "edge"' edge.json
ok $? "limited by the edge of the detector"

"$python" "$spoil" edge.h5 -o flat.h5 --share 0.7
ok $? "a flat background, 7 photons for 10 of the particle"
run flat
ok $? "a background that nobody told of: exit code 0"
below 0.5 "$(key flat.json background_ratio)" # 0.7 of all photons, fewer of them below q_min
ok $? "found: $(key flat.json background_ratio) times the photons of the particle"
"$SPINIFEL" compare flat/density.mrc --truth "$pdb" --json --quiet > flat.compare 2>&1
claimed=$(key flat.json claimed_A) true=$(key flat.compare fsc05_A)
within "$(awk "BEGIN {print 0.95 * ${true:-0}}")" "$claimed" 25
ok $? "it is valid to $claimed A; the truth is $true A"
run flat --force --set particle.background=none
[ $? = 3 ]
ok $? "the background is left in: exit code 3"
says flat.err "the same in all directions" "background"
[ ! -e flat/density.mrc ]
ok $? "no density is presented"

"$python" "$spoil" edge.h5 -o dust.h5 --dust 12000
run dust
[ $? = 3 ]
ok $? "no particle: exit code 3"
says dust.err "no particle" "no particle"
[ ! -s dust/metrics.jsonl ]
ok $? "before the first generation"

"$python" "$spoil" edge.h5 -o junk.h5 --junk 0.1
run junk
ok $? "a tenth of junk: exit code 0"
within 40 "$(key junk.json images_left_out)" 56 # 50; some look alike at q D = 5
ok $? "images that are left out: $(key junk.json images_left_out)"
finish
