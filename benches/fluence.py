#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets of benches/fluence.sh, what their fluences are worth, and the table.

usage: fluence.py run [SET ...] | table FILE.jsonl

Both fluences, found (f) and true (t), are scaled to mean 1 over the images that got an orientation.

    slope       of log f against log t, least squares over these images
    weakest     mean f over mean t of the tenth of them with the least t, less 1
    counting    share of the scatter of f - t that counting statistics explain: variance of the counts over that
                found, the latter from the median of |f - t| in units of its standard deviation
    left out    of the images of the weakest tenth of all, those without an orientation
    error       median error of the orientations, degrees, of the weakest, the fifth and the brightest tenth
"""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STRUCTURE = f"{HERE}/data/structures/1I3Q.pdb.gz"
WIDE = 0.02  # of the slope, without a background
SPREAD, FOCUS, GAS = ["--fluence-spread", "1"], ["--focus", "gaussian"], ["--background", "gas:1"]
# name -> (pixels a side, resolution at the edge in A, options of simulate)
SETS = {
    "clean-64-spread": (64, 20, SPREAD),
    "clean-64-focus": (64, 20, FOCUS),
    "clean-128-spread": (128, 12, SPREAD),
    "gas-64-spread": (64, 20, SPREAD + GAS),
    "gas-64-focus": (64, 20, FOCUS + GAS),
}


def rotations(quaternions):
    """[n][3][3] of unit quaternions (w, x, y, z)."""
    import numpy as np

    w, x, y, z = quaternions.T
    return np.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
         2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1).reshape(-1, 3, 3)


def errors_deg(found, true):
    """Of the orientations, after the one rotation between the frames that brings most of them together."""
    import numpy as np

    between = np.einsum("kji,kjl->kil", rotations(true), rotations(found))
    angle = lambda r: np.degrees(np.arccos(np.clip((np.einsum("kij,ij->k", between, r) - 1) / 2, -1, 1)))
    sample = between[:: max(1, len(between) // 100)]
    best = sample[np.argmax([np.sum(angle(r) < 12) for r in sample])]
    for _ in range(5):
        u, _, v = np.linalg.svd(between[angle(best) < 12].sum(0))
        best = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    return angle(best)


def compare(images, run, q_min, q_max):
    import h5py
    import numpy as np

    with h5py.File(images) as f, h5py.File(run) as o:
        x = f["photons"]
        q = np.linalg.norm(f["pixel_position_reciprocal"][...].reshape(-1, 3), axis=1) * 1e-10
        use = (f["mask"][...].ravel() == 0) & (q >= q_min) & (q <= q_max)
        t, f_all = f["truth/fluence"][...], o["fluence"][...]
        counts = np.concatenate([x[k : k + 256].reshape(-1, len(q))[:, use].sum(1, dtype=float) for k in range(0, len(x), 256)])
        light = f["truth/background"][...].ravel()[use].sum() if "truth/background" in f else 0
        quats, true = o["orientations"][...].reshape(-1, 4), f["truth/orientations"][...].reshape(-1, 4)
        has = np.isfinite(quats[:, 0]) & (f_all > 0)
    order = np.argsort(t)
    row = {"images": len(t), "left_out_weakest": int((~has[order[: len(t) // 10]]).sum()), "left_out": int((~has).sum())}
    found, true_f = f_all[has] / f_all[has].mean(), t[has] / t[has].mean()
    signal = counts[has].mean() - light
    sigma = np.sqrt(signal * true_f + light) / signal
    error = errors_deg(quats[has], true[has])
    tenth = np.array_split(np.argsort(true_f), 10)
    row["range"] = [float(true_f.min()), float(true_f.max())]
    row["slope"] = float(np.polyfit(np.log(true_f), np.log(found), 1)[0])
    row["weakest"] = float(found[tenth[0]].mean() / true_f[tenth[0]].mean() - 1)
    row["photons_weakest"] = float(signal * true_f[tenth[0]].mean())
    row["counting"] = float(min(1, (0.6745 / np.median(np.abs(found - true_f) / sigma)) ** 2))
    row["error_deg"] = [float(np.median(error[k])) for k in tenth]
    return row


def one(name, seed):
    side, edge, options = SETS[name]
    out = f"{os.environ['OUT']}/{name}-{seed}"
    spinifel, images, run = os.environ["SPINIFEL"], f"{out}/images.h5", f"{out}/run"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    command = [spinifel, "simulate", STRUCTURE, "-o", images, "--detector", f"{side}x{side}", "--resolution", str(edge), "--energy", "1600"]
    command += ["--photons", "10000", "--seed", str(seed), "--quiet", "--images", os.environ.get("IMAGES", "1000")]
    subprocess.run(command + options, check=True, stdout=subprocess.DEVNULL)
    command = [spinifel, "reconstruct", images, "-o", run, "--seed", str(100 + seed), "--json", *os.environ.get("EXTRA", "").split()]
    with open(f"{out}/log", "w") as log:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log)
    result = json.loads(done.stdout) if done.stdout.strip().startswith(b"{") else {}
    row = {"set": name, "seed": seed, "exit": done.returncode, "claimed_A": result.get("claimed_A")}
    where = run if os.path.exists(f"{run}/orientations.h5") else f"{run}/failed_validation"
    if os.path.exists(f"{where}/orientations.h5"):
        with open(f"{run}/run.json") as f:
            about = json.load(f)
        row.update(compare(images, f"{where}/orientations.h5", about["q_min_invA"], about["q_max_invA"]))
    version = subprocess.run([spinifel, "version", "--json"], stdout=subprocess.PIPE, check=True)
    row["version"] = json.loads(version.stdout).get("revision")
    if not os.environ.get("KEEP"):
        shutil.rmtree(out)
    return row


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [json.loads(line) for line in f if line.strip()]


def table(path):
    print("| set | exit | claimed, A | fluences | slope | weakest tenth | counting | left out: weakest tenth, all | error, deg: weakest, fifth, brightest tenth |")
    print("|---|---|---|---|---|---|---|---|---|")
    failed = False
    for r in lines(path):
        if "slope" not in r:
            failed |= r["set"].startswith("clean")
            print(f"| {r['set']} | {r['exit']} | | | | | | | |")
            continue
        failed |= r["set"].startswith("clean") and not abs(r["slope"] - 1) <= WIDE
        e = r["error_deg"]
        print(
            f"| {r['set']} | {r['exit']} | {r['claimed_A'] or 0:.1f} | {r['range'][0]:.3f} to {r['range'][1]:.1f} | {r['slope']:.3f} "
            f"| {100 * r['weakest']:+.1f} % ({r['photons_weakest']:.0f} photons) | {100 * r['counting']:.0f} % "
            f"| {r['left_out_weakest']}, {r['left_out']} of {r['images']} | {e[0]:.2f}, {e[4]:.2f}, {e[9]:.2f} |"
        )
    return 1 if failed else 0


def main(what, *names):
    if what == "table":
        return table(names[0])
    os.makedirs(os.environ["OUT"], exist_ok=True)
    path = f"{os.environ['OUT']}/fluence.jsonl"
    chosen = [s for s in SETS if not names or any(s.startswith(n) for n in names)]
    if not chosen:
        sys.exit(f"fluence.sh: no such set: {' '.join(names)}; there are {' '.join(SETS)}")
    seed = int(os.environ.get("SEED", "1"))
    done = {(r["set"], r["seed"]) for r in lines(path)}
    for name in chosen:
        if (name, seed) not in done:
            row = one(name, seed)
            with open(path, "a") as f:
                f.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)
    return table(path)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
