/* SPDX-License-Identifier: GPL-3.0-or-later */
#define _GNU_SOURCE /* sched_setaffinity */
#include "app/start.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/mem.h"

static cpu_set_t cores;
static bool held;

/* Runs before the libraries of the process are initialised, and before a sanitizer is. */
__attribute__((no_sanitize("address", "undefined"))) static void hold(int argc, char **argv,
                                                                      char **environment)
{
    cpu_set_t one;
    int first = 0;

    (void)argc;
    (void)argv;
    (void)environment;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return;
    while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &cores))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    held = sched_setaffinity(0, sizeof one, &one) == 0;
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_all)(int, char **, char **) = hold;

spi_err spi_start(void)
{
    enum { LEAST_MB = 64 };
    size_t left;

    if (held && sched_setaffinity(0, sizeof cores, &cores) != 0)
        held = false; /* a smaller set was imposed meanwhile: that one counts */
    left = spi_address_space_left();
    if (left < (size_t)LEAST_MB << 20)
        return spi_fail(SPI_ENOMEM,
                        "the limit on the address space (ulimit -v) leaves %zu MB to work "
                        "with; need at least %d MB, and far more for most commands",
                        left >> 20, LEAST_MB);
    return SPI_OK;
}
