/* SPDX-License-Identifier: GPL-3.0-or-later */
/* euclid.c, of likelihood/rows.h: the squared distance at the best scale, pixels alike. */
#include "likelihood/rows.h"

static void inv_var(int R, const double *mean, const double *variance, float *v)
{
    (void)mean;
    (void)variance;
    for (int r = 0; r < R; r++)
        v[r] = 1;
}

const struct spi_likelihood spi_likelihood_euclid = {
    .name = "euclid", .inv_var = inv_var, SPI_SQUARES};
