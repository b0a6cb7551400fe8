/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/merge_pixels.h"

#include <stdlib.h>

#include "base/mem.h"

enum { GROUP = 256 }; /* images at once: their points share bricks of the grid */

void spi_merge_pixels_weigh(const struct spi_pixel_list *l, const float *image,
                            float fluence, float (*value)[2], double *weight, double *norm2)
{
    for (int64_t p = 0; p < l->n; p++) {
        float K = image[l->pixel[p]], w = l->kappa[p] * fluence * l->geometry[p];

        value[p][0] = value[p][1] = 0;
        if (!(w > 0))
            continue;
        value[p][0] = l->kappa[p] * K;
        value[p][1] = w;
        *weight += (double)w;
        *norm2 += (double)value[p][0] * (double)K / (double)(fluence * l->geometry[p]);
    }
}

spi_err spi_merge_pixels(const struct spi_pixel_list *l, int64_t n, int64_t n_pixels,
                         const float *images, const double (*quat)[4], const float *fluence,
                         const spi_nufft *plan, float *grid2, double *weight, double *norm2)
{
    spi_points *points = NULL;
    double M[GROUP][9], sum = 0, sum2 = 0;
    float(*val)[2] = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(val, GROUP * l->n, "merge"), out);
    SPI_TRY(err = spi_points_new(plan, l->n, (const float(*)[3])l->q, &points), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        int64_t m = n - k0 < GROUP ? n - k0 : GROUP;

        for (int64_t i = 0; i < m; i++)
            spi_merge_pixels_weigh(l, images + (k0 + i) * n_pixels,
                                   fluence ? fluence[k0 + i] : 1, val + i * l->n, &sum,
                                   &sum2);
        spi_pixel_rotations(m, quat + k0, M);
        SPI_TRY(err = spi_nufft_spread(points, grid2, m, (const double(*)[9])M,
                                       (const float(*)[2])val),
                out);
    }
    *weight += sum;
    *norm2 += sum2;
out:
    spi_points_free(points);
    free(val);
    return err;
}
