# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels that are not where the file says, from the images of `spinifel simulate`: they are found beside the
model, what was found goes along with the orientations, and a detector that is right is left alone."""
import json
import os
import subprocess
import tempfile

import h5py
import numpy as np

data, spinifel = os.environ["SPI_TEST_DATA"], os.environ["SPINIFEL"]
pdb = os.path.join(data, "structures", "2cex_a.pdb.gz")
os.chdir(tempfile.mkdtemp(prefix="geometry.", dir=os.environ.get("SPI_TEST_TMP")))
count = failed = 0


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", text, flush=True)


def run(*args):
    r = subprocess.run([spinifel, *args], capture_output=True, text=True)
    if r.returncode not in (0, 3):
        raise SystemExit(r.stderr)
    return r


def simulate(name, *options):
    run("simulate", pdb, "-o", name, "-n", "1200", "-d", "64x64", "-r", "10", "-s", "4", "--photons", "20000", "-q",
        "--panels", "2x2", *options)


def reconstruct(name, out, *options):
    r = run("reconstruct", name, "-o", out, "--seed", "3", "--diameter", "68", *options)
    where = out if os.path.exists(f"{out}/orientations.h5") else f"{out}/failed_validation"
    with open(f"{out}/run.json") as f:
        return r.stderr, json.load(f), where


def relative(px):
    """Less what turns or moves all panels alike: an image's rotation takes a turn, the beam's centre a move."""
    px = px - px.mean(0)
    at = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) / np.sqrt(8)
    turn = np.stack([-at[:, 1], at[:, 0]], 1)
    return px - turn * (px * turn).sum()


def error(where, images):
    r = run("compare", f"{where}/density.mrc", "--truth", pdb, "--orientations", f"{where}/orientations.h5", "--true", images,
            "--json", "-q")
    return json.loads(r.stdout)


simulate("wrong.h5", "--panel-error", "0.7")
log, record, found = reconstruct("wrong.h5", "found")
_, _, told = reconstruct("wrong.h5", "told", "--set", "detector.geometry=file")
with h5py.File("wrong.h5") as f:
    true = relative(f["truth/panel_px"][()])
used = relative(np.array(record["geometry"]["panels_used_px"]))
left = np.hypot(*(used - true).T).max()
ok("the detector's panels are up to" in log and left < 0.15,
   "panels up to %.2f pixels away are found to %.2f" % (np.hypot(*true.T).max(), left))
a, b = (error(w, "wrong.h5") for w in (found, told))
ok(a["cc"] > b["cc"] and a["orientation_error_deg_median"] < b["orientation_error_deg_median"],
   "map %.4f, orientations %.2f degrees; as the file says %.4f, %.2f degrees"
   % (a["cc"], a["orientation_error_deg_median"], b["cc"], b["orientation_error_deg_median"]))
merged = run("merge", "wrong.h5", "--orientations", f"{found}/orientations.h5", "-o", "merged.h5", "--diameter", "68")
ok("panels are placed as when" in merged.stderr, "merge takes them from the orientations")
simulate("right.h5")
other = run("merge", "right.h5", "--orientations", f"{found}/orientations.h5", "-o", "other.h5", "--diameter", "68", "--set",
            "detector.geometry=file")
ok("was not where the file says" in other.stderr, "unless the file's own are asked for")
log, record, _ = reconstruct("right.h5", "right")
ok("panels" not in log and record["geometry"]["panels_used_px"] == [] and record["geometry"]["rounds"] == 0,
   "a detector that is right is left alone: %.3f pixels, distance %+.4f"
   % (record["geometry"]["panels_found_px"], record["geometry"]["distance_found"]))
simulate("drift.h5", "--centre-drift", "1.6:-0.6")
log, record, plain = reconstruct("drift.h5", "plain")
ok("--correct-drift takes each image" in log and record["geometry"]["drift_found_px"] > 1.2
   and not record["geometry"]["drift_corrected"], "a beam that moves is named: %.2f of %.2f pixels"
   % (record["geometry"]["drift_found_px"], np.hypot(1.6, 0.6)))
log, record, corrected = reconstruct("drift.h5", "corrected", "--correct-drift")
blocks = np.array(record["geometry"]["drift_blocks"])
with h5py.File("drift.h5") as f:
    off = blocks[:, 1:] - f["truth/centre_drift_px"][()][blocks[:, 0].astype(int)]
off = np.hypot(*(off - off.mean(0)).T)
ok(record["geometry"]["drift_corrected"] and off.max() < 0.2 and np.sqrt((off ** 2).mean()) < 0.1,
   "and followed to %.3f pixels (rms), %.3f at most" % (np.sqrt((off ** 2).mean()), off.max()))
a, b = (error(w, "drift.h5") for w in (corrected, plain))
ok(a["cc"] > b["cc"] and a["orientation_error_deg_median"] < b["orientation_error_deg_median"],
   "map %.4f, orientations %.2f degrees; one centre for all: %.4f, %.2f degrees"
   % (a["cc"], a["orientation_error_deg_median"], b["cc"], b["orientation_error_deg_median"]))
merged = run("merge", "drift.h5", "--orientations", f"{corrected}/orientations.h5", "-o", "m.h5", "--diameter", "68")
ok("about the place where the beam was" in merged.stderr, "merge follows it, too")
print("1..%d" % count)
raise SystemExit(failed > 0)
