# SPDX-License-Identifier: GPL-3.0-or-later
"""`spinifel compare` and `info` on maps and structures whose answer is known: a map is itself
whatever constant, scale, number type, order of axes or motion it comes in.  numpy writes the maps."""
import json
import os
import subprocess
import sys

import numpy as np

cases, data = sys.argv[1], os.environ["SPI_TEST_DATA"]
spinifel = os.environ["SPINIFEL"]
tmp = os.path.join(os.environ["SPI_TEST_TMP"], "maps_test")
os.makedirs(tmp, exist_ok=True)
os.environ["OPENBLAS_NUM_THREADS"] = "1"
count = failed = 0
types = {0: "i1", 1: "<i2", 2: "<f4", 6: "<u2", 12: "<f2"}


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", text, flush=True)


def run(*args):
    return subprocess.run([spinifel, *args], capture_output=True, text=True)


def read(path):
    b = open(path, "rb").read()
    head = np.frombuffer(b, "<i4", 256)
    n = head[2], head[1], head[0]
    voxel = np.frombuffer(b, "<f4", 1, 40)[0] / n[2]
    return np.frombuffer(b, types[int(head[3])], n[0] * n[1] * n[2], 1024 + int(head[23])) \
             .reshape(n).astype(float), float(voxel)


def write(name, a, voxel, mode=2):
    head = np.zeros(256, "<i4")
    real = head.view("<f4")
    head[0:3] = head[7:10] = a.shape[::-1]
    head[3] = mode
    real[10:13] = np.array(a.shape[::-1]) * voxel
    real[13:16] = 90
    head[16:19] = 1, 2, 3
    head[22] = 1
    head[52] = int.from_bytes(b"MAP ", "little")
    head[53] = 0x4444
    path = os.path.join(tmp, name)
    with open(path, "wb") as f:
        f.write(head.tobytes() + a.astype(types[mode]).tobytes())
    return path


def compare(a, b, *args):
    csv = os.path.join(tmp, "fsc.csv")
    r = run("compare", a, "-t", b, "--json", "-q", "--fsc", csv, *args)
    if r.returncode:
        print("#", r.stderr.strip())
        return None, np.zeros(1)
    return json.loads(r.stdout), np.loadtxt(csv, delimiter=",", skiprows=1)[:, 2]


def still(v):
    return v is not None and v["rotation"] == [1, 0, 0, 0, 1, 0, 0, 0, 1] and not v["inverted"]


def one_map(path):
    name = os.path.basename(path)
    a, voxel = read(path)
    low, span = a.min(), np.ptp(a)
    truth = write("truth.mrc", a, voxel)
    v, fsc = compare(path, path)
    ok(still(v) and fsc.min() > 1 - 1e-6, f"{name} is itself: {fsc.min():.6f}")
    # Whole numbers of 16 bits are wrong by 1/65536 of the range, rms 0.3/65536; the weakest shell has
    # some 1e-3 of the range a voxel, hence 1e-4 of it at most, squared.  A half has 11 bits: 2^-12 of
    # each value; a byte 256 steps.
    for what, b, mode, least in [("times 1000", 1000 * a, 2, 1 - 1e-6),
                                 ("plus 100 deviations", a + 100 * a.std(), 2, 1 - 1e-4),
                                 ("small, and minus 3", 1e-4 * a - 3e-4 * a.std(), 2, 1 - 1e-4),
                                 ("uint16", np.round((a - low) / span * 65535), 6, 1 - 1e-4),
                                 ("int16", np.round((a - low) / span * 65535) - 32768, 1, 1 - 1e-4),
                                 ("int8", np.round((a - low) / span * 255) - 128, 0, 0.98),
                                 ("half", a / span, 12, 0.998)]:
        v, fsc = compare(write("map.mrc", b, voxel, mode), truth)
        ok(still(v) and fsc.min() > least, f"{name}, {what}: lowest FSC {fsc.min():.6f}")
    return a, voxel, truth


def moved(name, a, voxel, truth, edge, turns):
    """Exact motions of the grid.  The last `edge` shells are those that interpolation and the corners of
    Fourier space touch; below them 0.98 of 1 is what the search's 0.2 degrees leave."""
    for what, b, inverted in turns:
        v, fsc = compare(write("map.mrc", b, voxel), truth)
        ok(v is not None and v["inverted"] == inverted and fsc[:-edge].min() > 0.98
           and fsc.min() > 0.5 and v["cc"] > 0.98,
           f"{name}, {what}: FSC {fsc[:-edge].min():.4f}, {fsc.min():.4f} in the last shell")


