#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# How the commands open images: masks, surveys, links; what run.json keeps; what --resume
# notices.
cases=$1
. "$(dirname "$0")/tap.sh"

# Clean images of several numbers of photons: nothing is masked.
pdb=$SPI_TEST_DATA/structures/1aki.pdb
for photons in 5 200 10000 1e6; do
	$SPINIFEL simulate "$pdb" -o clean.h5 -n 150 -d 48x48 --resolution 6 --energy 4000 \
		--photons $photons --seed 2 --quiet > sim.out 2>&1
	$SPINIFEL info --json clean.h5 > info.json 2> info.err
	is "$(key info.json of_images) $(key info.json masked) $(key info.json \
		replaced_values)" "150 0 0" "$photons photons: nothing is masked"
done

# The diameter needs more images than these files have: exit 1, but after the words.
$SPINIFEL reconstruct "$cases/mask_inverted.h5" -o run0 > out.txt 2> err.txt
is $? 1 "mask_inverted.h5: exit code"
says err.txt "masks hide 96.9 % of the pixels (3968 of 4096)"
says err.txt "then give --invert-mask"
$SPINIFEL reconstruct "$cases/mask_inverted.h5" -o run0 --invert-mask > out.txt 2> err.txt
says err.txt "masks hide 3.1 % of the pixels (128 of 4096)"
$SPINIFEL reconstruct "$cases/maxint_gap.h5" -o run0 > out.txt 2> err.txt
says err.txt "128 pixels are masked after a look at 60 images (128 full; the first: panel 0, row"
$SPINIFEL reconstruct "$cases/hot_all.h5" -o run0 > out.txt 2> err.txt
says err.txt "1 pixel is masked after a look at 60 images (1 full; panel 0, row 11, column 40)"
$SPINIFEL info "$cases/cheetah.cxi" > out.txt 2> err.txt
is $? 0 "info cheetah.cxi: exit code"
says out.txt "layout  *cxi"
says err.txt "where the beam meets the detector: taken in the middle"
says err.txt "y_pixel_size is not there: taken as x_pixel_size"
$SPINIFEL info --json "$cases/truth_label-v_max.h5" > info.json 2> err.txt
is "$(key info.json structures)" 2 "structures among the labels 0 and 2^31 - 1"
for f in gcol_zeroed32.h5 hang_vlen_attribute.h5; do
	timeout 20 "$SPINIFEL" info "$cases/$f" > out.txt 2> err.txt
	[ $? -le 1 ]
	ok $? "info $f ends"
done

# A run with a mask of its own keeps which pixels it hides, and resumes only with the same.
fast="--diameter 50 --set algorithm.N_inits=1 --set algorithm.N_images_init=60
--set algorithm.N_generations=1 --seed 3 --quiet"
$SPINIFEL simulate "$pdb" -o images.h5 -n 150 -d 40x40 --resolution 8 --energy 4000 \
	--photons 3000 --beam-stop 2 --seed 1 --quiet > sim.out 2>&1
for r in 30:32 10:12; do
	$SPINIFEL simulate "$pdb" -o "mask$r.h5" -n 1 -d 40x40 --resolution 8 --energy 4000 \
		--mask-rect "$r,0:40" --quiet > sim.out 2>&1
done
# shellcheck disable=SC2086
$SPINIFEL reconstruct images.h5 -o run1 $fast --mask mask30:32.h5 > out.txt 2> err.txt
is $? 3 "one generation does not converge"
is "$(key run1/run.json hidden_by_masks)" 92 "12 pixels of the beam stop and 80 of --mask"
[ "$(word run1/run.json mask_sha256 | wc -c)" = 65 ]
ok $? "run.json has the fingerprint of the mask"
# shellcheck disable=SC2086
$SPINIFEL reconstruct images.h5 -o run1 $fast --mask mask10:12.h5:/mask --resume \
	> out.txt 2> err.txt
is $? 1 "--resume with another mask: exit code"
says err.txt "belongs to a run of other images"
# shellcheck disable=SC2086
$SPINIFEL reconstruct images.h5 -o run1 $fast --mask mask30:32.h5 --resume > out.txt 2> err.txt
is $? 3 "--resume with the same mask"

