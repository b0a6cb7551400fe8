/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Turned images added, against the literal twin, for rings of many lengths. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/rotate.h"
#include "tap.h"

static void fill(struct spi_rng *rng, int n, float complex *x)
{
    for (int i = 0; i < n; i++)
        x[i] = CMPLXF((float)spi_rng_normal(rng), (float)spi_rng_normal(rng));
}

/* R rings, each up to two blocks of 8 longer than the one before.  A term: gamma_3 of its
 * absolute value for each part, that is sqrt 2 of it for both; the sum: u of itself. */
static void check(struct spi_rng *rng, int R)
{
    int at[41] = {0}, length = 8, wrong = 0;
    double worst = 0, other = 0;

    for (int r = 0; r < R; r++, length += 8 * (int)spi_rng_below(rng, 3))
        at[r + 1] = at[r] + length;

    int n = at[R], M = at[R] - at[R - 1];
    float complex *phasor = spi_alloc((size_t)M, sizeof *phasor, "phasor");
    float complex *h = spi_alloc((size_t)n, sizeof *h, "h");
    float complex *to = spi_alloc((size_t)n + 8, sizeof *to, "to");
    double complex *ref = spi_alloc((size_t)n, sizeof *ref, "ref");

    fill(rng, M, phasor);
    fill(rng, n, h);
    fill(rng, n + 8, to);
    for (int i = 0; i < n; i++)
        ref[i] = (double complex)to[i];

    float complex beyond = to[n];

    spi_add_rotated(R, at, phasor, h, to);
    spi_add_rotated_ref(R, at, phasor, h, ref);
    for (int r = 0; r < R; r++)
        for (int i = at[r]; i < at[r + 1]; i++) {
            double term = (double)cabsf(phasor[i - at[r]]) * (double)cabsf(h[i]);
            double bound =
                1.5 * gamma_f32(3) * term + 0x1p-24 * 1.5 * (cabs(ref[i]) + term);

            worst = fmax(worst, cabs((double complex)to[i] - ref[i]) / bound);
            other = fmax(other, cabs((double complex)to[i] - conj(ref[i])) / bound);
        }
    wrong = crealf(to[n]) != crealf(beyond) || cimagf(to[n]) != cimagf(beyond);
    OK(worst <= 1 && !wrong, "%d rings, %d harmonics: error / bound = %.3f", R, n, worst);
    OK(other > 1, "others are noticed");
    free(phasor), free(h), free(to), free(ref);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    for (int R = 1; R <= 40; R += R < 4 ? 1 : 9)
        check(&rng, R);
    return tap_done();
}
