/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Coverage of view directions: even, clumped, from one side. */
#include <math.h>

#include "base/rng.h"
#include "math/rot.h"
#include "mtip/coverage.h"
#include "tap.h"

enum { N = 3000 };
static const double cell = 0.06; /* 3,491 Shannon cells: 58 % seen by 3,000 images */

static double quat[N][4];

/* The first n of: nothing, half a turn about x. */
static const double turns[2][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1},
                                   {1, 0, 0, 0, -1, 0, 0, 0, -1}};

static spi_err measure_modulo(int n, struct spi_coverage *c)
{
    const struct spi_orientations o = {.n = N, .quat = quat[0]};

    return spi_coverage_init(c, &o, n, turns, cell);
}

static spi_err measure(struct spi_coverage *c)
{
    return measure_modulo(1, c);
}

/* ---- directions that are crossed (Q11) ---------------------------------------------- */

static const double D = 100, q_max = 0.1, lambda = 0.4; /* a cell of 0.05 rad, z = 0.02 */

static double covered_modulo(int n_group, int n)
{
    struct spi_orientations o = {.n = n, .quat = quat[0]};
    double c = -1;

    if (spi_coverage_crossed(&o, n_group, turns, D, q_max, lambda, &c))
        NOTE("%s", spi_err_message());
    return c;
}

static double covered(int n)
{
    return covered_modulo(1, n);
}

/* View directions evenly within `cap` of an axis in the x-z plane, `tilt` from z. */
static void views(double cap, double tilt)
{
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, 0);

    for (int k = 0; k < N; k++) {
        double z = 1 - spi_rng_uniform(&rng) * (1 - cos(cap));
        double a = 2 * SPI_PI * spi_rng_uniform(&rng), M[9], R[9];
        double x = sqrt(1 - z * z) * cos(a), y = sqrt(1 - z * z) * sin(a);
        double n[3] = {x * cos(tilt) + z * sin(tilt), y, z * cos(tilt) - x * sin(tilt)};

        spi_rot_view(n, 2 * SPI_PI * spi_rng_uniform(&rng), M);
        for (int i = 0; i < 9; i++)
            R[i] = M[i % 3 * 3 + i / 3];
        spi_rot_quat(R, quat[k]);
    }
}

static void directions(void)
{
    double one, band;

    views(SPI_PI, 0);
    OK(covered(N) == 1, "views from all sides cross %.4f of the directions", covered(N));
    one = covered(1);
    /* two bands |u.n -+ z| <= cell / 2 that overlap but for 2 z: half-width cell / 2 + z */
    band = 0.025 + 0.02;
    OK(fabs(one - band) < 0.01, "one image: %.4f, %.4f expected", one, band);
    views(0.3, 0);
    band = sin(0.3) + 0.045;
    OK(fabs(covered(N) - band) < 0.03, "views within 0.3 rad: %.3f, %.3f expected",
       covered(N), band);
    views(1e-3, 0);
    OK(fabs(covered(N) - one) < 0.01, "all from one side: %.4f", covered(N));
    views(1e-3, SPI_PI / 4); /* the twofold axis shows the side at right angles as well */
    one = covered(N);
    band = covered_modulo(2, N);
    OK(fabs(band - 2 * one) < 0.01, "and from the side that a twofold axis adds: %.4f",
       band);
}

/* Images without an orientation are not counted. */
static void set_aside(void)
{
    struct spi_orientations o = {.n = N, .quat = quat[0]};
    struct spi_coverage all, some;
    uint8_t half[N];
    double c = 0;

    views(SPI_PI, 0);
    for (int k = 0; k < N; k++)
        half[k] = k < N / 2;
    o.half = half;
    OK(spi_coverage_init(&some, &o, 1, turns, cell) == SPI_OK, "half of the images");
    o.half = NULL;
    o.n = N / 2;
    OK(spi_coverage_init(&all, &o, 1, turns, cell) == SPI_OK && some.seen == all.seen &&
           some.expected == all.expected,
       "the others were set aside: %.4f seen", some.seen);
    o.n = N;
    o.half = half;
    half[0] = 0;
    for (int k = 0; k < N; k++)
        half[k] = k == 0;
    OK(spi_coverage_crossed(&o, 1, turns, D, q_max, lambda, &c) == SPI_OK && c < 0.06,
       "one image left: %.4f", c);
    spi_coverage_clear(&all);
    spi_coverage_clear(&some);
}

/* Turn R so that the view direction R^T z has z >= 0: half the sphere only. */
static void upper(double q[4])
{
    double R[9], half_turn[4] = {0, 1, 0, 0}, p[4];

    spi_rot_matrix(q, R);
    spi_quat_mul(half_turn, q, p); /* of the laboratory about x: z -> -z */
    for (int c = 0; c < 4 && R[8] < 0; c++)
        q[c] = p[c];
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(7, SPI_RNG_TEST, 0);
    struct spi_coverage c;

    for (int k = 0; k < N; k++)
        spi_rot_random(&rng, quat[k]);
    if (measure(&c)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    /* five standard deviations; the number of seen cells has less than sqrt(n / 4) */
    OK(fabs(c.chi2 - 1) < 5 * c.chi2_sigma, "random: chi2 %.3f, 1 +- %.3f", c.chi2,
       c.chi2_sigma);
    OK(fabs(c.ratio - 1) < 5 * sqrt(0.25 / (double)c.fine) / c.expected,
       "seen %.4f, expected %.4f", c.seen, c.expected);
    spi_coverage_clear(&c);

    for (int k = 0; k < N; k++)
        upper(quat[k]);
    OK(measure(&c) == SPI_OK, "half the sphere");
    /* the counts are 0 and 2 e: chi2 = e, some 10; 1 - exp(-2 r) of half, r = n / cells */
    OK(fabs(c.chi2 / (N / (double)c.patches.n) - 1) < 0.3 && c.chi2 > 1 + 5 * c.chi2_sigma,
       "chi2 %.2f",
       c.chi2); /* 0.3: chi2 of the full half adds its own 1 in 10, and noise */
    OK(fabs(c.seen - 0.5 * (1 - exp(-2.0 * N / (double)c.fine))) < 0.05, "seen %.3f",
       c.seen); /* five times sqrt(0.25 / 3491) */
    spi_coverage_clear(&c);

    OK(measure_modulo(2, &c) == SPI_OK && fabs(c.chi2 - 1) < 5 * c.chi2_sigma,
       "half the sphere of a particle with a twofold axis across: chi2 %.3f", c.chi2);
    spi_coverage_clear(&c);

    for (int k = 0; k < N; k++) /* one view, rotated in the plane */
        quat[k][0] = cos(0.001 * k), quat[k][1] = quat[k][2] = 0,
        quat[k][3] = sin(0.001 * k);
    OK(measure(&c) == SPI_OK && c.ratio < 0.001 && c.chi2 > 1000, "one view: ratio %.5f",
       c.ratio);
    spi_coverage_clear(&c);
    directions();
    set_aside();
    return tap_done();
}