# Images behind a link: others under the same name are noticed.
"$python" - <<'END'
import h5py
for i in 0, 1:
    with h5py.File("images.h5") as f, h5py.File("part%d.h5" % i, "w") as g:
        g["photons"] = f["photons"][:][::-1] if i else f["photons"][:]
with h5py.File("images.h5") as f, h5py.File("linked.h5", "w") as g:
    f.copy("pixel_position_reciprocal", g)
    f.copy("truth", g)
    g["photons"] = h5py.ExternalLink("now.h5", "photons")
END
cp part0.h5 now.h5
# shellcheck disable=SC2086
$SPINIFEL reconstruct linked.h5 -o run2 $fast > out.txt 2> err.txt
is $? 3 "images behind a link"
# shellcheck disable=SC2086
$SPINIFEL reconstruct linked.h5 -o run2 $fast --resume > out.txt 2> err.txt
is $? 3 "--resume with the same images"
cp part1.h5 now.h5
# shellcheck disable=SC2086
$SPINIFEL reconstruct linked.h5 -o run2 $fast --resume > out.txt 2> err.txt
is $? 1 "--resume with other images behind the link: exit code"
says err.txt "belongs to a run of other images"

# merge and match take the mask as well, and keep it.
$SPINIFEL merge images.h5 --orientations truth -d 50 -o a.mrc --lambda 1e-3 --json --quiet \
	> merge.json 2> err.txt
is "$(key merge.json hidden_by_masks)" 12 "merge: hidden pixels"
all=$(key merge.json pixels)
$SPINIFEL merge images.h5 --orientations truth -d 50 -o b.mrc --lambda 1e-3 --json --quiet \
	--mask mask30:32.h5 > merge.json 2> err.txt
is "$(key merge.json hidden_by_masks)" 92 "merge --mask: hidden pixels"
[ "$(key merge.json pixels)" -lt "$all" ]
ok $? "merge --mask: $(key merge.json pixels) pixels instead of $all"
grep -aq "mask sha256" b.mrc
ok $? "the map has the fingerprint of the mask"
$SPINIFEL match images.h5 -m a.mrc -o o.h5 --true truth --mask mask30:32.h5 --quiet > out.txt \
	2> err.txt
is $? 0 "match --mask"
$SPINIFEL info --json o.h5 > info.json
is "$(key info.json hidden_by_masks)" 92 "match --mask: hidden pixels"
$SPINIFEL merge images.h5 --orientations truth -d 50 -o c.mrc --mask images.h5:/truth/label \
	> out.txt 2> err.txt
is $? 1 "a mask of another shape: exit code"
says err.txt "need (1, 40, 40) or without its first axis"

# One hot pixel in every image: merged as if it were masked.
"$python" - <<'END'
import h5py
with h5py.File("images.h5") as f, h5py.File("hot.h5", "w") as g:
    for name in "photons", "pixel_position_reciprocal", "mask", "geometry_factor", "truth":
        f.copy(name, g)
    g["photons"][:, 0, 31, 7] = 250
END
$SPINIFEL simulate "$pdb" -o maskhot.h5 -n 1 -d 40x40 --resolution 8 --energy 4000 \
	--mask-rect 31:32,7:8 --quiet > sim.out 2>&1
merge="--orientations truth -d 50 --lambda 1e-3 --workers 1"
# shellcheck disable=SC2086
$SPINIFEL merge hot.h5 $merge -o h1.mrc > out.txt 2> err.txt
says err.txt "1 pixel is masked after a look at 150 images (1 constant; panel 0, row 31, column 7, mean 250)"
# shellcheck disable=SC2086
$SPINIFEL merge images.h5 $merge -o h2.mrc --mask maskhot.h5 > out.txt 2> err.txt
for i in 1 2; do
	tail -c +1025 h$i.mrc > h$i.data
done
[ -s h1.data ] && cmp h1.data h2.data > cmp.out 2>&1
ok $? "one hot pixel in every image is merged as if it were masked"

