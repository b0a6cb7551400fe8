#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# compare and phase on files whose answer is known (compare_samples.c).
# $1: compare_samples, $2: the folder of structures.
samples=$1 structure=$2/2cex_a.pdb.gz
. "$(dirname "$0")/tap.sh"

"$samples" "$structure" . 2> err
ok $? "samples of $structure"

run 0 compare moved.mrc --truth "$structure" --orientations found.h5 \
	--true true.h5 --json --fsc fsc.csv --plot fsc.png --aligned aligned.mrc
json 'all keys of the contract' '{"fsc05_A", "fsc0143_A", "cc", "inverted",
	"orientation_error_deg_median", "orientation_error_deg_p90"} <= set(v)'
# A rotated grid loses the corners of Fourier space: 1 % of the map is ample for them.
json 'the moved map is the truth' 'v["cc"] > 0.99 and v["fsc05_A"] <= 6.001 and v["fsc05_is_limit"]'
json 'its hand is found' 'v["inverted"] is True'
# The rotation takes the map to the truth by 40 degrees; the search promises 0.2.
json 'so is its rotation' 'abs(math.degrees(math.acos((sum(v["rotation"][::4]) - 1) / 2)) - 40) < 0.2'
# Each orientation is wrong by 1 degree; 300 of them fix the global rotation to 1/sqrt(300).
json 'orientation errors' 'abs(v["orientation_error_deg_median"] - 1) < 6 / math.sqrt(300) and
	abs(v["orientation_error_deg_p90"] - 1) < 6 / math.sqrt(300) and v["n_images"] == 300'
[ "$(sed 1q fsc.csv)" = q_invA,resolution_A,fsc,voxels ] && [ "$(wc -l < fsc.csv)" = 17 ]
ok $? "a table of 16 shells"
[ "$(od -An -tx1 -N4 fsc.png | tr -d ' ')" = 89504e47 ]
ok $? "a PNG"
run 0 compare aligned.mrc -t "$structure" --json
json 'the map superposed on the truth needs no more motion' 'v["cc"] > 0.99 and not v["inverted"] and
	math.degrees(math.acos(min(1, (sum(v["rotation"][::4]) - 1) / 2))) < 0.2'
json 'no orientations: null' 'v["orientation_error_deg_median"] is None'

# The last whole shell below 1/9: 10 of 1/96 A.
run 0 compare moved.mrc -t aligned.mrc --resolution 9
says out 'The map agrees with the truth to 9.6 A'
run 0 compare noise.mrc -t "$structure" --quiet --json
json 'noise is nothing like the truth' 'v["cc"] < 0.3 and (v["fsc05_A"] is None or v["fsc05_A"] > 20)'

run 0 phase ac.mrc -o density.mrc -d 68 -n 4 --json --prtf prtf.csv
json 'R-factors' '0 < v["r_factor_best"] < 0.1 and len(v["r_factor"]) == 4'
[ "$(sed 1q prtf.csv)" = q_invA,resolution_A,prtf,reproduced ]
ok $? "a table of the transfer function"
json 'the density has the intensities that it was phased from' 'v["intensity_cc"] > 0.9 and v["starts_agree_to_A"] > 0'
run 0 compare density.mrc -t "$structure" --json
json 'phasing finds the density' 'v["cc"] > 0.9'
cp density.mrc first.mrc
run 0 phase ac.mrc -o density.mrc -d 68 -n 4 --quiet
[ ! -s err ]
ok $? "--quiet is"
"$python" -c 'import sys; a, b = (open(f, "rb").read()[1024:] for f in sys.argv[1:]); sys.exit(a != b)' \
	first.mrc density.mrc
ok $? "the same seed gives the same density"
run 0 phase ac.mrc -o density.mrc -d 68 -n 1 --initial first.mrc --seed 5
json_run() { run 0 phase ac.mrc -o wrong.mrc -d 68 -n 4 --json "$@"; }
# A support that is too tight: starts agree, and the density is another one (decision 015).
json_run --set phasing.cutoff=0.6
json 'control: in a wrong support it has not' 'v["intensity_cc"] < 0.5'
run 0 phase ac.mrc -o wrong.mrc -d 68 -n 2 --set phasing.cutoff=0.6
says out "None of these is the map's resolution"
run 0 phase ac.mrc -o wrong.mrc -d 68 -n 2 --half ac.mrc
run 0 compare wrong.mrc -t "$structure" --json
json 'a half set that agrees does no harm' 'v["cc"] > 0.9'
run 1 phase ac.mrc -o wrong.mrc -d 68 --half none.mrc
says err none.mrc
run 0 phase --list-methods
says out HIO

run 0 info moved.mrc found.h5 "$structure" density.mrc
says out '32, 32, 32'
says out 'spinifel'
[ "$(grep '^  ' out | awk '{print length}' | sort -n | tail -1)" -le 79 ]
ok $? "info fits 80 columns"
run 0 info --json found.h5
json 'one file: an object' 'v["kind"] == "orientations" and v["file"].endswith("found.h5")'
run 0 info --json found.h5 moved.mrc
json 'two files: a list' '[f["kind"] for f in v] == ["orientations", "map"]'
run 1 info moved.mrc none prtf.csv
says err "none: "
says err "2 of 3 files could not be read"
says out '32, 32, 32'
run 1 info none
run 2 info
says err 'info: FILE...: found 0 of these, need at least 1'

run 2 compare moved.mrc
says err 'compare: --truth: is needed'
run 2 compare moved.mrc -t "$structure" --orientations found.h5
says err '--orientations: needs --true'
run 2 compare moved.mrc -t "$structure" --true found.h5
says err '--true: needs --orientations'
run 2 compare moved.mrc -t "$structure" --symmetry D7
says err '--symmetry: is about --orientations'
run 2 compare moved.mrc -t "$structure" --orientations found.h5 --true true.h5 --symmetry X3
says err "X3"
run 2 compare moved.mrc -t aligned.mrc --assembly 1
says err 'is not a structure'
run 1 compare moved.mrc -t none.pdb
says err none.pdb
run 1 compare found.h5 -t "$structure"
says err 'is no map (MRC, CCP4)'
run 1 compare moved.mrc -t "$structure" --orientations few.h5 --true true.h5
says err '10 orientations, but'
run 1 compare moved.mrc -t "$2/1I3Q.pdb.gz"
says err "is outside of the map's box"
run 1 compare moved.mrc -t "$structure" --fsc "none/fsc.csv"
says err "none/fsc.csv"
run 2 phase ac.mrc
says err 'phase: --output: is needed'
run 2 phase ac.mrc -o d.mrc --recipe '3 HOI'
says err HOI
[ ! -e d.mrc ]
ok $? "a failure leaves no map"
run 1 phase ac.mrc -o d.mrc --initial moved.mrc
says err 'need those of the autocorrelation'

finish
