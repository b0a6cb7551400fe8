#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# merge, slice and match as commands on files, on simulated images whose truth is known.
# $1: check_stages.py, $2: the folder of structures.
check=$1 structure=$2/2cex_a.pdb.gz
. "$(dirname "$0")/tap.sh"

holds() { # holds DESCRIPTION CHECK ARGUMENTS...
	what=$1
	shift
	"$python" "$check" "$@" > out 2> err
	ok $? "$what: $(cat out)"
}

fails() { # fails DESCRIPTION CHECK ARGUMENTS...: the check can fail
	what=$1
	shift
	"$python" "$check" "$@" > out 2> err
	[ $? = 1 ] && [ ! -s err ]
	ok $? "$what"
}

# 68 A across, 12 A at the edge: |q| D = 5.7; 400 slices cover all of it (2 pi 5.7 would do)
run 0 simulate "$structure" -o im.h5 --images 400 --detector 48x48 --resolution 12 --energy 1600 \
	--seed 3 --beam-stop 1 --mask-rect 20:22,30:48
run 0 simulate "$structure" -o other.h5 --images 30 --detector 48x48 --resolution 12 \
	--energy 1600 --seed 4
run 0 simulate "$structure" -o ph.h5 --images 150 --detector 48x48 --resolution 12 \
	--energy 1600 --seed 5 --photons 20000 --fluence-spread 0.4

# ---- merge
run 0 merge im.h5 --orientations truth -d 70 -o a.mrc --lcurve-csv l.csv --lcurve-png l.png \
	--intensity w.mrc --json --workers 2
json "JSON of merge" "v['images'] == 400 and v['images_merged'] == 400 and v['workers'] == (1 if '$SPI_ENGINE' else 2) and \
v['end'] in ('steps', 'converged') and 0 < v['residual'] < 0.1 and v['products'] <= 40 and \
abs(sum(v['shares'].values()) - 1) < 1e-6 and v['peak_rss_bytes'] > 0 and v['lambda'] > 0 and v['misfit'] < 0.05 and \
v['voxels'] % 2 == 0 and v['lambda_from'] in ('corner', 'plateau', 'smallest lambda')"
misfit=$("$python" -c "import json; print(repr(json.load(open('out'))['misfit']))")
holds "the map is an MRC file" valid a.mrc
holds "so is the intensity" valid w.mrc
holds "the map is even" even a.mrc
holds "it names its input" labels a.mrc im.h5
fails "another input is not named" labels a.mrc ph.h5
[ "$(wc -l < l.csv)" = 14 ] && [ "$(grep -cE ',(corner|plateau|smallest lambda)$' l.csv)" = 1 ]
ok $? "L-curve of 13 lambdas, one chosen"
run 0 plot l.csv -o l.png -x lambda -y residual -y norm --log-x --log-y --title "L-curve"
[ "$(od -A n -t x1 -N 4 l.png)" = " 89 50 4e 47" ]
ok $? "plot draws a PNG"
refuse 2 "plot: --y: 'nonsense' is not a column of l.csv" plot l.csv -o x.png -y nonsense
refuse 1 "a.mrc" plot a.mrc -o x.png
[ "$(head -c 4 l.png | tail -c 3)" = PNG ]
ok $? "and its picture"
run 0 merge im.h5 --orientations truth -d 70 -o a2.mrc --lambda 0.01 --json
json "a lambda that is given" "v['lambda'] == 0.01 and v['lambda_from'] == 'given' and \
0 < v['misfit'] < 0.1"
fails "is another map" maps_alike a.mrc a2.mrc 0.999
run 0 merge im.h5 --orientations truth -d 70 -o a3.mrc --set algorithm.N_lambda=5

# ---- merge: each option, used rightly
run 0 merge im.h5 --orientations truth -d 70 -o ind.mrc --lcurve independent --json
# without noise the curve begins flat: a corner there hangs on the solver's last digits, and both ways may
# choose differently where the misfit has risen by less than 3 % (L12)
json "one solution each: the same misfit" \
	"abs(v['misfit'] / $misfit - 1) < 0.03 and v['products'] > 13 * 5"
