/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Detector geometry against the definitions, by hand and in other words than the code's. */
#include <math.h>
#include <string.h>

#include "sim/detector.h"
#include "tap.h"

static double length(const double *v)
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

/* Position on the detector plane at unit distance: k_out = q + z / lambda. */
static double plane(const struct spi_detector *d, int64_t p, int axis)
{
    const double *q = d->q + 3 * p;

    return q[axis] / (q[2] + 1 / d->wavelength_A);
}

static void ewald_and_edge(int ny, int nx, bool corner)
{
    struct spi_detector_options opt = {
        .ny = ny, .nx = nx, .energy_eV = 1600, .resolution_A = 12, .corner = corner};
    struct spi_detector d;
    double off = 0, edge_A, corner_A;

    if (spi_detector_make(&opt, &d)) {
        OK(false, "%s", spi_err_message());
        return;
    }
    for (int64_t p = 0; p < d.n_pixels; p++) {
        double len = length(d.q + 3 * p);

        off = fmax(off, fabs(d.q[3 * p + 2] + d.wavelength_A * len * len / 2) / len);
    }
    OK(off < 1e-15, /* a few roundings */ "%d x %d: q on the Ewald sphere to %.1e", ny, nx,
       off);

    /* the outer pixel edge is half a pixel beyond the last centre */
    int64_t last = d.n_pixels - 1;
    double pitch = plane(&d, last, 0) - plane(&d, last - 1, 0);
    double x = plane(&d, last, 0) + pitch / 2, y = plane(&d, last, 1) + pitch / 2;
    double r = corner ? hypot(x, y) : fmin(x, y);
    double q = 2 * sin(atan(r) / 2) / d.wavelength_A;

    OK(fabs(q * 12 - 1) < 1e-11, /* pitch is a difference of two numbers 100 times larger */
       "%d x %d: 1/|q| = %.10f A at the %s", ny, nx, 1 / q, corner ? "corner" : "edge");
    spi_detector_resolution(&d, &edge_A, &corner_A);
    OK(fabs((corner ? corner_A : edge_A) - 12) < 1e-10 && corner_A < edge_A,
       "spi_detector_resolution says %.6f and %.6f A", edge_A, corner_A);
    OK(fabs(plane(&d, 0, 0) + plane(&d, last, 0)) < 1e-14 &&
           fabs(plane(&d, 0, 1) + plane(&d, last, 1)) < 1e-14,
       "the beam is between the middle pixels");
    OK(d.index_map[2 * (nx + 3)] == 1 && d.index_map[2 * (nx + 3) + 1] == 3 &&
           d.q[3 * (nx + 3)] < 0,
       "x runs along a row");
    spi_detector_clear(&d);
}

/* 75 um pixels at 0.1 m, 8 keV: row 0 has y = -150 pixels in the middle of 301. */
static void by_hand(void)
{
    struct spi_detector_options opt = {
        .ny = 301, .nx = 301, .energy_eV = 8000, .pixel_size_m = 75e-6, .distance_m = 0.1};
    struct spi_detector d, plain;
    double lambda = 12.398419843320026 / 8, two_theta = atan(150 * 75e-6 / 0.1);

    NEED(!spi_detector_make(&opt, &d));
    OK(fabs(d.wavelength_A - lambda) < 1e-15, "wavelength %.6f A", d.wavelength_A);
    OK(fabs(length(d.q + 3 * 150) - 2 * sin(two_theta / 2) / lambda) < 1e-14,
       "|q| = 2 sin(theta) / lambda");
    OK(fabs((double)d.geometry[150] - pow(cos(two_theta), 3)) < 1e-7, /* a float */
       "vertical: no polarisation loss, cos^3 of solid angle");
    OK(fabs((double)d.geometry[150 * 301] - pow(cos(two_theta), 5)) < 1e-7,
       "horizontal: cos^2 more, the polarisation lies along x");
    OK(fabs((double)d.geometry[150 * 301 + 150] - 1) < 1e-7, "1 at the beam");
    OK(fabs(spi_detector_solid_angle(&d) / (75e-6 * 75e-6 / 0.01) - 1) < 1e-12,
       "solid angle of a pixel");
    opt.no_polarisation = true;
    if (spi_detector_make(&opt, &plain) == SPI_OK)
        OK(fabs((double)plain.geometry[150 * 301] - pow(cos(two_theta), 3)) < 1e-7,
           "polarisation off");
    spi_detector_clear(&plain);
    opt.no_solid_angle = true;
    if (spi_detector_make(&opt, &plain) == SPI_OK)
        OK(fabs((double)plain.geometry[150 * 301] - 1) < 1e-7, "both off");
    spi_detector_clear(&plain);
    spi_detector_clear(&d);
}

