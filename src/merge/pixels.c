#include "merge/pixels.h"

#include <stdlib.h>

#include "base/mem.h"

enum { GROUP = 8 }; /* images at once: their points share bricks of the grid */

/* (w b, w) of one image; adds to the sums of w and w b^2. */
static void weigh(const struct spi_pixel_list *l, const float *image, float phi,
                  float (*val)[2], double *weight, double *norm2)
{
    for (int64_t p = 0; p < l->n; p++) {
        float K = image[l->pixel[p]], w = l->kappa[p] * phi * l->geometry[p];

        val[p][0] = val[p][1] = 0;
        if (!(w > 0))
            continue;
        val[p][0] = l->kappa[p] * K;
        val[p][1] = w;
        *weight += (double)w;
        *norm2 += (double)val[p][0] * (double)K / (double)(phi * l->geometry[p]);
    }
}

spi_err spi_pixels_merge(const struct spi_pixel_list *l, int64_t n, int64_t n_pixels,
                         const float *images, const double (*quat)[4], const float *fluence,
                         const spi_nufft *plan, float *grid2, double *weight, double *norm2)
{
    float(*u)[3] = NULL, (*val)[2] = NULL;
    double sum = 0, sum2 = 0, scale = spi_nufft_scale(plan);
    spi_err err;

    SPI_TRY(err = SPI_NEW(u, GROUP * l->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(val, GROUP * l->n, "merge"), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        int64_t m = n - k0 < GROUP ? n - k0 : GROUP;

        for (int64_t i = 0; i < m; i++) {
            spi_pixel_positions(l, quat[k0 + i], scale, u + i * l->n);
            weigh(l, images + (k0 + i) * n_pixels, fluence ? fluence[k0 + i] : 1,
                  val + i * l->n, &sum, &sum2);
        }
        SPI_TRY(err = spi_nufft_spread(plan, grid2, m * l->n, (const float(*)[3])u,
                                       (const float(*)[2])val),
                out);
    }
    *weight += sum;
    *norm2 += sum2;
out:
    free(u);
    free(val);
    return err;
}
