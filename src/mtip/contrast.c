/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/contrast.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "match/misfit.h"

enum { BLOCK = 50, BLOCKS = 20 };
enum { WORK = 4 }; /* floats for each pixel of an image that is looked at */
static const double ball_qD = 2.5, sigmas_least = 4;

struct scene {
    struct spi_pixel_list pixels;
    struct spi_misfit_pairs pairs;
    const struct spi_likelihood *like; /* of the noise of such images */
    float *mean, *inv_var, *images;    /* inv_var NULL: not weighted */
    struct spi_misfit *one, *all;      /* [BLOCK][shells], [shells] */
    struct spi_rooms work;             /* WORK floats for each pixel */
    /* of the block in hand */
    const struct spi_data *d;
    int64_t first;
    struct spi_failure failure;
};

static void scene_clear(struct scene *s)
{
    spi_misfit_pairs_clear(&s->pairs);
    spi_pixel_list_clear(&s->pixels);
    free(s->mean);
    free(s->inv_var);
    spi_rooms_clear(&s->work);
    free(s->images);
    free(s->one);
    free(s->all);
}

static spi_err scene_init(const struct spi_data *d, double q_max, struct scene *s)
{
    const struct spi_rings *g = &d->rings;
    double cell = 1 / (2 * g->diameter_A),
           q_min = fmax(fmin(ball_qD / g->diameter_A, q_max - cell), g->q[0]);
    int R = spi_rings_upto(g, q_max);
    float *ring = NULL;
    spi_err err;

    *s = (struct scene){.like = spi_likelihood_of(d->kind), .d = d};
    SPI_TRY(err = spi_pixel_list_init(&s->pixels, d->det, q_min, q_max), out);
    SPI_TRY(err = spi_misfit_pairs_init(&s->pairs, &s->pixels, d->det, q_min, q_max,
                                        g->diameter_A),
            out);
    SPI_TRY(err = SPI_NEW(s->mean, s->pixels.n, "contrast"), out);
    SPI_TRY(err = spi_rooms_init(&s->work, SPI_THREADS_MAX,
                                 (size_t)(WORK * s->pixels.n) * sizeof(float), "contrast"),
            out);
    SPI_TRY(err = SPI_NEW(s->images, BLOCK * d->det->n_pixels, "contrast"), out);
    SPI_TRY(err = SPI_NEW(s->one, BLOCK * s->pairs.n_shells, "contrast"), out);
    SPI_TRY(err = SPI_NEW(s->all, s->pairs.n_shells, "contrast"), out);
    for (int64_t p = 0; p < s->pixels.n; p++) /* the mean image is as bright as an image */
        s->mean[p] = d->mean_image[s->pixels.pixel[p]] / s->pixels.geometry[p];
    if (s->like->weighted) {
        SPI_TRY(err = SPI_NEW(ring, R, "contrast"), out);
        SPI_TRY(err = SPI_NEW(s->inv_var, s->pixels.n, "contrast"), out);
        spi_data_inv_var(d, s->like, R, ring);
        spi_pixel_list_from_rings(&s->pixels, g, R, ring, s->inv_var);
    }
out:
    free(ring);
    return err;
}

/* An image of the block that takes part. */
static void look(void *ctx, int rank, int64_t k)
{
    struct scene *s = ctx;
    const float *image = s->images + k * s->d->det->n_pixels;
    float *K = spi_rooms_of(&s->work, rank);
    struct spi_outliers ignored = {0};

    if (!K)
        spi_failure_note(&s->failure, SPI_ENOMEM);
    if (!K || !spi_split_models(&s->d->split, s->first + k))
        return;
    for (int64_t p = 0; p < s->pixels.n; p++)
        K[p] = (float)(s->d->scale * (double)image[s->pixels.pixel[p]]);
    spi_misfit_image(&s->pairs, &s->pixels, s->like, K, s->mean, s->mean, s->inv_var,
                     s->first + k, K + s->pixels.n, s->one + k * s->pairs.n_shells,
                     &ignored);
}

static void summarise(const struct scene *s, struct spi_contrast *c)
{
    struct spi_misfit sum = spi_misfit_sum(c->n, s->all);

    for (int i = 0; i < c->n; i++) {
        c->q[i] = s->pairs.q[i];
        c->square[i] = s->all[i].even2 > 0 ? s->all[i].image2 / s->all[i].even2 : 0;
    }
    c->all = sum.even2 > 0 ? sum.image2 / sum.even2 : 0;
    c->sigma = sum.even2 > 0 ? sqrt(sum.variance) / sum.even2 : 0;
}

spi_err spi_contrast_measure(const struct spi_data *d, double q_max, struct spi_contrast *c)
{
    int64_t blocks = (d->n_images + BLOCK - 1) / BLOCK;
    struct scene s;
    spi_err err;

    *c = (struct spi_contrast){0};
    blocks = blocks < BLOCKS ? blocks : BLOCKS;
    SPI_TRY(err = scene_init(d, q_max, &s), out);
    c->n = s.pairs.n_shells;
    SPI_TRY(err = SPI_NEW(c->q, c->n, "contrast"), out);
    SPI_TRY(err = SPI_NEW(c->square, c->n, "contrast"), out);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = blocks < BLOCKS ? b * BLOCK : d->n_images * b / blocks,
                m = d->n_images - first < BLOCK ? d->n_images - first : BLOCK;

        SPI_TRY(err = spi_images_read(d->images, first, m, s.images), out);
        s.first = first;
        spi_parallel_for(SPI_THREADS_MAX, m, look, &s);
        SPI_TRY(err = spi_failure_end(&s.failure), out);
        for (int64_t k = 0; k < m; k++)
            if (spi_split_models(&d->split, first + k)) {
                c->n_images++;
                spi_misfit_add(c->n, s.one + k * c->n, s.all);
            }
    }
    summarise(&s, c);
out:
    scene_clear(&s);
    if (err)
        spi_contrast_clear(c);
    return err;
}

void spi_contrast_clear(struct spi_contrast *c)
{
    free(c->q);
    free(c->square);
    *c = (struct spi_contrast){0};
}

spi_err spi_contrast_check(const struct spi_contrast *c, double least)
{
    if (c->all >= least && c->all >= sigmas_least * c->sigma)
        return SPI_OK;
    return spi_fail(SPI_ENOCONV,
                    "no particle: beyond their mean the images differ from each other by "
                    "noise only (contrast^2 %.4f +- %.4f in %lld images, a particle alone "
                    "has about 1, need %.3f): empty shots, or a background that outshines "
                    "the particle tenfold",
                    c->all, c->sigma, (long long)c->n_images, least);
}
