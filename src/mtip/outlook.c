/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/outlook.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mtip/resolution.h"

/* Beyond these a ratio says nothing: no noise, or no signal. */
static const double most = 0.999, least = 0.02;

static double growth(double all, double fewer)
{
    double a = fmin(all, most), f = fmin(fewer, most);

    if (a < least || f < least) /* noise: what noise alone does */
        return 2;
    return fmin(fmax(a / (1 - a) / (f / (1 - f)), 1), 2);
}

/* Where the correlations end when signal over noise has grown `times` times. */
static double end_A(const struct spi_intensity_shells *all,
                    const struct spi_intensity_shells *fewer, double diameter_A,
                    double q_max, int doublings, double *value)
{
    for (int i = 0; i < all->n; i++) {
        double c = fmin(fmax(all->cc[i], 0), most),
               s = c / (1 - c) * pow(growth(c, fewer->cc[i]), doublings);

        value[i] = s / (1 + s);
    }
    return spi_resolution_of_intensities_A(all->n, all->q, value, diameter_A, q_max);
}

spi_err spi_outlook_find(const struct spi_intensity_shells *all,
                         const struct spi_intensity_shells *fewer, double diameter_A,
                         double q_max, struct spi_outlook *out)
{
    double *value;
    spi_err err = SPI_NEW(value, all->n + 1, "outlook");

    *out = (struct spi_outlook){0};
    if (err)
        return err;
    out->known = true;
    out->half_A =
        spi_resolution_of_intensities_A(fewer->n, fewer->q, fewer->cc, diameter_A, q_max);
    out->twice_A = end_A(all, fewer, diameter_A, q_max, 1, value);
    out->four_times_A = end_A(all, fewer, diameter_A, q_max, 2, value);
    free(value);
    return SPI_OK;
}