static void masks(void)
{
    uint8_t mask[12 * 10] = {0};
    struct spi_detector_options opt = {.ny = 12,
                                       .nx = 10,
                                       .energy_eV = 1600,
                                       .resolution_A = 12,
                                       .beam_stop_px = 1,
                                       .mask = mask};
    struct spi_detector d;
    int bad = 0;

    OK(spi_mask_rectangle("0:2,3:", 12, 10, mask) == SPI_OK &&
           spi_mask_rectangle(":,0:1", 12, 10, mask) == SPI_OK,
       "rectangles");
    NEED(!spi_detector_make(&opt, &d));
    for (int p = 0; p < 120; p++)
        bad += d.bad[p];
    /* 2 x 7, the first column of 12, and 4 pixels at 0.71 from the beam */
    OK(bad == 14 + 12 + 4 && d.bad[3] && !d.bad[2] && d.bad[10] && d.bad[5 * 10 + 4],
       "%d bad pixels", bad);

    double q_min, q_max;

    spi_detector_q_range(&d, &q_min, &q_max);
    OK(q_min > length(d.q + 3 * (5 * 10 + 4)) &&
           q_max <= length(d.q + 3 * 119) * (1 + 1e-12),
       "range of |q| of the usable pixels");
    spi_detector_clear(&d);
    opt.mask = NULL;
    opt.beam_stop_px = 0;
    opt.beam_stop_invA = (q_min + q_max) / 2;
    if (spi_detector_make(&opt, &d) == SPI_OK) {
        spi_detector_q_range(&d, &q_min, &q_max);
        OK(q_min >= opt.beam_stop_invA && d.bad[55] && !d.bad[0], "beam stop in 1/A");
    }
    spi_detector_clear(&d);

    static const char *const wrong[] = {"",         "1",        "1:2",      "1:2,3",
                                        "2:1,0:1",  "0:13,0:1", "0:1,0:1,", "a:b,c:d",
                                        "-1:2,0:1", "0:1 ,0:1"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        OK(spi_mask_rectangle(wrong[i], 12, 10, mask) == SPI_EUSAGE, "'%s' is refused",
           wrong[i]);
}

static void refused(void)
{
    static const struct {
        struct spi_detector_options opt;
        const char *says;
    } bad[] = {
        {{.ny = 1, .nx = 9, .energy_eV = 1e3, .resolution_A = 20}, "1 x 9 pixels"},
        {{.ny = 9, .nx = 9, .energy_eV = 1, .resolution_A = 20}, "energy 1 eV"},
        {{.ny = 9, .nx = 9, .energy_eV = 1e3, .resolution_A = 5}, "need at least 8.856 A"},
        {{.ny = 9, .nx = 9, .energy_eV = 1e3}, "need a resolution"},
        {{.ny = 9, .nx = 9, .energy_eV = 1e3, .resolution_A = 20, .distance_m = 1},
         "both given"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct spi_detector d;

        OK(spi_detector_make(&bad[i].opt, &d) == SPI_EINVAL &&
               strstr(spi_err_message(), bad[i].says),
           "%s", spi_err_message());
        spi_detector_clear(&d);
    }
}

int main(void)
{
    ewald_and_edge(128, 128, false);
    ewald_and_edge(128, 128, true);
    ewald_and_edge(64, 100, false);
    by_hand();
    masks();
    refused();
    return tap_done();
}
