/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The exponential of the posterior against libm in double; sums against their formulas. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/lanes.h"
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

/* The bound of kernel/lanes.h. */
static double bound_of(double beta, double d)
{
    return 3e-6 + 0x1p-22 * beta * fabs(d);
}

/* Values alone, n of them that begin at x; the largest error / bound. */
static double values(const struct spi_lanes *v, int n, const float *x, float max,
                     float beta, float *e)
{
    double worst = 0, sum[3];

    v->exponentials(n, x, max, beta, e, sum);
    for (int i = 0; i < n; i++) {
        double d = (double)(x[i] - max);

        worst = fmax(worst, fabs((double)e[i] / exp((double)beta * d) - 1) /
                                bound_of((double)beta, d));
    }
    return worst;
}

static void exponentials(const struct spi_lanes *v, struct spi_rng *rng)
{
    float *x = calloc(N, sizeof *x), *e = calloc(N, sizeof *e), max;
    double worst, sum[3], again[3], want[3] = {0}, other;
    int small = 1, kept = 1;

    for (int i = 0; i < N; i++)
        x[i] = -87 * (float)i / N;
    worst = values(v, N, x, 0, 1, e);
    OK(worst <= 1, "%s: exp over [-87, 0]: error / bound = %.3f", v->name, worst);
    e[9] *= 1 + 1e-5F;
    OK(fabs((double)e[9] / exp((double)x[9]) - 1) > bound_of(1, (double)x[9]),
       "1e-5 more is noticed");
    worst = 0;
    for (int n = 1; n <= 200; n++) { /* all lengths, at all alignments */
        e[n] = 7;
        worst = fmax(worst, values(v, n, x + 3 * n, x[3 * n] + 1, 0.7F, e));
        kept &= e[n] == 7;
    }
    OK(worst <= 1 && kept, "1 to 200 values: error / bound = %.3f", worst);
    for (int i = 0; i < N; i++)
        x[i] = -87.4F - 1e30F * (float)i;
    v->exponentials(N, x, 0, 1, e, sum);
    for (int i = 0; i < N; i++)
        small &= e[i] <= 2e-38F && e[i] >= 0;
    OK(small, "nothing to speak of below exp(-87.3), down to -1e35");

    for (int i = 0; i < N; i++)
        x[i] = (float)(10 * spi_rng_normal(rng) - 1000);
    max = spi_max(N, x);
    v->exponentials(N, x, max, 0.25F, NULL, sum);
    for (int i = 0; i < N; i++) {
        double d = (double)(x[i] - max), f = exp(0.25 * d);

        want[0] += f;
        want[1] += f * d;
        want[2] += f * d * d;
    }
    /* terms of one sign: gamma_1024 of a float partial sum, exp, two products */
    double bound = gamma_f32(1024 + 3) + bound_of(0.25, 10 * 10);

    v->exponentials(N, x, max, 0.25F, e, again);
    for (int i = 0; i < 3; i++) {
        OK(fabs(sum[i] / want[i] - 1) <= bound, "sum of e d^%d: error / bound = %.4f", i,
           fabs(sum[i] / want[i] - 1) / bound);
        OK(again[i] == sum[i], "the same beside the values");
    }
    v->exponentials(N - 7, x, max, 0.25F, NULL, again);
    other = 0;
    for (int i = N - 7; i < N; i++)
        other += exp(0.25 * (double)(x[i] - max));
    OK(fabs(again[0] + other - want[0]) <= bound * want[0],
       "7 values less: what they are less");
    v->exponentials(N, x, max, 0.2501F, NULL, sum);
    OK(fabs(sum[0] / want[0] - 1) > bound, "another beta is noticed");
    free(x);
    free(e);
}

/* The largest of all, and what lies below a limit. */
static void largest(struct spi_rng *rng)
{
    enum { MOST = 300 };
    float x[MOST];
    int right = 1;
    double worst = 0;

    for (int n = 1; n <= MOST; n++) {
        int at = (int)spi_rng_below(rng, (uint32_t)n);
        double sum = 0, got;

        for (int i = 0; i < n; i++)
            x[i] = (float)spi_rng_uniform(rng);
        x[at] = 2;
        right &= spi_max(n, x) == 2 && spi_arg_max(n, x) == at;
        for (int i = 0; i < n; i++)
            sum += x[i] < 0.5F ? (double)x[i] : 0;
        got = (double)spi_sum_below(n, x, 0.5F);
        worst = fmax(worst, sum > 0 ? fabs(got / sum - 1) : got);
    }
    OK(right, "the largest, and its place, of 1 to %d", MOST);
    OK(worst <= gamma_f32(MOST), "sum of what is below a limit: error %.1e", worst);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    for (int i = 0; i < spi_lanes_count; i++)
        if (spi_lanes_variants[i].available())
            exponentials(spi_lanes_variants + i, &rng);
    largest(&rng);
    tiles(&rng);
    keep(&rng);
    return tap_done();
}
