/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/cores.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES_MAX = 1024, PATH = 4096 };

/* The first line of a small file; false: there is none. */
static int first_line(const char *folder, const char *group, const char *name,
                      char text[64])
{
    char path[3 * PATH];
    FILE *f;
    int found;

    snprintf(path, sizeof path, "%s%s/%s", folder, group, name);
    f = fopen(path, "re");
    if (!f)
        return 0;
    found = fgets(text, 64, f) != NULL;
    fclose(f);
    return found;
}

/* quota / period of one group; 0: no limit. */
static double limit_here(const char *folder, const char *group, int version)
{
    char text[64], *end;
    double quota, period;

    if (!first_line(folder, group, version == 2 ? "cpu.max" : "cpu.cfs_quota_us", text))
        return 0;
    quota = strtod(text, &end); /* "max 100000" and -1: no limit */
    if (end == text || !(quota > 0))
        return 0;
    if (version == 1) {
        if (!first_line(folder, group, "cpu.cfs_period_us", text))
            return 0;
        end = text;
    }
    period = strtod(end, NULL);
    return period > 0 ? quota / period : 0;
}

static double lower(double a, double b)
{
    return a > 0 && (b <= 0 || a < b) ? a : b;
}

/* The lowest of a group and all above it.  A container sees its own group as the root,
 * while its membership may still name the path outside: what is not there sets no limit. */
static double limit_up(const char *folder, char *group, int version)
{
    double lowest = 0;

    for (;;) {
        char *slash;

        lowest = lower(limit_here(folder, group, version), lowest);
        if (!*group)
            return lowest;
        slash = strrchr(group, '/');
        *(slash ? slash : group) = 0;
    }
}

/* Is `cpu` one of the words of "cpu,cpuacct"? */
static int has_cpu(const char *controllers)
{
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || !at[3]))
            return 1;
    }
    return 0;
}

int spi_cores_limit(const char *membership, const char *root)
{
    FILE *f = fopen(membership, "re");
    char line[PATH], folder[2 * PATH];
    double lowest = 0;

    while (f && fgets(line, sizeof line, f)) { /* NUMBER:CONTROLLERS:/GROUP */
        char *controllers = strchr(line, ':'),
             *group = controllers ? strchr(controllers + 1, ':') : NULL;

        if (!group)
            continue;
        *group++ = 0;
        controllers++;
        group[strcspn(group, "\n")] = 0;
        if (!*controllers) {
            lowest = lower(limit_up(root, group, 2), lowest);
        } else if (has_cpu(controllers)) {
            snprintf(folder, sizeof folder, "%s/%s", root, controllers);
            lowest = lower(limit_up(folder, group, 1), lowest);
        }
    }
    if (f)
        fclose(f);
    return lowest > CORES_MAX ? CORES_MAX : (int)ceil(lowest);
}

/* Cores that the scheduler may put this process on; 0: unknown. */
static int affinity(void)
{
    int found = 0;

    for (int n = CORES_MAX; n <= 64 * CORES_MAX && !found;
         n *= 2) { /* until the kernel's fits */
        cpu_set_t *set = CPU_ALLOC(n);

        if (set && sched_getaffinity(0, CPU_ALLOC_SIZE(n), set) == 0)
            found = CPU_COUNT_S(CPU_ALLOC_SIZE(n), set);
        CPU_FREE(set);
    }
    return found < CORES_MAX ? found : CORES_MAX;
}

int spi_cores(void)
{
    int have = affinity(), limit = spi_cores_limit("/proc/self/cgroup", "/sys/fs/cgroup");

    if (limit > 0 && limit < have)
        have = limit;
    return have > 0 ? have : 1;
}
