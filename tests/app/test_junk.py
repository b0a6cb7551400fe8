# SPDX-License-Identifier: GPL-3.0-or-later
"""What `spinifel reconstruct` makes of images that do not show the particle: empty shots,
droplets, another particle; and of droplets alone."""
import os
import shutil
import subprocess
import tempfile

import h5py
import numpy as np

data, spinifel = os.environ["SPI_TEST_DATA"], os.environ["SPINIFEL"]
structures = os.path.join(data, "structures")
particle, other = structures + "/2cex_a.pdb.gz", structures + "/1aki.pdb"
tmp = tempfile.mkdtemp(prefix="junk.", dir=os.environ.get("SPI_TEST_TMP"))
os.chdir(tmp)
count = failed = 0


def ok(good, text):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", text, flush=True)


def run(*args):
    return subprocess.run([spinifel, *args], capture_output=True, text=True)


def simulate(name, images, *junk):
    r = run("simulate", particle, "-o", name, "--images", str(images), "--detector", "48x48", "--resolution", "8",
            "--energy", "4000", "--photons", "10000", "--seed", "3", "-q", *(w for j in junk for w in ("--junk", j)))
    ok(r.returncode == 0, "simulate %s %s" % (name, r.stderr.strip()))


simulate("mixed.h5", 700, "sphere:0.12", "blank:0.08", other + ":0.1")
r = run("reconstruct", "mixed.h5", "-o", "mixed", "--seed", "1", "-q")
ok(r.returncode == 0, "a set with a third of junk: exit code %d %s" % (r.returncode, r.stderr.strip()[-200:]))
where = "mixed" if r.returncode == 0 else "mixed/failed_validation"
with h5py.File("mixed.h5") as f, h5py.File(where + "/orientations.h5") as o:
    kind, aside, probable = f["truth/class"][()], o["aside"][()], o["particle"][()]
    has = np.isfinite(o["orientations"][:, 0])
good, lit = kind == 0, kind != 1
ok(np.all(has == (aside == 0)), "images that are left out have no orientation, the others have")
lost = np.count_nonzero(aside[good])
ok(lost <= 0.02 * good.sum(), "%d of %d good images are left out, 2 %% allowed" % (lost, good.sum()))
ok(np.all(aside[~lit] != 0), "all %d empty shots are left out" % np.count_nonzero(~lit))
for k, name, least in ((2, "droplets", 0.7), (4, "images of another particle", 0.8)):
    n = np.count_nonzero(aside[kind == k])
    ok(n >= least * np.count_nonzero(kind == k),
       "%s: %d of %d are left out, needed %.0f %%" % (name, n, np.count_nonzero(kind == k), 100 * least))
ok(np.median(probable[good]) > 0.9 and np.median(probable[lit & ~good]) < 0.1,
   "probability of showing the particle: median %.3f of good images, %.3f of others"
   % (np.median(probable[good]), np.median(probable[lit & ~good])))
ok(np.mean(probable[has] >= 0.5) > 0.98, "images that stay are more probably of the particle than not: %.1f %%"
   % (100 * np.mean(probable[has] >= 0.5)))
r = run("compare", where + "/density.mrc", "--truth", particle, "-q", "--json")
fsc = float(r.stdout.split('"fsc05_A":')[1].split(",")[0])
ok(fsc < 9, "the map is that of the particle: FSC 0.5 at %.2f A, the detector reaches 8.2 A" % fsc)

simulate("droplets.h5", 300, "sphere:1")
r = run("reconstruct", "droplets.h5", "-o", "droplets", "--diameter", "70", "--seed", "1", "-q")
ok(r.returncode == 3 and "no particle" in r.stderr,
   "droplets alone: exit code %d, %s" % (r.returncode, r.stderr.strip()[-250:]))
ok(not os.path.exists("droplets/density.mrc"), "droplets make no map")

print("1..%d" % count)
os.chdir("/")
shutil.rmtree(tmp)
raise SystemExit(failed > 0)
