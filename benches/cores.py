#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What more cores would give, computed from the trace of one run (spinifel reconstruct --trace).

    benches/cores.py TRACE.jsonl [CORES ...]

The tasks of a trace run again on paper: a task begins when a core is free and every earlier task
that it conflicts with has ended (two tasks that name one region, one of them to write); the first
that may run is taken first.  A loop on several threads inside a task (src/base/parallel.h) takes
cores that are idle.  The program between two waits runs on one core, and its loops on all.  What is assumed:

- Seconds are CPU seconds of the traced run, so a busy machine does no harm.
- Cores that no task has are dealt one by one to the running tasks that have loops.  The trace says how long the
  loops of a task would last on 2, 4, ... 64 threads, from the seconds of each item; a number of
  threads in between counts as the power of two below it.  The loops of a task are spread evenly over it.
- A thread of a loop takes START_S to start, one after another; at the end of each phase of a loop the threads
  need MEET_S to meet.
- Between two waits no less time passes than all tasks spend inside what one thread may do at a
  time (the lock of HDF5).
- Nothing is known of memory that cores share, of the engine's own time (a microsecond a task), or of other programs: what
  the computation gives is a bound.
"""
import json
import sys


START_S, MEET_S = 15e-6, 10e-6


class Work:
    """Seconds of one core, the loops in them, and how long all lasts on more threads."""

    def __init__(self, name, row, key, reads=(), writes=()):
        self.name, self.reads, self.writes = name, reads, writes
        self.seconds, self.loops_s = row[key], row.get("loops_s", 0.0)
        self.meets = row.get("meets", 0)
        self.loops, self.alone_s = row.get("loops", 0), row.get("alone_s", 0.0)
        self.on = [self.loops_s] + row.get("loops_on_s", [])

    def lasts(self, threads):
        if not self.loops_s or threads < 2:
            return self.seconds
        power = min(threads.bit_length() - 1, len(self.on) - 1)
        return (self.seconds - self.loops_s + self.on[power]
                + self.loops * START_S * ((1 << power) - 1) / 2 + self.meets * MEET_S)


def read(path):
    """Waits in their order: (what is done before it, its tasks)."""
    tasks, before = {}, {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if "task" in row:
                tasks.setdefault(row["wait"], []).append(
                    (row["task"], Work(row["name"], row, "cpu_s", row["reads"], row["writes"])))
            else:
                before[row["wait"]] = Work("(between)", row, "before_cpu_s")
    nothing = Work("(between)", {"before_cpu_s": 0.0}, "before_cpu_s")
    return [(before.get(w, nothing), [t for _, t in sorted(tasks.get(w, []), key=lambda t: t[0])])
            for w in sorted(set(before) | set(tasks))]


def conflicts(tasks):
    """For each task the earlier ones that it waits for, as far as others do not imply them."""
    writer, readers, after = {}, {}, []
    for i, task in enumerate(tasks):
        reads, writes = task.reads, task.writes
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


def deal(running, idle):
    """Threads of each running task: one, and of the idle cores as many as the others with loops."""
    threads = dict.fromkeys(running, 1)
    takers = [t for t in running if t.loops_s > 0]
    if takers:
        each, rest = divmod(idle, len(takers))
        for i, t in enumerate(takers):
            threads[t] += each + (i < rest)
    return threads


def finish(tasks, after, cores):
    """Seconds until all tasks have ended on so many cores."""
    missing = [len(on) for on in after]
    then = [[] for _ in tasks]
    for i, on in enumerate(after):
        for j in on:
            then[j].append(i)
    number = {t: i for i, t in enumerate(tasks)}
    ready = [i for i, m in enumerate(missing) if m == 0]  # a queue, first come first served
    at, now, left = 0, 0.0, {}  # left: the part of each running task that is not done
    while at < len(ready) or left:
        while at < len(ready) and len(left) < cores:
            left[tasks[ready[at]]] = 1.0
            at += 1
        threads = deal(list(left), cores - len(left))
        lasts = {t: max(t.lasts(threads[t]), 1e-12) for t in left}
        step = min(left[t] * lasts[t] for t in left)
        now += step
        for t in list(left):
            left[t] -= step / lasts[t]
            if left[t] > 1e-9:
                continue
            del left[t]
            for i in then[number[t]]:
                missing[i] -= 1
                if missing[i] == 0:
                    ready.append(i)
    return max(now, sum(t.alone_s for t in tasks))


def longest(tasks, after, cores):
    """The longest chain of tasks that wait for each other, each with all cores: seconds by name."""
    end, last = [], []
    for i, task in enumerate(tasks):
        j = max(after[i], key=lambda k: end[k], default=None)
        end.append(task.lasts(cores) + (end[j] if j is not None else 0.0))
        last.append(j)
    path, i = {}, max(range(len(tasks)), key=lambda k: end[k], default=None)
    while i is not None:
        path[tasks[i].name] = path.get(tasks[i].name, 0.0) + tasks[i].lasts(cores)
        i = last[i]
    return path


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    cores = [int(c) for c in sys.argv[2:]] or [1, 2, 4, 8, 16, 64]
    waits = read(sys.argv[1])
    after = [conflicts(tasks) for _, tasks in waits]
    everything = [before for before, _ in waits] + [t for _, tasks in waits for t in tasks]
    total = sum(t.seconds for t in everything)
    print(f"{len(waits)} waits, {len(everything) - len(waits)} tasks, {total:.1f} s of work, of it "
          f"{sum(t.loops_s for t in everything):.1f} s in loops on threads")
    print("cores  seconds  times  between  (computed)")
    for c in cores:
        between = sum(before.lasts(c) for before, _ in waits)
        seconds = between + sum(finish(tasks, on, c) for (_, tasks), on in zip(waits, after))
        print(f"{c:5d}  {seconds:7.1f}  {total / seconds:5.2f}  {between:7.2f}")
    for c in cores[-2:]:
        report(waits, after, everything, c)


def report(waits, after, everything, c):
    """Where the time goes on c cores."""
    lasts = sorted(((finish(tasks, on, c), w) for w, ((_, tasks), on) in enumerate(zip(waits, after))), reverse=True)
    print(f"{c} cores, the longest waits: number, tasks, their names, seconds of work, of them alone, seconds there")
    for seconds, w in lasts[:10]:
        tasks = waits[w][1]
        names = sorted({t.name for t in tasks})
        print(f"{w:7d}  {len(tasks):6d}  {' '.join(names):28s}  {sum(t.seconds for t in tasks):7.2f}  "
              f"{sum(t.alone_s for t in tasks):6.2f}  {seconds:7.2f}")
    between = sorted(((before.lasts(c), before.seconds, w) for w, (before, _) in enumerate(waits)), reverse=True)
    print("the longest before a wait: number, seconds of work, seconds there")
    for seconds, work, w in between[:8]:
        print(f"{w:7d}  {work:7.2f}  {seconds:7.2f}")
    chain = {}
    for (before, tasks), on in zip(waits, after):
        for name, seconds in longest(tasks, on, c).items():
            chain[name] = chain.get(name, 0.0) + seconds
        chain[before.name] = chain.get(before.name, 0.0) + before.lasts(c)
    print("task           seconds  in_loops  alone    tasks  longest_ms  in the longest chains")
    for name in sorted(chain, key=lambda n: -sum(t.seconds for t in everything if t.name == n)):
        of = [t for t in everything if t.name == name]
        print(f"{name:12s}  {sum(t.seconds for t in of):8.2f}  {sum(t.loops_s for t in of):8.2f}  "
              f"{sum(t.alone_s for t in of):5.2f}  {len(of):7d}  {1e3 * max(t.lasts(c) for t in of):10.1f}  "
              f"{chain[name]:8.2f}")


if __name__ == "__main__":
    main()
