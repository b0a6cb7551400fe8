/* Coverage of view directions: even, clumped, from one side. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rng.h"
#include "math/rot.h"
#include "mtip/coverage.h"
#include "tap.h"

enum { N = 3000 };
static const double cell = 0.06; /* 3,491 Shannon cells: 58 % seen by 3,000 images */

static double quat[N][4];

/* The first n of: nothing, half a turn about x. */
static spi_err measure_modulo(int n, struct spi_coverage *c)
{
    static const double turns[2][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1},
                                       {1, 0, 0, 0, -1, 0, 0, 0, -1}};
    const struct spi_orientations o = {.n = N, .quat = quat[0]};

    return spi_coverage_init(c, &o, n, turns, cell);
}

static spi_err measure(struct spi_coverage *c)
{
    return measure_modulo(1, c);
}

/* Turn R so that the view direction R^T z has z >= 0: half the sphere only. */
static void upper(double q[4])
{
    double R[9], half_turn[4] = {0, 1, 0, 0}, p[4];

    spi_rot_matrix(q, R);
    if (R[8] >= 0)
        return;
    spi_quat_mul(half_turn, q, p); /* of the laboratory about x: z -> -z */
    for (int c = 0; c < 4; c++)
        q[c] = p[c];
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(7, SPI_RNG_TEST, 0);
    struct spi_coverage c;
    char path[4096];
    const char *tmp = getenv("SPI_TEST_TMP");

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
    snprintf(path, sizeof path, "%s/coverage.%ld.png", tmp ? tmp : ".", (long)getpid());
    OK(spi_coverage_plot(&c, N, path) == SPI_OK && unlink(path) == 0, "a picture");
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

    for (int k = 0; k < N; k++) /* one view, turned in the plane */
        quat[k][0] = cos(0.001 * k), quat[k][1] = quat[k][2] = 0,
        quat[k][3] = sin(0.001 * k);
    OK(measure(&c) == SPI_OK && c.ratio < 0.001 && c.chi2 > 1000, "one view: ratio %.5f",
       c.ratio);
    spi_coverage_clear(&c);
    return tap_done();
}
