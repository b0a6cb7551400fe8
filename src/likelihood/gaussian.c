/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gaussian.c, of likelihood/rows.h: analogue data, with the variance of each ring. */
#include "likelihood/rows.h"

/* Of mean^2: what is smaller is rounding, and the ring has no variance. */
static const double least_variance = 1e-12;

static void inv_var(int R, const double *mean, const double *variance, float *v)
{
    for (int r = 0; r < R; r++)
        v[r] =
            variance[r] > least_variance * mean[r] * mean[r] ? (float)(1 / variance[r]) : 0;
}

const struct spi_likelihood spi_likelihood_gaussian = {
    .name = "gaussian", .automatic = SPI_FOR_INTENSITIES, .inv_var = inv_var, SPI_SQUARES};
