/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Shared inside src/phase: walking over the half spectrum of an n^3 grid.  Layer: phase. */
#ifndef SPI_PHASE_INTERNAL_H
#define SPI_PHASE_INTERNAL_H

#include <complex.h>
#include <math.h>

#include "phase/phase.h"

/** Signed frequency of index k of n: -n/2 ... n/2-1. */
static inline int spi_phase_freq(int k, int n)
{
    return k < n / 2 ? k : k - n;
}

/** One row of modes (z, y, all x <= n/2) of the half spectrum. */
struct spi_phase_row {
    size_t first; /* flat index of x = 0 */
    int kz, ky;   /* signed frequencies */
    bool nyquist; /* kz or ky is -n/2: the sign of the frequency is not known */
};

/** Row `row` = z n + y of the half spectrum. */
static inline struct spi_phase_row spi_phase_row_at(int n, int row)
{
    int z = row / n, y = row % n;

    return (struct spi_phase_row){
        .first = (size_t)row * (size_t)(n / 2 + 1),
        .kz = spi_phase_freq(z, n),
        .ky = spi_phase_freq(y, n),
        .nyquist = 2 * z == n || 2 * y == n,
    };
}

/** |k| in cells of the grid. */
static inline double spi_phase_cells2(const struct spi_phase_row *r, int x)
{
    return (double)r->kz * r->kz + (double)r->ky * r->ky + (double)x * x;
}

/** exp(i angle). */
static inline double complex spi_phase_unit(double angle)
{
    return cos(angle) + (double complex)I * sin(angle);
}

/** Complex numbers of the half spectrum. */
static inline size_t spi_phase_modes(int n)
{
    return (size_t)n * (size_t)n * (size_t)(n / 2 + 1);
}

/** F <- F exp(-2 pi i k.t / n) scale where |k| <= k_max and off the Nyquist planes, else 0:
 *  (P10), moves the map by t voxels (z, y, x) and cuts it. */
void spi_phase_ramp(int n, const double t[3], double k_max, double scale, float complex *F);

/** Correlation of the half sets' intensities at q, 0 ... 1: linear between the points that
 * the options give, 1 without any. */
double spi_phase_known(const struct spi_phase_options *opt, double q);

/** (P14): how many levels of detail a start goes through, and |q| up to which each goes. */
int spi_phase_levels(double step, const struct spi_phase_options *opt);
/** |q| up to which `level` goes, 1/A. */
double spi_phase_level_q(double step, const struct spi_phase_options *opt, int level);

#endif
