#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files against h5py, an independent reader and writer.  Usage: test_images_python.py TOOL"""
import itertools, json, os, subprocess, sys

try:
    import h5py, numpy as np
except ImportError as e:
    print("1..0 # SKIP", e)
    sys.exit(77)

tool, base = sys.argv[1], os.path.join(os.environ.get("SPI_TEST_TMP", "/tmp"), "io_images_python")
os.makedirs(base, exist_ok=True)
count = failed = 0


def ok(cond, text):
    global count, failed
    count += 1
    failed += not cond
    print("ok" if cond else "not ok", count, "-", text)


def run(*args):
    done = subprocess.run([tool, *args], capture_output=True, text=True)
    if done.returncode:
        print("#", done.stderr)
    return done


def written_by_us():
    path = os.path.join(base, "ours.h5")
    ok(run("images", path, "9").returncode == 0, "written")
    with h5py.File(path) as f:
        k, p = np.mgrid[:9, :60]
        want = (7 * k + p) % 50
        want[:, 7] = 0  # masked
        ok(f["photons"].shape == (9, 2, 5, 6) and f["photons"].dtype == np.uint8, "photons uint8")
        ok(np.array_equal(f["photons"][:].reshape(9, 60), want), "the same photons")
        ok(f["photons"].compression == "gzip" and f["photons"].chunks[1:] == (2, 5, 6),
           "chunked by images, compressed")
        ok(isinstance(f.get("intensities", getlink=True), h5py.SoftLink)
           and np.array_equal(f["intensities"][:], f["photons"][:]), "intensities -> photons")
        q = f["pixel_position_reciprocal"]
        ok(q.shape == (2, 5, 6, 3) and q.dtype == np.float64 and q.attrs["units"] == b"1/m", "q")
        norm2 = (q[:] ** 2).sum(-1)
        # q_z = -wavelength |q|^2 / 2 with 2 A; 1e-9 of the largest |q|: a dozen roundings of
        # 1 - cos(theta), which is 1e-4 of |q|
        ok(np.abs(q[..., 2] + 2e-10 * norm2 / 2).max() < 1e-9 * np.sqrt(norm2.max()),
           "on the Ewald sphere, z along the beam")
        ok(np.all(np.diff(q[0, 0, :, 0]) > 0) and np.all(np.diff(q[0, :, 0, 1]) > 0), "x, y, z")
        ok(f["pixel_index_map"].shape == (2, 5, 6, 2) and f["pixel_index_map"].dtype == np.int64
           and tuple(f["pixel_index_map"][1, 4, 5]) == (9, 5), "pixel_index_map")
        ok(f["mask"].dtype == np.uint8 and f["mask"][:].sum() == 1 and f["mask"][0, 1, 1] == 1,
           "mask: 0 = good")
        ok(f["geometry_factor"].dtype == np.float32 and np.all(f["geometry_factor"][:] == 1),
           "geometry_factor")
        o = f["orientations"]
        ok(o.shape == (9, 1, 4) and np.allclose(np.linalg.norm(o[:], axis=-1), 1, atol=1e-15),
           "orientations (N, 1, 4), unit")
        ok(isinstance(f.get("orientations", getlink=True), h5py.SoftLink)
           and set(f["truth"]) == {"orientations", "label", "fluence"}, "truth in its own group")
        a = dict(f.attrs)
        ok(a["n_images"] == 9 and tuple(a["det_shape"]) == (2, 5, 6) and a["wavelength_A"] == 2
           and a["det_distance"] == 0.25 and a["n_pixels_per_image"] == 60, "attributes")
        ok(abs(a["reciprocal_extent"] / np.sqrt(norm2.max()) - 1) < 1e-15 * 8, "largest |q|")
        ok(json.loads(a["provenance"]) == {"seed": 1} and b"1/d" in a["convention"],
           "provenance is JSON, the convention is said")


def written_by_h5py():
    rng = np.random.default_rng(1)
    n, p, ny, nx = 5, 2, 4, 6
    x = rng.random((n, p, ny, nx)).astype("f4") * 1e-9
    quat = rng.normal(size=(n, 4))
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    u = (np.mgrid[:ny, :p * nx] - np.array([(ny - 1) / 2, (p * nx - 1) / 2])[:, None, None]) * 0.02
    k = np.stack([u[1], u[0], np.ones_like(u[0])], -1)
    q = (k / np.linalg.norm(k, axis=-1, keepdims=True) - [0, 0, 1]) / 1.5e-10
    q = q.reshape(ny, p, nx, 3).transpose(1, 0, 2, 3)  # panels beside each other
    for first, three, order in itertools.product((False, True), (False, True), "<>"):
        path = os.path.join(base, "theirs.h5")
        with h5py.File(path, "w") as f:
            f.create_dataset("intensities", data=x.astype(order + "f4"), chunks=(2, 1, 3, 4),
                             compression="gzip")
            f["pixel_position_reciprocal"] = (np.moveaxis(q, -1, 0) if first else q)\
                .astype(order + "f8")
            f["orientations"] = quat[:, None] if three else quat
        raw = os.path.join(base, "theirs.raw")
        w = run("floats", path, raw).stdout.split()
        name = f"q {'3 first' if first else '3 last'}, orientations {'(N,1,4)' if three else '(N,4)'}, {order}"
        ok(w[:6] == ["cmtip" if first else "spinifel", "intensities", "5", "2", "4", "6"], name)
        ok(np.array_equal(np.fromfile(raw, "f4").reshape(x.shape), x), "the same pixels")
        num = [float(v) for v in w[6:]]
        # least squares over 48 pixels in double: far below 1e-9
        ok(abs(num[0] / 1.5 - 1) < 1e-9, "wavelength 1.5 A")
        ok(np.allclose(num[1:4], q[-1, -1, -1] * 1e-10, rtol=1e-15), "q of the last pixel")
        ok(np.allclose(num[4:8], quat[-1], atol=1e-15), "the last quaternion")
        ok(not np.allclose(num[4:8], quat[0], atol=1e-3), "the check can fail")


written_by_us()
written_by_h5py()
print(f"1..{count}")
sys.exit(failed != 0)