holds "and the same map" maps_alike ind.mrc a.mrc 0.99999
run 0 merge im.h5 --orientations truth -d 70 -o ta.mrc --lambda 0.01 --precision double \
	--set algorithm.cg_tol=1e-9 --set algorithm.N_cg=200 --json
json "double precision" "v['precision'] == 'double' and v['nufft_tol'] <= 1e-9 and v['end'] == 'converged'"
run 0 merge im.h5 --orientations truth -d 70 -o di.mrc --lambda 0.01 --precision double \
	--set algorithm.cg_tol=1e-9 --set algorithm.N_cg=200 --method direct --json
json "point by point" "v['method'] == 'direct' and v['end'] == 'converged'"
holds "Toeplitz and direct agree to 1e-5" maps_close di.mrc ta.mrc 1e-5
fails "single precision does not" maps_close a2.mrc ta.mrc 1e-5
for w in poisson none; do
	run 0 merge im.h5 --orientations truth -d 70 -o w_$w.mrc --pixel-weights $w --json
	json "weights: $w" "math.isfinite(v['misfit']) and 0 < v['misfit'] < 0.1"
	holds "noise-free, so nearly the same map" maps_alike w_$w.mrc a.mrc 0.99
	fails "but not the same" maps_close w_$w.mrc a.mrc 1e-5
done
"$python" - << 'EOF'
import h5py, numpy as np
with h5py.File("weights.h5", "w") as f:
    w = np.ones((48, 48), np.float32)
    f["weights"] = w
    w[:24] = 0
    f["half"] = w
    f["none"] = 0 * w
    w[3, 5] = -1
    f["minus"] = w
    f["small"] = w[:7]
EOF
run 0 merge im.h5 --orientations truth -d 70 -o w1.mrc --weights weights.h5
holds "weights of 1 change nothing" maps_close w1.mrc a.mrc 1e-6
run 0 merge im.h5 --orientations truth -d 70 -o w2.mrc --weights weights.h5:/half --json
json "half of the pixels" "0 < v['pixels'] < 900"
holds "are enough" maps_alike w2.mrc a.mrc 0.99
run 0 merge im.h5 --orientations truth -d 70 -o pr.mrc --lambda 1000 --prior a.mrc
holds "a heavy prior: the prior" maps_close pr.mrc a.mrc 1e-2
fails "not so without it" maps_close a2.mrc a.mrc 1e-2
for w in q poisson; do
	run 0 merge im.h5 --orientations truth -d 70 -o av.mrc --average 0.5 --pixel-weights $w --json
	json "summed by view direction, $w" "v['images_merged'] == 400 and v['end'] in ('steps', 'converged')"
	# half a cell at most, 2.5 degrees, of few images: 0.99
	holds "nearly the same map" maps_alike av.mrc a.mrc 0.99
	fails "but not the same" maps_close av.mrc a.mrc 1e-5
done
run 0 merge im.h5 --orientations truth -d 70 -o av1.mrc --average 0.5 --workers 1 --pixel-weights poisson
holds "summed: the same with one worker" maps_close av.mrc av1.mrc 0

# ---- slice
run 0 slice a.mrc --orientations truth --geometry im.h5 -o m.h5 --json
json "JSON of slice" "v['images'] == 400 and v['negative'] < 0.1"
holds "model images are the images" alike m.h5 im.h5 0.0143 0.08 0.998
holds "with their orientations" same_quats m.h5 im.h5
holds "and their inputs" inputs m.h5 a.mrc im.h5
run 0 slice a.mrc --orientations other.h5 --geometry im.h5 -o mo.h5 --q-max 0.06
holds "--q-max hides pixels" masked mo.h5 0.06
fails "not all of them" masked mo.h5 0.05
run 0 info mo.h5

