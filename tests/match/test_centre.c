/* The origin of q from the odd part of the mean image. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "match/centre.h"
#include "tap.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, PARTS = 5, IMAGES = 500 };
static const double pixel = 1e-3;
static float sum[PARTS * PIXELS];

/* A profile that falls and rises: a sphere's, of 100 A, with a floor. */
static double profile(double q)
{
    double x = 3.14159265 * q * 100,
           f = x < 1e-3 ? 1 : 3 * (sin(x) - x * cos(x)) / (x * x * x);

    return f * f + 1e-3;
}

static spi_err detector(struct spi_detector *d, bool stop)
{
    spi_err err = spi_detector_init(d, 1, SIDE, SIDE);

    for (int p = 0; p < PIXELS && !err; p++) {
        d->q[3 * p] = pixel * (p % SIDE - (SIDE - 1) / 2.0);
        d->q[3 * p + 1] = pixel * (p / SIDE - (SIDE - 1) / 2.0);
        d->geometry[p] = (float)(1 - 0.004 * (p / SIDE)); /* known: no reason to shift */
        d->bad[p] = stop && hypot(d->q[3 * p], d->q[3 * p + 1]) < 4 * pixel;
    }
    return err;
}

/* photons per image, 0: none are drawn; x, y: where the beam is, pixels. */
static void make_sums(const struct spi_detector *d, double photons, double x, double y)
{
    double total = 0;

    for (int p = 0; p < PIXELS; p++)
        total += profile(hypot(d->q[3 * p], d->q[3 * p + 1]));
    for (int k = 0; k < PARTS; k++) {
        struct spi_rng r = spi_rng_stream(12, SPI_RNG_TEST, (uint64_t)k);

        for (int p = 0; p < PIXELS; p++) {
            double q = hypot(d->q[3 * p] - x * pixel, d->q[3 * p + 1] - y * pixel);
            double v = profile(q) * (double)d->geometry[p] * IMAGES / PARTS;

            if (photons > 0)
                v = (double)spi_rng_poisson(&r, v * photons / total);
            sum[k * PIXELS + p] = d->bad[p] ? 0 : (float)v;
        }
    }
}

static void finds(double photons, bool stop, double x, double y)
{
    struct spi_detector d;
    struct spi_centre c;
    spi_err err = detector(&d, stop);
    double far;
    bool want = hypot(x, y) > 0.25;

    make_sums(&d, photons, x, y);
    err = err ? err
              : spi_centre_estimate(&d, photons > 0 ? SPI_PHOTONS : SPI_INTENSITIES, IMAGES,
                                    PARTS, sum, &c);
    far = hypot(c.shift_px[0] - x, c.shift_px[1] - y);
    /* 0.1: the profile between rings is a straight line; and 4 standard errors */
    OK(!err && c.known && far < 0.1 + 4 * hypot(c.sigma_px[0], c.sigma_px[1]) &&
           spi_centre_is_off(&c) == want,
       "%g photons, beam stop %d: %.2f %.2f px (+- %.2f %.2f), in truth %.1f %.1f: %s",
       photons, stop, c.shift_px[0], c.shift_px[1], c.sigma_px[0], c.sigma_px[1], x, y,
       spi_centre_is_off(&c) ? "off" : "right");
    spi_detector_clear(&d);
}

/* Half of the detector alone has no complete ring, so nothing is said. */
static void half(void)
{
    struct spi_detector d;
    struct spi_centre c = {.known = true};
    spi_err err = detector(&d, false);

    for (int p = 0; p < PIXELS && !err; p++)
        d.bad[p] = p % SIDE < SIDE / 2;
    make_sums(&d, 1000, 0, 0);
    err = err ? err : spi_centre_estimate(&d, SPI_PHOTONS, IMAGES, PARTS, sum, &c);
    OK(!err && !c.known && !spi_centre_is_off(&c), "half of a detector: not known");
    spi_detector_clear(&d);
}

int main(void)
{
    static const double photons[] = {0, 1e4, 1e3};

    for (int i = 0; i < 3; i++) {
        finds(photons[i], false, 0, 0);
        finds(photons[i], false, 1, 0);
        finds(photons[i], true, -1, 2);
    }
    finds(200, false, 0, 0); /* few photons are no shift */
    half();
    return tap_done();
}
