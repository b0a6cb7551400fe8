#include "slice/pixels.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { GROUP = 64 }; /* images at once: their points share bricks of the grid */

spi_err spi_pixels_slice(const struct spi_pixel_list *l, int64_t n, int64_t n_pixels,
                         const double (*quat)[4], const float *fluence,
                         const spi_nufft *plan, const float *grid, float *out)
{
    float *W = NULL;
    spi_err err;

    memset(out, 0, (size_t)(n * n_pixels) * sizeof *out);
    SPI_TRY(err = SPI_NEW(W, GROUP * l->n, "slice"), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        int64_t m = n - k0 < GROUP ? n - k0 : GROUP;

        SPI_TRY(err = spi_pixel_values(l, m, quat + k0, plan, grid, W), out);
        for (int64_t i = 0; i < m; i++) {
            float phi = fluence ? fluence[k0 + i] : 1;
            float *image = out + (k0 + i) * n_pixels;

            for (int64_t p = 0; p < l->n; p++)
                image[l->pixel[p]] = phi * l->geometry[p] * W[i * l->n + p];
        }
    }
out:
    free(W);
    return err;
}
