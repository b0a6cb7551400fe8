#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What more cores would give, computed from the trace of one run (spinifel reconstruct --trace).

    benches/cores.py TRACE.jsonl [CORES ...]

The tasks of a trace run again on paper: a task begins when a core is free and every earlier task
that it conflicts with has ended (two tasks that name one region, one of them to write); the first
that may run is taken first.  What the program does between two waits runs on one core.  Seconds
are CPU seconds of the traced run, so a busy machine does no harm.  The computation knows nothing
of memory that cores share, of the engine's own time (a microsecond a task), or of other programs:
what it gives is a bound.
"""
import heapq
import json
import sys


def read(path):
    """Waits in their order: (seconds of one core before it, tasks [(name, seconds, reads, writes)])."""
    tasks, before = {}, {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if "task" in row:
                tasks.setdefault(row["wait"], []).append(
                    (row["task"], row["name"], row["cpu_s"], row["reads"], row["writes"]))
            else:
                before[row["wait"]] = row["before_cpu_s"]
    return [(before.get(w, 0.0), [t[1:] for t in sorted(tasks.get(w, []))])
            for w in sorted(set(before) | set(tasks))]


def conflicts(tasks):
    """For each task the earlier ones that it waits for, as far as others do not imply them."""
    writer, readers, after = {}, {}, []
    for i, (_, _, reads, writes) in enumerate(tasks):
        on = set()
        for r in writes:
            on.update(readers.get(r) or ([writer[r]] if r in writer else []))
        for r in reads:
            if r in writer:
                on.add(writer[r])
            readers.setdefault(r, []).append(i)
        for r in writes:
            writer[r], readers[r] = i, []
        after.append(on)
    return after


def finish(tasks, after, cores):
    """Seconds until all tasks have ended on so many cores."""
    missing = [len(on) for on in after]
    then = [[] for _ in tasks]
    for i, on in enumerate(after):
        for j in on:
            then[j].append(i)
    ready = [i for i, m in enumerate(missing) if m == 0]  # a queue, first come first served
    at, now, running = 0, 0.0, []
    while at < len(ready) or running:
        while at < len(ready) and len(running) < cores:
            heapq.heappush(running, (now + tasks[ready[at]][1], ready[at]))
            at += 1
        now, done = heapq.heappop(running)
        for i in then[done]:
            missing[i] -= 1
            if missing[i] == 0:
                ready.append(i)
    return now


def longest(tasks, after):
    """The longest chain of tasks that wait for each other: seconds, and seconds by name."""
    end, last = [], []
    for i, (_, seconds, _, _) in enumerate(tasks):
        j = max(after[i], key=lambda k: end[k], default=None)
        end.append(seconds + (end[j] if j is not None else 0.0))
        last.append(j)
    path, i = {}, max(range(len(tasks)), key=lambda k: end[k], default=None)
    total = end[i] if i is not None else 0.0
    while i is not None:
        path[tasks[i][0]] = path.get(tasks[i][0], 0.0) + tasks[i][1]
        i = last[i]
    return total, path


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    cores = [int(c) for c in sys.argv[2:]] or [1, 2, 4, 8, 16, 64]
    waits = read(sys.argv[1])
    after = [conflicts(tasks) for _, tasks in waits]
    serial = sum(before for before, _ in waits)
    work, chain, width = {}, {}, {}
    for (_, tasks), on in zip(waits, after):
        for name, seconds, _, _ in tasks:
            work[name] = work.get(name, 0.0) + seconds
            width[name] = width.get(name, 0) + 1
        for name, seconds in longest(tasks, on)[1].items():
            chain[name] = chain.get(name, 0.0) + seconds
    total = serial + sum(work.values())
    print(f"{len(waits)} waits, {sum(width.values())} tasks, {total:.1f} s of work: {serial:.1f} s between the "
          f"tasks, {sum(chain.values()):.1f} s in the longest chains of tasks")
    print("cores  seconds  times  (computed)")
    for c in cores:
        seconds = serial + sum(finish(tasks, on, c) for (_, tasks), on in zip(waits, after))
        print(f"{c:5d}  {seconds:7.1f}  {total / seconds:5.2f}")
    slowest = sorted(((finish(tasks, on, cores[-1]), w) for w, ((_, tasks), on) in enumerate(zip(waits, after))),
                     reverse=True)[:8]
    print(f"waits that last longest on {cores[-1]} cores: number, tasks, their names, seconds of work, seconds there")
    for seconds, w in slowest:
        names = sorted({t[0] for t in waits[w][1]})
        print(f"{w:7d}  {len(waits[w][1]):6d}  {' '.join(names):28s}  {sum(t[1] for t in waits[w][1]):7.2f}  "
              f"{seconds:7.2f}")
    print("task           seconds    tasks  longest_ms  in the longest chains")
    most = {}
    for _, tasks in waits:
        for name, seconds, _, _ in tasks:
            most[name] = max(most.get(name, 0.0), seconds)
    print(f"{'(between)':12s}  {serial:8.2f}  {len(waits):7d}  "
          f"{1e3 * max((b for b, _ in waits), default=0):10.1f}  {serial:8.2f}")
    for name in sorted(work, key=work.get, reverse=True):
        print(f"{name:12s}  {work[name]:8.2f}  {width[name]:7d}  {1e3 * most[name]:10.1f}  "
              f"{chain.get(name, 0.0):8.2f}")


if __name__ == "__main__":
    main()
