#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Are the fluences right that a reconstruction finds?  Images of 1I3Q whose fluences differ much - a lognormal spread of 1, a
# Gaussian focus - with and without a background, reconstructed with default settings; orientations.h5 beside truth/fluence.
#   benches/fluence.sh [SET ...]      without: all.  SET: a name, or the beginning of names ("clean-64")
# Environment: SPINIFEL (binary), OUT (directory), IMAGES (1000), SEED (1), EXTRA (options of reconstruct), KEEP (keep images
# and runs).  A JSON line a set goes to OUT/fluence.jsonl, sets that are there are not made again; the table of all lines is
# printed at the end (and by `benches/fluence.py table FILE.jsonl`).
# Exit code 1: the slope of a set without a background is off 1 by more than 0.02.
here=$(cd "$(dirname "$0")/.." && pwd)
SPINIFEL=${SPINIFEL:-$here/build/spinifel} OUT=${OUT:-$here/bench-out/fluence} \
	exec "${PYTHON:-/usr/bin/python3}" "$here/benches/fluence.py" run "$@"
