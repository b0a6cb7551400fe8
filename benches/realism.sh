#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What real experiments add - background, faults of the detector, a wrong centre, junk, electronics - one at a time and
# all at once, nothing told to the program but where the name says so: images of 1I3Q (128 x 128 pixels, 12 A at the edge,
# 10,000 photons of the particle, 3,000 good images), reconstructed with default settings and compared with the structure.
#   benches/realism.sh [CASE ...]     without: all.  CASE: a name, or the beginning of names ("flat", "junk-")
# Environment: SPINIFEL (binary), OUT (directory), SEEDS ("1 2 3"; without: 1 to 20 of the controls, which have no particle,
# 1 to 5 of the others), JOBS (sets side by side, default 1), EXTRA (options of reconstruct), KEEP (keep images and runs).
# A JSON line a set goes to OUT/realism.jsonl, sets that are there are not made again; the table of all lines is printed at
# the end (and by `benches/realism.py table FILE.jsonl`).
# Exit code 1: a case misses what it needs.
here=$(cd "$(dirname "$0")/.." && pwd)
SPINIFEL=${SPINIFEL:-$here/build/spinifel} OUT=${OUT:-$here/bench-out/realism} \
	exec "${PYTHON:-/usr/bin/python3}" "$here/benches/realism.py" run "$@"
