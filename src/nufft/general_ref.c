/* SPDX-License-Identifier: GPL-3.0-or-later */
/* general_ref.c, of nufft/general.h: the direct sums in double. */
#include <math.h>

#include "nufft/general.h"

static int mode(const struct spi_nu_spec *spec, int axis, int i)
{
    int m = spec->modes[axis], half = m / 2;

    return !spec->fft_order ? i - half : i < m - half ? i : i - m;
}

/* exp(i s k.x) of mode number at (x fastest). */
static double complex wave(const struct spi_nu_spec *spec, int s, int64_t at,
                           const double *x)
{
    double phase = 0;

    for (int d = 0; d < spec->dim; d++) {
        phase += mode(spec, d, (int)(at % spec->modes[d])) * x[d];
        at /= spec->modes[d];
    }
    return CMPLX(cos(phase), s * sin(phase));
}

static int64_t n_modes(const struct spi_nu_spec *spec)
{
    int64_t n = 1;

    for (int d = 0; d < spec->dim; d++)
        n *= spec->modes[d];
    return n;
}

void spi_nu_type1_ref(const struct spi_nu_spec *spec, int s, int64_t n, const double *x,
                      const double *y, const double *z, const double complex *c,
                      double complex *f)
{
    for (int64_t k = 0; k < n_modes(spec); k++) {
        f[k] = 0;
        for (int64_t j = 0; j < n; j++)
            f[k] += c[j] * wave(spec, s, k, (double[]){x[j], y[j], z ? z[j] : 0});
    }
}

void spi_nu_type2_ref(const struct spi_nu_spec *spec, int s, int64_t n, const double *x,
                      const double *y, const double *z, const double complex *f,
                      double complex *c)
{
    for (int64_t j = 0; j < n; j++) {
        c[j] = 0;
        for (int64_t k = 0; k < n_modes(spec); k++)
            c[j] += f[k] * wave(spec, s, k, (double[]){x[j], y[j], z ? z[j] : 0});
    }
}
