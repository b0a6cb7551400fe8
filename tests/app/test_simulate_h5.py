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

# ---- what experiments add ------------------------------------------------------------------

base = ["-n", "400", "-d", "40", "-r", "5", "--energy", "4000", "--photons", "800", "--seed", "3"]


def experiment(*args, of=base):
    """Images, truth and attributes of a run."""
    r = simulate(*of, *args)
    ok(r.returncode == 0, " ".join(args) + r.stderr.strip())
    with h5py.File(out, "r") as f:
        truth = {k: v[()] for k, v in f["truth"].items()}
        name = "photons" if "photons" in f else "intensities"
        return f[name][()].astype(float), truth, f["pixel_position_reciprocal"][()] * 1e-10, f["geometry_factor"][()]


def near(value, want, sigma, text):
    ok(abs(value - want) <= 5 * sigma, f"{text}: {value:.4g}, {want:.4g} +- {sigma:.2g}")


plain, truth, q, g = experiment()
ok("class" not in truth and plain.sum(), "a plain set has no truth of experiments")
for shape in "flat", "gas", "streak", "panels":
    x, truth, _, _ = experiment("--background", shape + ":0.5", "--junk", "blank:1")
    b = truth["background"]
    near(b.sum(), 400, 1e-3, shape + ": half of the photons are background")
    near(x.sum(), 400 * 400, 400, shape + ": blank images hold nothing else")
    chi2 = ((x.sum(0) - 400 * b) ** 2 / (400 * b)).sum()
    near(chi2, b.size, np.sqrt(2 * b.size), shape + ": each pixel has what the file says")
    ok(np.isnan(truth["orientations"]).all() and (truth["label"] == -1).all() and (truth["class"] == 1).all(),
       "a blank image has no orientation and no label")
x, truth, _, _ = experiment("--background", "gas:1")
b = truth["background"][0] / g[0]
r = np.hypot(q[0, ..., 0], q[0, ..., 1]) / q[0, 20, -1, 0]
flat = b * (1 + 16 * r ** 2)
ok(np.ptp(flat) < 0.1 * flat.mean(), "gas falls off as (S16)")  # the edge is half a pixel beyond the last: 5 %
x, truth, _, _ = experiment("--background", "flat:1", "--background-spread", "0.5")
z = np.log(truth["background_scale"])
near(z.std(), 0.5, 0.5 / np.sqrt(800), "spread of the background")

x, truth, _, _ = experiment("--junk", "blank:0.1", "--junk", "sphere:0.2", "--junk", "doublet:0.1",
                            "--junk", pdb + ":0.2")
for k, share in enumerate([0.4, 0.1, 0.2, 0.1, 0.2]):
    near((truth["class"] == k).mean(), share, np.sqrt(share * (1 - share) / 400), f"share of class {k}")
ok((np.isnan(truth["orientations"][:, 0, 0]) == np.isin(truth["class"], [1, 2, 3])).all(),
   "one whole particle has an orientation, nothing else")
ok((truth["label"][truth["class"] == 4] == 1).all(), "the other structure has a label of its own")
s = x.sum((1, 2, 3))
near(s[truth["class"] == 3].mean(), 1600, 1600 / np.sqrt(20), "a doublet scatters as two")

few = base[:1] + ["4"] + base[2:] + ["--noise-free"]
x, truth, _, _ = experiment("--junk", "sphere:1", of=few)
scale = json.loads(h5py.File(out, "r").attrs["provenance"])["photons_per_electron2"]
length = np.sqrt((q[0] ** 2).sum(-1))


def droplet(diameter):
    R = diameter / 2
    a = 2 * np.pi * length * R
    return (0.334 * 4 / 3 * np.pi * R ** 3 * 3 * (np.sin(a) - a * np.cos(a)) / a ** 3) ** 2


for k in range(2):
    seen = x[k, 0] / g[0] / scale
    fit = min(np.geomspace(60, 200, 4001), key=lambda d: np.linalg.norm(seen - droplet(d)))
    error = np.linalg.norm(seen - droplet(fit)) / np.linalg.norm(seen)
    ok(error < 0.02, f"a droplet of {fit:.1f} A, (S17): {error:.1e}")  # the grid is 3e-4 fine

