/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What one core of this machine can do, measured: the bounds of doc/limits.md. */
#ifndef SPI_BENCHES_MACHINE_H
#define SPI_BENCHES_MACHINE_H

#include <stdbool.h>

#include "base/error.h"

enum { MACHINE_W_MAX = 8 };

struct machine {
    double ghz;                      /* clock while measuring */
    double fma_per_ns;               /* fused multiply-adds of floats */
    double l1_B_per_ns, l2_B_per_ns; /* aligned loads */
    double memory_B_per_ns;          /* loads of a block far beyond the caches */
    double load_ns[2]
                  [MACHINE_W_MAX + 1]; /* [comp - 1][w]: w^2 rows of w comp floats, read */
    double add_ns[2][MACHINE_W_MAX + 1];   /* the same, each added to; aligned rows */
    double loose_ns[2][MACHINE_W_MAX + 1]; /* the same, rows at any float */
};

/** About a second. */
SPI_MUSTUSE spi_err machine_measure(struct machine *m);

/** Least ns a point: interpolation reads w^2 rows, spreading adds to them; both need
 *  comp w^3 multiply-adds. */
double machine_interp_bound(const struct machine *m, int w, int comp);
double machine_spread_bound(const struct machine *m, int w, int comp);

/** Seconds on a steady clock. */
double now_s(void);
/** CPU seconds of all threads of this process and of programs it has run. */
double cpu_s(void);
/** now_s, or CPU seconds over threads. */
double clock_s(bool cpu_time, int n_threads);

#endif
