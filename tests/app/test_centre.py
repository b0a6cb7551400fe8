# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the beam meets the detector, from the images of `spinifel simulate`: a centre that the file has
wrong is found to 0.1 pixel, whatever else the images show, and a right one is left alone."""
import json
import math
import os
import shutil
import subprocess
import tempfile

import h5py

data, spinifel = os.environ["SPI_TEST_DATA"], os.environ["SPINIFEL"]
pdb = os.path.join(data, "structures", "2cex_a.pdb.gz")
tmp = tempfile.mkdtemp(prefix="centre.", dir=os.environ.get("SPI_TEST_TMP"))
os.chdir(tmp)
count = failed = 0
NEEDED = 0.1  # pixels, from 1,000 images


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", text, flush=True)


def run(*args):
    return subprocess.run([spinifel, *args], capture_output=True, text=True)


def simulate(name, *options, n=1000):
    r = run("simulate", pdb, "-o", name, "-n", str(n), "-d", "64x64", "-r", "10", "-s", "4", "--photons", "5000",
            "-q", *options)
    if r.returncode:
        raise SystemExit(r.stderr)
    with h5py.File(name) as f:
        return list(f["truth/centre_px"][()]) if "truth/centre_px" in f else [0.0, 0.0]


def look(name, *options):
    """The log and run.json of a run that ends with its first generation."""
    shutil.rmtree("run", ignore_errors=True)
    r = run("reconstruct", name, "-o", "run", "--seed", "3", "--diameter", "68", "--set",
            "algorithm.N_generations=1", "--set", "algorithm.N_images_init=16", *options)
    with open("run/run.json") as f:
        return r.stderr, json.load(f)


def is_found(what, *options):
    """The centre is measured and corrected to NEEDED pixels."""
    truth = simulate("images.h5", *options)
    log, record = look("images.h5")
    got = record.get("centre_shift_px", [0, 0])
    left = math.dist(got, truth)
    ok(left < NEEDED and "the run uses the centre that was measured" in log,
       "%s: %.3f of (%g, %g) pixels are left" % (what, left, *truth))
    return record


is_found("half a pixel", "--centre-error", "0.5")
is_found("five pixels", "--centre-error", "5:-2")
record = is_found("a background that differs from quarter to quarter", "--centre-error", "1:0.5", "--background",
                  "panels:1")
ok(record["centre"]["by"] == "single images", "which single images say: " + record["centre"]["by"])
is_found("a streak", "--centre-error", "-0.5:0.3", "--background", "streak:1")
record = is_found("half of the detector", "--centre-error", "1:0.5", "--mask-rect", "0:64,0:33")
ok(record["centre"]["by"] == "mean image", "which the mean image says: " + record["centre"]["by"])
is_found("beam stop, gas, blank images, droplets, doublets, fluence", "--centre-error", "2:-1", "--beam-stop", "3",
         "--background", "gas:1", "--fluence-spread", "1", "--junk", "blank:0.2", "--junk", "sphere:0.1", "--junk",
         "doublet:0.05")

simulate("images.h5", "--centre-error", "14:3")
log, record = look("images.h5")
ok("off by 14.3 pixels" in log and "more than 10 pixels are not corrected" in log and "centre_shift_px" not in record,
   "14 pixels are named and not corrected")

simulate("images.h5")
log, record = look("images.h5")
ok("the beam's centre" not in log and "centre_shift_px" not in record and math.hypot(*record["centre"]["shift_px"]) < 0.05,
   "a right centre is left alone: %.3f %.3f" % tuple(record["centre"]["shift_px"]))
ok(record["centre"]["drift_px"] == 0 and len(record["centre"]["blocks_px"]) == 20, "and does not move")

# the second half of the images about another place
simulate("other.h5", "--centre-error", "0.6:0")
with h5py.File("images.h5", "r+") as f, h5py.File("other.h5") as g:
    f["photons"][500:] = g["photons"][500:]
log, record = look("images.h5")
blocks = record["centre"]["blocks_px"]
step = sum(b[0] for b in blocks[10:]) / 10 - sum(b[0] for b in blocks[:10]) / 10
ok("the beam's centre moves by 0." in log and abs(step - 0.6) < NEEDED and abs(record["centre"]["drift_px"] - 0.6) < 0.2,
   "a beam that jumps by 0.6 pixels: %.2f, named as %.2f" % (step, record["centre"]["drift_px"]))

r = run("simulate", pdb, "-o", "noise.h5", "-n", "500", "-d", "64x64", "-r", "10", "--photons", "5000", "--pure-noise",
        "--mask-rect", "0:64,0:32", "--mask-rect", "0:32,0:64", "-q")
log, record = look("noise.h5")
ok("do not show the beam's centre" in log and "centre" not in record,
   "a quarter of the detector and noise: the images do not show it")

shutil.rmtree(tmp)
print("1..%d" % count)
raise SystemExit(failed != 0)
