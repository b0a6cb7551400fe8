/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/wiener.h"

#include <math.h>

#include "mtip/agreement.h"

/* Half sets that agree to this have no noise to speak of. */
static const double all_signal = 0.95;

spi_err spi_wiener_find(const struct spi_run *r, const struct spi_volume *const A[2], int R,
                        float *signal)
{
    const struct spi_rings *g = &r->data->rings;
    double q_end = fmin(g->q[R - 1], 1 / (2.08 * fmax(A[0]->step, A[1]->step)));
    struct spi_volume W[2] = {{0}, {0}};
    struct spi_agreement a = {.q_min = g->q[0], .q_max = q_end};
    spi_err err;

    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_volume_fourier_even(A[h], &W[h]), out);
    SPI_TRY(err = spi_intensity_compare(&W[0], &W[1], g->diameter_A, g->q[0], q_end,
                                        r->pose.R, &a.shells),
            out);
    for (int i = 0; i < R; i++)
        signal[i] = (float)fmin(
            fmax(spi_agreement_at(&a, a.shells.cc, fmin(g->q[i], q_end)) / all_signal, 0),
            1);
out:
    spi_agreement_clear(&a);
    for (int h = 0; h < 2; h++)
        spi_volume_clear(&W[h]);
    return err;
}
