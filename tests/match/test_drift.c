/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a beam moves over a file, from what each image says: a line, a jump, noise alone. */
#include "match/drift.h"

#include <math.h>

#include "base/rng.h"
#include "tap.h"

enum { N = 400 };
static struct spi_drift_image images[N];

/* What images say whose beam is at `range` (part - 1/2) along x, or jumps by it, with errors
 * of `sigma` pixels; every fifth image of the file. */
static void make(double range, bool jump, double sigma)
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, 0);

    for (int i = 0; i < N; i++) {
        double part = jump ? (i < N / 3 ? 0 : 1) : (double)i / (N - 1);
        double x[2] = {range * (part - 0.5) + 7e-3, 0}, F = 1 / (sigma * sigma);
        double xy = 0.3 * F;
        struct spi_drift_image *d = &images[i];

        for (int c = 0; c < 2; c++)
            x[c] += sigma * spi_rng_normal(&rng);
        *d = (struct spi_drift_image){.image = 5 * i, .half = i % 2};
        d->centre.fisher[0] = d->centre.fisher[2] = F;
        d->centre.fisher[1] = xy;
        d->centre.gradient[0] = F * x[0] + xy * x[1];
        d->centre.gradient[1] = xy * x[0] + F * x[1];
    }
}

/* The errors of a block's place: sigma / sqrt(images of a block); of 40 blocks the worst is
 * within 4 of them but for 0.3 %. */
static void line(void)
{
    struct spi_drift d;
    double worst = 0, least = INFINITY, mean = 0;

    make(2, false, 0.08);
    spi_drift_find(N, images, &d);
    for (int b = 0; b < d.n; b++)
        mean += d.px[b][0] / d.n;
    for (int b = 0; b < d.n; b++) {
        double part = d.image[b] / 5 / (N - 1), want = 2 * (part - 0.5);

        worst = fmax(worst, hypot(d.px[b][0] - mean - want, d.px[b][1]));
        least = fmin(least, fabs(d.px[b][0]));
    }
    OK(d.n >= 20 && d.n <= SPI_DRIFT_BLOCKS, "%d blocks", d.n);
    OK(worst < 4 * d.sigma_px && d.sigma_px < 0.031, "a line: within %.3f, errors %.3f",
       worst, d.sigma_px);
    OK(fabs(d.range_px - 2) < 0.2 && d.gain > 100, "range %.2f pixels, gain %.0f",
       d.range_px, d.gain);
}

static void jump(void)
{
    struct spi_drift d;
    double before[2], after[2], beyond[2];

    make(1, true, 0.05);
    spi_drift_find(N, images, &d);
    spi_drift_at(&d, 50, before);
    spi_drift_at(&d, 5 * N - 50, after);
    spi_drift_at(&d, 500000, beyond);
    OK(fabs(after[0] - before[0] - 1) < 0.1 && fabs(after[1] - before[1]) < 0.1,
       "a jump of 1 pixel: %.3f, %.3f", after[0] - before[0], after[1] - before[1]);
    OK(fabs(beyond[0] - after[0]) < 0.2, "what lies beyond the blocks stays with the last");
}

static void nothing(void)
{
    struct spi_drift d;
    double px[2];

    make(0, false, 0.1);
    spi_drift_find(N, images, &d);
    OK(d.n > 1 && d.gain < 20, "noise alone gains %.1f", d.gain);
    spi_drift_find(10, images, &d);
    spi_drift_at(&d, 3, px);
    OK(d.n == 0 && px[0] == 0 && px[1] == 0, "of ten images nothing is said");
    make(2, false, 1);
    spi_drift_find(N, images, &d);
    OK(d.n == 0, "nor of images that say little");
}

int main(void)
{
    line();
    jump();
    nothing();
    return tap_done();
}
