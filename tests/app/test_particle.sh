#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What is known of the particle before the first generation, where the images are not as they
# should be: a wrong centre of the beam is measured and corrected; a wrong estimate of the diameter is
# noticed when the random initialisations agree, and the run begins anew; a diameter that was given is kept.
#   test_particle.sh SPOIL.PY        (benches/spoil.py moves the centre and cuts off the counts)
spoil=$1
. "$(dirname "$0")/tap.sh"
# one round of random initialisations is enough here: the diameter is what the test is about
run() { # images, name, options
	images=$1 name=$2
	shift 2
	"$SPINIFEL" reconstruct "$images" -o "$name" --seed 3 --json --quiet --set phasing.N_phase_starts=2 \
		--set converge.halves_cc_stop=0.8 "$@" > "$name.json" 2> "$name.err"
}
look() { # the same up to the first generation
	run "$@" --set algorithm.N_generations=1 --set algorithm.N_images_init=16
}

pdb=$SPI_TEST_DATA/structures/2cex_a.pdb.gz
"$SPINIFEL" simulate "$pdb" -o clean.h5 --images 500 --detector 48x48 --energy 6000 --resolution 12 \
	--photons 1000 --seed 2 --quiet > sim.out 2>&1
ok $? "simulate 500 images of a particle of 68 A"

# ---- the centre
for shift in 1 -3; do
	"$python" "$spoil" clean.h5 -o "shift$shift.h5" --shift=$shift
	ok $? "a centre that is wrong by $shift pixels"
done
look clean.h5 clean
lacks clean.err "centre" "nothing is said of a right centre"
lacks clean/run.json "centre_shift_px" "nor corrected"
D=$(key clean/run.json diameter_A)
for shift in 1 -3; do
	look "shift$shift.h5" "look$shift"
	says "look$shift.err" "the run uses the centre that was measured" "moved by $shift pixels"
	got=$(tr -d '\n ' < "look$shift/run.json" | sed -n 's/.*"centre_shift_px":\[\([^,]*\),.*/\1/p')
	# noise leaves 0.03 pixels of 500 images with 1,000 photons; more than three times that is wrong
	within "$(awk "BEGIN {print $shift - 0.1}")" "$got" "$(awk "BEGIN {print $shift + 0.1}")"
	ok $? "measured: $got pixels"
	d=$(key "look$shift/run.json" diameter_A) q=$(key "look$shift/run.json" q_max_invA)
	within "$(awk "BEGIN {print 0.99 * $D}")" "$d" "$(awk "BEGIN {print 1.01 * $D}")"
	ok $? "the diameter is that of the right centre: $d A ($D A)"
	w=$(key clean/run.json q_max_invA) # a tenth of a pixel of 24 is 0.4 %
	within "$(awk "BEGIN {print 0.995 * $w}")" "$q" "$(awk "BEGIN {print 1.005 * $w}")"
	ok $? "so is the edge: $q 1/A ($w 1/A)"
done
look shift1.h5 file --set particle.centre=file
says file.err "correct pixel_position_reciprocal" "particle.centre=file: the shift is named"
lacks file/run.json "centre_shift_px" "but not corrected"

run shift1.h5 whole --set algorithm.N_generations=20
[ $? = 3 ]
ok $? "a run that is stopped"
run shift1.h5 whole --resume
ok $? "it goes on with the centre that it had"
"$SPINIFEL" compare whole/density.mrc --truth "$pdb" --json --quiet > whole.compare 2>&1
true=$(key whole.compare fsc05_A)
within 0 "$true" 13 # 12 A is the edge of the detector
ok $? "a centre wrong by a pixel: the map is true to $true A"

# ---- the other stages know it
errors() { # orientations
	"$SPINIFEL" compare whole/density.mrc --truth "$pdb" --orientations "$1" --true clean.h5 --json --quiet > errors.json 2>&1
	key errors.json orientation_error_deg_median
}
match() { # images, orientations, options
	i=$1 o=$2
	shift 2
	"$SPINIFEL" match "$i" --model whole/autocorrelation.mrc -o "$o" --refine "$@" > match.out 2> match.err
	ok $? "match $i $*"
}
match shift1.h5 moved.h5
says match.err "the run uses the centre that was measured" "match measures the centre as well"
match clean.h5 right.h5
lacks match.err "centre" "nothing is said of a right centre"
moved=$(errors moved.h5) right=$(errors right.h5)
within 0 "$moved" "$(awk "BEGIN {print 1.1 * ${right:-0}}")" # what noise of 0.03 pixels may do
ok $? "the same images at the wrong centre have the same error: $moved ($right) degrees"
merge() { # images, orientations, map
	"$SPINIFEL" merge "$1" --orientations "$2" --diameter "$D" --q-max 0.06 -o "$3" > merge.out 2> merge.err
	ok $? "merge $1 $2"
}
merge shift1.h5 moved.h5 moved.mrc
says merge.err "the centre is moved by (+1.0" "merge takes the centre from the orientations"
merge clean.h5 moved.h5 clean.mrc
says merge.err "clean.h5 has other pixel positions" "but not for a file with other positions"
# the FSC of two merges of the same images, whose centres are the same but for 0.03 pixels
"$SPINIFEL" compare moved.mrc --truth clean.mrc --json --quiet > same.json 2> same.err
within 0 "$(key same.json fsc05_A)" 17.5 # 1 / 0.06 and a shell
ok $? "both merge to one map: FSC 0.5 at $(key same.json fsc05_A) A"
"$SPINIFEL" slice whole/autocorrelation.mrc --orientations moved.h5 --geometry shift1.h5 -o slice.h5 > slice.out 2> slice.err
ok $? "slice shift1.h5 moved.h5"
says slice.err "the centre is moved by (+1.0" "slice takes it from there as well"
"$SPINIFEL" info slice.h5 > slice.info
"$SPINIFEL" info clean.h5 > clean.info
awk '$1 == "q_min_invA" { q[FILENAME] = $2 } END { exit !(q["slice.info"] < 1.3 * q["clean.info"]) }' slice.info clean.info
ok $? "the middle pixels of the slices are those about the beam"

