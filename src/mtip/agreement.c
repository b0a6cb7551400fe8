/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/agreement.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static const double weight_power = 8; /* (Q12): half the weight at a correlation of 0.92 */

spi_err spi_agreement_init(const struct spi_run *r, const struct spi_volume half_A[2],
                           const double *initial, struct spi_agreement *a)
{
    double D = r->data->rings.diameter_A, q_min = r->data->rings.q[0], cc;
    struct spi_volume W[2] = {{0}, {0}};
    spi_err err;

    *a = (struct spi_agreement){.q_min = q_min, .q_max = r->q_max};
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = spi_volume_fourier_even(&half_A[h], &W[h]), out);
    SPI_TRY(err =
                spi_align_intensities(&W[0], &W[1], D, q_min, r->q_max, initial, a->R, &cc),
            out);
    err = spi_intensity_compare(&W[0], &W[1], D, q_min, r->q_max, a->R, &a->shells);
out:
    for (int h = 0; h < 2; h++)
        spi_volume_clear(&W[h]);
    return err;
}

void spi_agreement_clear(struct spi_agreement *a)
{
    spi_intensity_shells_clear(&a->shells);
    *a = (struct spi_agreement){0};
}

double spi_agreement_at(const struct spi_agreement *a, const double *curve, double q)
{
    const double *at = a->shells.q;
    int n = a->shells.n, i = 0;
    double t;

    if (n == 0 || !(q >= a->q_min && q <= a->q_max))
        return (double)NAN;
    while (i < n && at[i] < q)
        i++;
    if (i == 0 || i == n)
        return curve[i == 0 ? 0 : n - 1];
    t = (q - at[i - 1]) / (at[i] - at[i - 1]);
    return curve[i - 1] * (1 - t) + curve[i] * t;
}

spi_err spi_agreement_faithful(const struct spi_run *r, const struct spi_volume *A,
                               const struct spi_volume *density,
                               const struct spi_agreement *a, double **out)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    struct spi_volume B = {0}, W = {0}, V = {0};
    struct spi_intensity_shells shells = {0};
    spi_err err;

    *out = NULL;
    SPI_TRY(err = spi_volume_fourier_even(A, &W), out);
    SPI_TRY(err = spi_volume_autocorrelate(density, &B), out);
    SPI_TRY(err = spi_volume_fourier_even(&B, &V), out);
    SPI_TRY(err = spi_intensity_compare(&W, &V, r->data->rings.diameter_A, a->q_min,
                                        a->q_max, identity, &shells),
            out);
    assert(shells.n == a->shells.n);
    *out = shells.cc;
    shells.cc = NULL;
out:
    spi_intensity_shells_clear(&shells);
    spi_volume_clear(&B);
    spi_volume_clear(&W);
    spi_volume_clear(&V);
    return err;
}

double spi_agreement_phase_consistency(const struct spi_agreement *a,
                                       const struct spi_fsc *f, const double *const own[2],
                                       double q_end)
{
    double found = 0, allowed = 0;

    for (int i = 0; i < f->n_shells && f->q[i] <= q_end; i++) {
        double q = f->q[i], c = spi_agreement_at(a, a->shells.cc, q), least = f->fsc[i], w;

        if (!(c > 0))
            continue;
        for (int h = 0; h < 2; h++)
            least = fmin(least, spi_agreement_at(a, own[h], q));
        w = pow(c, weight_power);
        found += w * least;
        allowed += w * sqrt(c);
    }
    return allowed > 0 ? found / allowed : (double)NAN;
}
