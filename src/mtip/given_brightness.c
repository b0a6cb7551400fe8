/* SPDX-License-Identifier: GPL-3.0-or-later */
/* given_brightness.c, of mtip/given.h: how bright particle and background are in each image, beside the given
 * model at the image's orientation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "mtip/brightness.h"
#include "mtip/given.h"
#include "mtip/reference.h"

enum { CHUNKS = 64 };

struct look {
    struct spi_data *d;
    const struct spi_orientations *o;
    struct spi_reference model;
    struct spi_pixel_list list;
    int R;
    int32_t *ring;     /* [list.n] the nearest */
    double *b, *known; /* [R] counts of the background; no variance, for the speckles are
                        * those of the model */
    float *sigma_fluence, *sigma_glow, *fluence; /* [n_images] */
    struct spi_brightness_spread spread;
    struct spi_rooms pixels, sums; /* an image and its model; counts and model of rings */
    struct spi_failure failure;
};

static void look_clear(struct look *l)
{
    spi_reference_clear(&l->model);
    spi_pixel_list_clear(&l->list);
    spi_rooms_clear(&l->pixels);
    spi_rooms_clear(&l->sums);
    free(l->ring);
    free(l->b);
    free(l->known);
    free(l->fluence);
    free(l->sigma_fluence);
    free(l->sigma_glow);
}

static spi_err look_init(struct look *l, const struct spi_given *m,
                         const struct spi_orientations *o)
{
    struct spi_data *d = m->spec.data;
    const struct spi_rings *g = &d->rings;
    spi_err err;

    *l = (struct look){.d = d, .o = o, .R = spi_rings_upto(g, m->spec.q_max)};
    SPI_TRY(err = spi_reference_init(&l->model, d, m->spec.q_max, m->spec.set->nufft_tol,
                                     &m->A),
            out);
    SPI_TRY(err = spi_pixel_list_init(&l->list, d->det, g->q[0], g->q[l->R - 1]), out);
    SPI_TRY(err = SPI_NEW(l->ring, l->list.n, "background"), out);
    SPI_TRY(err = SPI_NEW(l->b, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->known, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->fluence, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(l->sigma_fluence, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(l->sigma_glow, d->n_images, "background"), out);
    SPI_TRY(err = spi_rooms_init(&l->pixels, SPI_THREADS_MAX,
                                 (size_t)(d->det->n_pixels + l->list.n) * sizeof(float),
                                 "background"),
            out);
    SPI_TRY(err = spi_rooms_init(&l->sums, SPI_THREADS_MAX,
                                 2 * (size_t)l->R * sizeof(double), "background"),
            out);
    for (int64_t p = 0; p < l->list.n; p++) {
        const float *q = l->list.q[p];
        double at = (sqrt((double)q[0] * (double)q[0] + (double)q[1] * (double)q[1] +
                          (double)q[2] * (double)q[2]) -
                     g->q[0]) /
                    (g->q[l->R - 1] - g->q[0]) * (l->R - 1);

        l->ring[p] = (int32_t)fmin(fmax(at + 0.5, 0), l->R - 1);
        l->b[l->ring[p]] += (double)d->even[l->list.pixel[p]];
    }
out:
    return err;
}

static spi_err one_image(struct look *l, int rank, int64_t k)
{
    struct spi_data *d = l->d;
    float *image = spi_rooms_of(&l->pixels, rank), *T;
    double *counts = spi_rooms_of(&l->sums, rank), *W;
    struct spi_brightness x;
    spi_err err;

    if (!image || !counts)
        return SPI_ENOMEM;
    T = image + d->det->n_pixels;
    W = counts + l->R;
    SPI_TRY(err = spi_images_read(d->images, k, 1, image), out);
    SPI_TRY(err =
                spi_pixel_list_values(&l->list, 1, (const double(*)[4])(l->o->quat + 4 * k),
                                      l->model.plan, l->model.grid, T),
            out);
    memset(counts, 0, 2 * (size_t)l->R * sizeof *counts);
    for (int64_t p = 0; p < l->list.n; p++) {
        int32_t at = l->list.pixel[p];

        counts[l->ring[p]] +=
            d->scale * (double)image[at] - (d->uneven ? (double)d->uneven[at] : 0);
        W[l->ring[p]] += (double)l->list.geometry[p] * (double)T[p] - (double)d->even[at];
    }
    for (int r = 0; r < l->R; r++)
        W[r] = fmax(W[r], 0);
    spi_brightness_fit(l->R, counts, W, l->b, l->known, &l->spread, &x);
    d->glow[k] = (float)x.glow;
    d->excess[k] = (float)(x.glow - x.fluence);
    l->fluence[k] = (float)x.fluence;
    l->sigma_fluence[k] = (float)x.sigma_fluence;
    l->sigma_glow[k] = (float)x.sigma_glow;
out:
    return err;
}

static void chunk(void *ctx, int rank, int64_t item)
{
    struct look *l = ctx;
    int64_t to = l->d->n_images * (item + 1) / CHUNKS;
    spi_err err = SPI_OK;

    for (int64_t k = l->d->n_images * item / CHUNKS; k < to && !err; k++)
        if (spi_orientations_has(l->o, k))
            err = one_image(l, rank, k);
        else
            l->sigma_fluence[k] = l->sigma_glow[k] = INFINITY;
    spi_failure_note(&l->failure, err);
}

static spi_err all_images(struct look *l, double fluence, double glow)
{
    l->spread = (struct spi_brightness_spread){fluence, glow};
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, chunk, l);
    return spi_failure_end(&l->failure);
}

spi_err spi_given_brightness(const struct spi_given *m, const struct spi_orientations *o)
{
    struct look l = {.R = 0};
    spi_err err;

    if (!m->spec.data->even)
        return SPI_OK;
    SPI_TRY(err = look_init(&l, m, o), out);
    SPI_TRY(err = all_images(&l, INFINITY, INFINITY), out);
    err = all_images(&l, spi_brightness_variance(l.d, l.fluence, l.sigma_fluence, true),
                     spi_brightness_variance(l.d, l.d->glow, l.sigma_glow, false));
out:
    look_clear(&l);
    return err;
}
