/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/detector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"

enum { SIDE_MAX = 16384 };

double spi_wavelength_A(double energy_eV)
{
    return 12398.419843320026 / energy_eV; /* hc, exact in the SI of 2019 */
}

/* Pixel size over distance from the resolution, (S3). */
static spi_err scale_from_resolution(const struct spi_detector_options *opt, double lambda,
                                     double *pixel_over_distance)
{
    int least = opt->ny < opt->nx ? opt->ny : opt->nx;
    double half = opt->corner ? hypot(opt->ny, opt->nx) / 2 : least / 2.0;
    double s = lambda / (2 * opt->resolution_A);

    /* the detector is flat: 2 theta < 90 degrees; 0.7 leaves 2 theta = 88.9 degrees */
    if (!(opt->resolution_A > 0) || s > 0.7)
        return spi_fail(SPI_EINVAL,
                        "resolution %g A cannot be reached at wavelength %.4f A on a flat "
                        "detector; need at least %.4g A%s",
                        opt->resolution_A, lambda, lambda / 1.4,
                        opt->energy_eV < 100 ? " (is the energy in keV? it is taken in eV)"
                                             : "");
    *pixel_over_distance = tan(2 * asin(s)) / half;
    return SPI_OK;
}

static spi_err check(const struct spi_detector_options *opt)
{
    if (opt->ny < 2 || opt->nx < 2 || opt->ny > SIDE_MAX || opt->nx > SIDE_MAX)
        return spi_fail(SPI_EINVAL, "detector of %d x %d pixels; need 2..%d on a side",
                        opt->ny, opt->nx, SIDE_MAX);
    if (!(opt->energy_eV >= 10 && opt->energy_eV <= 1e6))
        return spi_fail(SPI_EINVAL, "photon energy %g eV; need 10..1e6", opt->energy_eV);
    for (int i = 0; i < 2; i++) {
        int n = i ? opt->nx : opt->ny, of = opt->panels[i] ? opt->panels[i] : 1;

        if (of < 1 || n % of != 0 || n / of < 2)
            return spi_fail(
                SPI_EINVAL,
                "%d %s of pixels make no %d panels of equal size, of two pixels "
                "at least",
                n, i ? "columns" : "rows", of);
    }
    if (opt->distance_m > 0 && opt->resolution_A > 0)
        return spi_fail(SPI_EINVAL, "resolution and distance both given; need one of them");
    if (opt->resolution_A <= 0 && !(opt->distance_m > 0 && opt->pixel_size_m > 0))
        return spi_fail(SPI_EINVAL, "need a resolution, or a pixel size and a distance");
    return SPI_OK;
}

static double length(const double v[3])
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

/* Everything of one pixel at (x, y) pixels from the beam; t = pixel size / distance. */
static void pixel(const struct spi_detector_options *opt, double lambda, double t, double x,
                  double y, double q[3], float *geometry)
{
    double r2 = 1 + t * t * (x * x + y * y), r = sqrt(r2), g = 1;

    q[0] = t * x / r / lambda;
    q[1] = t * y / r / lambda;
    /* 1/r - 1 loses digits near the beam; it is -(r^2 - 1) / (r (r + 1)) */
    q[2] = -t * t * (x * x + y * y) / (r * (r + 1)) / lambda;
    if (!opt->no_polarisation)
        g *= 1 - t * t * x * x / r2; /* (S4): sin^2(2 theta) cos^2(phi) = (x/r)^2 */
    if (!opt->no_solid_angle)
        g /= r2 * r; /* (S5): cos^3(2 theta) */
    *geometry = (float)g;
}