# ---- match: cells of d / 2D = 12 / 140 rad = 4.9 degrees; refined in-plane, noise-free, the
# three angles are off by less than half a cell each: median below 0.6 cells = 3 degrees
run 0 match im.h5 --model a.mrc -o o.h5 -d 70 --json
json "JSON of match" "v['images'] == 400 and v['method'] == 'levels' and v['mean_margin'] > 0 and \
v['score'] == 'gaussian'"
holds "orientations" near o.h5 im.h5 3 1
holds "their inputs" inputs o.h5 a.mrc im.h5
# the model sum of the nearest orientations, 5 degrees apart, of a beam that never changes
holds "fluences" steady o.h5 0.1
fails "not all alike" steady o.h5 0.0001
run 0 match im.h5 --model a.mrc -o og.h5 -d 70 --score gaussian
holds "auto is gaussian where values are no photons" same o.h5 og.h5 orientations score margin fluence
run 0 match im.h5 --model a.mrc -o op.h5 -d 70 --score poisson
holds "orientations, poisson" near op.h5 im.h5 3 1
run 0 match im.h5 --model a.mrc -o of.h5 -d 70 --finer 2
holds "twice finer, half the error" near of.h5 im.h5 1.5 1
# refined: what is left is the model's error, of slices 5 degrees apart: a tenth of a cell
for s in poisson gaussian euclid; do
	run 0 match im.h5 --model a.mrc -o f.h5 -d 70 --refine --score $s --true truth --json
	json "it tells the error itself" "0 < v['error_deg_median'] < v['error_deg_p90'] < 0.5"
	holds "orientations, refined, $s" near f.h5 im.h5 0.5 1
done
fails "the search alone is not as good" near o.h5 im.h5 0.5 1
run 0 match im.h5 --model a.mrc -o f1.h5 -d 70 --refine --score euclid --workers 1
holds "the same with one worker" same f.h5 f1.h5 orientations score margin fluence entropy
run 0 match im.h5 --model a.mrc -o o1.h5 -d 70 --workers 1
run 0 match im.h5 --model a.mrc -o os.h5 -d 70 --set runtime.backend=serial
holds "the same with one worker" same o.h5 o1.h5 orientations score margin fluence
holds "the same one task after another" same o.h5 os.h5 orientations score margin fluence
fails "not the same with another score" same o.h5 op.h5 score
# what pruning loses: an image whose best direction was not near the five kept
run 0 match im.h5 --model a.mrc -o oe.h5 -d 70 --method rings
holds "exhaustive orientations" near oe.h5 im.h5 3 1
holds "coarse to fine finds the same" near o.h5 oe.h5 0.01 0.99
run 0 match im.h5 --model a.mrc -o oe1.h5 -d 70 --method rings --workers 1
holds "exhaustive: the same with one worker" same oe.h5 oe1.h5 orientations score margin fluence

