# SPDX-License-Identifier: GPL-3.0-or-later
"""What `spinifel reconstruct` makes of images that are not as they should be: blank images,
copies, photons in a detector's unit, a wrong centre, a gap that no mask marks."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np

data, spinifel = os.environ["SPI_TEST_DATA"], os.environ["SPINIFEL"]
pdb = os.path.join(data, "structures", "1aki.pdb")
tmp = tempfile.mkdtemp(prefix="ingest.", dir=os.environ.get("SPI_TEST_TMP"))
os.chdir(tmp)
count = failed = 0
FAST = ["--diameter", "50", "--seed", "3", "--set", "algorithm.N_inits=1", "--set",
        "algorithm.N_images_init=120", "--set", "phasing.N_phase_starts=2"]
LOOK = ["--set", "algorithm.N_generations=1", "--set", "algorithm.N_inits=1"]


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", text, flush=True)


def run(*args):
    return subprocess.run([spinifel, *args], capture_output=True, text=True)


def variant(name, change, photons="photons", **more):
    """A copy of the images; change(x, q) gives the images and their quaternions."""
    with h5py.File("images.h5") as f, h5py.File(name, "w") as g:
        x, q = change(f["photons"][()], f["truth/orientations"][()])
        g[photons] = x
        g["truth/orientations"] = q
        for key in ("pixel_position_reciprocal", "mask", "geometry_factor"):
            g[key] = f[key][()]
        g.attrs["wavelength_A"] = f.attrs["wavelength_A"]


def found(path):
    with h5py.File(path) as f:
        return {k: f[k][()] for k in f}


def median_error(directory, truth):
    r = run("compare", directory + "/density.mrc", "--truth", pdb, "--orientations",
            directory + "/orientations.h5", "--true", truth, "--json", "-q")
    for line in r.stdout.splitlines():
        if '"orientation_error_deg_median"' in line:
            return float(line.split(":")[1].strip(" ,"))
    return 180.0


def last(r):
    return r.stderr.strip().splitlines()[-1][:150] if r.stderr.strip() else ""


r = run("simulate", pdb, "-o", "images.h5", "--images", "800", "--detector", "40x40",
        "--resolution", "8", "--energy", "4000", "--photons", "3000", "--beam-stop", "2",
        "--seed", "1", "-q")
ok(r.returncode == 0, "simulate " + r.stderr)
rng = np.random.default_rng(1)


# every second image is blank: no photon, or a few of background
def blanks(x, q):
    x = x.copy()
    x[::4] = 0
    x[2::4] = rng.poisson(20 / x[0].size, x[2::4].shape)
    return x, q


variant("blank.h5", blanks)
r = run("reconstruct", "blank.h5", "-o", "blank", *FAST)
ok(r.returncode in (0, 3) and "400 of 800 images hold no signal" in r.stderr,
   "400 of 800 images are blank: exit code %d, said: %s" % (r.returncode, [
       x for x in r.stderr.splitlines() if "signal" in x]))
where = "blank" if os.path.exists("blank/orientations.h5") else "blank/failed_validation"
o = found(where + "/orientations.h5")
used = o["aside"][1::2] == 0
ok(np.all(np.isnan(o["orientations"][::2])) and np.all(np.isfinite(o["orientations"][1::2][used]))
   and np.all(o["half"][::2] == 0) and np.all(o["aside"][::2] == 1)
   and np.all(np.isnan(o["score"][::2])) and np.all(o["fluence"][::2] == 0),
   "blank images have no orientation, no score and no half set")
halves = np.bincount(o["half"][1::2], minlength=3)
# good images that are taken for something else: half a percent at most
ok(halves[0] <= 2 and abs(halves[1] - halves[2]) <= 2,
   "the others are dealt to both halves: %d and %d" % (halves[1], halves[2]))
error = median_error(where, "blank.h5")
# one Shannon angle is 4.7 degrees (test_reconstruct.sh)
ok(error < 4.7, "their orientations are right: median %.2f degrees, needed 4.7" % error)
r = run("merge", "blank.h5", "--orientations", where + "/orientations.h5", "-d", "50", "-o",
        "merged.mrc", "--json", "-q")
ok(r.returncode == 0, "merge passes over images without an orientation " + last(r))
r = run("match", "blank.h5", "--model", "merged.mrc", "-o", "matched.h5", "-q", "--refine")
m = found("matched.h5") if r.returncode == 0 else {"orientations": np.zeros((800, 4))}
ok(r.returncode == 0 and np.all(np.isnan(m["orientations"][::2]))
   and np.all(np.isfinite(m["orientations"][1::2])),
   "match gives blank images no orientation either " + last(r))
r = run("slice", "merged.mrc", "--orientations", "matched.h5", "--geometry", "blank.h5", "-o",
        "sliced.h5", "-q")
with h5py.File("sliced.h5") as f:
    sums = f["intensities"][()].sum((1, 2, 3))
ok(r.returncode == 0 and np.all(sums[::2] == 0) and np.all(sums[1::2] > 0),
   "slice leaves images without an orientation empty " + last(r))
r = run("info", "matched.h5")
ok("400" in r.stdout and r.returncode == 0, "info counts them")

# another seed deals other halves, blocks of time the earlier and the later
lists = {}
for name, args in (("seed4", ["--seed", "4"]), ("seed4again", ["--seed", "4"]),
                   ("blocks", ["--set", "algorithm.halves=blocks"])):
    run("reconstruct", "blank.h5", "-o", name, *FAST, *args, *(
        ["--set", "converge.halves_cc=0", "--set", "converge.halves_cc_stop=0", "--set",
         "algorithm.N_generations_init=2"]), "-q")
    for place in (name, name + "/failed_validation"):
        if os.path.exists(place + "/orientations.h5"):
            lists[name] = found(place + "/orientations.h5")["half"]
# 0: left out, (Q22): two generations make a model that does not explain all images
dealt = lists["blocks"][1::2][lists["blocks"][1::2] > 0].astype(int) if "blocks" in lists else []
ok(len(dealt) >= 0.65 * 400 and np.all(np.diff(dealt) >= 0) and set(dealt) == {1, 2},
   "halves = blocks: the earlier, the later images")
ok("seed4" in lists and np.array_equal(lists["seed4"], lists["seed4again"])
   and not np.array_equal(lists["seed4"], o["half"]), "the seed of the run deals the halves")


# what took resolution away: named where the edge of the detector is not the limit
def limits(directory):
    with open(directory + "/run.json") as f:
        about = json.load(f)
    return about["limit"], [(x["what"], x["value"]) for x in about["limits"]]


whole, poor = limits("blank"), limits("blocks")
ok(whole == ("edge", []), "at the edge of the detector nothing was taken away: %s, %s" % whole)
# of 800 images the 400 blank ones, and those that a poor model does not explain
left = 400 + 400 - len(dealt)
ok(poor[0] == "images" and poor[1] and poor[1][0][0] == "images"
   and abs(poor[1][0][1] - left / 800) < 0.01,
   "two generations: limited by the %s, of which %d of 800 are left out: %s" % (poor[0], left, poor[1]))

# half of the data twice: each image counts once
variant("twice.h5", lambda x, q: (np.concatenate([x[:400], x[:400]]),
                                  np.concatenate([q[:400], q[:400]])))
r = run("reconstruct", "twice.h5", "-o", "twice", *FAST, *LOOK, "-q")
ok("400 of 800 images repeat another image" in r.stderr
   and "image 400 repeats 0, 401 repeats 1" in r.stderr, "copies: " + r.stderr.splitlines()[0])
variant("once.h5", lambda x, q: (x[:400], q[:400]))
run("reconstruct", "once.h5", "-o", "once", *FAST, *LOOK, "-q")
one, two = (open(d + "/metrics.jsonl").readline().split('"score"')[1][:20]
            for d in ("once", "twice"))
ok(one == two, "half of the data twice scores like half of the data: %s %s" % (one, two))

# photons in a detector's unit
variant("adu.h5", lambda x, q: ((x * 37.5).astype(np.float32), q), "intensities")
r = run("reconstruct", "adu.h5", "-o", "adu", *FAST, *LOOK)
ok("whole multiples of 37.5" in r.stderr, "ADU are noticed")
variant("adu_photons.h5", lambda x, q: ((x * 37.5).astype(np.float32), q), "photons")
r = run("reconstruct", "adu_photons.h5", "-o", "adu2", *FAST, *LOOK)
ok(r.stderr.count("37.5 units") == 1 and "whole numbers" not in r.stderr,
   "photons in ADU are said once, and not called fractions")
run("reconstruct", "images.h5", "-o", "plain", *FAST, *LOOK, "-q")
one, two = (open(d + "/metrics.jsonl").readline().split('"score"')[1][:12]
            for d in ("plain", "adu"))
ok(one == two, "photons in ADU score like photons: %s %s" % (one, two))
# match takes the unit as well; a centre is not looked for, which would be that of other noise
for name in ("images", "adu"):
    r = run("match", name + ".h5", "--model", "merged.mrc", "-o", name + "_o.h5", "-d", "50", "--json",
            "-q", "--set", "particle.centre=file", "--true", "truth")
    lists[name] = (found(name + "_o.h5"), json.loads(r.stdout)) if r.returncode == 0 else None
one, two = lists["images"], lists["adu"]
# x 37.5 / 37.5 in floats: a few roundings of 6e-8; a near tie of two directions may turn
alike = np.mean(np.abs((one[0]["orientations"] * two[0]["orientations"]).sum(1)) > 1 - 1e-6)
ok(one[1]["score"] == two[1]["score"] == "poisson" and alike > 0.99
   and abs(one[1]["mean_score"] / two[1]["mean_score"] - 1) < 1e-5,
   "match takes ADU for photons: %s, %.4f of the orientations are the same" % (
       two[1]["score"], alike))
variant("float.h5", lambda x, q: ((0.37 * (x + 0.7 * rng.normal(size=x.shape))).astype(np.float32),
                                  q), "intensities")
r = run("reconstruct", "float.h5", "-o", "float", *FAST, *LOOK)
ok("multiples" not in r.stderr, "control: numbers that are no multiples are not taken as such")
r = run("match", "float.h5", "--model", "merged.mrc", "-o", "float_o.h5", "-d", "50", "--json", "-q")
ok(r.returncode == 0 and json.loads(r.stdout)["score"] == "gaussian",
   "match takes numbers that are no multiples for analogue values " + last(r))
variant("noise.h5", lambda x, q: ((x * 0.37 + 0.01 * rng.random(x.shape)).astype(np.float32),
                                  q), "intensities")
r = run("match", "noise.h5", "--model", "merged.mrc", "-o", "noise_o.h5", "-d", "50", "--json", "-q")
ok(r.returncode == 0 and json.loads(r.stdout)["score"] == "poisson",
   "match takes readings of little noise for photons " + last(r))

# a wrong centre, a gap
variant("off.h5", lambda x, q: (np.roll(x, 2, axis=-1), q))
r = run("reconstruct", "off.h5", "-o", "off", *FAST, *LOOK, "-q")
ok(re.search(r"centre is off by (1\.9|2\.0)\d* pixels \(\+(1\.9|2\.0)", r.stderr),
   "a centre off by two pixels: " + (r.stderr.splitlines() or [""])[0][:150])
r = run("reconstruct", "images.h5", "-o", "right", *FAST, *LOOK)
ok("centre" not in r.stderr, "control: a right centre is not complained about")


def gap(x, q):
    x = x.copy()
    x[..., 24:27] = 0
    return x, q


variant("gap.h5", gap)
r = run("reconstruct", "gap.h5", "-o", "gap", "--seed", "3", *LOOK)
lines = [x for x in r.stderr.splitlines() if "masked after a look" in x]
ok(len(lines) == 1 and " dead; the first: " in lines[0] and "column 24" in lines[0],
   "an unmarked gap is named, once: " + (lines or [""])[0][:150])

# no particle at all: exit code 1, and the mean image is there to look at
variant("flat.h5", lambda x, q: (rng.poisson(2, x.shape).astype(np.uint8), q))
r = run("reconstruct", "flat.h5", "-o", "flat", "-q")
ok(r.returncode == 1 and "--diameter" in r.stderr and os.path.exists("flat/mean_image.png"),
   "nothing but background: exit code %d, %s" % (r.returncode, last(r)))
variant("empty.h5", lambda x, q: (x * 0, q))
r = run("reconstruct", "empty.h5", "-o", "empty", *FAST, "-q")
ok(r.returncode == 1 and "all zero on the usable pixels" in r.stderr, "empty images: " + last(r))

print("1..%d" % count)
shutil.rmtree(tmp)
sys.exit(failed > 0)