# a CXI file takes the centre in the middle; without its first two columns that is wrong by a pixel
"$python" - << 'END'
import h5py
with h5py.File("clean.h5") as f, h5py.File("cropped.cxi", "w") as g:
    g["cxi_version"] = 160
    g["entry_1/data_1/data"] = f["photons"][:, 0, :, 2:]
    g["entry_1/instrument_1/source_1/energy"] = 6000 * 1.602176634e-19
    g["entry_1/instrument_1/detector_1/distance"] = float(f.attrs["distance_m"])
    g["entry_1/instrument_1/detector_1/x_pixel_size"] = 1e-4 # of simulate --resolution
END
match cropped.cxi cropped.h5
says match.err "off by 1.00 pixels (-1.00" "the centre of a CXI file is measured"
lacks match.err "pixel_position_reciprocal" "which has no such dataset"
within 0 "$(errors cropped.h5)" "$(awk "BEGIN {print 1.2 * ${right:-0}}")" # 4 % of the pixels are lost
ok $? "and corrected: $(errors cropped.h5) ($right) degrees"
merge cropped.cxi cropped.h5 cropped.mrc
says merge.err "the centre is moved by (-1.0" "merge takes it from the orientations"

# ---- the diameter: 45 A are estimated
"$python" "$spoil" clean.h5 -o full.h5 --saturate 5
run full.h5 full
ok $? "pixels that are full at 5 photons: exit code 0"
says full.err "the run begins anew with [0-9.]* A" "another diameter"
within 58 "$(key full/run.json diameter_A)" 78 # 68 A by 15 %
ok $? "the diameter is now $(key full/run.json diameter_A) A"
first=$(tr -d '\n ' < full/run.json | sed -n 's/.*"diameters_A":\[\([^,]*\),.*/\1/p')
within 40 "$first" 55
ok $? "run.json keeps the first: $first A"
[ "$(wc -l < full/metrics.jsonl)" = "$(key full.json generations)" ]
ok $? "a line of metrics.jsonl a generation"
"$SPINIFEL" compare full/density.mrc --truth "$pdb" --json --quiet > full.compare 2>&1
true=$(key full.compare fsc05_A) claimed=$(key full.json claimed_A)
within 0 "$true" "$(awk "BEGIN {print 1.05 * ${claimed:-0}}")"
ok $? "it is valid to $claimed A; the truth is $true A"

# one generation after the new beginning
run full.h5 part --set algorithm.N_generations=31
[ $? = 3 ]
ok $? "a run that is stopped after the new beginning"
[ "$(wc -l < part/metrics.jsonl)" -gt 31 ]
ok $? "the new diameter has generations of its own: $(wc -l < part/metrics.jsonl) with N_generations = 31"
run full.h5 part --resume
ok $? "it goes on"
lacks part.err "begins anew" "with the diameter that it had"
cmp full/density.mrc part/density.mrc > cmp.out 2>&1
ok $? "and ends with the same density, bit for bit"
for d in "$first" 60; do
	run full.h5 part --resume --diameter "$d"
	[ $? = 2 ] && grep -q "began with a diameter of .* A and goes on with the .* A" part.err
	ok $? "--resume --diameter $d is refused, with both diameters: $(tail -n 2 part.err | head -n 1)"
done

run full.h5 sure --set converge.halves_cc_repeat=1 --set algorithm.N_inits_max=1 --set algorithm.N_generations=31
says sure.err "the run goes on with a diameter of" "half sets that do not agree to halves_cc_repeat: a warning"
lacks sure/run.json "diameters_A" "and no other diameter"
run full.h5 kept --set algorithm.N_diameters=0 --set algorithm.N_generations=31
says kept.err "the random initialisations show a particle of" "algorithm.N_diameters=0: a warning"
lacks kept/run.json "diameters_A" "and no other diameter"
run clean.h5 given --diameter 48 --set algorithm.N_generations=31
says given.err "the run goes on with a diameter of 48 A" "a diameter that was given is kept"
within 48 "$(key given/run.json diameter_A)" 48
ok $? "--diameter 48 is $(key given/run.json diameter_A) A"
finish
