/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/average.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/softmax.h"

enum {
    STEP = 2 * SPI_LANES,
    AT_ONCE = 32 /* images: their P stay in the second-level cache */
};

/* Floats from one harmonic of P to the next: not a multiple of 4 KB. */
enum { STRIDE = STEP * (AT_ONCE + 1) };

/* Floats of the harmonics of an image. */
static int64_t image_floats(const struct spi_average *a)
{
    return spi_panel_floats(&a->band) / SPI_LANES;
}

spi_err spi_average_init(struct spi_average *a, const struct spi_rings *rings, int R,
                         int Na, int64_t rows)
{
    spi_err err;

    *a = (struct spi_average){.rings = rings, .tiles = (rows + SPI_LANES - 1) / SPI_LANES};
    SPI_TRY(err = spi_band_init(&a->band, rings, R), fail);
    SPI_TRY(err = spi_angular_init(&a->angular, 1, Na), fail);
    return SPI_OK;
fail:
    spi_average_clear(a);
    return err;
}

void spi_average_clear(struct spi_average *a)
{
    spi_band_clear(&a->band);
    spi_angular_clear(&a->angular);
    *a = (struct spi_average){0};
}

int64_t spi_average_floats(const struct spi_average *a)
{
    return spi_sums_floats(&a->band);
}

spi_err spi_average_block_init(struct spi_average_block *b, const struct spi_average *a,
                               int images)
{
    spi_err err;

    *b = (struct spi_average_block){.a = a};
    SPI_TRY(err = SPI_NEW_UNSET(b->P, (int64_t)a->band.M * STRIDE, "averages"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(b->work, STEP * (int64_t)a->angular.Na, "averages"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(b->h, images * image_floats(a), "averages"), fail);
    return SPI_OK;
fail:
    spi_average_block_clear(b);
    return err;
}

void spi_average_block_clear(struct spi_average_block *b)
{
    free(b->P);
    free(b->work);
    free(b->h);
    *b = (struct spi_average_block){0};
}

/* From the order of rings to that of harmonics. */
void spi_average_image(struct spi_average_block *b, int i, const float complex *h)
{
    const struct spi_average *a = b->a;
    float *to = b->h + i * image_floats(a);

    for (int m = 0; m < a->band.M; m++)
        for (int r = a->band.first[m]; r < a->band.R; r++, to += 2)
            memcpy(to, h + a->rings->h_at[r] + m, sizeof *h);
}

/* n <= AT_ONCE images and one tile. */
static void add_tile(const struct spi_average_block *b, int n, const float *h,
                     const float *phi, const uint16_t *q, const float *scale, float *sum)
{
    const struct spi_average *a = b->a;
    const struct spi_lanes *kernel = spi_lanes_best();
    const float *image[AT_ONCE];
    float fluence[AT_ONCE];
    int have = 0;

    for (int i = 0; i < n; i++) {
        if (spi_max(SPI_LANES, scale + i * SPI_LANES) == 0)
            continue;
        kernel->spectrum(&a->angular, a->band.M, q + (int64_t)i * a->angular.Na * SPI_LANES,
                         scale + i * SPI_LANES, b->work, b->P + have * STEP, STRIDE);
        image[have] = h + i * image_floats(a);
        fluence[have++] = phi[i];
    }
    if (have)
        kernel->gather(&a->band, have, b->P, STRIDE, image, fluence, sum);
}

void spi_average_add(const struct spi_average_block *b, int n, const float *phi,
                     const uint16_t *q, const float *scale, float *sum)
{
    const struct spi_average *a = b->a;
    int64_t weights = (int64_t)a->angular.Na * SPI_LANES;

    for (int64_t t = 0; t < a->tiles; t++)
        for (int i = 0; i < n; i += AT_ONCE)
            add_tile(b, n - i < AT_ONCE ? n - i : AT_ONCE, b->h + i * image_floats(a),
                     phi + i, q + (t * n + i) * weights, scale + (t * n + i) * SPI_LANES,
                     sum + t * spi_sums_floats(&a->band));
}

void spi_average_get(const struct spi_average *a, const float *sum, int64_t row,
                     float complex *num, float complex *Hhat)
{
    const float *at = sum + row / SPI_LANES * spi_sums_floats(&a->band) + row % SPI_LANES;

    for (int m = 0; m < a->band.M; m++, at += STEP) {
        for (int r = a->band.first[m]; r < a->band.R; r++, at += STEP)
            num[a->rings->h_at[r] + m] = CMPLXF(at[0], at[SPI_LANES]);
        Hhat[m] = CMPLXF(at[0], at[SPI_LANES]);
    }
}
