#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps against mrcfile, an independent reader and writer.  Usage: test_mrc_python.py TOOL"""
import contextlib, io, itertools, os, subprocess, sys, warnings

try:
    import mrcfile, numpy as np
except ImportError as e:
    print("1..0 # SKIP", e)
    sys.exit(77)

tool, base = sys.argv[1], os.path.join(os.environ.get("SPI_TEST_TMP", "/tmp"), "io_mrc_python")
data = os.environ["SPI_TEST_DATA"]
os.makedirs(base, exist_ok=True)
count = failed = 0


def ok(cond, text):
    global count, failed
    count += 1
    failed += not cond
    print("ok" if cond else "not ok", count, "-", text)


def run(*args):
    return subprocess.run([tool, *args], capture_output=True, text=True)


def valid(path):
    says = io.StringIO()
    with contextlib.redirect_stdout(says):
        good = mrcfile.validate(path, print_file=says)
    if not good:
        print("#", says.getvalue().replace("\n", "\n# "))
    return good


def dump(path):
    """What our reader makes of a file: array [z][y][x] and voxel sizes x, y, z."""
    raw = os.path.join(base, "dump.raw")
    done = run("dump", path, raw)
    if done.returncode:
        print("#", done.stderr)
        return None, None
    w = done.stdout.split()
    return np.fromfile(raw, "<f4").reshape([int(i) for i in w[:3]]), [float(i) for i in w[3:]]


def written_by_us():
    for n in (2, 20):
        path = os.path.join(base, "ours.mrc")
        ok(run("map", path, str(n)).returncode == 0 and valid(path), f"validate, side {n}")
        with mrcfile.open(path) as m:
            z, y, x = np.mgrid[:n, :n, :n].astype("f4")
            # sinf and numpy's sine may differ in the last bit of a value below 1
            ok(np.abs(m.data - np.sin(x + 2 * y + 3 * z)).max() <= 2**-23, "same voxels")
            ok(m.is_volume() and abs(m.voxel_size.x - 2.5) < 1e-6, "voxel 2.5 A")
            ok(m.header.origin.x == -(n // 2) * 2.5, "origin at the centre voxel")
            ok([str(s).strip() for s in m.get_labels()] == ["a test map", "second line"], "labels")
    # The check can fail: one wrong statistics word is found by validate.
    with open(path, "r+b") as f:
        f.seek(19 * 4)
        f.write(np.float32(-7).tobytes())
    ok(not mrcfile.validate(path, print_file=io.StringIO()), "a wrong DMIN is noticed")


def written_by_mrcfile():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 100, (5, 6, 7))
    for kind, order in itertools.product(("i1", "i2", "f4", "u2", "f2"), "<>"):
        path = os.path.join(base, "theirs.mrc")
        value = a.astype(kind) if kind[0] != "f" else (a / 64 - 0.5).astype(kind)
        with mrcfile.new(path, overwrite=True) as m:
            m.set_data(value.astype(order + kind) if kind != "i1" else value)
            m.voxel_size = (1.5, 1.5, 1.5)
        with mrcfile.open(path) as m:
            mode, stamp = int(m.header.mode), m.header.machst[0]
        got, voxel = dump(path)
        ok(got is not None and np.array_equal(got, value.astype("f4")),
           f"{order}{kind}: mode {mode}, MACHST {stamp:#x}")
        ok(voxel is not None and np.allclose(voxel, 1.5, rtol=1e-6), "voxel 1.5 A")


def permuted():
    a = np.arange(5 * 6 * 7, dtype="f4").reshape(5, 6, 7)
    for axes in itertools.permutations((1, 2, 3)):
        path = os.path.join(base, "permuted.mrc")
        with mrcfile.new(path, overwrite=True) as m:
            m.set_data(a)
            m.voxel_size = (1, 1, 1)
            m.header.mapc, m.header.mapr, m.header.maps = axes
        # data[s][r][c]: numpy axis 0 is the axis MAPS, and so on; wanted: [z][y][x]
        where = {axes[2]: 0, axes[1]: 1, axes[0]: 2}
        want = a.transpose(where[3], where[2], where[1])
        got, _ = dump(path)
        ok(got is not None and np.array_equal(got, want), f"MAPC, MAPR, MAPS = {axes}")
        ok(got is not None and (axes == (1, 2, 3)) == np.array_equal(got, a),
           "the order matters")


def from_emdb():
    with mrcfile.open(os.path.join(data, "EMD-3001.map"), permissive=True) as m:
        got, _ = dump(os.path.join(data, "EMD-3001.map"))  # axes 3, 1, 2
        # columns are z, rows x, sections y
        ok(got is not None and np.array_equal(got, m.data.transpose(2, 0, 1)),
           "EMD-3001: axes 3,1,2")
    with mrcfile.open(os.path.join(data, "EMD-3197.map"), permissive=True) as m:
        got, voxel = dump(os.path.join(data, "EMD-3197.map"))
        ok(got is not None and np.array_equal(got, m.data), "EMD-3197")
        ok(np.allclose(voxel, 11.4, rtol=1e-6), "voxel 11.4 A")
        path = os.path.join(base, "again.mrc")
        ok(run("cube", os.path.join(data, "EMD-3197.map"), path).returncode == 0 and valid(path),
           "EMD-3197 read, written, validated")
        with mrcfile.open(path) as w:
            ok(np.array_equal(w.data, m.data), "the same voxels in the same places")


warnings.simplefilter("ignore")
written_by_us()
written_by_mrcfile()
permuted()
from_emdb()
print(f"1..{count}")
sys.exit(failed != 0)
