/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fourier shell correlation: identical maps, noise, known mixtures, crossings. */
#include <math.h>
#include <string.h>

#include "blobs.h"
#include "correlation.h"
#include "tap.h"

enum { N = 32 };

static void noise(struct spi_volume *v, double sigma, uint64_t seed)
{
    memset(v->data, 0, spi_volume_count(v) * sizeof *v->data);
    add_noise(v, sigma, seed);
}

/* A shell of `count` Fourier voxels (Friedel mates both counted) has `count` independent
 * real numbers; the correlation coefficient of so many has standard error (1 - c^2) /
 * sqrt(count). 6 of them, in 16 shells: a false alarm has a chance of 3e-8. */
static double worst_in_errors(const struct spi_fsc *f, double expected)
{
    double worst = 0;

    for (int s = 0; s < f->n_shells; s++)
        worst = fmax(worst, fabs(f->fsc[s] - expected) * sqrt(f->count[s]) /
                                (1 - expected * expected));
    return worst;
}

static void correlations(struct spi_volume *a, struct spi_volume *b, struct spi_volume *c)
{
    struct spi_fsc f;
    double worst = 0, voxels = 0, r;

    noise(a, 1, 1);
    noise(b, 1, 2);
    NEED(!spi_fsc_compute(a, a, &f));
    for (int s = 0; s < f.n_shells; s++) {
        worst = fmax(worst, fabs(f.fsc[s] - 1));
        voxels += f.count[s];
    }
    OK(worst < 4 * 0x1p-53 * 1e3,
       "FSC of a map with itself is 1 to %.1e (sums of 1e3 terms)", worst);
    OK(fabs(f.q[0] * N * a->step - 1) < 1e-12 && fabs(f.q[15] * 2 * a->step - 1) < 1e-12,
       "shells from 1/(n step) to 1/(2 step)");
    /* a ball of radius 16.5 cut by the cube -16..15, without the origin's shell */
    OK(voxels > 0.9 * 4.19 * 16.5 * 16.5 * 16.5 && voxels < 4.19 * 16.5 * 16.5 * 16.5,
       "%.0f Fourier voxels are counted", voxels);
    spi_fsc_clear(&f);

    NEED(!spi_fsc_compute(a, b, &f));
    r = worst_in_errors(&f, 0);
    OK(r < 6, "independent noise: 0 within %.2f standard errors", r);
    OK(fabs(map_correlation(a, b)) < 6 / sqrt(N * N * N), "correlation of noise is 0");
    spi_fsc_clear(&f);

    /* b = a + s x noise: correlation 1 / sqrt(1 + s^2) */
    for (int k = 1; k <= 2; k++) {
        double s = 0.7 * k, expected = 1 / sqrt(1 + s * s);

        noise(c, s, 3);
        for (size_t i = 0; i < spi_volume_count(c); i++)
            c->data[i] += a->data[i];
        NEED(!spi_fsc_compute(a, c, &f));
        r = worst_in_errors(&f, expected);
        OK(r < 6, "mixture %.2f: within %.2f standard errors", expected, r);
        OK(worst_in_errors(&f, expected * 0.9) > 6, "10 %% less is noticed");
        OK(fabs(map_correlation(a, c) - expected) < 6 / sqrt(N * N * N), "correlation");
        spi_fsc_clear(&f);
    }
}

/* One shell per entry, q = 0.01, 0.02 ... */
static double crossing(int n, const double *fsc, double q_max, bool *end)
{
    double q[8], count[8], values[8];
    struct spi_fsc f = {.n_shells = n, .q = q, .fsc = values, .count = count};

    for (int i = 0; i < n; i++)
        q[i] = 0.01 * (i + 1), values[i] = fsc[i], count[i] = 1;
    return spi_fsc_resolution_A(&f, 0.5, q_max, end);
}

static int near(double a, double b)
{
    return fabs(a - b) < 1e-9 * b; /* a handful of roundings */
}

static void crossings(void)
{
    bool end;

    OK(near(crossing(5, (double[]){1, 0.9, 0.7, 0.3, 0.1}, 1, &end), 1 / 0.035) && !end,
       "a straight line is interpolated");
    OK(near(crossing(6, (double[]){1, 0.4, 0.9, 0.6, 0.4, 0.1}, 1, &end), 1 / 0.045) &&
           !end,
       "a single shell below does not count");
    OK(near(crossing(4, (double[]){1, 0.9, 0.8, 0.7}, 1, &end), 1 / 0.04) && end,
       "never below: the last shell");
    OK(near(crossing(5, (double[]){1, 0.9, 0.8, 0.7, 0.1}, 0.04, &end), 1 / 0.04) && end,
       "shells beyond q_max are not looked at");
    OK(near(crossing(4, (double[]){1, 0.9, 0.6, 0.4}, 1, &end), 1 / 0.035) && !end,
       "the last shell alone counts");
    OK(isinf(crossing(3, (double[]){0.3, 0.2, 0.9}, 1, &end)) && !end,
       "below from the start");
    OK(isinf(crossing(3, (double[]){1, 1, 1}, 0.001, NULL)), "no shell at all");
}

int main(void)
{
    struct spi_volume a, b, c, d;
    struct spi_fsc f;

    if (spi_volume_init(&a, N, 3) || spi_volume_init(&b, N, 3) ||
        spi_volume_init(&c, N, 3) || spi_volume_init(&d, N + 2, 3))
        return 1;
    correlations(&a, &b, &c);
    crossings();
    OK(spi_fsc_compute(&a, &d, &f) == SPI_EINVAL && strstr(spi_err_message(), "34 voxels"),
       "different grids are refused");
    d.n = N, d.step = 4;
    OK(spi_fsc_compute(&a, &d, &f) == SPI_EINVAL, "different steps are refused");
    spi_volume_clear(&a);
    spi_volume_clear(&b);
    spi_volume_clear(&c);
    spi_volume_clear(&d);
    return tap_done();
}
