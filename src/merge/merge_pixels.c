/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/merge_pixels.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parallel.h"

enum { GROUP = 256 }; /* images at once: their points share bricks of the grid */

/* (w b, w) of an image. */
static void find_values(const struct spi_pixel_list *l, const float *image, float fluence,
                        float (*value)[2])
{
    for (int64_t p = 0; p < l->n; p++) {
        float w = l->kappa[p] * fluence * l->geometry[p];
        bool weighs = w > 0;

        value[p][0] = weighs ? l->kappa[p] * image[l->pixel[p]] : 0;
        value[p][1] = weighs ? w : 0;
    }
}

static void add_weight(const struct spi_pixel_list *l, const float (*value)[2],
                       double *weight)
{
    double sum = *weight;

    for (int64_t p = 0; p < l->n; p++)
        sum += (double)value[p][1];
    *weight = sum;
}

static void add_norm2(const struct spi_pixel_list *l, const float *image, float fluence,
                      const float (*value)[2], double *norm2)
{
    double sum = *norm2;

    for (int64_t p = 0; p < l->n; p++)
        if (value[p][1] > 0)
            sum += (double)value[p][0] * (double)image[l->pixel[p]] /
                   (double)(fluence * l->geometry[p]);
    *norm2 = sum;
}

void spi_merge_pixels_weigh(const struct spi_pixel_list *l, const float *image,
                            float fluence, float (*value)[2], double *weight, double *norm2)
{
    find_values(l, image, fluence, value);
    add_weight(l, (const float(*)[2])value, weight);
    add_norm2(l, image, fluence, (const float(*)[2])value, norm2);
}

/* A group of images: the values of each, then the two sums over all, one after another. */
struct group {
    const struct spi_pixel_list *l;
    int64_t n, n_pixels;
    const float *images, *fluence; /* fluence: NULL: 1 */
    float (*val)[2];               /* [n][l->n] */
    double *weight, *norm2;
};

static float fluence_of(const struct group *g, int64_t i)
{
    return g->fluence ? g->fluence[i] : 1;
}

static void weigh_item(void *ctx, int rank, int64_t item)
{
    const struct group *g = ctx;
    const struct spi_pixel_list *l = g->l;

    (void)rank;
    if (item < g->n) {
        find_values(l, g->images + item * g->n_pixels, fluence_of(g, item),
                    g->val + item * l->n);
        return;
    }
    for (int64_t i = 0; i < g->n; i++) {
        const float(*value)[2] = (const float(*)[2])(g->val + i * l->n);

        if (item == g->n)
            add_weight(l, value, g->weight);
        else
            add_norm2(l, g->images + i * g->n_pixels, fluence_of(g, i), value, g->norm2);
    }
}

spi_err spi_merge_pixels(const struct spi_pixel_list *l, const spi_points *points,
                         int64_t n, int64_t n_pixels, const float *images,
                         const double (*quat)[4], const float *fluence, int threads,
                         float *grid2, double *weight, double *norm2)
{
    double M[GROUP][9], sum = 0, sum2 = 0;
    float(*val)[2] = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW_UNSET(val, (n < GROUP ? n : GROUP) * l->n, "merge"), out);
    for (int64_t k0 = 0; k0 < n; k0 += GROUP) {
        struct group g = {.l = l,
                          .n = n - k0 < GROUP ? n - k0 : GROUP,
                          .n_pixels = n_pixels,
                          .images = images + k0 * n_pixels,
                          .fluence = fluence ? fluence + k0 : NULL,
                          .val = val,
                          .weight = &sum,
                          .norm2 = &sum2};
        const int64_t first[] = {0, g.n, g.n + 2};

        spi_parallel_phases(threads, 2, first, weigh_item, &g);
        spi_pixel_rotations(g.n, quat + k0, M);
        SPI_TRY(err = spi_nufft_spread(points, grid2, g.n, (const double(*)[9])M,
                                       (const float(*)[2])val),
                out);
    }
    *weight += sum;
    *norm2 += sum2;
out:
    free(val);
    return err;
}
