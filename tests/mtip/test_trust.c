/* What makes a result doubtful: too few sides, images it does not explain, half maps that
 * do not bear the resolution, phases that agree less than the intensities. */
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

/* ---- phases against intensities (Q12)
 * -------------------------------------------------- */

enum { SHELLS = 4, DRAWS = 40000 };
static double shell_q[SHELLS] = {0.02, 0.04, 0.06, 0.08};

/* FSC f and the intensities' correlation c of each shell; `own`: of the maps' intensities
 * with those from which they were phased, half 1, in all shells (half 2: 1). */
static double phased(const double c[SHELLS], const double f[SHELLS], double own)
{
    double cc[SHELLS], fsc[SHELLS], own1[SHELLS], own2[SHELLS];
    const double *const both[2] = {own1, own2};
    struct spi_agreement a = {
        .q_min = 0.01, .q_max = 0.09, .n = SHELLS, .q = shell_q, .cc = cc};
    struct spi_fsc curve = {.n_shells = SHELLS, .q = shell_q, .fsc = fsc};

    for (int i = 0; i < SHELLS; i++) {
        cc[i] = c[i];
        fsc[i] = f[i];
        own1[i] = own;
        own2[i] = 1;
    }
    return spi_trust_phased(&a, &curve, both);
}

static void between_shells(void)
{
    double cc[SHELLS] = {1, 0.8, 0.6, 0.2};
    struct spi_agreement a = {
        .q_min = 0.01, .q_max = 0.09, .n = SHELLS, .q = shell_q, .cc = cc};
    struct spi_agreement none = {.q_max = 1};
    static const double eps = 1e-12; /* a few roundings of double, 1e-16 each */

    OK(fabs(spi_agreement_at(&a, cc, 0.03) - 0.9) < eps &&
           spi_agreement_at(&a, cc, 0.06) == 0.6,
       "linear between shells");
    OK(spi_agreement_at(&a, cc, 0.0101) == 1 && spi_agreement_at(&a, cc, 0.0899) == 0.2,
       "beyond the first and the last shell these hold");
    OK(isnan(spi_agreement_at(&a, cc, 0.0099)) && isnan(spi_agreement_at(&a, cc, 0.0901)) &&
           isnan(spi_agreement_at(&none, cc, 0.03)),
       "outside what was measured, and without shells, nothing is known");
}

static void phases(void)
{
    static const double eps = 1e-12; /* a dozen roundings of double, 1e-16 each */
    static const double ones[] = {1, 1, 1, 1}, noisy[] = {0.81, 0.64, 0.49, 0.25},
                        root[] = {0.9, 0.8, 0.7, 0.5}, falls[] = {0.9, 0.5, 0.2, 0},
                        outer[] = {1, 1, 0.5, 0.5}, in[] = {1, 1, 0, 0},
                        out[] = {0, 0, 1, 1}, odd[] = {1, 1, 1, -0.5},
                        odd_f[] = {1, 1, 1, -1}, none[] = {-0.1, 0, -0.2, 0};
    double w = pow(0.5, 8), found;

    OK(fabs(phased(ones, ones, 1) - 1) < eps, "perfect halves: 1");
    OK(fabs(phased(ones, falls, 1) - 0.4) < eps,
       "perfect intensities, maps that do not agree: their mean");
    OK(fabs(phased(ones, ones, 0.3) - 0.3) < eps,
       "maps that agree, but not with their intensities");
    OK(fabs(phased(noisy, root, 1) - 1) < eps, "maps as noisy as their intensities: 1");
    found = phased(outer, in, 1);
    OK(fabs(found - 1 / (1 + w * sqrt(0.5))) < eps && found > 0.99,
       "noisy shells that the phases do not reach hardly count: %.4f", found);
    found = phased(outer, out, 1);
    OK(found < 0.01, "good shells with wrong phases do: %.4f", found);
    OK(phased(odd, odd_f, 1) == 1, "a shell without agreement is left out");
    OK(isnan(phased(none, ones, 1)), "no agreement anywhere: no number");
}

/* Two half maps F + n_1, F + n_2 of complex normal values: the FSC f and the correlation c
 * of their intensities, which (Q12) takes for f^2. */
static void noise(double sigma, double *f, double *c)
{
    struct spi_rng rng = spi_rng_stream(7, SPI_RNG_TEST, 0);
    double ab = 0, aa = 0, m[2] = {0}, v[3] = {0};

    for (int i = 0; i < DRAWS; i++) {
        double F[2], half[2][2], W[2];

        for (int k = 0; k < 2; k++) {
            F[k] = spi_rng_normal(&rng);
            for (int h = 0; h < 2; h++)
                half[h][k] = F[k] + sigma * spi_rng_normal(&rng);
        }
        for (int h = 0; h < 2; h++) {
            W[h] = half[h][0] * half[h][0] + half[h][1] * half[h][1];
            m[h] += W[h] / DRAWS;
            v[h] += W[h] * W[h] / DRAWS;
        }
        v[2] += W[0] * W[1] / DRAWS;
        ab += half[0][0] * half[1][0] + half[0][1] * half[1][1];
        aa += (W[0] + W[1]) / 2;
    }
    *f = ab / aa;
    *c = (v[2] - m[0] * m[1]) / sqrt((v[0] - m[0] * m[0]) * (v[1] - m[1] * m[1]));
}

static void what_noise_allows(void)
{
    static const double sigma[] = {0.1, 0.5, 1};

    for (int i = 0; i < 3; i++) {
        double f, c;

        noise(sigma[i], &f, &c);
        /* the standard error of a correlation is below 2 / sqrt(DRAWS), also of exponential
         * values; four of them */
        OK(fabs(f - 1 / (1 + sigma[i] * sigma[i])) < 4 * 2 / sqrt(DRAWS) &&
               fabs(sqrt(fmax(c, 0)) - f) < 4 * 2 / sqrt(DRAWS),
           "noise of %.1f: FSC %.4f, root of the intensities' correlation %.4f", sigma[i],
           f, sqrt(c));
    }
}

static double resolution_A = 10, phased_share = 1;

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
                          .start_A = 30,
                          .phased = phased_share,
                          .phase_rounds = 3};

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
    resolution_A = 10;
    phased_share = 0.81;
    OK(verdict(1, 1, 0.05, 0.95) == SPI_OK, "phases that agree to 0.81 stand");
    phased_share = 0.79;
    OK(verdict(1, 1, 0.05, 0.95) == SPI_ENOCONV &&
           strstr(spi_err_message(), "phases are wrong or unfinished"),
       "%s", spi_err_message());
    phased_share = (double)NAN;
    OK(verdict(1, 1, 0.05, 0.95) == SPI_ENOCONV, "an agreement that is no number");
    phased_share = 0.1;
    resolution_A = 31;
    OK(verdict(0.3, 0.4, 0.5, 0.7) == SPI_ENOCONV &&
           strstr(spi_err_message(), "coarser than the starts") &&
           strstr(spi_err_message(), "not in these orientations"),
       "all that can be wrong, first to last: %zu characters", strlen(spi_err_message()));
}

int main(void)
{
    directions();
    between_shells();
    phases();
    what_noise_allows();
    verdicts();
    phasing();
    return tap_done();
}
