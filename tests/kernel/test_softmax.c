/* The exponential of the posterior against libm in double; sums against their formulas. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/softmax.h"
#include "tap.h"

enum { N = 100000 };

/* Weights above a limit beside the literal loop, for all lengths up to some vectors. */
static void keep(struct spi_rng *rng)
{
    enum { MOST = 100 };
    float w[MOST], S[MOST], kept[MOST + 15], kept_ref[MOST];
    uint16_t place[MOST + 15], place_ref[MOST];
    double worst = 0;
    int same = 1, some = 0;

    for (int n = 0; n <= MOST; n++)
        for (int k = 0; k < 2; k++) {
            double sum = 1, sum_S = 2, ref = 1, ref_S = 2;

            for (int i = 0; i < n; i++) {
                w[i] = (float)spi_rng_uniform(rng);
                S[i] = (float)spi_rng_uniform(rng);
            }

            int count =
                spi_keep_weights(n, w, 0.4F, k ? S : NULL, place, kept, &sum, &sum_S);
            int want = spi_keep_weights_ref(n, w, 0.4F, k ? S : NULL, place_ref, kept_ref,
                                            &ref, &ref_S);

            same &= count == want;
            for (int i = 0; i < want && same; i++)
                same &= place[i] == place_ref[i] && kept[i] == kept_ref[i] &&
                        w[place[i]] == kept[i];
            some += want;
            worst = fmax(worst, fmax(fabs(sum / ref - 1), fabs(sum_S / ref_S - 1)));
        }
    OK(same && some > MOST, "what is kept, and its places: %d weights", some);
    OK(worst <= gamma_f32(MOST + 1), "their sums: error %.1e, bound %.1e", worst,
       gamma_f32(MOST + 1));
}

/* Weights of tiles: sums of `lanes` terms of one sign, of at most three products. */
static void tiles(struct spi_rng *rng)
{
    enum { TILES = 5, LANES = 16, ALL = TILES * LANES };
    float e[ALL], x[ALL], w[ALL], wx[ALL], wS[ALL], mass[TILES], mass_S[TILES];
    double sum_x, want_x = 0, worst = 0, bound = gamma_f32(LANES + 4), other = 0;

    for (int i = 0; i < ALL; i++) {
        e[i] = (float)spi_rng_uniform(rng);
        x[i] = -(float)spi_rng_uniform(rng);
        w[i] = (float)spi_rng_uniform(rng);
        wx[i] = -(float)spi_rng_uniform(rng);
        wS[i] = (float)spi_rng_uniform(rng);
    }
    spi_tile_masses(TILES, LANES, e, x, w, wx, wS, mass, mass_S, &sum_x);
    for (int t = 0; t < TILES; t++) {
        double m = 0, mS = 0;

        for (int i = t * LANES; i < (t + 1) * LANES; i++) {
            m += (double)e[i] * (double)w[i];
            mS += (double)e[i] * (double)wS[i];
            want_x += (double)e[i] * ((double)wx[i] + (double)x[i] * (double)w[i]);
        }
        worst = fmax(worst,
                     fmax(fabs((double)mass[t] / m - 1), fabs((double)mass_S[t] / mS - 1)));
        other = fmax(other, fabs((double)mass_S[t] / m - 1));
    }
    worst = fmax(worst, fabs(sum_x / want_x - 1));
    OK(worst <= bound, "weights of tiles: error / bound = %.3f", worst / bound);
    OK(other > bound, "the other sum is noticed");
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    float *x = calloc(N, sizeof *x), *e = calloc(N, sizeof *e), max;
    double worst = 0, sum[3], again[3], want[3] = {0}, most = -INFINITY;
    int small = 1;

    for (int i = 0; i < N; i++)
        x[i] = -87 * (float)i / N;
    spi_exp_values(N, x, 0, 1, e, sum);
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)e[i] / exp((double)x[i]) - 1));
    OK(worst < 4e-7, "exp over [-87, 0]: relative error %.2e < 4e-7 (softmax.h)", worst);
    e[9] *= 1 + 8e-7F;
    OK(fabs((double)e[9] / exp((double)x[9]) - 1) > 4e-7, "8e-7 more are noticed");
    for (int i = 0; i < N; i++)
        x[i] = -87.001F - 1e30F * (float)i;
    spi_exp_values(N, x, 0, 1, e, sum);
    for (int i = 0; i < N; i++)
        small &= e[i] <= 2e-38F;
    OK(small, "nothing to speak of below exp(-87), down to -1e35");

    /* beta: an exact power of two, so that the argument has no rounding of its own */
    float y[3] = {5, 4, -3}, w[3];

    spi_exp_values(3, y, 5, 0.5F, w, sum);
    OK(fabs((double)w[1] / exp(-0.5) - 1) < 4e-7 && w[0] == 1, "beta");

    for (int i = 0; i < N; i++)
        x[i] = (float)(10 * spi_rng_normal(&rng) - 1000);
    max = spi_max(N, x);
    for (int i = 0; i < N; i++)
        most = fmax(most, (double)x[i]);
    OK((double)max == most, "largest of %d", N);
    spi_exp_sums(N, x, max, 0.25F, sum);
    for (int i = 0; i < N; i++) {
        double d = (double)(x[i] - max), f = exp(0.25 * d);

        want[0] += f;
        want[1] += f * d;
        want[2] += f * d * d;
    }
    /* terms of one sign: gamma_1024 of a float partial sum + 4e-7 + two products */
    double bound = gamma_f32(1024 + 3) + 4e-7;

    spi_exp_values(N, x, max, 0.25F, e, again);
    for (int i = 0; i < 3; i++) {
        OK(fabs(sum[i] / want[i] - 1) <= bound, "sum of e d^%d: error / bound = %.4f", i,
           fabs(sum[i] / want[i] - 1) / bound);
        OK(fabs(again[i] / want[i] - 1) <= bound, "the same beside the values");
    }
    spi_exp_sums(N, x, max, 0.2501F, sum);
    OK(fabs(sum[0] / want[0] - 1) > bound, "another beta is noticed");
    tiles(&rng);
    keep(&rng);
    free(x);
    free(e);
    return tap_done();
}