# brute force at 22 A: cells of 9 degrees, not refined; plain distances hear little but the
# bright middle of the images, and some images go astray
for s in poisson:0.97 gaussian:0.97 euclid:0.9 published:0.9; do
	run 0 match im.h5 --model a.mrc -o b.h5 -d 70 --q-max 0.045 --method brute --score ${s%:*}
	holds "orientations, brute, ${s%:*}" near b.h5 im.h5 7 ${s#*:}
done
run 0 match im.h5 --model a.mrc -o r.h5 -d 70 --q-max 0.045 --score poisson \
	--method rings
run 0 match im.h5 --model a.mrc -o b.h5 -d 70 --q-max 0.045 --score poisson \
	--method brute
holds "rings and brute force agree" near b.h5 r.h5 5 0.97
run 0 match im.h5 --model a.mrc -o b1.h5 -d 70 --q-max 0.045 --score poisson --method brute \
	--workers 1
holds "brute force: the same with one worker" same b.h5 b1.h5 orientations score margin fluence
"$python" - << 'EOF'
import h5py
with h5py.File("o.h5", "r") as f, h5py.File("shuffled.h5", "w") as g:
    for n in f:
        g[n] = f[n][()][::-1]
EOF
fails "orientations of other images are noticed" near shuffled.h5 im.h5 3 1

# ---- photons, and from orientations that were found back to a map
run 0 match ph.h5 --model a.mrc -o p.h5 -d 70 --json
json "auto is poisson for photons" "v['score'] == 'poisson' and v['blank'] == 0"
holds "orientations of 20,000 photons" near p.h5 ph.h5 4 0.95
holds "fluences" fluence p.h5 ph.h5 0.99
run 0 match ph.h5 --model a.mrc -o p3.h5 -d 70 --refine
holds "refined" near p3.h5 ph.h5 1.5 0.95
fails "the search alone is not as good" near p.h5 ph.h5 1.5 0.95
holds "fluences, refined" fluence p3.h5 ph.h5 0.99
run 0 merge im.h5 --orientations o.h5 -d 70 -o back.mrc
holds "merged at what was found" maps_alike back.mrc a.mrc 0.99
run 0 merge im.h5 --orientations shuffled.h5 -d 70 -o wrong.mrc
fails "a merge at wrong orientations is another map" maps_alike wrong.mrc a.mrc 0.99

# ---- images that hold more than the particle: the given model is of the particle alone, and the other light
# does not follow its fluence
light() { # name, options of simulate
	name=$1
	shift
	run 0 simulate "$structure" -o "$name.h5" --images 150 --detector 48x48 --resolution 12 \
		--energy 1600 --photons 20000 "$@"
}
run 0 simulate "$structure" -o small.h5 --images 3 --detector 16x16 --resolution 20 --photons 100
light clean --seed 5 --fluence-spread 0.4
run 0 match clean.h5 --model a.mrc -o cl.h5 -d 70 --refine
holds "without a background" near cl.h5 clean.h5 0.7 0.95
for b in flat gas; do
	light $b --seed 5 --fluence-spread 0.4 --background $b:1
	light misses_$b --seed 6 --background $b:1 --junk blank:1
	run 0 match $b.h5 --model a.mrc -o bg.h5 -d 70 --refine --background misses_$b.h5 --json
	json "$b: more than the particle's counts, from 1/D on" "1.2 < v['background_ratio'] < 2"
	# as many counts again, of which half is noise, and most where the details are
	holds "$b, told by misses" near bg.h5 $b.h5 1.6 0.9
	holds "$b, fluences of the particle" fluence bg.h5 $b.h5 0.99
	holds "$b, the file names the misses" role bg.h5 background misses_$b.h5
	run 0 match $b.h5 --model a.mrc -o un.h5 -d 70 --refine
	fails "$b, not told: orientations are lost" near un.h5 $b.h5 30 0.5
	fails "$b, not told: so are fluences" fluence un.h5 $b.h5 0.9
done
"$python" -c "
import h5py
with h5py.File('gas.h5') as f, h5py.File('gas_truth.h5', 'w') as g:
    g['light'] = f['truth/background'][()]
    g['dark'] = 1000 * f['truth/background'][()]"
run 0 match gas.h5 --model a.mrc -o ba.h5 -d 70 --refine --background gas_truth.h5:/light
holds "told by an array: nearly the same" near ba.h5 bg.h5 0.3 0.9
run 0 match gas.h5 --model a.mrc -o bb.h5 -d 70 --q-max 0.045 --method brute --background misses_gas.h5
holds "told, pixel by pixel" near bb.h5 gas.h5 8 0.85
run 0 match gas.h5 --model a.mrc -o bu.h5 -d 70 --q-max 0.045 --method brute
fails "not told, pixel by pixel" near bu.h5 gas.h5 30 0.5
refuse 1 "more than the images have on average" match gas.h5 --model a.mrc -o x.h5 -d 70 \
	--background gas_truth.h5:/dark
refuse 1 "the background needs those of the images, 1 x 48 x 48" match gas.h5 --model a.mrc -o x.h5 \
	-d 70 --background small.h5

# ---- what is refused
refuse 2 "merge: --diameter: is needed" merge im.h5 --orientations truth -o x.mrc
refuse 2 "merge: --lambda: either this or --lcurve" merge im.h5 --orientations truth -d 70 \
	-o x.mrc --lambda 1 --lcurve krylov
refuse 2 "merge: --lcurve-csv: there is no L-curve" merge im.h5 --orientations truth -d 70 \
	-o x.mrc --lambda 1 --lcurve-csv x.csv
refuse 2 "merge: --q-max: 0.5 1/A; the detector of im.h5 ends at" merge im.h5 -d 70 \
	--orientations truth -o x.mrc --q-max 0.5
refuse 1 "other.h5: 30 orientations, but im.h5 has 400 images" merge im.h5 -d 70 \
	--orientations other.h5 -o x.mrc
refuse 1 "none.h5" merge im.h5 --orientations none.h5 -d 70 -o x.mrc
refuse 1 "none.h5" merge none.h5 --orientations truth -d 70 -o x.mrc
refuse 2 "leaves nothing to merge" merge im.h5 --orientations truth -d 70 --q-min 0.2 -o x.mrc
refuse 2 "merge: --average: is for --method toeplitz and --precision single" merge im.h5 \
	--orientations truth -d 70 -o x.mrc --average 1 --method direct
refuse 2 "merge: --average: is for --method toeplitz and --precision single" merge im.h5 \
	--orientations truth -d 70 -o x.mrc --average 1 --precision double
refuse 2 "merge: --average: " merge im.h5 --orientations truth -d 70 -o x.mrc --average 9
refuse 2 "merge: --method: " merge im.h5 --orientations truth -d 70 -o x.mrc --method magic
refuse 2 "merge: --precision: " merge im.h5 --orientations truth -d 70 -o x.mrc --precision half
refuse 2 "merge: --lcurve: " merge im.h5 --orientations truth -d 70 -o x.mrc --lcurve magic
refuse 2 "merge: --pixel-weights: " merge im.h5 --orientations truth -d 70 -o x.mrc \
	--pixel-weights magic
refuse 2 "merge: --lcurve-png: there is no L-curve" merge im.h5 --orientations truth -d 70 \
	-o x.mrc --lambda 1 --lcurve-png x.png
refuse 1 "no/x.csv" merge im.h5 --orientations truth -d 70 -o x2.mrc --lcurve-csv no/x.csv
refuse 1 "no/x.png" merge im.h5 --orientations truth -d 70 -o x2.mrc --lcurve-png no/x.png
refuse 1 "all usable pixels have weight 0" merge im.h5 --orientations truth -d 70 -o x.mrc \
	--weights weights.h5:/none
refuse 1 "weights.h5" merge im.h5 --orientations truth -d 70 -o x.mrc --weights weights.h5:/minus
refuse 1 "weights.h5" merge im.h5 --orientations truth -d 70 -o x.mrc --weights weights.h5:/small
refuse 1 "none.h5" merge im.h5 --orientations truth -d 70 -o x.mrc --weights none.h5
refuse 1 "none.mrc" merge im.h5 --orientations truth -d 70 -o x.mrc --prior none.mrc
refuse 1 "the merge needs" merge im.h5 --orientations truth -d 70 --q-max 0.06 -o x.mrc \
	--prior a.mrc
refuse 2 "voxels an axis; at most 512" merge im.h5 --orientations truth -d 9000 -o x.mrc
refuse 1 "no/x.mrc" merge im.h5 --orientations truth -d 70 -o no/x.mrc
refuse 2 "match: --score: published needs --method brute" match im.h5 -m a.mrc -o x.h5 \
	--score published
refuse 2 "match: --refine: there is none for --score published" match im.h5 -m a.mrc -o x.h5 \
	--refine --method brute --score published
refuse 2 "match: --q-max: 0.2 1/A; a.mrc ends at" match im.h5 -m a.mrc -o x.h5 --q-max 0.2
refuse 1 "none.mrc" match im.h5 -m none.mrc -o x.h5
refuse 1 "no/x.h5" match im.h5 -m a.mrc -d 70 -o no/x.h5 --q-max 0.045
refuse 2 "slice: --q-max: 0.2 1/A; a.mrc ends at" slice a.mrc --orientations truth -g im.h5 \
	-o x.h5 --q-max 0.2
refuse 1 "no/x.h5" slice a.mrc --orientations truth -g im.h5 -o no/x.h5
"$python" - << 'EOF'
import h5py, mrcfile, shutil
shutil.copy("im.h5", "zero.h5")
shutil.copy("im.h5", "blind.h5")
shutil.copy("o.h5", "dark.h5")
shutil.copy("a.mrc", "zero.mrc")
shutil.copy("a.mrc", "minus.mrc")
with h5py.File("zero.h5", "r+") as f:
    f["intensities"][()] = 0
with h5py.File("blind.h5", "r+") as f:
    del f["orientations"], f["truth"]
with h5py.File("dark.h5", "r+") as f:
    f["fluence"][7] = -1
with mrcfile.open("zero.mrc", "r+") as m:
    m.data[:] = 0
with mrcfile.open("minus.mrc", "r+") as m:
    m.data[:] = -m.data
with open("short.mrc", "wb") as f:
    f.write(open("a.mrc", "rb").read()[:5000])
EOF
refuse 1 "blind.h5: has no true orientations" merge blind.h5 --orientations truth -d 70 -o x.mrc
refuse 1 "dark.h5: fluence of image 7 is -1" merge im.h5 --orientations dark.h5 -d 70 -o x.mrc
"$python" - << 'EOF'
import h5py, shutil
shutil.copy("o.h5", "absent.h5")
shutil.copy("o.h5", "lonely.h5")
for name, kept in ("absent.h5", 0), ("lonely.h5", 1):
    with h5py.File(name, "r+") as f:
        f["fluence"][kept:] = 0
EOF
refuse 1 "no image covers" merge im.h5 --orientations absent.h5 -d 70 -o x.mrc
refuse 1 "no image covers" merge im.h5 --orientations absent.h5 -d 70 -o x.mrc --average 1
refuse 1 "the images are all zero" merge zero.h5 --orientations truth -d 70 -o x.mrc \
	--pixel-weights poisson
for a in 0 1; do
	run 0 merge im.h5 --orientations lonely.h5 -d 70 -o lone.mrc --average $a --json
	json "one image only" "v['images_merged'] == 1 and math.isfinite(v['misfit']) and v['lambda'] > 0"
	holds "and a finite map" finite lone.mrc
	run 0 merge zero.h5 --orientations truth -d 70 -o nil.mrc --average $a --json
	json "no photon" "v['misfit'] == 0 and v['lambda'] > 0"
	holds "an empty map" nothing nil.mrc
done
fails "not every map is empty" nothing a.mrc
refuse 1 "all zero" match zero.h5 -m a.mrc -o x.h5
refuse 1 "zero.mrc: all voxels are zero" match im.h5 -m zero.mrc -o x.h5
refuse 1 "is largest in the middle" match im.h5 -m minus.mrc -o x.h5
# what is no autocorrelation, by its label or by its numbers
run 0 merge im.h5 --orientations truth -d 70 -o ac.mrc --intensity w.mrc --lambda 1e-4
run 0 phase ac.mrc -o rho.mrc -d 70 -n 1 --recipe "20 ER" --prtf prtf.csv --q-max 0.06
! grep -qi nan prtf.csv && [ "$(head -n 2 prtf.csv | tail -n 1 | tr -cd , | wc -c)" = 3 ]
ok $? "shells without a value are empty in the table"
# number of labels, and the labels
cp rho.mrc plain.mrc && dd if=/dev/zero of=plain.mrc bs=1 seek=220 count=804 conv=notrunc 2> dd.err
for f in rho w; do
	what="an intensity"
	[ $f = w ] || what="a density"
	refuse 1 "$f.mrc: is $what, as its label says" phase $f.mrc -o x.mrc
	refuse 1 "$f.mrc: is $what, as its label says" match im.h5 -m $f.mrc -o x.h5
	refuse 1 "$f.mrc: is $what, as its label says" slice $f.mrc --orientations truth -g im.h5 -o x.h5
	refuse 1 "$f.mrc: is $what, as its label says" phase ac.mrc -d 70 -o x.mrc --half $f.mrc
	refuse 1 "$f.mrc: is $what, as its label says" merge im.h5 --orientations truth -d 70 -o x.mrc --prior $f.mrc
done
refuse 1 "plain.mrc: is not even about its middle voxel" phase plain.mrc -o x.mrc
refuse 2 "--q-max: 0.9 1/A; ac.mrc ends at" phase ac.mrc -o x.mrc --q-max 0.9
refuse 2 "change --q-max" match im.h5 -m ac.mrc -o x.h5 --q-min 0.03 --q-max 0.031
refuse 1 "short.mrc" slice short.mrc --orientations truth -g im.h5 -o x.h5
[ ! -e x.mrc ] && [ ! -e x.h5 ] && [ -z "$(ls ./.*.spinifel-tmp 2> /dev/null)" ]
ok $? "no file is left by what failed"
finish
