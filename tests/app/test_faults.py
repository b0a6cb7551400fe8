# SPDX-License-Identifier: GPL-3.0-or-later
"""A detector with faults: the pixels that are masked against the truth that `simulate` writes,
values that are no measurement, electronics, and the map against that of clean images."""
import json
import os
import re
import subprocess

import h5py
import numpy as np

data, tmp = os.environ["SPI_TEST_DATA"], os.environ["SPI_TEST_TMP"]
spinifel = os.environ["SPINIFEL"]
work = os.path.join(tmp, "faults_test")
os.makedirs(work, exist_ok=True)
os.chdir(work)
pdb = os.path.join(data, "structures", "1I3Q.pdb.gz")
count = failed = 0
faults = ["--hot-pixels", "0.002", "--flickering-pixels", "0.002", "--dead-pixels", "0.01"]


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", text, flush=True)


def run(*args):
    return subprocess.run([spinifel, *args], capture_output=True, text=True)


def last(r):
    return (r.stderr.strip().splitlines() or [""])[-1]


def simulate(name, *args, images=1000):
    r = run("simulate", pdb, "-o", name, "--images", str(images), "--detector", "64x64",
            "--resolution", "20", "--energy", "1600", "--photons", "10000", "--seed", "5", "-q",
            *args)
    if r.returncode:
        raise SystemExit(r.stderr)


def survey(name):
    r = run("info", "--json", name)
    return find(json.loads(r.stdout), "survey"), json.loads(r.stdout)


def find(o, key):
    if isinstance(o, dict):
        if key in o:
            return o[key]
        o = list(o.values())
    for v in o if isinstance(o, list) else []:
        found = find(v, key)
        if found is not None:
            return found
    return None


def reconstruct(name, out, *args):
    r = run("reconstruct", name, "-o", out, "--diameter", "151", "--seed", "3", "--force", *args)
    c = run("compare", out + "/density.mrc", "--truth", pdb, "--orientations",
            out + "/orientations.h5", "--true", name)
    m = re.search(r"agrees with the truth to ([0-9.]+) A", c.stdout)
    return r, float(m.group(1)) if m else np.inf


# Clean images, however bright: nothing is masked.
simulate("clean.h5")
s, _ = survey("clean.h5")
ok(s["masked"] == 0 and s["replaced_values"] == 0 and s["electronics"] is None,
   f"clean images: {s['masked']} pixels are masked")
for args in (["--background", "streak:1"], ["--background", "panels:3"], ["--fluence-spread", "1"],
             ["--centre-error", "2:1"], ["--views", "0.001"], ["--junk", "sphere:0.3"]):
    simulate("other.h5", *args, images=300)
    s, _ = survey("other.h5")
    ok(s["masked"] == 0, f"{' '.join(args)}: {s['masked']} pixels are masked")

# Every fault at once, and a gap of four kinds.
for value in "0", "nan", "-1", "65535":
    name = f"gap{value}.h5"
    simulate(name, *faults, "--gap", f"0:64,37:42={value}")
    s, _ = survey(name)
    with h5py.File(name) as f:
        truth = f["truth/pixels"][:]
    bad = int((truth > 0).sum())
    ok(0.99 * bad <= s["masked"] <= bad, f"a gap of {value}: {s['masked']} of {bad} pixels")

# Values of some images: replaced.
with h5py.File("gap0.h5") as f, h5py.File("bad.h5", "w") as g:
    for name in f:
        if name != "photons":
            f.copy(name, g)
    photons = f["photons"][:].astype("f4")
    rng = np.random.default_rng(1)
    where = np.flatnonzero(truth.ravel() == 0)
    wrong = rng.choice(where, 500)
    for k, p in enumerate(wrong):
        photons.reshape(1000, -1)[2 * k, p] = (np.nan, -1, np.inf)[k % 3]
    g["photons"] = photons
r, clean = reconstruct("clean.h5", "run0")
ok(r.returncode == 0 and clean < 20.5, f"clean images: {clean} A")
with h5py.File("run0/mask.h5") as f:
    ok(not f["mask"][:].any() and not f["reason"][:].any(), "mask.h5 of clean images: no pixel")
r, got = reconstruct("bad.h5", "run1")
ok(r.returncode == 0 and got <= clean + 0.3, f"with faults: {got} A, {last(r)}")
with h5py.File("run1/mask.h5") as f, open("run1/run.json") as j:
    mask, reason, codes = f["mask"][:], f["reason"][:], f.attrs["codes"]
    s = json.load(j)["survey"]
