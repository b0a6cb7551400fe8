#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets of benches/realism.sh, what each needs, and their table.

usage: realism.py run [CASE ...] | table FILE.jsonl
"""
import concurrent.futures
import json
import math
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STRUCTURE = f"{HERE}/data/structures/1I3Q.pdb.gz"
OTHER = f"{HERE}/data/structures/1OEL.pdb.gz"
GOOD = 3000
CASE_SEEDS, CONTROL_SEEDS = 5, 20 # without SEEDS


def background(shape, ratio):
    return ["--background", f"{shape}:{ratio}"]


def junk(**share):
    return [w for kind, s in share.items() for w in ("--junk", f"{OTHER if kind == 'other' else kind}:{s}")]


FAULTS = {
    "hot": ["--hot-pixels", "0.001"],
    "flickering": ["--flickering-pixels", "0.001"],
    "dead": ["--dead-pixels", "0.01"],
    "gap-0": ["--gap", "0:128,40:50"],
    "gap-nan": ["--gap", "0:128,40:50=nan"],
    "gap-minus1": ["--gap", "0:128,40:50=-1"],
    "quadrant": ["--missing-panels", "2"],
}
EVERYTHING = (
    ["--missing-panels", "1,3", "--beam-stop", "3", "--hot-pixels", "0.001", "--centre-error", "0.8:0.6", "--fluence-spread", "1"]
    + background("gas", 1)
    + junk(blank=0.2, sphere=0.1, doublet=0.05)
)


def cases():
    """name -> (options of simulate, needed FSC 0.5 in A, aim, share of junk, told); a negative number: beyond the clean set."""
    c = {"clean": ([], 12.1, None, 0, False)}
    told = {0.1: (12.1, None), 0.3: (12.3, None), 1: (13.5, 13), 3: (18, 15)}
    found = {0.1: (12.1, None), 0.3: (13, 12.3), 1: (16, 13), 3: (30, 18)}
    for shape in ("flat", "gas"):
        for ratio in (0.1, 0.3, 1, 3):
            c[f"{shape}-{ratio}-told"] = (background(shape, ratio), *told[ratio], 0, True)
            c[f"{shape}-{ratio}"] = (background(shape, ratio), *found[ratio], 0, False)
    for shape in ("streak", "panels"):
        c[f"{shape}-1"] = (background(shape, 1), 16, 13, 0, False)
    for name, options in FAULTS.items():
        c[f"pixels-{name}"] = (options, -0.3, None, 0, False)
    for px in (0.5, 1, 2, 5):
        c[f"centre-{px}"] = (["--centre-error", f"{0.8 * px:g}:{0.6 * px:g}"], -0.3, None, 0, False)
    c["detector-panels"] = (["--panels", "2x2", "--panel-error", "1"], -0.3, None, 0, False)
    c["detector-distance"] = (["--distance-error", "0.02"], -0.3, None, 0, False)
    c["detector-drift"] = (["--centre-drift", "2:1"], -0.3, None, 0, False) # --correct-drift
    for kind in ("blank", "sphere", "doublet"):
        for share in (0.05, 0.2, 0.5):
            c[f"junk-{kind}-{share}"] = (junk(**{kind: share}), -0.5, None, share, False)
    for share in (0.05, 0.2):
        c[f"junk-other-{share}"] = (junk(other=share), -0.5, None, share, False)
    c["junk-all-0.3"] = (junk(blank=0.1, sphere=0.1, doublet=0.05, other=0.05), -0.5, None, 0.3, False)
    c["adu"] = (["--gain", "37.5", "--read-noise", "0.3", "--saturation", "50"], -0.5, None, 0, False)
    c["fluence-lognormal"] = (["--fluence-spread", "1"], -0.5, None, 0, False)
    c["fluence-focus"] = (["--focus", "gaussian"], -0.5, None, 0, False)
    c["everything"] = (EVERYTHING, 16, 13.5, 0.35, False)
    for images in (300, 600, 1000):
        c[f"images-{images}"] = (["--images", str(images)], None, None, 0, False)
    controls = {
        "noise": ["--pure-noise"],
        "spheres": junk(sphere=1),
        "background": background("gas", 1) + junk(blank=1),
        "two-particles": junk(other=0.5),
        "one-view": ["--views", "0.01"],
    }
    for name, options in controls.items():
        c[f"control-{name}"] = (options, math.nan, None, 0, False)
    return c


def seeds_of(name):
    given = os.environ.get("SEEDS")
    return [int(s) for s in given.split()] if given else range(1, 1 + (CONTROL_SEEDS if name.startswith("control-") else CASE_SEEDS))


def output_of(command, log=None):
    with open(log or os.devnull, "w") as said:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=said if log else None)
    return (json.loads(done.stdout) if done.stdout.strip().startswith(b"{") else {}), done.returncode


def shares(found, true):
    """Percent of the true ones that were found, and of the others that were lost."""
    true_n, others = int(true.sum()), int((~true).sum())
    return (
        100 * float((found & true).sum()) / true_n if true_n else None,
        100 * float((found & ~true).sum()) / others if others else None,
    )


def against_truth(images, run):
    """What orientations.h5, mask.h5 and run.json say beside the truth of the images."""
    import h5py
    import numpy

    row = {}
    with h5py.File(images) as f, h5py.File(f"{run}/orientations.h5") as o:
        left = numpy.isnan(o["orientations"][...].reshape(-1, 4)[:, 0])
        junk = f["truth/class"][...] != 0 if "truth/class" in f else numpy.zeros(len(left), bool)
        row["junk_found"], row["junk_lost"] = shares(left, junk)
        if "truth/pixels" in f and os.path.exists(f"{run}/mask.h5"):
            with h5py.File(f"{run}/mask.h5") as m:
                mask = m["mask"][...].ravel() != 0
            row["pixels_found"], row["pixels_lost"] = shares(mask, f["truth/pixels"][...].ravel() != 0)
        if "truth/centre_px" in f and "truth/panel_px" not in f:
            with open(f"{run}/run.json" if os.path.exists(f"{run}/run.json") else f"{os.path.dirname(run)}/run.json") as j:
                shift = json.load(j).get("centre_shift_px", [0, 0])
            row["centre_off_px"] = float(numpy.hypot(*(numpy.array(shift) - f["truth/centre_px"][...])))
    return row


def simulate(images, options, count, seed):
    command = [os.environ["SPINIFEL"], "simulate", STRUCTURE, "-o", images, "--detector", "128x128", "--resolution", "12"]
    command += ["--energy", "1600", "--photons", "10000", "--seed", str(seed), "--quiet", "--workers", "1", "--images", str(count)]
    subprocess.run(command + options, check=True, stdout=subprocess.DEVNULL)


def one(name, seed):
    options, needed, aim, share, told = cases()[name]
    out = f"{os.environ['OUT']}/{name}-{seed}"
    spinifel, run, images = os.environ["SPINIFEL"], f"{out}/run", f"{out}/images.h5"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    if options[:1] == ["--images"]:
        simulate(images, [], int(options[1]), seed)
    else:
        simulate(images, options, round(GOOD / (1 - share)), seed)
    command = [spinifel, "reconstruct", images, "-o", run, "--seed", str(100 + seed), "--json", *os.environ.get("EXTRA", "").split()]
    if name == "detector-drift":
        command.append("--correct-drift")
    if told:
        simulate(f"{out}/misses.h5", options + ["--junk", "blank:1"], 1000, 1000 + seed)
        command += ["--background", f"{out}/misses.h5"]
    result, code = output_of(command, f"{out}/log")
    row = {"case": name, "seed": seed, "exit": code, "claimed_A": result.get("claimed_A"), "seconds": result.get("seconds")}
    row.update({k: result.get(k) for k in ("limit", "limits", "background_ratio")})
    where = run if os.path.exists(f"{run}/density.mrc") else f"{run}/failed_validation"
    if os.path.exists(f"{where}/density.mrc"):
        compare = [spinifel, "compare", f"{where}/density.mrc", "--truth", STRUCTURE, "--orientations", f"{where}/orientations.h5"]
        compared = output_of(compare + ["--true", images, "--json", "--quiet"], f"{out}/compare.log")[0]
        row.update({k: compared.get(k) for k in ("fsc05_A", "cc", "orientation_error_deg_median")})
        row.update(against_truth(images, where))
    with open(f"{out}/log") as log:
        said = [line.strip() for line in log if line.startswith("spinifel: ")]
    row["said"] = said[-1].split("; see ")[0] if code and said else None
    row["version"] = output_of([spinifel, "version", "--json"])[0].get("revision")
    if not os.environ.get("KEEP"):
        shutil.rmtree(out)
    return row


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [json.loads(line) for line in f if line.strip()]


def cell(values, form):
    values = [v for v in values if v is not None and not math.isnan(v)]
    return "" if not values else form % values[0] if min(values) == max(values) else f"{form % min(values)} to {form % max(values)}"


def limited(rows):
    """By what, and what took resolution away: "images: background, pixels"."""
    words = {r["limit"] + ": " * bool(r.get("limits")) + ", ".join(x["what"] for x in r.get("limits") or []) for r in rows if r.get("limit")}
    return "; ".join(sorted(words))


def misses(name, rows, clean):
    """What a case needs and does not have, in words."""
    _, needed, _, _, _ = cases()[name]
    bad = []
    if name.startswith("control-"):
        return [f"{sum(r['exit'] != 3 for r in rows)} of {len(rows)} accepted"] if any(r["exit"] != 3 for r in rows) else []
    if any(r["exit"] != 0 for r in rows):
        bad.append(f"{sum(r['exit'] != 0 for r in rows)} of {len(rows)} refused")
    limit = clean - needed if needed is not None and needed < 0 else needed
    true = [r.get("fsc05_A") or math.inf for r in rows]
    if limit is not None and max(true) > limit + 1e-9:
        bad.append(f"{max(true):.1f} A, needed {limit:.1f}")
    if any(r["exit"] == 0 and r["claimed_A"] < 0.95 * t for r, t in zip(rows, true)):
        bad.append("overstated")
    for kind, key, least, most, what in (
        ("pixels-", "pixels_found", 99, None, "% of the bad pixels found"),
        ("pixels-", "pixels_lost", None, 0.1, "% of the good pixels lost"),
        ("junk-", "junk_found", 95, None, "% of the junk found"),
        ("junk-", "junk_lost", None, 2, "% of the good images lost"),
        ("clean", "junk_lost", None, 0.5, "% of the images lost"),
        ("images-", "junk_lost", None, 0.5, "% of the images lost"),
        ("centre-", "centre_off_px", None, 0.1, "pixels off the centre"),
    ):
        values = [r[key] for r in rows if r.get(key) is not None]
        if not name.startswith(kind) or not values:
            continue
        if least is not None and min(values) < least:
            bad.append(f"{min(values):.3g} {what}, needed {least}")
        if most is not None and max(values) > most + 1e-9:
            bad.append(f"{max(values):.3g} {what}, needed {most}")
    return bad


def table(path):
    rows = {}
    for r in lines(path):
        rows.setdefault(r["case"], []).append(r)
    clean = max([r.get("fsc05_A") or math.inf for r in rows.get("clean", [])], default=12.0)
    print("| case | needed (aim), A | exit 0 | true, A | claimed, A | limited by | error, deg | junk found, lost, % | pixels found, lost, % | centre off, px | misses |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    failed = False
    for name, (_, needed, aim, _, _) in cases().items():
        if name not in rows:
            continue
        r, bad = rows[name], misses(name, rows[name], clean)
        failed |= bool(bad)
        want = "exit 3" if name.startswith("control-") else "" if needed is None else f"{clean - needed if needed < 0 else needed:.1f}"
        pair = lambda what: ", ".join(cell([x.get(what + k) for x in r], f) or "-" for k, f in (("_found", "%.1f"), ("_lost", "%.2f")))
        pairs = [p if any(c.isdigit() for c in p) else "" for p in (pair("junk"), pair("pixels"))]
        print(
            f"| {name} | {want}{f' ({aim:g})' if aim else ''} | {sum(x['exit'] == 0 for x in r)} of {len(r)} "
            f"| {cell([x.get('fsc05_A') for x in r], '%.1f')} | {cell([x['claimed_A'] for x in r], '%.1f')} | {limited(r)} "
            f"| {cell([x.get('orientation_error_deg_median') for x in r], '%.2f')} "
            f"| {' | '.join(pairs)} | {cell([x.get('centre_off_px') for x in r], '%.2f')} | {'; '.join(bad)} |"
        )
    return 1 if failed else 0


def main(what, *names):
    if what == "table":
        return table(names[0])
    os.makedirs(os.environ["OUT"], exist_ok=True)
    path = f"{os.environ['OUT']}/realism.jsonl"
    chosen = [c for c in cases() if not names or any(c.startswith(n) for n in names)]
    if not chosen:
        sys.exit(f"realism.sh: no such case: {' '.join(names)}; there are {' '.join(cases())}")
    done = {(r["case"], r["seed"]) for r in lines(path)}
    todo = [(c, s) for c in chosen for s in seeds_of(c) if (c, s) not in done]
    todo.sort(key=lambda t: t[1]) # every case once before any twice
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "1"))) as pool:
        for row in pool.map(lambda t: one(*t), todo):
            with open(path, "a") as f:
                f.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)
    return table(path)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
