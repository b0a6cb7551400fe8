/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How half sets agree: between shells, and phases beside intensities. */
#include <math.h>

#include "base/rng.h"
#include "mtip/agreement.h"
#include "tap.h"

enum { SHELLS = 4, DRAWS = 40000 };
static double shell_q[SHELLS] = {0.02, 0.04, 0.06, 0.08};

/* FSC f and the intensities' correlation c of each shell; `own`: of the maps' intensities
 * with those from which they were phased, half 1, in all shells (half 2: 1). */
static double phased(const double c[SHELLS], const double f[SHELLS], double own)
{
    double cc[SHELLS], fsc[SHELLS], own1[SHELLS], own2[SHELLS];
    const double *const both[2] = {own1, own2};
    struct spi_agreement a = {
        .q_min = 0.01, .q_max = 0.09, .shells = {.n = SHELLS, .q = shell_q, .cc = cc}};
    struct spi_fsc curve = {.n_shells = SHELLS, .q = shell_q, .fsc = fsc};

    for (int i = 0; i < SHELLS; i++) {
        cc[i] = c[i];
        fsc[i] = f[i];
        own1[i] = own;
        own2[i] = 1;
    }
    return spi_agreement_phase_consistency(&a, &curve, both, INFINITY);
}

static void between_shells(void)
{
    double cc[SHELLS] = {1, 0.8, 0.6, 0.2};
    struct spi_agreement a = {
        .q_min = 0.01, .q_max = 0.09, .shells = {.n = SHELLS, .q = shell_q, .cc = cc}};
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

int main(void)
{
    between_shells();
    phases();
    what_noise_allows();
    return tap_done();
}
