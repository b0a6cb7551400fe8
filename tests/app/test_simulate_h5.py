# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of `spinifel simulate`, seen from outside: h5py for the layout, and numpy with a PDB
reader and form factors of its own for the numbers."""
import csv
import json
import os
import subprocess
import sys

import h5py
import numpy as np

data, tmp = os.environ["SPI_TEST_DATA"], os.environ["SPI_TEST_TMP"]
pdb = os.path.join(data, "structures", "1aki.pdb")
out = os.path.join(tmp, "simulate_test.h5")
count = failed = 0


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", text)


def simulate(*args):
    return subprocess.run([os.environ["SPINIFEL"], "simulate", pdb, "-o", out, "-q", *args],
                          capture_output=True, text=True)


def form_factors():
    with open(os.path.join(data, "scattering", "f0_WK1995.csv")) as f:
        rows = [r for r in csv.DictReader(x for x in f if not x.startswith("#"))
                if r["label"] == r["element"]]
    return {r["element"].upper(): r for r in rows}


def direct_sum(q):
    """|F|^2 at q (n, 3) in 1/A, molecule frame."""
    table, F = form_factors(), np.zeros(len(q), complex)
    s2 = (q ** 2).sum(1) / 4
    f0 = {}
    with open(pdb) as f:
        for line in f:
            if line[:6] not in ("ATOM  ", "HETATM") or line[17:20] == "HOH":
                continue
            e = line[76:78].strip()
            if e not in f0:
                r = table[e]
                f0[e] = float(r["c"]) + sum(float(r[f"a{i}"]) * np.exp(-float(r[f"b{i}"]) * s2)
                                            for i in range(1, 6))
            x = np.array([float(line[30:38]), float(line[38:46]), float(line[46:54])])
            F += float(line[54:60]) * f0[e] * np.exp(-2j * np.pi * q @ x)
    return np.abs(F) ** 2


def matrix(w, x, y, z):
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])


def last_axis(p):
    """(panels, ny, nx, 3) whatever the order of the axes."""
    return p if p.shape[-1] == 3 else np.moveaxis(p, 0, -1)


r = simulate("-n", "20", "-d", "40", "-r", "5", "--energy", "4000", "--seed", "3")
ok(r.returncode == 0, "noise-free run " + r.stderr.strip())
with h5py.File(out, "r") as f:
    ok(f["intensities"].shape == (20, 1, 40, 40) and f["intensities"].dtype.kind == "f",
       "intensities (N, panels, ny, nx)")
    q = last_axis(f["pixel_position_reciprocal"][()]).reshape(-1, 3) * 1e-10
    quat = f["orientations"][()].reshape(-1, 4)
    image = f["intensities"][7].reshape(-1).astype(float)
    note = json.loads(f.attrs["provenance"])
ok(note["seed"] == 3 and len(note["inputs"][0]["sha256"]) == 64, "provenance")
ok(np.abs(np.linalg.norm(quat, axis=1) - 1).max() < 1e-12, "unit quaternions")
lam = 12398.4198 / 4000
ok(np.abs(q[:, 2] + lam * (q ** 2).sum(1) / 2).max() < 1e-8, "q on the Ewald sphere")
cos2t = 1 + lam * q[:, 2]
geometry = cos2t ** 3 * (1 - (lam * q[:, 0]) ** 2)
want = geometry * direct_sum(q @ matrix(*quat[7]))  # rows: R^T q
error = np.linalg.norm(image - want) / np.linalg.norm(want)
ok(error < 1e-4, f"image 7 against a sum over atoms in numpy: {error:.1e}")  # sim/model.h
wrong = geometry * direct_sum(q @ matrix(*quat[7]).T)
ok(np.linalg.norm(image - wrong) / np.linalg.norm(wrong) > 1e-2, "the inverse is noticed")

r = simulate("-n", "50", "-d", "40x48", "-r", "8", "--photons", "300", "--beam-stop", "3",
             "--mask-rect", "0:5,:", "--fluence-spread", "0.2")
ok(r.returncode == 0, "photons " + r.stderr.strip())
with h5py.File(out, "r") as f:
    name = "photons" if "photons" in f else "intensities"
    photons = f[name][()]
ok(photons.shape == (50, 1, 40, 48) and photons.dtype.kind == "u", f"{name}: {photons.dtype}")
ok(photons[:, 0, :5].sum() == 0 and photons[:, 0, 19:21, 23:25].sum() == 0,
   "nothing behind mask and beam stop")
mean = photons.sum((1, 2, 3)).mean()
ok(abs(mean - 300) < 60, f"mean photons {mean:.1f}")  # 5 sigma of 20 % fluence and shape, 50 images
one = photons.copy()
simulate("-n", "50", "-d", "40x48", "-r", "8", "--photons", "300", "--beam-stop", "3",
         "--mask-rect", "0:5,:", "--fluence-spread", "0.2", "--workers", "1")
with h5py.File(out, "r") as f:
    ok((f[name][()] == one).all(), "one worker makes the same file")

r = simulate("-n", "5", "-d", "16", "-r", "9", "--json")
ok(r.returncode == 0 and json.loads(r.stdout)["images"] == 5, "--json")
os.unlink(out)

r = simulate("-n", "2", "-d", "16", "--distance-m", "1", "--energy", "12")
ok("--energy is 12 eV" in r.stderr and "is it in keV?" in r.stderr, "an energy in keV is noticed")
if os.path.exists(out):
    os.unlink(out)

for args, code, says in [
        (["-r", "5", "--photons", "1", "--fluence", "1"], 2, "--fluence"),
        (["-r", "5", "--pure-noise"], 2, "--pure-noise"),
        ([], 2, "--resolution"),
        (["-r", "5", "--distance-m", "1"], 2, "--resolution"),
        (["--distance-m", "1", "--corner"], 2, "--corner"),
        (["-r", "5", "--proportions", "1:2"], 2, "need 1 numbers"),
        (["-r", "5", "--mask-rect", "1:2"], 2, "--mask-rect"),
        (["-r", "5", "--beam-stop", "1000"], 2, "hide every pixel"),
        (["-r", "5", "--assembly", "9"], 2, "no biological assembly 9"),
        (["-r", "5", "--mask", os.path.join(tmp, "none.h5")], 1, "none.h5"),
        (["-r", "2"], 2, "need at least"),
        (["-r", "5", "--photons", "1e12"], 2, "photons in a pixel")]:
    if "-r" in args and args[1] == "5":
        args = args + ["--energy", "4000"]
    r = simulate(*args)
    ok(r.returncode == code and says in r.stderr and not os.path.exists(out),
       f"exit {r.returncode}: {r.stderr.splitlines()[0] if r.stderr else 'no message'}")

print(f"1..{count}")
sys.exit(failed > 0)
