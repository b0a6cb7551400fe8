/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/wiener.h"

#include <math.h>

/* Half sets that agree to this have no noise to speak of: what they lack is not known so well. */
static const double all_signal = 0.95;

/* Between shells linear, beyond them as the last. */
static double at(const struct spi_intensity_shells *s, double q)
{
    int i = 0;
    double t;

    while (i < s->n && s->q[i] < q)
        i++;
    if (i == 0 || i == s->n)
        return s->cc[i == 0 ? 0 : s->n - 1];
    t = (q - s->q[i - 1]) / (s->q[i] - s->q[i - 1]);
    return s->cc[i - 1] * (1 - t) + s->cc[i] * t;
}

spi_err spi_wiener_find(const struct spi_run *r, const struct spi_volume *const A[2], int R,
                        float *signal)
{
    const struct spi_rings *g = &r->data->rings;
    double q_end = fmin(g->q[R - 1], 1 / (2.08 * fmax(A[0]->step, A[1]->step)));
    struct spi_volume W[2] = {{0}, {0}};
    struct spi_intensity_shells shells = {0};
    spi_err err;

    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_volume_fourier_even(A[h], &W[h]), out);
    SPI_TRY(err = spi_intensity_compare(&W[0], &W[1], g->diameter_A, g->q[0], q_end,
                                        r->pose.R, &shells),
            out);
    for (int i = 0; i < R; i++)
        signal[i] = (float)fmin(fmax(at(&shells, g->q[i]) / all_signal, 0), 1);
out:
    spi_intensity_shells_clear(&shells);
    for (int h = 0; h < 2; h++)
        spi_volume_clear(&W[h]);
    return err;
}
