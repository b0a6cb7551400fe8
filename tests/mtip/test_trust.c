/* What makes a result doubtful: too few sides, images it does not explain, half maps that
 * do not bear the resolution. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "math/rot.h"
#include "mtip/trust.h"
#include "tap.h"

enum { N = 2000 };
static const double D = 100, q_max = 0.1, lambda = 0.4; /* a cell of 0.05 rad, z = 0.02 */
static double quat[N][4];

static double covered(int n)
{
    struct spi_orientations o = {.n = n, .quat = quat[0]};
    double c = -1;

    if (spi_trust_covered(&o, D, q_max, lambda, &c))
        NOTE("%s", spi_err_message());
    return c;
}

/* View directions evenly within `cap` of the molecule's z. */
static void views(double cap)
{
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, 0);

    for (int k = 0; k < N; k++) {
        double z = 1 - spi_rng_uniform(&rng) * (1 - cos(cap));
        double a = 2 * SPI_PI * spi_rng_uniform(&rng), M[9], R[9];
        double n[3] = {sqrt(1 - z * z) * cos(a), sqrt(1 - z * z) * sin(a), z};

        spi_rot_view(n, 2 * SPI_PI * spi_rng_uniform(&rng), M);
        for (int i = 0; i < 9; i++)
            R[i] = M[i % 3 * 3 + i / 3];
        spi_rot_quat(R, quat[k]);
    }
}

static void directions(void)
{
    double one, band;

    views(SPI_PI);
    OK(covered(N) == 1, "views from all sides cross %.4f of the directions", covered(N));
    one = covered(1);
    /* two bands |u.n -+ z| <= cell / 2 that overlap but for 2 z: half-width cell / 2 + z */
    band = 0.025 + 0.02;
    OK(fabs(one - band) < 0.01, "one image: %.4f, %.4f expected", one, band);
    views(0.3);
    band = sin(0.3) + 0.045;
    OK(fabs(covered(N) - band) < 0.03, "views within 0.3 rad: %.3f, %.3f expected",
       covered(N), band);
    views(1e-3);
    OK(fabs(covered(N) - one) < 0.01, "all from one side: %.4f", covered(N));
}

static double resolution_A = 10;

static spi_err verdict(double cover, double even, double unexplained, double cc)
{
    struct spi_settings set;
    struct spi_trust t = {.images = 100,
                          .covered = cover,
                          .evenness = even,
                          .unexplained = unexplained,
                          .final_cc = cc,
                          .resolution_A = resolution_A,
                          .resolution05_A = 17,
                          .start_A = 30};

    spi_settings_default(&set);
    return spi_trust_verdict(&t, &set, q_max);
}

static void verdicts(void)
{
    OK(verdict(1, 1, 0.05, 0.95) == SPI_OK, "a good result stands");
    OK(verdict(0.3, 1, 0.05, 0.95) == SPI_ENOCONV &&
           strstr(spi_err_message(), "too few sides"),
       "%s", spi_err_message());
    OK(verdict(1, 0.4, 0.05, 0.95) == SPI_ENOCONV && strstr(spi_err_message(), "gather"),
       "%s", spi_err_message());
    OK(verdict(1, 1, 0.5, 0.95) == SPI_ENOCONV && strstr(spi_err_message(), "one particle"),
       "%s", spi_err_message());
    OK(verdict(1, 1, 0.05, 0.7) == SPI_ENOCONV && strstr(spi_err_message(), "17.0 A"), "%s",
       spi_err_message());
    OK(verdict(0.3, 1, 0.05, 0.7) == SPI_ENOCONV &&
           strstr(spi_err_message(), "too few sides") && strstr(spi_err_message(), "0.70"),
       "two things wrong: both are said");
    OK(verdict(1, 1, 0.05, (double)NAN) == SPI_ENOCONV, "a correlation that is no number");
}

static void phasing(void)
{
    resolution_A = 29;
    OK(verdict(1, 1, 0.05, 0.95) == SPI_OK, "half maps as good as the starts");
    resolution_A = 31;
    OK(verdict(1, 1, 0.05, 0.95) == SPI_ENOCONV &&
           strstr(spi_err_message(), "coarser than the starts"),
       "%s", spi_err_message());
    resolution_A = INFINITY;
    OK(verdict(1, 1, 0.05, 0.95) == SPI_ENOCONV, "half maps that never agree");
}

int main(void)
{
    directions();
    verdicts();
    phasing();
    return tap_done();
}
