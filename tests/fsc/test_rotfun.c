/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rotation function on its grid against the correlation of shells by direct quadrature,
 * and its peaks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blobs.h"
#include "fsc/rotfun.h"
#include "tap.h"

enum { N = 32, FINE = 3000 };

static const double D = 90, q_max = 4.0 / 90;

/* Correlation over one shell of a(q) with b(R^T q), by formulas on a fine Fibonacci grid.
 */
static double shell_correlation(const struct blobs *a, const struct blobs *b, double q,
                                const double R[9])
{
    double ma = 0, mb = 0, ab = 0, aa = 0, bb = 0;
    static double va[FINE], vb[FINE];

    for (int i = 0; i < FINE; i++) {
        double z = 1 - (2 * i + 1.0) / FINE, r = sqrt(1 - z * z),
               phi = 2.399963229728653 * i;
        double p[3] = {q * r * cos(phi), q * r * sin(phi), q * z}, Rp[3];

        spi_rot_apply_t(R, p, Rp);
        va[i] = blobs_intensity_at(a, p);
        vb[i] = blobs_intensity_at(b, Rp);
        ma += va[i] / FINE;
        mb += vb[i] / FINE;
    }
    for (int i = 0; i < FINE; i++) {
        ab += (va[i] - ma) * (vb[i] - mb);
        aa += (va[i] - ma) * (va[i] - ma);
        bb += (vb[i] - mb) * (vb[i] - mb);
    }
    return ab / sqrt(aa * bb);
}

static double literal(const struct blobs *a, const struct blobs *b, const double R[9])
{
    double sum = 0, total = 0;

    for (int k = 2; k <= 8; k++) { /* 1/D ... 4/D in steps of 1/(2D) */
        sum += k * k * shell_correlation(a, b, k / (2 * D), R);
        total += k * k;
    }
    return sum / total;
}

int main(void)
{
    struct blobs b = blobs_random(1, 30, 38, 4), a;
    struct spi_pose pose = random_pose(2, 0);
    struct spi_volume Wa, Wb;
    struct spi_spectrum sa, sb;
    struct spi_rotfun f;
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 4);
    double worst = 0, wrong = 0, R[4][9];
    int found;

    a = blobs_move(&b, &pose);
    if (blobs_intensity(&a, N, 1 / 230.0, &Wa) || blobs_intensity(&b, N, 1 / 230.0, &Wb) ||
        spi_spectrum_of_intensity(&Wa, q_max, &sa) ||
        spi_spectrum_of_intensity(&Wb, q_max, &sb) ||
        spi_rotfun_init(&sa, &sb, D, 1 / D, q_max, &f))
        return 1;
    for (int i = 0; i < 12; i++) {
        int ai = (int)spi_rng_below(&rng, (uint32_t)f.n),
            k = (int)spi_rng_below(&rng, (uint32_t)f.n);
        int j = (int)spi_rng_below(&rng, (uint32_t)f.n_beta);
        double E[9], T[9],
            c = (double)
                    f.c[((size_t)j * (size_t)f.n + (size_t)ai) * (size_t)f.n + (size_t)k];

        spi_rot_euler(2 * SPI_PI * ai / f.n, SPI_PI * (j + 0.5) / f.n_beta,
                      2 * SPI_PI * k / f.n, E);
        worst = fmax(worst, fabs(c - literal(&a, &b, E)));
        for (int m = 0; m < 9; m++)
            T[m] = E[3 * (m % 3) + m / 3];
        wrong = fmax(wrong, fabs(c - literal(&a, &b, T)));
    }
    /* 1e-3: the stated error of the spectra; the quadratures are exact to 1e-5 here */
    OK(worst < 1e-3, "on the grid: largest difference from the literal sum is %.1e", worst);
    OK(wrong > 0.05, "the inverse rotation is noticed: %.2f", wrong);

    if (spi_rotfun_peaks(&f, 0.7 / (2 * D * q_max), 4, R, &found))
        return 1;
    /* the truth is within half a grid step on each of three angles */
    OK(found == 4 && degrees_between(R[0], pose.R) < 0.87 * 360 / f.n,
       "the highest peak is %.2f degrees from the truth, grid %.2f",
       degrees_between(R[0], pose.R), 360.0 / f.n);
    OK(degrees_between(R[1], pose.R) > 5, "the second is another rotation");
    spi_rotfun_clear(&f);
    spi_spectrum_clear(&sa);
    spi_spectrum_clear(&sb);
    spi_volume_clear(&Wa);
    spi_volume_clear(&Wb);
    return tap_done();
}