full = os.path.join(data, "EMD-3197.map")
a, voxel, truth = one_map(full)
flip = (slice(None, None, -1),) * 3
# This map has a mirror plane: of either hand.
moved("EMD-3197", a, voxel, truth, 2, [("rotated about z", np.rot90(a, 1, (1, 2)), False),
                                       ("shifted, what leaves comes in again behind",
                                        np.roll(a, (3, -2, 1), (0, 1, 2)), False)])
v, fsc = compare(truth, truth)
r = run("compare", truth, "-t", truth)
ok("structure up to its faces" in r.stdout and "ellipsoid of 228 x 228 x 228 A" in r.stdout,
   "a map that fills its box is said to be compared within an ellipsoid")

for name in "offset_0.1.mrc", "mode6.mrc":
    a, voxel, truth = one_map(os.path.join(cases, name))
moved(name, a, voxel, truth, 1, [("rotated about y", np.rot90(a, 1, (0, 2)), False),
                                 ("inverted", a[flip], True),
                                 ("in a mirror", a[:, ::-1], True),
                                 ("shifted", np.roll(a, (3, -2, 1), (0, 1, 2)), False)])
# A slab of it, and the same in a larger box that stands at another level.
inner = a[:, :, 4:-4]
v, fsc = compare(write("map.mrc", np.pad(inner, 4, constant_values=np.median(inner[:, :, 0])), voxel),
                 write("slab.mrc", inner * 2 - 7, voxel))
ok(v is not None and v["cc"] > 0.99 and v["fsc05_is_limit"],
   f"a slab in a larger box: {v and v['cc']}")
r = run("compare", truth, "-t", truth)
ok("structure up" not in r.stdout, "a flat border is not cut")

# What is superposed on the truth keeps its values.
aligned = os.path.join(tmp, "aligned.mrc")
v, fsc = compare(write("map.mrc", a + 1000, voxel), truth, "--aligned", aligned)
b, _ = read(aligned)
ok(np.abs(b - a - 1000).max() < 1e-3 * np.ptp(a), "--aligned writes the map's own values")

# ---- nothing to compare ----
flat = write("flat.mrc", 0 * a + 3, voxel)
empty = write("empty.mrc", 0 * a, voxel)
for m, t, says in [(flat, truth, "flat.mrc: is constant: all voxels are 3"),
                   (truth, flat, "flat.mrc: is constant: all voxels are 3"),
                   (empty, truth, "empty.mrc: is empty"), (empty, empty, "empty.mrc: is empty")]:
    r = run("compare", m, "-t", t)
    ok(r.returncode == 1 and says in r.stderr and r.stderr.count("\n") == 1, r.stderr.strip())

# ---- no size of a voxel ----
zero = os.path.join(cases, "zerocell.mrc")
density = os.path.join(cases, "offset_0.1.mrc")
size = str(read(density)[1])
r = run("compare", zero, "-t", density)
ok(r.returncode == 1 and "word 11 (CELLA x) is 0" in r.stderr and "--voxel" in r.stderr, r.stderr.strip())
v, fsc = compare(zero, density, "--voxel", size)
# 0.1 takes 4 bits of a density of some 0.01
ok(still(v) and fsc.min() > 0.999, f"with --voxel: {fsc.min():.6f}")
v, fsc = compare(zero, zero, "--voxel", size)
ok(still(v) and fsc.min() > 1 - 1e-6, "both maps without")
r = run("info", "--json", zero)
ok(r.returncode == 0 and json.loads(r.stdout)["voxel_A"] == "not in the header", "info shows the rest")
for command in (["phase", zero, "-o", os.path.join(tmp, "x.mrc")],
                ["slice", zero, "-o", os.path.join(tmp, "x.h5"), "--orientations", "truth", "-g",
                 os.path.join(data, "skopi_2cex_spinifel_layout_4.h5")]):
    r = run(*command)
    ok(r.returncode == 1 and "--voxel" in r.stderr, f"{command[0]}: {r.stderr.strip()}")

# ---- structures ----
two = os.path.join(cases, "two_models_assembly.pdb1")


def atoms(*args):
    r = run("simulate", *args, "-o", os.path.join(tmp, "x.h5"), "-n", "1", "--resolution", "10", "-d", "16",
            "--json", "-q")
    return (json.loads(r.stdout)["structures"][0]["atoms"] if r.returncode == 0 else None), r


