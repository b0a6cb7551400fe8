#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write src/sim/formfactor_table.h from data/scattering/f0_WK1995.csv (neutral atoms).

Run once, from the top of the repository: tools/make_formfactors.py > src/sim/formfactor_table.h
"""
import csv

with open("data/scattering/f0_WK1995.csv") as f:
    rows = [r for r in csv.DictReader(line for line in f if not line.startswith("#"))
            if r["charge"] == "0" and not r["state"]]
rows.sort(key=lambda r: int(r["Z"]))
assert [int(r["Z"]) for r in rows] == list(range(1, 99))

print("/* Made by tools/make_formfactors.py from data/scattering/f0_WK1995.csv; do not edit.")
print(" * D. Waasmaier and A. Kirfel, Acta Cryst. A51 (1995) 416-431,")
print(" * doi:10.1107/S0108767394013292; numbers from DABAX (ESRF).  Neutral atoms, Z = 1..98:")
print(" * {a1..a5, b1..b5 (A^2), c}. */")
for r in rows:
    a = ", ".join(r[f"a{i}"] for i in range(1, 6))
    b = ", ".join(r[f"b{i}"] for i in range(1, 6))
    print(f"    [{r['Z']}] = {{{{{a}}},\n         {{{b}}},\n         {r['c']}}}, /* {r['element']} */")