# Raw bytes of another file only with --follow-external.
"$python" - <<'END'
import h5py, numpy
with h5py.File("images.h5") as f, h5py.File("raw.h5", "w") as g:
    p = f["photons"][:]
    p.tofile("pixels.raw")
    f.copy("pixel_position_reciprocal", g)
    c = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    c.set_external(b"pixels.raw", 0, p.nbytes)
    h5py.h5d.create(g.id, b"photons", h5py.h5t.py_create(p.dtype),
                    h5py.h5s.create_simple(p.shape), c)
END
$SPINIFEL info raw.h5 > out.txt 2> err.txt
is $? 1 "raw bytes: exit code"
says err.txt "if you trust this file, give --follow-external"
$SPINIFEL info raw.h5 --follow-external > out.txt 2> err.txt
is $? 0 "raw bytes, allowed"
$SPINIFEL info "$cases/mask_inverted.h5" > out.txt 2> err.txt
says out.txt "hides most pixels, as a mask does"

$SPINIFEL simulate "$pdb" -o kev.h5 --energy 12 --resolution 8 > out.txt 2> err.txt
is $? 2 "12 keV taken for eV: exit code"
says err.txt "is the energy in keV"

for command in reconstruct "match -m a.mrc" "merge --orientations truth -d 50"; do
	# shellcheck disable=SC2086
	$SPINIFEL $command "$cases/vds.h5" -o none > out.txt 2> err.txt
	is $? 1 "$command vds.h5: exit code"
	says err.txt "vds_part_B_missing.h5, which is not there"
	# shellcheck disable=SC2086
	$SPINIFEL $command "$cases/extlink.h5" -o none > out.txt 2> err.txt
	is $? 1 "$command extlink.h5: exit code"
	says err.txt "'photons' is a link to '/photons' in the file nowhere.h5"
done

# True orientations in another order are noticed.
"$python" - <<'END'
import h5py, numpy
with h5py.File("images.h5") as f, h5py.File("xyzw.h5", "w") as g:
    g["orientations"] = numpy.roll(f["truth/orientations"][:, 0], -1, axis=1)
END
$SPINIFEL match images.h5 -m a.mrc -o o.h5 --true xyzw.h5 --quiet > out.txt 2> err.txt
says err.txt "xyzw.h5: the true quaternions seem to be (x, y, z, w)"
$SPINIFEL match images.h5 -m a.mrc -o o.h5 --true truth --quiet > out.txt 2> err.txt
! grep -q "seem to be" err.txt
ok $? "those of the images are right"
$SPINIFEL compare a.mrc --truth a.mrc --orientations o.h5 --true xyzw.h5 > out.txt 2> err.txt
says err.txt "xyzw.h5: the quaternions seem to be (x, y, z, w)"

# merge and slice notice it too: by the true ones of the images, or by their signs.
say_order() { # file, words that are said
	$SPINIFEL merge images.h5 --orientations $1 -o m.mrc --diameter 50 --q-max 0.1 --lambda 1e-3 --quiet > out.txt \
		2> err.txt
	says err.txt "$2"
	$SPINIFEL slice m.mrc --orientations $1 --geometry images.h5 -o s.h5 --quiet > out.txt 2> err.txt
	says err.txt "$2"
}
say_order xyzw.h5 "xyzw.h5: the quaternions seem to be (x, y, z, w): then they agree with the true ones"
"$python" - <<'END'
import h5py, numpy
with h5py.File("images.h5") as f, h5py.File("inverse.h5", "w") as g, h5py.File("signs.h5", "w") as h:
    q = f["truth/orientations"][:, 0]
    g["orientations"] = q * [1, -1, -1, -1]
    q = numpy.random.default_rng(1).normal(size=q.shape)
    q /= numpy.linalg.norm(q, axis=1)[:, None]
    h["orientations"] = q * numpy.where(q[:, 3:] < 0, -1, 1)
END
say_order inverse.h5 "inverse.h5: the quaternions seem to be of the inverse rotation"
say_order signs.h5 "signs.h5: the quaternions seem to be (x, y, z, w), for only the last number is never"
$SPINIFEL merge images.h5 --orientations truth -o m.mrc --diameter 50 --q-max 0.1 --lambda 1e-3 --quiet > out.txt \
	2> err.txt
! grep -q "seem to be" err.txt
ok $? "those of the images are right for merge"

