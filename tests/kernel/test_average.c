/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Weights of all angles, their harmonics, and averages, against their twins, every variant.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/lanes.h"
#include "tap.h"

static void fill(struct spi_rng *rng, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)spi_rng_normal(rng);
}

static float *some(size_t n)
{
    return spi_alloc(n, sizeof(float), "test");
}

/* w: the polynomial is good to 2.9e-6 (and three roundings of it); d = LL - top is what two
 * or three roundings of LL (of magnitude mag) and one of d leave, and beta d is rounded
 * twice. q is rounded to the nearest; sums of one sign add gamma_{Na+1}. */
static void check_weights(const struct spi_lanes *v, struct spi_rng *rng,
                          enum spi_score_form form, int Na, double spread)
{
    size_t size = (size_t)Na * SPI_LANES;
    float *x = some(size), *table = some(size), *S = some(size), count = 3.25F, beta = 0.7F;
    uint16_t *q = spi_alloc(size, sizeof *q, "test");
    double *LL = spi_alloc((size_t)Na, 8, "test"), *w = spi_alloc((size_t)Na, 8, "test");
    double worst = 0, worst_sum = 0, other = 0, moved = 0;
    _Alignas(64) struct spi_weight_sums sums;
    _Alignas(64) float top[SPI_LANES];
    int full = 1;

    fill(rng, (int64_t)size, x);
    for (size_t i = 0; i < size; i++) {
        x[i] *= (float)spread;
        table[i] = (float)(0.5 + spi_rng_uniform(rng));
        S[i] = (float)(0.5 + spi_rng_uniform(rng));
    }
    v->top(form, Na, x, table, count, top);
    v->weights(form, Na, x, table, count, top, beta, S, q, &sums);
    for (int i = 0; i < SPI_LANES; i++) {
        struct spi_weight_sums_ref ref;
        double mag = 0, slack, blur = 0, most = 0;

        for (int a = 0; a < Na; a++) {
            double X = (double)x[a * SPI_LANES + i], t = (double)table[a * SPI_LANES + i];

            LL[a] = form == SPI_FORM_DIFFERENCE ? X - (double)count * t
                    : X > 0                     ? X * X / (2 * t)
                                                : 0;
            mag = fmax(mag,
                       form == SPI_FORM_DIFFERENCE ? fabs(X) + (double)count * t : LL[a]);
        }
        spi_weights_ref(Na, LL, (double)beta, S + i, w, &ref);
        slack = 2.9e-6 + 4 * 0x1p-24 + (double)beta * 8 * 0x1p-24 * mag;
        for (int a = 0; a < Na; a++) {
            double e = slack + 3 * 0x1p-24 * fabs(log(fmax(w[a], 1e-300)));
            double bound = 0.5 + 65535 * (w[a] * e + 0x1p-24);

            worst = fmax(worst, fabs(q[a * SPI_LANES + i] - 65535 * w[a]) / bound);
            other =
                fmax(other, fabs(q[a * SPI_LANES + i] - 65535 * w[(a + 1) % Na]) / bound);
            blur = fmax(blur, w[a] > 1e-30 ? e : 0);
            most = fmax(most, q[a * SPI_LANES + i]);
        }
        full &= most == 65535;
        blur += gamma_f32(Na + 1);
        /* d itself: relative to its sum as much again as its own roundings, of mag */
        double bound_x = 2 * blur * fabs(ref.wx) + 8 * 0x1p-24 * mag * ref.w;

        worst_sum = fmax(worst_sum, fabs((double)sums.w[i] - ref.w) / (blur * ref.w));
        worst_sum = fmax(worst_sum, fabs((double)sums.wS[i] - ref.wS) / (blur * ref.wS));
        worst_sum = fmax(worst_sum, fabs((double)sums.wx[i] - ref.wx) / bound_x);
        moved = fmax(moved, fabs((double)sums.wS[i] - ref.w) / (blur * ref.wS));
    }
    OK(worst <= 1 && full, "%s: weights, form %d, spread %g: error / bound = %.3f", v->name,
       (int)form, spread, worst);
    OK(other > 1, "those of other angles are noticed");
    OK(worst_sum <= 1, "their sums: error / bound = %.3f", worst_sum);
    OK(moved > 1, "another sum is noticed");
    free(x), free(table), free(S), free(q), free(LL), free(w);
}

/* A transform of p passes, and a step like (R9): (p + 1) 9 u of the sum of the values. */
static void check_spectrum(const struct spi_lanes *v, struct spi_rng *rng, int M, int Na)
{
    struct spi_angular t;
    long stride = 3 * SPI_LANES;
    uint16_t *q = spi_alloc((size_t)Na * SPI_LANES, sizeof *q, "test");
    float *work = some((size_t)Na * 2 * SPI_LANES), *out = some((size_t)(M * stride));
    double complex *ref = spi_alloc((size_t)M, sizeof *ref, "test");
    _Alignas(64) float scale[SPI_LANES];
    double worst = 0, other = 0;

    if (spi_angular_init(&t, 1, Na))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < Na * SPI_LANES; i++)
        q[i] = (uint16_t)spi_rng_below(rng, 65536);
    for (int i = 0; i < SPI_LANES; i++)
        scale[i] = (float)spi_rng_uniform(rng);
    v->spectrum(&t, M, q, scale, work, out, stride);
    for (int i = 0; i < SPI_LANES; i++) {
        double mag;

        spi_spectrum_ref(M, Na, q + i, (double)scale[i], ref);
        mag = creal(ref[0]);
        for (int m = 0; m < M; m++) {
            double bound = (t.n_passes + 1) * 9 * 0x1p-24 * mag;
            double complex got =
                CMPLX(out[m * stride + i], out[m * stride + SPI_LANES + i]);

            worst = fmax(worst, cabs(got - ref[m]) / bound);
            other = fmax(other, cabs(got - conj(ref[m])) / bound);
        }
    }
    OK(worst <= 1, "%s: %d harmonics of %d angles: error / bound = %.3f", v->name, M, Na,
       worst);
    OK(other > 1 || M == 1, "the other sense of turning is noticed");
    spi_angular_clear(&t);
    free(q), free(work), free(out), free(ref);
}