spi_err spi_detector_make(const struct spi_detector_options *opt, struct spi_detector *out)
{
    double lambda = spi_wavelength_A(opt->energy_eV), t = 0, size = opt->pixel_size_m;
    size_t n = (size_t)opt->ny * (size_t)opt->nx;
    spi_err err;

    memset(out, 0, sizeof *out);
    SPI_TRY(err = check(opt), fail);
    if (opt->resolution_A > 0) {
        SPI_TRY(err = scale_from_resolution(opt, lambda, &t), fail);
        out->distance_m = (size > 0 ? size : 100e-6) / t;
    } else {
        t = opt->pixel_size_m / opt->distance_m;
        out->distance_m = opt->distance_m;
    }
    if (opt->stretch > 0) {
        t /= opt->stretch;
        out->distance_m *= opt->stretch;
    }
    out->rows = opt->ny;
    out->columns = opt->nx;
    out->ny = opt->panels[0] ? opt->ny / opt->panels[0] : opt->ny;
    out->nx = opt->panels[1] ? opt->nx / opt->panels[1] : opt->nx;
    out->panels = (opt->ny / out->ny) * (opt->nx / out->nx);
    out->n_pixels = (int64_t)n;
    out->wavelength_A = lambda;
    SPI_TRY(err = SPI_NEW(out->q, 3 * n, "detector"), fail);
    SPI_TRY(err = SPI_NEW(out->geometry, n, "detector"), fail);
    SPI_TRY(err = SPI_NEW(out->bad, n, "detector"), fail);
    SPI_TRY(err = SPI_NEW(out->index_map, 2 * n, "detector"), fail);
    for (int i = 0; i < opt->ny; i++)
        for (int j = 0; j < opt->nx; j++) {
            int panel = i / out->ny * (opt->nx / out->nx) + j / out->nx;
            size_t at = ((size_t)panel * (size_t)out->ny + (size_t)(i % out->ny)) *
                            (size_t)out->nx +
                        (size_t)(j % out->nx);
            const double none[2] = {0, 0},
                         *off = opt->panel_px ? opt->panel_px[panel] : none;
            double x = j - (opt->nx - 1) / 2.0 - opt->centre_px[0] + off[0],
                   y = i - (opt->ny - 1) / 2.0 - opt->centre_px[1] + off[1];

            pixel(opt, lambda, t, x, y, out->q + 3 * at, out->geometry + at);
            out->bad[at] =
                hypot(x, y) < opt->beam_stop_px ||
                length(out->q + 3 * at) < opt->beam_stop_invA ||
                (opt->mask && opt->mask[(size_t)i * (size_t)opt->nx + (size_t)j]);
            out->index_map[2 * at] = i;
            out->index_map[2 * at + 1] = j;
        }
    return SPI_OK;
fail:
    spi_detector_clear(out);
    return err;
}

/* Pixel size over distance of a detector made here: from its first and last pixel. */
static double pixel_over_distance(const struct spi_detector *det)
{
    const double *first = det->q, *last = det->q + 3 * (det->n_pixels - 1);
    double d[2];

    for (int i = 0; i < 2; i++) /* 1 + lambda q_z = cos(2 theta) */
        d[i] = det->wavelength_A * (last[i] / (1 + det->wavelength_A * last[2]) -
                                    first[i] / (1 + det->wavelength_A * first[2]));
    return hypot(d[0], d[1]) / hypot(det->columns - 1, det->rows - 1);
}

double spi_detector_solid_angle(const struct spi_detector *det)
{
    double t = pixel_over_distance(det);

    return t * t;
}

void spi_detector_resolution(const struct spi_detector *det, double *edge_A,
                             double *corner_A)
{
    double t = pixel_over_distance(det);
    int least = det->rows < det->columns ? det->rows : det->columns;

    *edge_A = det->wavelength_A / (2 * sin(atan(t * least / 2) / 2));
    *corner_A =
        det->wavelength_A / (2 * sin(atan(t * hypot(det->rows, det->columns) / 2) / 2));
}

void spi_detector_q_range(const struct spi_detector *det, double *q_min, double *q_max)
{
    *q_min = INFINITY;
    *q_max = 0;
    for (int64_t p = 0; p < det->n_pixels; p++) {
        double q = length(det->q + 3 * p);

        if (det->bad[p])
            continue;
        *q_min = fmin(*q_min, q);
        *q_max = fmax(*q_max, q);
    }
}

/* "a:b" with empty ends; returns where it stopped, NULL if broken. */
static const char *range(const char *text, int n, int *first, int *end)
{
    char *stop;

    *first = 0;
    *end = n;
    if (*text != ':') {
        long v = strtol(text, &stop, 10);

        if (stop == text || *stop != ':' || v < 0 || v > n)
            return NULL;
        *first = (int)v;
        text = stop;
    }
    text++;
    if (*text && *text != ',') {
        long v = strtol(text, &stop, 10);

        if (stop == text || v < *first || v > n)
            return NULL;
        *end = (int)v;
        text = stop;
    }
    return text;
}

spi_err spi_mask_rectangle(const char *text, int ny, int nx, uint8_t *mask)
{
    int r0, r1, c0, c1;
    const char *rest = range(text, ny, &r0, &r1);

    rest = rest && *rest == ',' ? range(rest + 1, nx, &c0, &c1) : NULL;
    if (!rest || *rest)
        return spi_fail(
            SPI_EUSAGE,
            "'%s' is not a rectangle r0:r1,c0:c1 on a detector of %d rows and %d "
            "columns",
            text, ny, nx);
    for (int i = r0; i < r1; i++)
        memset(mask + (size_t)i * (size_t)nx + c0, 1, (size_t)(c1 - c0));
    return SPI_OK;
}
