# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of merge, slice and match hold, against the simulation.  One check a call:
check_stages.py NAME FILES...; exit code 0 if it holds."""
import hashlib
import json
import os
import sys

import h5py
import mrcfile
import numpy as np


def quats(path):
    with h5py.File(path, "r") as f:
        q = (f["orientations"] if "orientations" in f else f["truth/orientations"])[()]
    return q.reshape(-1, 4)


def angles_deg(p, q):
    """Between rotations: 2 acos |p.q|."""
    d = np.abs((p * q).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(q, axis=1))
    return np.degrees(2 * np.arccos(np.minimum(d, 1)))


def images(path):
    with h5py.File(path, "r") as f:
        x = f["photons" if "photons" in f else "intensities"][()].astype(float)
        bad = f["mask"][()].ravel() != 0
        q = np.linalg.norm(f["pixel_position_reciprocal"][()].reshape(-1, 3), axis=1) * 1e-10
    return x.reshape(len(x), -1), bad, q


def provenance(path):
    with h5py.File(path, "r") as f:
        return json.loads(f.attrs["provenance"])


def sha256(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


def near(a, b, degrees, share):
    """Median angle below `degrees`; at least `share` of all within three times that."""
    e = angles_deg(quats(a), quats(b))
    print("median %.2f, 90 %% %.2f degrees" % (np.median(e), np.quantile(e, 0.9)))
    return np.median(e) < float(degrees) and np.mean(e < 3 * float(degrees)) >= float(share)


def alike(model, data, q_min, q_max, least):
    """Correlation of model images and images where both are good, each image by itself."""
    x, bad, q = images(model)
    y, bad2, _ = images(data)
    use = ~bad & ~bad2 & (q >= float(q_min)) & (q <= float(q_max))
    cc = [np.corrcoef(a[use], b[use])[0, 1] for a, b in zip(x, y)]
    ratio = x[:, use].sum() / y[:, use].sum()
    print("median correlation %.5f, worst %.5f, ratio %.4f" % (np.median(cc), min(cc), ratio))
    return np.median(cc) > float(least) and 0.98 < ratio < 1.02


def masked(model, q_max):
    """Pixels beyond q_max are bad, the others are not."""
    _, bad, q = images(model)
    edge = np.abs(q / float(q_max) - 1) < 1e-5
    return np.array_equal(bad | edge, (q > float(q_max)) | edge | bad) and (~bad).sum() > 100 \
        and not np.any(~bad & ~edge & (q > float(q_max)))


def same(a, b, *names):
    with h5py.File(a, "r") as f, h5py.File(b, "r") as g:
        return all(np.array_equal(f[n][()], g[n][()]) for n in names)


def same_quats(a, b):
    """Read, made unit again and written: some roundings of 2^-53."""
    return np.abs(quats(a) - quats(b)).max() < 1e-15


def steady(found, width):
    """Fluences of images that all have the same."""
    with h5py.File(found, "r") as f:
        a = f["fluence"][()]
    print("%.4f to %.4f" % (a.min(), a.max()))
    return np.abs(a - 1).max() < float(width)


def fluence(found, truth, least):
    with h5py.File(found, "r") as f, h5py.File(truth, "r") as g:
        a, b = f["fluence"][()], g["truth/fluence"][()]
    print("correlation %.4f, mean %.5f" % (np.corrcoef(a, b)[0, 1], a.mean()))
    return np.corrcoef(a, b)[0, 1] > float(least) and abs(a.mean() - 1) < 1e-5


def inputs(path, *files):
    p = provenance(path)
    have = {i["sha256"] for i in p["inputs"]}
    return p["program"] == "spinifel" and "version" in p and "N_cg" in p["settings"] \
        and all(sha256(f) in have for f in files)


def role(path, role, file):
    """The provenance names an input of this role."""
    return any(i["role"] == role and i["file"] == file and len(i["sha256"]) == 64 for i in provenance(path)["inputs"])


def labels(path, *files):
    with mrcfile.open(path) as m:
        text = "\n".join(l.decode("ascii") for l in m.header.label)
    return "spinifel" in text and all(sha256(f) in text for f in files)


def valid(path):
    with open(os.devnull, "w") as quiet: # its words are not TAP
        return mrcfile.validate(path, print_file=quiet)


def even(path):
    """An autocorrelation: even, largest in the middle."""
    with mrcfile.open(path) as m:
        a = m.data[1:, 1:, 1:].astype(float)
    n = len(a) // 2
    worst = np.abs(a - a[::-1, ::-1, ::-1]).max() / a.max()
    print("asymmetry %.1e" % worst)
    # solved in float: the FFTs round to 1e-6 of the largest value, some steps of CG
    return worst < 1e-4 and a.argmax() == (n * len(a) + n) * len(a) + n


def maps_alike(a, b, least):
    with mrcfile.open(a) as f, mrcfile.open(b) as g:
        cc = np.corrcoef(f.data.ravel(), g.data.ravel())[0, 1]
    print("correlation %.4f" % cc)
    return cc > float(least)


def maps_close(a, b, most):
    """Relative difference, root mean square."""
    with mrcfile.open(a) as f, mrcfile.open(b) as g:
        x, y = f.data.astype(float), g.data.astype(float)
    e = np.linalg.norm(x - y) / np.linalg.norm(y)
    print("difference %.1e" % e)
    return e <= float(most)


def nothing(a):
    with mrcfile.open(a) as f:
        return bool(np.all(f.data == 0))


def finite(a):
    with mrcfile.open(a) as f:
        return bool(np.all(np.isfinite(f.data)) and np.any(f.data))


sys.exit(not globals()[sys.argv[1]](*sys.argv[2:]))
