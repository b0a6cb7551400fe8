#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# How long a whole run takes: images of 1I3Q (128 x 128 pixels, 12 A at the edge, 10,000 photons each),
# simulated, reconstructed from random orientations, compared with the structure.
#   benches/speed.sh [IMAGES ...]          without: 3000 50000 500000 (a minute, three, ten or so on 2 cores)
# Environment: SPINIFEL (binary), OUT (directory), WORKERS (numbers of workers, e.g. "1 2 4"; without:
# every core that the process may use), REPEATS (runs of each, default 1), EXTRA (options of reconstruct),
# KEEP (keep images and runs).  One JSON line a run goes to OUT/speed.jsonl; benches/speed_table.py makes the
# table of doc/performance.md.  A row keeps the load of the machine when the run began: times of a machine
# that does other work are those of that work too.
here=$(cd "$(dirname "$0")/.." && pwd)
spinifel=${SPINIFEL:-$here/build/spinifel}
out=${OUT:-$here/bench-out/speed}
python=${PYTHON:-/usr/bin/python3}
structure=$here/data/structures/1I3Q.pdb.gz
mkdir -p "$out" || exit 1
[ $# -gt 0 ] || set -- 3000 50000 500000

for images; do
	case $images in
	'' | *[!0-9]*) echo "speed.sh: '$images' is not a number of images" >&2; exit 2 ;;
	esac
	file=$out/$images.h5
	[ -s "$file" ] || "$spinifel" simulate "$structure" -o "$file" --images "$images" --detector 128x128 --resolution 12 \
		--energy 1600 --photons 10000 --seed 1 --quiet > /dev/null || exit 1
	for workers in ${WORKERS:-0}; do
		for repeat in $(seq "${REPEATS:-1}"); do
			rm -rf "$out/run"
			"$python" - "$out" "$spinifel" "$images" "$workers" "$structure" $EXTRA << 'END' || exit 1
import datetime, json, os, re, resource, subprocess, sys, time

out, spinifel, images, workers, structure, *extra = sys.argv[1:]
run = [spinifel, "reconstruct", f"{out}/{images}.h5", "-o", f"{out}/run", "--seed", "7", "--json", *extra]
if workers != "0":
    run += ["--workers", workers]


def printed(command, log=None):
    with open(log or os.devnull, "w") as said:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=said if log else None)
    return json.loads(done.stdout) if done.stdout.strip() else {}, done.returncode


def model():
    with open("/proc/cpuinfo") as lines:
        found = re.search(r"^model name\s*: (.*)$", lines.read(), re.M)
    return found.group(1) if found else os.uname().machine


version = printed([spinifel, "version", "--json"])[0]
load = os.getloadavg()[0]
began = time.monotonic()
code = printed(run, f"{out}/run.log")[1]
wall = time.monotonic() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)  # `version` before it took no time and little memory
with open(f"{out}/run.log") as log:
    said = log.read()
if code not in (0, 3):
    sys.exit(f"{said}speed.sh: exit code {code}: {' '.join(run)}")
compared = printed([spinifel, "compare", f"{out}/run/density.mrc", "--truth", structure, "--orientations",
                    f"{out}/run/orientations.h5", "--true", f"{out}/{images}.h5", "--json", "--quiet"])[0] if code == 0 else {}
row = {
    "images": int(images), "workers": int(re.search(r"(\d+) workers?$", said, re.M).group(1)),
    "wall_s": round(wall, 1), "cpu_s": round(used.ru_utime + used.ru_stime, 1),
    "peak_rss_bytes": used.ru_maxrss * 1024, "code": code,
    "median_deg": compared.get("orientation_error_deg_median"), "p90_deg": compared.get("orientation_error_deg_p90"),
    "fsc05_A": compared.get("fsc05_A"), "load": round(load, 1), "extra": " ".join(extra) or None,
    "machine": f"{model()}, {len(os.sched_getaffinity(0))} cores", "date": datetime.date.today().isoformat(),
    "version": version["version"], "revision": version["revision"],
}
with open(f"{out}/speed.jsonl", "a") as rows:
    print(json.dumps(row), file=rows)
print(json.dumps(row))
END
		done
	done
	[ -n "$KEEP" ] || rm -f "$file"
done
[ -n "$KEEP" ] || rm -rf "$out/run"
