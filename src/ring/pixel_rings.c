/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ring/pixel_rings.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

void spi_pixel_rings_clear(struct spi_pixel_rings *f)
{
    free(f->q);
    free(f->value);
    free(f->count);
    *f = (struct spi_pixel_rings){0};
}

/* The distance of neighbours in a row, where it is least. */
static double pixel_width(const struct spi_detector *det)
{
    double least = INFINITY;

    for (int64_t p = 0; p + 1 < det->n_pixels; p++) {
        const double *a = det->q + 3 * p, *b = a + 3;
        const double step[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]};

        if (p % det->nx != det->nx - 1 && !det->bad[p] && !det->bad[p + 1] &&
            length(step) > 0)
            least = fmin(least, length(step));
    }
    return least;
}

spi_err spi_pixel_rings_init(const struct spi_detector *det, struct spi_pixel_rings *f)
{
    double corner = spi_detector_q_corner(det), width = pixel_width(det);
    spi_err err;

    *f = (struct spi_pixel_rings){.width = isfinite(width) ? width : corner};
    f->n = (int)(corner / f->width) + 2;
    SPI_TRY(err = SPI_NEW(f->q, f->n, "background"), out);
    SPI_TRY(err = SPI_NEW(f->value, f->n, "background"), out);
    SPI_TRY(err = SPI_NEW(f->count, f->n, "background"), out);
out:
    if (err)
        spi_pixel_rings_clear(f);
    return err;
}

void spi_pixel_rings_of(const struct spi_detector *det, const float *value,
                        struct spi_pixel_rings *f)
{
    for (int k = 0; k < f->n; k++)
        f->q[k] = f->value[k] = f->count[k] = 0;
    for (int64_t p = 0; p < det->n_pixels; p++) {
        double q = length(det->q + 3 * p);
        int k = (int)(q / f->width);

        if (det->bad[p] || !(det->geometry[p] > 0))
            continue;
        f->q[k] += q;
        f->value[k] += (double)value[p] / (double)det->geometry[p];
        f->count[k] += 1;
    }
    for (int k = 0; k < f->n; k++)
        if (f->count[k] > 0) {
            f->q[k] /= f->count[k];
            f->value[k] /= f->count[k];
        }
}

/* Linear between the two rings that hold pixels and are nearest. */
double spi_pixel_rings_at(const struct spi_pixel_rings *f, double q)
{
    int k = (int)(q / f->width), lo, hi;

    for (lo = k < f->n ? k : f->n - 1; lo >= 0 && !(f->count[lo] > 0 && f->q[lo] <= q);)
        lo--;
    for (hi = k; hi < f->n && !(f->count[hi] > 0 && f->q[hi] > q);)
        hi++;
    if (lo < 0 || hi >= f->n)
        return lo < 0 && hi >= f->n ? 0 : f->value[lo < 0 ? hi : lo];
    return f->value[lo] +
           (f->value[hi] - f->value[lo]) * (q - f->q[lo]) / (f->q[hi] - f->q[lo]);
}
