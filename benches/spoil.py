#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make of image sets what experiments make of them: background, faults, junk, joined sets.

    spoil.py IN.h5 [IN2.h5 ...] -o OUT.h5 [what]

Several inputs are joined, image after image in an order drawn from the seed (orientations,
labels and fluences follow).  What is done, in this order:

    --doublets P    in a share P of the images another one is added
    --junk P        a share P of the images becomes speckle of no particle: the set's mean image
                    times exponential numbers, correlated over 3 pixels, new in each image
    --still P       a share P of the images becomes one speckle pattern, the same in all of them
    --flat X        flat background, X expected photons a pixel
    --share X       the same as a share of the photons of the mean image (flat)
    --radial X      a background that falls as 1 / (1 + (r / quarter of the width)^2), X a pixel
                    in the middle
    --zingers P V   one pixel of V counts in a share P of the images
    --hot V         one pixel holds V in every image
    --saturate V    no pixel holds more than V
    --gain G        photons become G times as much, written as `intensities` (ADU)
    --shift DX      the positions are those of a flat detector that lies DX pixels further along x
                    (a wrong centre)
    --blank P       a share P of the images holds nothing
    --double        every image twice
    --dust X        no particle: X photons an image of the set's mean image
    --seed N

Numbers are drawn with numpy's PCG64, so a set can be had again.
"""
import argparse
import sys

import h5py
import numpy as np


def arguments():
    p = argparse.ArgumentParser(usage=__doc__, add_help=False)
    p.add_argument("inputs", nargs="+")
    p.add_argument("-o", required=True)
    p.add_argument("--zingers", nargs=2, type=float)
    for name in ("doublets", "junk", "still", "flat", "share", "radial", "hot", "saturate", "gain",
                 "shift", "blank", "dust"):
        p.add_argument("--" + name, type=float, default=0)
    p.add_argument("--double", action="store_true")
    p.add_argument("--seed", type=int, default=1)
    return p.parse_args()


def load(path):
    with h5py.File(path) as f:
        name = "photons" if "photons" in f else "intensities"
        got = {"name": name, "pixels": f[name][...].astype(np.float64), "path": path}
        got["truth"] = {k: f[k][...] for k in f
                        if k in ("orientations", "labels", "fluences", "truth")
                        and isinstance(f[k], h5py.Dataset)}
        if "truth" in f and isinstance(f["truth"], h5py.Group):
            got["truth"] |= {"truth/" + k: f["truth"][k][...] for k in f["truth"]}
        return got


def speckle(rng, mean):
    """Exponential numbers of mean 1, correlated over some 3 pixels."""
    field = rng.normal(size=mean.shape) + 1j * rng.normal(size=mean.shape)
    ny, nx = mean.shape[-2:]
    ky, kx = np.meshgrid(np.fft.fftfreq(ny), np.fft.fftfreq(nx), indexing="ij")
    field = np.fft.ifft2(np.fft.fft2(field) * np.exp(-(kx**2 + ky**2) * 9 * 2))
    power = abs(field)**2
    return mean * power / power.mean()


def moved(q, wavelength, pixels):
    """q of a flat detector, on the Ewald sphere, moved along x by so many of its pixels."""
    z = 1 + wavelength * q[..., 2]
    x, y = q[..., 0] / z, q[..., 1] / z
    step = np.median(abs(np.diff(x, axis=-1)))
    x = x + pixels * step
    r = np.sqrt(1 + wavelength**2 * (x**2 + y**2))
    return np.stack([x / r, y / r, (1 / r - 1) / wavelength], axis=-1)


def main():
    a = arguments()
    rng = np.random.Generator(np.random.PCG64(a.seed))
    sets = [load(path) for path in a.inputs]
    photons = sets[0]["name"] == "photons"
    pixels = np.concatenate([s["pixels"] for s in sets])
    n = len(pixels)
    order = rng.permutation(n) if len(sets) > 1 else np.arange(n)
    pixels = pixels[order]
    truth = {k: np.concatenate([s["truth"][k] for s in sets])[order] for k in sets[0]["truth"]
             if len(sets[0]["truth"][k]) == len(sets[0]["pixels"])}
    noise = (lambda x: rng.poisson(x)) if photons else (lambda x: x)
    mean = pixels.mean(axis=0)

    if a.dust:
        pixels = noise(np.broadcast_to(mean / mean.sum() * a.dust, pixels.shape)).astype(float)
    if a.doublets:
        for k in rng.choice(n, int(a.doublets * n), replace=False):
            pixels[k] += pixels[rng.integers(n)]
    if a.junk:
        for k in rng.choice(n, int(a.junk * n), replace=False):
            pixels[k] = noise(speckle(rng, mean))
    if a.still:
        still = speckle(rng, mean)
        for k in rng.choice(n, int(a.still * n), replace=False):
            pixels[k] = noise(still)
    flat = a.flat + a.share * mean.mean()
    if flat:
        pixels += noise(np.full(pixels.shape, flat))
    if a.radial:
        ny, nx = mean.shape[-2:]
        y, x = np.meshgrid(np.arange(ny) - (ny - 1) / 2, np.arange(nx) - (nx - 1) / 2,
                           indexing="ij")
        fall = a.radial / (1 + (x**2 + y**2) / (nx / 4)**2)
        pixels += noise(np.broadcast_to(fall, pixels.shape))
    if a.zingers:
        for k in rng.choice(n, int(a.zingers[0] * n), replace=False):
            pixels[k].flat[rng.integers(mean.size)] = a.zingers[1]
    if a.hot:
        pixels[:, 0, mean.shape[-2] // 3, mean.shape[-1] // 3] = a.hot
    if a.saturate:
        pixels = np.minimum(pixels, a.saturate)
    if a.blank:
        pixels[rng.choice(n, int(a.blank * n), replace=False)] = 0
    if a.double:
        pixels = np.repeat(pixels, 2, axis=0)
        truth = {k: np.repeat(v, 2, axis=0) for k, v in truth.items()}

    name = sets[0]["name"]
    if a.gain:
        pixels *= a.gain
        name = "intensities"
    with h5py.File(a.inputs[0]) as f, h5py.File(a.o, "w") as out:
        for k in f:
            if k not in ("photons", "intensities", "truth") and k not in truth:
                f.copy(k, out)
        if "truth" in f and isinstance(f["truth"], h5py.Group):
            for k in f["truth"]:
                if "truth/" + k not in truth:
                    f.copy("truth/" + k, out, name="truth/" + k)
        for k, v in f.attrs.items():
            out.attrs[k] = v
        out.attrs["spoilt"] = " ".join(sys.argv[1:])
        for k, v in truth.items():
            out[k] = v
        kind = np.float32
        if name == "photons":
            kind = np.uint16 if pixels.max() < 65535 else np.uint32
        out[name] = pixels.astype(kind)
        if a.shift:
            q = out["pixel_position_reciprocal"][...]
            # of the sphere: q_z = -wavelength |q|^2 / 2
            wavelength = -2 * (q[..., 2] * (q**2).sum(-1)).sum() / ((q**2).sum(-1)**2).sum()
            q = moved(q, wavelength, a.shift)
            del out["pixel_position_reciprocal"]
            out["pixel_position_reciprocal"] = q


main()