x, truth, moved, _ = experiment("--centre-error", "2:-1", "--distance-error", "0.05", of=few)
ok(np.abs(moved - q).max() < 1e-12, "the file says where the beam should be")
lam = 12398.419843320026 / 4000
at = lam * q[0] / (1 + lam * q[0][..., 2:])  # places on the detector over the distance
step = at[0, 1, 0] - at[0, 0, 0]
at = (at[..., :2] - step * truth["centre_px"]) / 1.05
r1 = np.sqrt(1 + (at ** 2).sum(-1))
true = np.dstack([at / r1[..., None], 1 / r1 - 1]) / lam
geometry = 1 / r1 ** 3 * (1 - (at[..., 0] / r1) ** 2)
quat = truth["orientations"][3, 0]
want = scale * geometry.ravel() * direct_sum(true.reshape(-1, 3) @ matrix(*quat))
want *= x[3].sum() / want.sum()  # the scale is that of the detector as it is
error = np.linalg.norm(x[3].ravel() - want) / np.linalg.norm(want)
ok(error < 1e-4, f"the images are those of the beam as it is: {error:.1e}")

x, truth, whole, _ = experiment(of=few)
one_piece = x[:, 0]
x, truth, cut, _ = experiment("--panels", "2x4", of=few)
ny, nx = one_piece.shape[1:]
joined = x.reshape(len(x), 2, 4, ny // 2, nx // 4).transpose(0, 1, 3, 2, 4).reshape(one_piece.shape)
ok((joined == one_piece).all() and x.shape[1:] == (8, ny // 2, nx // 4), "panels, one after another, make the same detector")
x, truth, told, _ = experiment("--panels", "2x4", "--panel-error", "0.5", of=few)
at = lam * told / (1 + lam * told[..., 2:])
step = at[0, 0, 1, 0] - at[0, 0, 0, 0]
ok(np.abs(told - cut).max() < 1e-12 and truth["panel_px"].shape == (8, 2) and 0.2 < truth["panel_px"].std() < 0.8,
   "the file says where the panels should be")
at = at[..., :2] + step * truth["panel_px"][:, None, None]
r1 = np.sqrt(1 + (at ** 2).sum(-1))
true = np.concatenate([at / r1[..., None], (1 / r1 - 1)[..., None]], -1) / lam
geometry = 1 / r1 ** 3 * (1 - (at[..., 0] / r1) ** 2)
want = scale * geometry.ravel() * direct_sum(true.reshape(-1, 3) @ matrix(*truth["orientations"][3, 0]))
want *= x[3].sum() / want.sum()
error = np.linalg.norm(x[3].ravel() - want) / np.linalg.norm(want)
ok(error < 1e-4, f"the images are those of the panels as they are: {error:.1e}")

x, truth, _, _ = experiment("--centre-drift", "2:-1", "--centre-error", "0.5", of=few)
drift = truth["centre_drift_px"]
ok(drift.shape == (len(x), 2) and np.abs(drift.mean(0)).max() < 1e-9 and (np.diff(drift[:, 0]) > 0).all()
   and np.allclose(drift[:, 1], -drift[:, 0] / 2), "a beam that moves evenly: %.2f to %.2f" % (drift[0, 0], drift[-1, 0]))
at = lam * q[0] / (1 + lam * q[0][..., 2:])
step = at[0, 1, 0] - at[0, 0, 0]
at = at[..., :2] - step * (truth["centre_px"] + drift[3])
r1 = np.sqrt(1 + (at ** 2).sum(-1))
true = np.dstack([at / r1[..., None], 1 / r1 - 1]) / lam
geometry = 1 / r1 ** 3 * (1 - (at[..., 0] / r1) ** 2)
want = scale * geometry.ravel() * direct_sum(true.reshape(-1, 3) @ matrix(*truth["orientations"][3, 0]))
want *= x[3].sum() / want.sum()
error = np.linalg.norm(x[3].ravel() - want) / np.linalg.norm(want)
ok(error < 1e-4, f"each image is that of the beam as it is: {error:.1e}")

x, truth, _, _ = experiment("--dead-pixels", "0.02", "--hot-pixels", "0.01", "--flickering-pixels", "0.02",
                            "--hot-counts", "300", "--gap", "10:12,:=nan", "--gap", "0:1,:=-1", "--missing-panels", "4")
fault = truth["pixels"]
ok((x[:, fault == 1] == 0).all() and (fault == 1).sum() > 5, "dead pixels")
hot = x[:, fault == 2]
near(hot.mean(), 300, np.sqrt(300 / hot.size) + 3, "hot pixels")
flicker = x[:, fault == 3] > 150
near(flicker.mean(), 0.1, np.sqrt(0.09 / flicker.size), "flickering pixels")
ok(np.isnan(x[:, 0, 10:12]).all() and (x[:, 0, 0] == -1).all() and (x[:, 0, 20:, 20:] == 0).all(),
   "gaps and a missing quadrant")
ok((fault[0, 20:, 20:] == 5).all() and (fault[0, 10:12] == 4).all(), "... of which the truth says so")
with h5py.File(out, "r") as f:
    ok((f["mask"][()] == 0).all(), "... and the mask does not")

n, _, _, _ = experiment("--saturation", "3")
ok(n.max() == 3 and (n == np.minimum(plain, 3)).all(), "saturation")
x, _, _, _ = experiment("--gain", "37.5", "--read-noise", "0.3", "--pedestal", "10", "--saturation", "3")
with h5py.File(out, "r") as f:
    ok("photons" not in f and f["intensities"].dtype == np.float32, "ADU are no photons")
z = (x - 10) / 37.5 - n
near(z.mean(), 0, 0.3 / np.sqrt(z.size), "the readout has no offset but the pedestal")
near(z.std(), 0.3, 0.3 / np.sqrt(2 * z.size), "noise of the readout")
_, truth, _, _ = experiment("--focus", "gaussian")
t = 4.5
ok(truth["fluence"].max() <= t / (1 - np.exp(-t)) and truth["fluence"].min() < 0.1, "weak images of a focus")
near(truth["fluence"].mean(), 1, truth["fluence"].std() / 20, "whose mean fluence is 1")
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
        (["-r", "5", "--photons", "1e12"], 2, "photons in a pixel"),
        (["-r", "5", "--junk", "blob:0.1"], 2, "'blob' is no kind of junk"),
        (["-r", "5", "--junk", "sphere"], 2, "need KIND:SHARE"),
        (["-r", "5", "--junk", "sphere:0.6", "--junk", "blank:0.6"], 2, "add up to 1.2"),
        (["-r", "5", "--background", "gas"], 2, "need SHAPE:RATIO"),
        (["-r", "5", "--background", "fog:1"], 2, "no shape of a background"),
        (["-r", "5", "--background", os.path.join(tmp, "none.h5") + ":1"], 1, "none.h5"),
        (["-r", "5", "--background-spread", "1"], 2, "needs --background"),
        (["-r", "5", "--centre-error", "1:2:3"], 2, "need pixels along a row"),
        (["-r", "5", "--panel-error", "1"], 2, "needs --panels"),
        (["-r", "5", "--centre-drift", "far"], 2, "need pixels along a row"),
        (["-r", "5", "--panels", "7x1"], 2, "make no 7 panels of equal size"),
        (["-r", "5", "--hot-pixels", "0.1"], 2, "need photons"),
        (["-r", "5", "--photons", "9", "--read-noise", "1"], 2, "needs --gain"),
        (["-r", "5", "--photons", "9", "--gap", "1:2,:=x"], 2, "no value of a pixel"),
        (["-r", "5", "--photons", "9", "--gap", "1:2"], 2, "not a rectangle"),
        (["-r", "5", "--photons", "9", "--missing-panels", "1,5"], 2, "need quadrants from 1 to 4"),
        (["-r", "5", "--photons", "9", "--dead-pixels", "0.6", "--hot-pixels", "0.6"], 2, "more than all")]:
    if "-r" in args and args[1] == "5":
        args = args + ["--energy", "4000"]
    r = simulate(*args)
    ok(r.returncode == code and says in r.stderr and not os.path.exists(out),
       f"exit {r.returncode}: {r.stderr.splitlines()[0] if r.stderr else 'no message'}")

print(f"1..{count}")
sys.exit(failed > 0)
