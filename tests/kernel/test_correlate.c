/* Correlation and the angular transform against their twins. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/angular.h"
#include "kernel/correlate.h"
#include "tap.h"

enum { M = 23, RINGS = 17, STRIDE = 3 };

static void fill(struct spi_rng *rng, int n, float *x)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)spi_rng_normal(rng);
}

static void check_correlate(struct spi_rng *rng)
{
    int off[M + 1] = {0};
    float c[2 * M * RINGS], L[2 * M * RINGS], re[M * STRIDE], im[M * STRIDE];
    double rr[M], ri[M], mag[M], worst = 0, conjugated = 0;

    for (int m = 0; m < M; m++) /* as on rings: higher harmonics on fewer rings */
        off[m + 1] = off[m] + 2 * (RINGS - m * (RINGS - 1) / M);
    fill(rng, off[M], c);
    fill(rng, off[M], L);
    spi_correlate(M, off, c, L, STRIDE, re, im);
    spi_correlate_ref(M, off, c, L, rr, ri, mag);
    for (int m = 0; m < M; m++) {
        double bound = gamma_f32(off[m + 1] - off[m]) * mag[m];

        worst = fmax(worst, fabs((double)re[m * STRIDE] - rr[m]) / bound);
        worst = fmax(worst, fabs((double)im[m * STRIDE] - ri[m]) / bound);
        conjugated = fmax(conjugated, fabs((double)im[m * STRIDE] + ri[m]) / bound);
    }
    OK(worst <= 1, "correlation: error / bound = %.3f", worst);
    OK(conjugated > 1, "the other conjugate is noticed");
}

static void check_angular(struct spi_rng *rng, int Na, int n)
{
    int h = Na / 2 + 1;
    float *ct = spi_alloc((size_t)(M * h), sizeof *ct, "t"),
          *re = spi_alloc(M * 40, 4, "re");
    float *st = spi_alloc((size_t)(M * h), sizeof *st, "t"),
          *im = spi_alloc(M * 40, 4, "im");
    float *E = spi_alloc((size_t)(n * h), 4, "E"), *O = spi_alloc((size_t)(n * h), 4, "O");
    float *out = spi_alloc((size_t)(n * Na), 4, "out"),
          *one = spi_alloc((size_t)Na, 4, "one");
    double *ref = spi_alloc((size_t)Na, 8, "ref"), worst = 0, worst_one = 0, wrong = 0;

    fill(rng, M * n, re);
    fill(rng, M * n, im);
    spi_angular_tables(M, Na, ct, st);
    spi_angular(M, Na, ct, st, n, re, im, E, O, out);
    for (int i = 0; i < n; i++) {
        float r[M], q[M];
        double mag;

        for (int m = 0; m < M; m++)
            r[m] = re[m * n + i], q[m] = im[m * n + i];
        spi_angular_one(M, Na, r, q, one);
        spi_angular_ref(M, Na, r, q, ref, &mag);
        for (int a = 0; a < Na; a++) {
            double bound = gamma_f32(M + 3) * mag;

            worst = fmax(worst, fabs((double)out[i * Na + a] - ref[a]) / bound);
            /* double inside: the last rounding, and a recurrence of M steps of 4 u_double
             */
            double bound_one = (0x1p-24 + M * M * 4 * 0x1p-53) * mag;

            worst_one = fmax(worst_one, fabs((double)one[a] - ref[a]) / bound_one);
            wrong = fmax(wrong, fabs((double)out[i * Na + a] - ref[(Na - a) % Na]) / bound);
        }
    }
    OK(worst <= 1, "%d angles, %d at once: error / bound = %.3f", Na, n, worst);
    OK(worst_one <= 1, "%d angles, one: error / bound = %.3f", Na, worst_one);
    OK(wrong > 1, "the other sense of turning is noticed");
    free(ct), free(st), free(re), free(im), free(E), free(O), free(out), free(one),
        free(ref);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    check_correlate(&rng);
    check_angular(&rng, 2 * M, 40);
    check_angular(&rng, 96, 1);
    check_angular(&rng, 50, 33);
    return tap_done();
}
