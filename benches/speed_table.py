#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of doc/performance.md, from the rows that benches/speed.sh makes.

    benches/speed_table.py benches/results/speed.jsonl            print the tables
    benches/speed_table.py benches/results/speed.jsonl --all      of every row, not of the newest version alone
    benches/speed_table.py benches/results/speed.jsonl FILE.md    write them between the marks of FILE.md

A line of a table is one machine, number of images and number of workers; of several runs of one
version it has the range.  A row without a revision tells the commit that recorded it.
"""
import json
import sys

BEGIN, END = "<!-- speed_table.py: begin -->\n", "<!-- speed_table.py: end -->\n"


def span(values, unit, scale=1, form=".3g"):
    """The least and the largest of the values that are known, as text."""
    known = sorted(v / scale for v in values if v is not None)
    if not known:
        return "-"
    low, high = (f"{x:{',.0f' if x >= 1000 else form}}" for x in (known[0], known[-1]))
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def version(row):
    if row.get("revision"):
        return f"{row['version']}, {row['revision']}"
    return f"{row['version']}, revision unknown (recorded in {row['recorded']})"


def tables(rows, all_versions):
    groups = {}
    for row in rows:
        place = row["machine"], row["images"], row["workers"]
        groups.setdefault(place, {}).setdefault((row["date"], version(row)), []).append(row)
    out = []
    for machine in dict.fromkeys(place[0] for place in groups):
        out += [f"{machine[0].upper()}{machine[1:]}:\n",
                "| images | workers | time | CPU time | peak memory | median error | FSC 0.5 | version | date |",
                "|---|---|---|---|---|---|---|---|---|"]
        for place in sorted(p for p in groups if p[0] == machine):
            runs = list(groups[place].items())
            for (date, of), same in runs if all_versions else runs[-1:]:
                def get(name, *how):
                    return span([row[name] for row in same], *how)
                out.append(f"| {place[1]:,} | {place[2]} | {get('wall_s', 's')} | {get('cpu_s', 's')} | "
                           f"{get('peak_rss_bytes', 'GB', 1e9, '.1f')} | {get('median_deg', 'degrees', 1, '.2f')} | "
                           f"{get('fsc05_A', 'A', 1, '.2f')} | {of} | {date} |")
        out.append("")
    return "\n".join(out)


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    document = sys.argv[2] if len(sys.argv) == 3 else None
    text = tables(rows, document == "--all")
    if document in (None, "--all"):
        print(text, end="")
        return
    with open(document, encoding="utf-8") as f:
        old = f.read()
    if BEGIN not in old or END not in old.split(BEGIN, 1)[1]:
        sys.exit(f"{document}: need the two lines {BEGIN.strip()} and {END.strip()}")
    before, rest = old.split(BEGIN, 1)
    with open(document, "w", encoding="utf-8") as f:
        f.write(before + BEGIN + "\n" + text + "\n" + END + rest.split(END, 1)[1])


if __name__ == "__main__":
    main()