# A file of another kind than needed is named, with what reads it.
kind() { # words, arguments...
	words=$1
	shift
	$SPINIFEL "$@" > out.txt 2> err.txt
	is $? 1 "$*: exit code"
	says err.txt "$words"
}
kind "it holds images, which reconstruct, merge, match" phase images.h5 -o x.mrc
kind "it holds orientations, which --orientations" compare a.mrc --truth xyzw.h5
kind "it holds a structure, which simulate" slice "$pdb" --orientations truth --geometry images.h5 -o x.h5
kind "it holds a map, which compare, phase" reconstruct a.mrc -o run0
kind "it is for --orientations of merge" reconstruct xyzw.h5 -o run0
kind "it holds a map, which compare, phase" merge images.h5 --orientations a.mrc -d 50 -o x.mrc
kind "it holds images, which reconstruct" simulate images.h5 -o x.h5 --resolution 20
kind "it holds the state of a run" plot "$cases/state_candidate_huge.bin" -o x.png

# Lengths in another unit, and optional numbers that are none.
cat > change.py <<'END'
import shutil, sys, h5py
source, path, value = sys.argv[1], sys.argv[2], float(sys.argv[3])
shutil.copy(source, "changed.h5")
with h5py.File("changed.h5", "r+") as f:
    if path in f.attrs or "/" not in path:
        f.attrs[path] = value
        if path == "det_distance":
            del f.attrs["distance_m"]
    elif f[path].ndim == 0:
        f[path][()] = f[path][()] * value
    else:
        f[path][1] = value
END
changed() { # code, file, what, factor or value, words
	"$python" change.py "$2" "$3" "$4"
	$SPINIFEL info changed.h5 > out.txt 2> err.txt
	is $? $1 "$3 changed by $4: exit code"
	says err.txt "$5"
}
detector=entry_1/instrument_1/detector_1
changed 1 "$cases/cheetah.cxi" $detector/distance 1000 "it looks like mm; CXI needs m: divide by 1000"
changed 1 "$cases/cheetah.cxi" $detector/distance 1e5 "which looks like mm; CXI needs m: divide by 1000"
changed 1 "$cases/cheetah.cxi" $detector/distance 1e-3 "looks 1000 times too small"
changed 1 "$cases/cheetah.cxi" $detector/x_pixel_size 1000 "which looks like mm; CXI needs m: divide by 1000"
changed 1 "$cases/cheetah.cxi" $detector/x_pixel_size 1e6 "which looks like micrometres; CXI needs m"
changed 1 "$cases/cheetah.cxi" $detector/x_pixel_size 1e-3 "looks 1000 times too small"
changed 0 images.h5 wavelength_A 0 "attribute wavelength_A is 0; need a length or no such attribute"
changed 0 images.h5 wavelength_A nan "attribute wavelength_A is nan; need a length"
changed 0 images.h5 distance_m inf "attribute distance_m is inf; need a length"
changed 0 images.h5 det_distance 0 "attribute det_distance is 0; need a length"
changed 1 "$cases/cheetah.cxi" $detector/distance nan "distance' is nan; need a number"
changed 1 "$cases/cheetah.cxi" entry_1/instrument_1/source_1/energy nan "energy' is nan; need a number"
changed 1 images.h5 truth/fluence nan "truth/fluence of image 1 is nan; need 0 or more"

# A pixel that the mask hides may have a position that is none.
"$python" - << 'END'
import h5py, shutil
for name, hide in ("hidden.h5", 1), ("seen.h5", 0):
    shutil.copy("images.h5", name)
    with h5py.File(name, "r+") as f:
        f["pixel_position_reciprocal"][0, 3, 4] = float("nan")
        f["mask"][0, 3, 4] = hide
END
$SPINIFEL info seen.h5 > out.txt 2> err.txt
is $? 1 "a position that is nan: exit code"
says err.txt "the position of pixel (panel 0, row 3, column 4) is (nan, nan, nan)"
$SPINIFEL merge hidden.h5 --orientations truth -d 50 -o hidden.mrc --lambda 1e-3 --quiet > out.txt 2> err.txt
is $? 0 "under the mask: exit code"
$SPINIFEL slice hidden.mrc --orientations truth --geometry hidden.h5 -o hidden_model.h5 > out.txt 2> err.txt
is $? 0 "and its slices: exit code"

finish
