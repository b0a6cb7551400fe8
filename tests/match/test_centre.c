/* SPDX-License-Identifier: GPL-3.0-or-later */
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

static bool smooth; /* the profile, as of a background */

/* A profile that falls and rises: a sphere's, of 100 A, with a floor. */
static double profile(double q)
{
    double x = 3.14159265 * q * 100,
           f = x < 1e-3 ? 1 : 3 * (sin(x) - x * cos(x)) / (x * x * x);

    return smooth ? 1 / (1 + pow(q / (8 * pixel), 2)) : f * f + 1e-3;
}

/* A place on the detector (x, y) -> q. */
static void onto_sphere(double wavelength, double q[3])
{
    double r = sqrt(1 + wavelength * wavelength * (q[0] * q[0] + q[1] * q[1]));

    q[0] /= r;
    q[1] /= r;
    q[2] = wavelength > 0 ? (1 / r - 1) / wavelength : 0;
}

/* Flat, across the beam; wavelength 0: q is the place itself. */
static spi_err detector(struct spi_detector *d, bool stop, double wavelength)
{
    spi_err err = spi_detector_init(d, 1, SIDE, SIDE);

    d->wavelength_A = wavelength;
    for (int p = 0; p < PIXELS && !err; p++) {
        d->q[3 * p] = pixel * (p % SIDE - (SIDE - 1) / 2.0);
        d->q[3 * p + 1] = pixel * (p / SIDE - (SIDE - 1) / 2.0);
        onto_sphere(wavelength, d->q + 3 * p);
        d->geometry[p] = (float)(1 - 0.004 * (p / SIDE)); /* known: no reason to shift */
        d->bad[p] = stop && hypot(d->q[3 * p], d->q[3 * p + 1]) < 4 * pixel;
    }
    return err;
}

/* |q| of a pixel when the beam is at (x, y), in pixels. */
static double q_at(const struct spi_detector *d, int p, double x, double y)
{
    double q[3] = {pixel * (p % SIDE - (SIDE - 1) / 2.0 - x),
                   pixel * (p / SIDE - (SIDE - 1) / 2.0 - y), 0};

    onto_sphere(d->wavelength_A, q);
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* photons per image, 0: none are drawn; x, y: where the beam is, pixels. */
static void make_sums(const struct spi_detector *d, double photons, double x, double y)
{
    double total = 0;

    for (int p = 0; p < PIXELS; p++)
        total += profile(q_at(d, p, 0, 0));
    for (int k = 0; k < PARTS; k++) {
        struct spi_rng r = spi_rng_stream(12, SPI_RNG_TEST, (uint64_t)k);

        for (int p = 0; p < PIXELS; p++) {
            double v = profile(q_at(d, p, x, y)) * (double)d->geometry[p] * IMAGES / PARTS;

            if (photons > 0)
                v = (double)spi_rng_poisson(&r, v * photons / total);
            sum[k * PIXELS + p] = d->bad[p] ? 0 : (float)v;
        }
    }
}

static void finds(double photons, bool stop, double wavelength, double x, double y)
{
    struct spi_detector d;
    struct spi_centre c;
    spi_err err = detector(&d, stop, wavelength);
    double far;
    bool want = hypot(x, y) > 0.25;

    make_sums(&d, photons, x, y);
    err = err ? err
              : spi_centre_estimate(&d, photons > 0 ? SPI_PHOTONS : SPI_INTENSITIES, IMAGES,
                                    PARTS, sum, &c);
    far = hypot(c.shift_px[0] - x, c.shift_px[1] - y);
    /* 0.1: the profile between rings is a straight line; and 4 standard errors */
    OK(!err && c.known && far < 0.1 + 4 * hypot(c.sigma_px[0], c.sigma_px[1]) &&
           spi_centre_is_off(&c) == want && c.agree &&
           fabs(c.shift_invA[0] - c.shift_px[0] * pixel) < 1e-9,
       "%g photons, beam stop %d, wavelength %g: %.2f %.2f px (+- %.2f %.2f), in truth "
       "%.1f %.1f: %s",
       photons, stop, wavelength, c.shift_px[0], c.shift_px[1], c.sigma_px[0],
       c.sigma_px[1], x, y, spi_centre_is_off(&c) ? "off" : "right");
    spi_detector_clear(&d);
}

enum fault { HOT, SHADOW, ARM, WEDGE, HALF_MOVED, FAULTS };

/* What the fault makes of pixel (x, y) from the beam. */
static double factor(const struct spi_detector *d, enum fault fault, int p)
{
    double x = p % SIDE - (SIDE - 1) / 2.0, y = p / SIDE - (SIDE - 1) / 2.0;

    switch (fault) {
    case HOT:
        return x > 4 && x < 6 && fabs(y) < 1 ? 100 : 1;
    case SHADOW:
        return x > 8 ? 0.7 : 1;
    case ARM:
        return x > 0 && fabs(y) < 9 ? 0.3 : 1;
    case WEDGE:
        return fabs(atan2(y, x)) < 0.7 ? 0.05 : 1;
    default: /* the right half by two pixels */
        return x > 0 ? profile(q_at(d, p, 2, 0)) / profile(q_at(d, p, 0, 0)) : 1;
    }
}

/* None is taken for a wrong centre: no shift makes the rings even. */
static void faults(enum fault fault)
{
    static const char *const name[FAULTS] = {"hot pixels", "a shadow", "an arm of the stop",
                                             "a wedge", "half out of place"};
    struct spi_detector d;
    struct spi_centre c = {0};
    spi_err err = detector(&d, false, 0);

    smooth = true;
    make_sums(&d, 1e4, 0, 0);
    for (int p = 0; p < PIXELS; p++)
        for (int k = 0; k < PARTS; k++)
            sum[k * PIXELS + p] *= (float)factor(&d, fault, p);
    smooth = false;
    err = err ? err : spi_centre_estimate(&d, SPI_PHOTONS, IMAGES, PARTS, sum, &c);
    OK(!err && c.known && (fault == HOT || spi_centre_is_off(&c)) &&
           !(spi_centre_is_off(&c) && c.agree),
       "%s: %.2f %.2f px, %s", name[fault], c.shift_px[0], c.shift_px[1],
       c.agree ? "a shift" : "no shift");
    spi_detector_clear(&d);
}

/* Half of the detector alone has no complete ring, so nothing is said. */
static void half(void)
{
    struct spi_detector d;
    struct spi_centre c = {.known = true};
    spi_err err = detector(&d, false, 0);

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
        finds(photons[i], false, 0, 0, 0);
        finds(photons[i], false, 0, 1, 0);
        finds(photons[i], true, 0, -1, 2);
        finds(photons[i], false, 20, 3, 2); /* the edge is 32 degrees from the beam */
    }
    finds(200, false, 0, 0, 0); /* few photons are no shift */
    for (int i = 0; i < FAULTS; i++)
        faults((enum fault)i);
    half();
    return tap_done();
}