codes = dict((int(c.split()[0]), c.split()[1]) for c in
             (codes.decode() if isinstance(codes, bytes) else codes).split(", "))
found, lost = (mask[truth > 0] > 0).mean(), (mask[truth == 0] > 0).mean()
ok(found >= 0.99 and lost <= 0.001, f"{100 * found:.2f} % of the faults are found, "
   f"{100 * lost:.2f} % of the good pixels are lost")
ok(((mask > 0) == (reason > 0)).all() and
   all(s[codes[k]] == (reason == k).sum() for k in codes if k > 1), "run.json counts what mask.h5 has")
is_hot = np.isin(reason[truth == 2], [k for k in codes if codes[k] in ("hot", "constant")])
ok(is_hot.mean() > 0.8 and (reason[truth == 1] == [k for k in codes if codes[k] == "dead"][0]).mean() > 0.9,
   "the reasons are right")
ok(s["replaced_values"] == 500 and "500 values of 500 of 1000 images are no measurement" in r.stderr,
   f"{s['replaced_values']} values are replaced")
ok(r.stderr.count("masked after a look at 1000 images") == 1 and os.path.getsize("run1/mask.png") > 0,
   "a line and a picture")
r = run("reconstruct", "bad.h5", "-o", "run1", "--diameter", "151", "--seed", "3", "--resume",
        "--bad-value", "77")
ok(r.returncode != 0 and "bad_values" in r.stderr, "--resume with another --bad-value: " + last(r))

# What somebody knows.
r = run("reconstruct", "bad.h5", "-o", "run2", "--trust-mask")
ok(r.returncode == 1 and "leave out --trust-mask" in r.stderr, last(r))
r = run("reconstruct", "clean.h5", "-o", "run2", "--bad-value", "x")
ok(r.returncode == 2 and "need up to 16 numbers" in r.stderr, last(r))
r = run("reconstruct", "clean.h5", "-o", "run2", "--pedestal", "3")
ok(r.returncode == 2 and "needs --gain" in r.stderr, last(r))
merge = ["--orientations", "truth", "-d", "151", "--lambda", "1e-3", "--json", "-o", "a.mrc"]
r = run("merge", "bad.h5", *merge)
with_faults = json.loads(r.stdout)
r = run("merge", "bad.h5", *merge, "--mask", "run1/mask.h5", "--trust-mask")
ok(r.returncode == 1, "merge --trust-mask: " + last(r))
r = run("merge", "gap0.h5", *merge, "--mask", "run1/mask.h5", "--trust-mask")
told = json.loads(r.stdout)
ok(told["pixels"] == with_faults["pixels"], "mask.h5 is a mask: with it the same pixels are merged")

# Electronics.
for args, electronics in ((["--gain", "37.5", "--read-noise", "0.3"], (0, 37.5, 0.3)),
                          (["--gain", "37.5", "--pedestal", "37.5"], (37.5, 37.5, 0)),
                          (["--gain", "120", "--read-noise", "0.15", "--pedestal", "1000"],
                           (1000, 120, 0.15))):
    simulate("adu.h5", *args, images=500)
    s, info = survey("adu.h5")
    e = s["electronics"] or {"pedestal": 0, "gain": 0, "noise_photons": 0}
    photons = find(info, "photons_per_image")  # also says that values are photons
    ok(abs(e["gain"] / electronics[1] - 1) < 0.01 and
       abs(e["pedestal"] - electronics[0]) < 0.05 * electronics[1] and
       abs(e["noise_photons"] - electronics[2]) < 0.02 and s["masked"] == 0 and
       photons and abs(photons / 1e4 - 1) < 0.02,
       f"{' '.join(args)}: {e}, {photons} photons an image")
r = run("merge", "adu.h5", *merge, "--gain", "100")
ok(r.returncode == 0 and "100 units, none 0, with a noise of 0 photons (as given)" in r.stderr,
   "--gain: " + last(r))
simulate("full.h5", "--saturation", "20", images=500)
s, _ = survey("full.h5")
ok(s["saturation"] == 20 and s["saturated"] > 0, f"--saturation 20: {s['saturated']} pixels are masked")

print(f"1..{count}")
raise SystemExit(failed > 0)
