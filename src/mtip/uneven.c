/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/uneven.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ring/pixel_rings.h"

enum { NEAR = 1, AROUND = 2 }; /* pixels to each side: of the mean, of the energies */
static const double sigmas_least = 6, amplitude_least = 0.05;

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* ---- rings -------------------------------------------------------------------------- */

/* out = value - its ring's mean. */
static spi_err less_rings(const struct spi_detector *det, const float *value, float *out)
{
    struct spi_pixel_rings f;
    spi_err err = spi_pixel_rings_init(det, &f);

    if (!err) {
        spi_pixel_rings_of(det, value, &f);
        for (int64_t p = 0; p < det->n_pixels; p++)
            out[p] = det->bad[p]
                         ? 0
                         : value[p] - det->geometry[p] * (float)spi_pixel_rings_at(
                                                             &f, length(det->q + 3 * p));
    }
    spi_pixel_rings_clear(&f);
    return err;
}

spi_err spi_uneven_of(const struct spi_detector *det, const float *known, float *out)
{
    return less_rings(det, known, out);
}

spi_err spi_uneven_fill(const struct spi_detector *det, float *value)
{
    struct spi_pixel_rings f;
    spi_err err = spi_pixel_rings_init(det, &f);

    if (!err) {
        spi_pixel_rings_of(det, value, &f);
        for (int64_t p = 0; p < det->n_pixels; p++)
            if (det->bad[p])
                value[p] = det->geometry[p] *
                           (float)spi_pixel_rings_at(&f, length(det->q + 3 * p));
    }
    spi_pixel_rings_clear(&f);
    return err;
}

/* ---- pixels ------------------------------------------------------------------------- */

/* Sums over good pixels around p, within its panel. */
struct around {
    double n, a, b, ab, diff2; /* diff: half the difference of the parts */
};

static struct around look_around(const struct spi_detector *det, const float *const d[2],
                                 int64_t p, int reach)
{
    int64_t panel = (int64_t)det->ny * det->nx, base = p / panel * panel;
    int x0 = (int)(p % det->nx), y0 = (int)((p - base) / det->nx);
    struct around s = {0};

    for (int y = y0 - reach; y <= y0 + reach; y++)
        for (int x = x0 - reach; x <= x0 + reach; x++) {
            int64_t i = base + (int64_t)y * det->nx + x;
            double a, b;

            if (y < 0 || y >= det->ny || x < 0 || x >= det->nx || det->bad[i])
                continue;
            a = (double)d[0][i], b = (double)d[1][i];
            s.n += 1, s.a += a, s.b += b, s.ab += a * b;
            s.diff2 += (a - b) * (a - b) / 4;
        }
    return s;
}

/* (Q21): both parts show it, and it is more than a trifle. */
static bool is_there(const struct spi_detector *det, const float *const mean[2],
                     const float *const d[2], double q_from, double q_to)
{
    double both = 0, noise = 0, all = 0;

    for (int64_t p = 0; p < det->n_pixels; p++) {
        double q = length(det->q + 3 * p), a = (double)d[0][p], b = (double)d[1][p];

        if (det->bad[p] || q < q_from || q > q_to)
            continue;
        both += a * b;
        noise += a * a * b * b;
        all += (double)mean[0][p] * (double)mean[1][p];
    }
    return both > sigmas_least * sqrt(noise) &&
           both > amplitude_least * amplitude_least * all;
}

spi_err spi_uneven_find(const struct spi_detector *det, const float *const mean[2],
                        const double share[2], double q_from, double q_to, float *out,
                        bool *found)
{
    double w0 = share[0] / (share[0] + share[1]), w1 = 1 - w0;
    float *d[2] = {NULL, NULL}, *seen = NULL;
    spi_err err;

    *found = false;
    for (int k = 0; k < 2; k++) {
        SPI_TRY(err = SPI_NEW(d[k], det->n_pixels, "background"), out);
        SPI_TRY(err = less_rings(det, mean[k], d[k]), out);
    }
    *found = is_there(det, mean, (const float *const[2]){d[0], d[1]}, q_from, q_to);
    if (!*found)
        goto out;
    SPI_TRY(err = SPI_NEW(seen, det->n_pixels, "background"), out);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        const float *const parts[2] = {d[0], d[1]};
        struct around near, far;
        double energy, noise;

        if (det->bad[p])
            continue;
        near = look_around(det, parts, p, NEAR);
        far = look_around(det, parts, p, AROUND);
        energy = fmax(0, far.ab / far.n);
        noise = far.diff2 / far.n / near.n;
        if (energy > 0)
            seen[p] =
                (float)((w0 * near.a + w1 * near.b) / near.n * energy / (energy + noise));
    }
    err = less_rings(det, seen, out);
out:
    free(d[0]);
    free(d[1]);
    free(seen);
    return err;
}
