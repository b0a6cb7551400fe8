/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How wide a density is. */
#include <math.h>

#include "mtip/extent.h"
#include "tap.h"

enum { N = 24 };
static const double step = 5, sigma = 9;

/* Two bells `apart` (A) along u, in a box of N voxels. */
static spi_err two_bells(double apart, const double u[3], double scale,
                         struct spi_volume *v)
{
    spi_err err = spi_volume_init(v, N, step);

    for (int i = 0; i < N * N * N && !err; i++) {
        double x[3] = {(i % N - N / 2) * step, (i / N % N - N / 2) * step,
                       ((double)(i / N / N) - N / 2) * step};

        for (int side = -1; side <= 1; side += 2) {
            double r2 = 0;

            for (int k = 0; k < 3; k++)
                r2 += pow(x[k] - side * apart / 2 * u[k], 2);
            v->data[i] += (float)(scale * exp(-r2 / (2 * sigma * sigma)));
        }
    }
    return err;
}

static void is_wide(double apart, double ux, double uy, double uz, double scale)
{
    const double len = sqrt(ux * ux + uy * uy + uz * uz),
                 u[3] = {ux / len, uy / len, uz / len};
    /* a bell falls to 0.2 at sqrt(2 log 5) sigma; the other one adds nothing there */
    double want = apart + 2 * sqrt(2 * log(5)) * sigma, got = 0;
    struct spi_volume v = {0};
    spi_err err = two_bells(apart, u, scale, &v);

    err = err ? err : spi_density_extent(&v, &got);
    /* 96 points across the box, on both sides; 500 directions are 0.16 apart, so the
     * nearest one is within 0.1: cos 0.1 = 0.995 */
    OK(!err && got < want + 1e-3 && got > 0.995 * want - 2 * N * step / 96,
       "%.0f A apart along (%.0f, %.0f, %.0f): %.1f A wide, in truth %.1f", apart, ux, uy,
       uz, got, want);
    spi_volume_clear(&v);
}

int main(void)
{
    struct spi_volume none = {0};
    double got = 1;

    is_wide(60, 1, 0, 0, 1);
    is_wide(60, 0, 0, 1, 1e-6);
    is_wide(60, 1, 2, -1, 1e6);
    is_wide(45, -1, 1, 0, 1);
    OK(!spi_volume_init(&none, N, step) && !spi_density_extent(&none, &got) && got == 0,
       "nothing is %g A wide", got);
    spi_volume_clear(&none);
    return tap_done();
}