/* A sum of 2 n products and what was there: gamma_{2n+1} of the sum of absolute values. */
static void check_gather(const struct spi_lanes *v, struct spi_rng *rng, int R, int M,
                         int n)
{
    enum { MOST = 9 };
    struct spi_band b = {.R = R, .M = M};
    float *P, *image[MOST], phi[MOST], *sum, *before;
    double complex *ref, Pi[MOST * 64];
    double worst = 0, other = 0;
    long stride = 2 * SPI_LANES * MOST, floats, h;

    b.first = spi_alloc((size_t)M, sizeof *b.first, "first");
    for (int m = 0; m < M; m++)
        b.first[m] = m * (R - 1) / M;
    floats = spi_sums_floats(&b);
    h = spi_panel_floats(&b) / SPI_LANES;
    P = some((size_t)(M * stride)), sum = some((size_t)floats),
    before = some((size_t)floats);
    ref = spi_alloc((size_t)floats / (2 * SPI_LANES), sizeof *ref, "test");
    fill(rng, M * stride, P);
    fill(rng, floats, sum);
    memcpy(before, sum, (size_t)floats * sizeof *sum);
    for (int i = 0; i < n; i++) {
        image[i] = some((size_t)h);
        fill(rng, h, image[i]);
        phi[i] = (float)spi_rng_uniform(rng);
    }
    v->gather(&b, n, P, stride, (const float *const *)image, phi, sum);
    for (int l = 0; l < SPI_LANES; l++) {
        const float *was = before + l, *is = sum + l;
        long at = 0;

        for (int m = 0; m < M; m++)
            for (int i = 0; i < n; i++) {
                const float *p = P + m * stride + 2 * SPI_LANES * i + l;

                Pi[m * n + i] = CMPLX(p[0], p[SPI_LANES]);
            }
        for (long k = 0; k < floats / (2 * SPI_LANES); k++)
            ref[k] = CMPLX(was[2 * SPI_LANES * k], was[2 * SPI_LANES * k + SPI_LANES]);
        spi_gather_ref(&b, n, Pi, (const float *const *)image, phi, ref);
        for (int m = 0; m < M; m++)
            for (int r = b.first[m]; r <= R;
                 r++, at++, is += 2 * SPI_LANES, was += 2 * SPI_LANES) {
                double mag = fabs((double)was[0]) + fabs((double)was[SPI_LANES]);
                double complex got = CMPLX(is[0], is[SPI_LANES]);

                for (int i = 0; i < n; i++) { /* ring R: phi */
                    const float *c = image[i] + 2 * (at - m);
                    double size =
                        r < R ? fabs((double)c[0]) + fabs((double)c[1]) : (double)phi[i];

                    mag += size * (fabs(creal(Pi[m * n + i])) + fabs(cimag(Pi[m * n + i])));
                }
                worst = fmax(worst, cabs(got - ref[at]) / (gamma_f32(2 * n + 1) * mag));
                other = fmax(other, cabs(got - CMPLX(was[0], was[SPI_LANES])) /
                                        (gamma_f32(2 * n + 1) * mag));
            }
    }
    OK(worst <= 1, "%s: %d images added to %d rings, %d harmonics: error / bound = %.3f",
       v->name, n, R, M, worst);
    OK(other > 1, "nothing added is noticed");
    for (int i = 0; i < n; i++)
        free(image[i]);
    free(b.first), free(P), free(sum), free(before), free(ref);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    for (int i = 0; i < spi_lanes_count; i++) {
        const struct spi_lanes *v = spi_lanes_variants + i;

        if (!v->available()) {
            NOTE("%s: not available here", v->name);
            continue;
        }
        check_weights(v, &rng, SPI_FORM_DIFFERENCE, 72, 3);
        check_weights(v, &rng, SPI_FORM_DIFFERENCE, 10, 1e4); /* far below 2^-126 */
        check_weights(v, &rng, SPI_FORM_RATIO, 48, 2);
        check_spectrum(v, &rng, 23, 48);  /* 24 = 4 3 2 */
        check_spectrum(v, &rng, 26, 50);  /* 5 5, all harmonics */
        check_spectrum(v, &rng, 40, 50);  /* more than there are */
        check_spectrum(v, &rng, 120, 54); /* more than there are angles: 3 3 3 */
        check_spectrum(v, &rng, 1, 4);
        check_gather(v, &rng, 17, 23, 9); /* more rings than at once */
        check_gather(v, &rng, 12, 36, 1);
        check_gather(v, &rng, 1, 5, 4);
    }
    return tap_done();
}
