# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of doc/results.md, "Verdicts", from the lines that benches/verdicts.sh leaves.
   verdicts_table.py benches/results/verdicts.jsonl"""
import json
import re
import sys

PARTICLES = {"groel": "GroEL 1OEL (189 A, D7)", "cex": "2CEX (68 A)", "adk": "4AKE (62 A)", "polii": "1I3Q (151 A)"}
FAULTS = ("REFUSED", "OVERSTATED", "ACCEPTED", "FAILED")
CONTROLS = {"noise": "Poisson noise about the mean ring profile", "still": "one picture in all images",
            "junk": "speckle of no particle, another in each image", "few-junk": "the same, 300 images of 1,000 photons",
            "flat": "flat background alone", "radial": "radial background alone"}

sets = [json.loads(line) for line in open(sys.argv[1])]


def number(x):
    return "-" if x is None else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def kind(name):
    if re.match(r"(noise|still|junk|few-junk|flat|radial)-", name):
        return "control"
    return "plain" if re.fullmatch(r"[a-z]+-[\d.]+-\d+", name) else "spoilt"


print("| particle | sets | D/d | exit 0 | claim / truth | faults |\n|---|---|---|---|---|---|")
for key, title in PARTICLES.items():
    rows = [s for s in sets if kind(s["set"]) == "plain" and s["set"].split("-")[0] == key]
    reach = sorted(float(s["set"].split("-")[1]) for s in rows)
    stood = [s for s in rows if s["code"] == 0]
    ratio = sorted(s["claimed_A"] / s["true_A"] for s in stood)
    faults = [s["set"] for s in rows if s["verdict"] in FAULTS]
    print(f"| {title} | {len(rows)} | {reach[0]:g} to {reach[-1]:g} | {len(stood)} | {ratio[0]:.2f} to {ratio[-1]:.2f} | {', '.join(faults) or 'none'} |")

print("\n| set | exit | claimed (A) | true (A) | |\n|---|---|---|---|---|")
for s in sets:
    if kind(s["set"]) == "spoilt" or (kind(s["set"]) == "plain" and s["code"] != 0):
        print(f"| `{s['set']}` | {s['code']} | {number(s['claimed_A'])} | {number(s['true_A'])} | {s['verdict'].lower()} |")

print("\n| controls | sets | exit 3 | exit 1 | accepted |\n|---|---|---|---|---|")
for key, title in CONTROLS.items():
    rows = [s for s in sets if kind(s["set"]) == "control" and s["set"].startswith(key + "-")]
    codes = [s["code"] for s in rows]
    print(f"| {title} | {len(rows)} | {codes.count(3)} | {codes.count(1)} | {codes.count(0)} |")
