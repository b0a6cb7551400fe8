/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "slice/slice_pixels.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { GROUP = 64 }; /* images at once */

spi_err spi_slice_pixels(const struct spi_pixel_list *l, int64_t n, int64_t n_pixels,
                         const double (*quat)[4], const float *fluence,
                         const spi_nufft *plan, const spi_packed *model, float *out)
{
    spi_points *points = NULL;
    double(*M)[9] = NULL;
    float *W = NULL;
    spi_err err;

    memset(out, 0, (size_t)(n * n_pixels) * sizeof *out);
    SPI_TRY(err = SPI_NEW(W, GROUP * l->n, "slice"), out);
    SPI_TRY(err = SPI_NEW(M, GROUP, "slice"), out);
    SPI_TRY(err = spi_points_new(plan, l->n, (const float(*)[3])l->q, &points), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        int64_t m = n - k0 < GROUP ? n - k0 : GROUP;

        spi_pixel_rotations(m, quat + k0, M);
        SPI_TRY(err = spi_packed_slice(points, model, m, (const double(*)[9])M, W), out);
        for (int64_t i = 0; i < m; i++) {
            float phi = fluence ? fluence[k0 + i] : 1;
            float *image = out + (k0 + i) * n_pixels;

            for (int64_t p = 0; p < l->n; p++)
                image[l->pixel[p]] = phi * l->geometry[p] * W[i * l->n + p];
        }
    }
out:
    spi_points_free(points);
    free(M);
    free(W);
    return err;
}