n, r = atoms(two)
ok(n == 20 and "--models all" in r.stderr, f"{n} atoms: {r.stderr.strip()}")
n, r = atoms(two, "--models", "all")
ok(n == 40 and not r.stderr, f"--models all: {n} atoms")
n, r = atoms(two, "--models", "2")
ok(n == 20 and not r.stderr, f"--models 2: {n} atoms")
n, r = atoms(two, "--models", "some")
ok(r.returncode == 2 and "--models: 'some'" in r.stderr, r.stderr.splitlines()[0])
n, r = atoms(os.path.join(cases, "occ0.pdb"))
ok(r.returncode == 1 and "occupancies of all 40 atoms are 0" in r.stderr, r.stderr.strip())
big = write("big.mrc", np.pad(a, 4), 4)
r = run("compare", big, "-t", two, "--models", "all")
ok(r.returncode == 0 and "40 atoms" in r.stdout, "compare --models all")
r = run("compare", big, "-t", truth, "--models", "all")
ok(r.returncode == 2 and "--models" in r.stderr and "is not a structure" in r.stderr, r.stderr.splitlines()[0])

# ---- marks and ends of lines in the other readers of text ----
table, lines = os.path.join(tmp, "t.csv"), os.path.join(tmp, "t.jsonl")
for end in "\n", "\r\n", "\r":
    with open(table, "wb") as f:
        f.write(("\ufeffx,y" + end + "1,2" + end + "2,3" + end).encode())
    r = run("plot", table, "-o", os.path.join(tmp, "t.png"), "-x", "x", "-y", "y")
    ok(r.returncode == 0, f"plot: a mark, lines end in {end!r}: {r.stderr.strip()}")
    with open(lines, "wb") as f:
        f.write(("\ufeff{\"a\": 1}" + end + "{\"a\": 2}").encode())
    r = run("info", "--json", lines)
    ok(r.returncode == 0 and json.loads(r.stdout)["generations"] == 2, f"info: the same of JSON lines: {r.stderr.strip()}")

# ---- what a terminal would obey ----
bad = {c for c in range(256) if (c < 32 and c not in (9, 10)) or c == 127} - {13}
r = subprocess.run([spinifel, "info", os.path.join(cases, "ctrlgroup.h5")], capture_output=True)
ok(r.returncode == 1 and not bad & set(r.stdout + r.stderr) and b"\\x1b[31m" in r.stderr,
   "a dataset's name is escaped")
evil = "\033]0;x\007\033[31m\u009b31m\u202e"
named = os.path.join(tmp, evil.replace("/", ""))
with open(named + ".pdb", "w") as f:
    f.write("TITLE     " + evil + "\n" +
            "ATOM      1  C   ALA A   1       0.000   0.000   0.000  1.00  0.00           C\n")
label = bytearray(open(density, "rb").read())
label[220:224] = (1).to_bytes(4, "little")
label[224:224 + 5] = b"\033[31m"
open(named + ".mrc", "wb").write(label)
with open(named + ".toml", "w") as f:
    f.write("[algorithm]\nscore = \"" + "\\u001b\\u009b" + "\"\n")
with open(named + ".csv", "w") as f:
    f.write(evil + ",b\n1,2\n")
with open(named + ".jsonl", "w") as f:
    f.write('{"a\\u001b\\u007f\\u009b": "\\u001b[31m\\u009b"}\n')
for command in (["info", named + ".pdb"], ["info", "--json", named + ".pdb"], ["info", named + ".mrc"],
                ["info", "--json", named + ".mrc"], ["info", named + ".jsonl"],
                ["info", "--json", named + ".jsonl"],
                ["settings", "--settings", named + ".toml"], ["plot", named + ".csv", "-o", named + ".png", "-y", "c"],
                ["compare", named + ".mrc", "-t", density], [evil], ["info", "--" + evil],
                ["simulate", named + ".pdb", "-o", named + ".h5", "-n", "1", "--resolution", "10", "-d", "16"]):
    r = subprocess.run([spinifel, *command], capture_output=True)
    said = r.stdout + r.stderr
    ok(said and not bad & set(said) and b"\xc2\x9b" not in said and b"\xe2\x80\xae" not in said and (b"1b" in said or b"1B" in said),
       f"{' '.join(os.path.basename(c) for c in command)!r}: exit {r.returncode}, escaped")
    if "--json" in command:
        json.loads(r.stdout)
print(f"1..{count}")
sys.exit(failed != 0)
