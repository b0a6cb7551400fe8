/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The CPU limit of control groups, from made-up files, and the affinity of this process. */
#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cores.h"
#include "tap.h"

static char root[2048];

static void write_file(const char *name, const char *text)
{
    char path[4096], *slash;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    f = fopen(path, "w");
    NEED(f != NULL);
    fputs(text, f);
    fclose(f);
}

/* One case: what /proc/self/cgroup says, then pairs of file and text. */
static void check(const char *what, int want, const char *membership, int n,
                  const char *const (*file)[2])
{
    char path[4096], command[5000];
    int got;

    mkdir(root, 0700);
    write_file("self", membership);
    for (int i = 0; i < n; i++)
        write_file(file[i][0], file[i][1]);
    snprintf(path, sizeof path, "%s/self", root);
    got = spi_cores_limit(path, root);
    OK(got == want, "%s: %d, right is %d", what, got, want);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    OK(system(command) == 0, "removed");
}
#define CHECK(what, want, membership, ...)                                      \
    do {                                                                        \
        static const char *const file[][2] = {__VA_ARGS__};                     \
        check(what, want, membership, (int)(sizeof file / sizeof *file), file); \
    } while (0)

static void check_limits(void)
{
    CHECK("version 2, no limit", 0, "0::/\n", {"cpu.max", "max 100000\n"});
    CHECK("version 2, two cores", 2, "0::/\n", {"cpu.max", "200000 100000\n"});
    CHECK("rounded up", 3, "0::/\n", {"cpu.max", "250000 100000\n"});
    CHECK("less than one core", 1, "0::/\n", {"cpu.max", "10000 100000\n"});
    CHECK("another period", 8, "0::/\n", {"cpu.max", "400000 50000\n"});
    CHECK("the group's own limit", 4, "0::/user.slice/job\n", {"cpu.max", "max 100000\n"},
          {"user.slice/cpu.max", "800000 100000\n"},
          {"user.slice/job/cpu.max", "400000 100000\n"});
    CHECK("that of a group above it", 2, "0::/user.slice/job\n",
          {"user.slice/cpu.max", "200000 100000\n"},
          {"user.slice/job/cpu.max", "max 100000\n"});
    CHECK("a container: the path outside is not there", 5, "0::/docker/0123\n",
          {"cpu.max", "500000 100000\n"});
    CHECK("version 1", 3, "4:cpu,cpuacct:/job\n3:memory:/job\n",
          {"cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n"},
          {"cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"});
    CHECK("version 1, no limit", 0, "2:cpuacct,cpu:/\n",
          {"cpuacct,cpu/cpu.cfs_quota_us", "-1\n"},
          {"cpuacct,cpu/cpu.cfs_period_us", "100000\n"});
    CHECK("cpuset is another controller", 0, "2:cpuset:/\n",
          {"cpuset/cpu.cfs_quota_us", "100000\n"},
          {"cpuset/cpu.cfs_period_us", "100000\n"});
    CHECK("both versions: the lower", 2, "4:cpu:/\n0::/\n", {"cpu.max", "600000 100000\n"},
          {"cpu/cpu.cfs_quota_us", "200000\n"}, {"cpu/cpu.cfs_period_us", "100000\n"});
    CHECK("nonsense", 0, "0::/\nnothing\n:\n", {"cpu.max", "many\n"});
    CHECK("a period of 0", 0, "0::/\n", {"cpu.max", "100000 0\n"});
    CHECK("more than there can be", 1024, "0::/\n", {"cpu.max", "999999999999 1000\n"});
    OK(spi_cores_limit("/nowhere/self", root) == 0, "no control groups: no limit");
}

static void check_affinity(void)
{
    cpu_set_t all, one;
    int limit = spi_cores_limit("/proc/self/cgroup", "/sys/fs/cgroup"), want;

    NEED(sched_getaffinity(0, sizeof all, &all) == 0);
    want = CPU_COUNT(&all);
    want = limit > 0 && limit < want ? limit : want;
    OK(spi_cores() == want, "this machine: %d cores, right is %d", spi_cores(), want);
    CPU_ZERO(&one);
    for (int c = 0; c < CPU_SETSIZE && CPU_COUNT(&one) == 0; c++)
        if (CPU_ISSET(c, &all))
            CPU_SET(c, &one);
    NEED(sched_setaffinity(0, sizeof one, &one) == 0);
    OK(spi_cores() == 1, "bound to one core: %d", spi_cores());
}

int main(void)
{
    const char *tmp = getenv("SPI_TEST_TMP");

    snprintf(root, sizeof root, "%s/cores.%ld", tmp ? tmp : "/tmp", (long)getpid());
    check_limits();
    check_affinity();
    return tap_done();
}
