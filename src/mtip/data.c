/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/f16.h"

enum { BLOCK = 256, PARTIALS = 4 };
enum { MEMORY_SHARE = 3 }; /* of the memory that is free a third may hold records */
static const double typical_counts = 1e5;

/* One block on its way: pixels -> records. */
struct block {
    struct spi_data *d;
    float *pixels;                  /* [BLOCK][n_pixels] */
    float *samples;                 /* [samples] */
    float complex *h;               /* [harmonics] */
    char *records;                  /* [BLOCK], as they are stored */
    double *sum, *sum2, *pixel_sum; /* per ring, per ring, per pixel: of this partial */
    struct look *look;
    struct spi_region *region;
};

/* What is noted of each image on the way. */
struct look {
    const uint8_t *counted; /* [n_pixels] adds to the signal */
    double *signal;         /* [n_images] */
    uint64_t *hash;         /* [n_images] */
};

/* A record of H harmonics: the scale in as many bytes as keep vectors in cache lines, then
 * halves. */
enum { HEAD = 32 };

static size_t record_bytes(int H)
{
    return HEAD + 2 * (size_t)H * sizeof(uint16_t);
}

static void pack_record(int H, const float complex *h, char *record)
{
    float scale =
        spi_f16_pack(2 * (int64_t)H, (const float *)h, (uint16_t *)(void *)(record + HEAD));

    memcpy(record, &scale, sizeof scale);
}

struct ingest_args {
    int64_t first, n;
};

static void add_moments(const struct spi_data *d, double sign, const float *samples,
                        struct block *b)
{
    const struct spi_rings *g = &d->rings;

    for (int r = 0; r < g->R; r++) {
        double live = (double)crealf(d->map.live_h[g->h_at[r]]) / g->n[r];

        for (int i = g->at[r]; i < g->at[r + 1]; i++) {
            if ((double)d->map.live[i] < 0.2 * live)
                continue;

            double v = (double)samples[i] / (double)d->map.live[i];

            b->sum[r] += sign * v;
            b->sum2[r] += sign * v * v;
        }
    }
}

/* Add an image to the moments of a partial (sign 1), or take it out again (-1).  The image
 * becomes counts, `samples` hold it on the rings. */
static void add_image(const struct spi_data *d, double sign, float *image, struct block *b)
{
    for (int64_t p = 0; p < d->det->n_pixels; p++) {
        image[p] *= (float)d->scale;
        b->pixel_sum[p] += sign * (double)image[p];
    }
    spi_ring_resample(&d->map, &d->rings, image, b->samples);
    add_moments(d, sign, b->samples, b);
}

/* In the unit of the file, in photons where these are known. */
static double signal_of(const struct spi_data *d, const uint8_t *counted,
                        const float *image)
{
    double signal = 0;

    for (int64_t p = 0; p < d->det->n_pixels; p++)
        signal += counted[p] ? (double)image[p] : 0;
    return d->kind == SPI_PHOTONS ? signal * d->scale : signal;
}

static spi_err ingest_block(void *const *data, const void *arg, const volatile int *stop)
{
    struct block *b = data[0];
    const struct ingest_args *a = arg;
    struct spi_data *d = b->d;
    int64_t n_pixels = d->det->n_pixels;
    int H = d->rings.h_at[d->rings.R];
    spi_err err = spi_images_read(d->images, a->first, a->n, b->pixels);

    for (int64_t k = 0; k < a->n && !err; k++) {
        float *image = b->pixels + k * n_pixels;

        if (*stop)
            return spi_fail(SPI_ECANCEL, "stopped on request");
        b->look->hash[a->first + k] = spi_split_hash(n_pixels, image);
        b->look->signal[a->first + k] = signal_of(d, b->look->counted, image);
        add_image(d, 1, image, b);
        err = spi_ring_analyse(&d->rings, d->rings.R, b->samples, b->h);
        pack_record(H, b->h, b->records + (size_t)k * record_bytes(H));
    }
    return err ? err : spi_record_cache_write(d->records, a->first, a->n, b->records);
}

/* Images that stay aside add to no mean: they are taken out of the moments again. */
static spi_err take_out_block(void *const *data, const void *arg, const volatile int *stop)
{
    struct block *b = data[0];
    const struct ingest_args *a = arg;
    const struct spi_data *d = b->d;

    for (int64_t k = a->first; k < a->first + a->n; k++) {
        spi_err err;

        if (d->split.aside[k] == SPI_ASIDE_NO)
            continue;
        if (*stop)
            return spi_fail(SPI_ECANCEL, "stopped on request");
        if ((err = spi_images_read(d->images, k, 1, b->pixels)))
            return err;
        add_image(d, -1, b->pixels, b);
    }
    return SPI_OK;
}

static spi_err block_init(struct block *b, struct spi_data *d, struct spi_graph *g,
                          struct look *look)
{
    const struct spi_rings *r = &d->rings;
    spi_err err;

    *b = (struct block){.d = d, .look = look};
    SPI_TRY(err = SPI_NEW(b->pixels, BLOCK * d->det->n_pixels, "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->samples, r->at[r->R], "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->h, r->h_at[r->R], "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->records, BLOCK * record_bytes(r->h_at[r->R]), "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->sum, r->R, "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->sum2, r->R, "ingest"), out);
    SPI_TRY(err = SPI_NEW(b->pixel_sum, d->det->n_pixels, "ingest"), out);
    SPI_TRY(err = spi_region_new(g, b, sizeof *b, &b->region), out);
out:
    return err;
}

static void block_clear(struct block *b, struct spi_graph *g)
{
    spi_region_free(g, b->region);
    free(b->pixels);
    free(b->samples);
    free(b->h);
    free(b->records);
    free(b->sum);
    free(b->sum2);
    free(b->pixel_sum);
}

/* Moments of all partials -> ring means, variances, mean image. */
static spi_err summarise(struct spi_data *d, const struct block *partial)
{
    const struct spi_rings *g = &d->rings;
    double total = 0, n = (double)(d->split.n_half[0] + d->split.n_half[1]);

    for (int r = 0; r < g->R; r++) {
        double live = (double)crealf(d->map.live_h[g->h_at[r]]) / g->n[r], sum = 0,
               sum2 = 0;
        double used = 0;

        for (int i = g->at[r]; i < g->at[r + 1]; i++)
            used += (double)d->map.live[i] >= 0.2 * live;
        for (int s = 0; s < PARTIALS; s++)
            sum += partial[s].sum[r], sum2 += partial[s].sum2[r];
        used = used > 0 ? used * n : 1;
        d->ring_mean[r] = sum / used;
        d->ring_var[r] = fmax(sum2 / used - d->ring_mean[r] * d->ring_mean[r], 0);
        total += d->ring_mean[r] * live * g->n[r];
    }
    for (int64_t p = 0; p < d->det->n_pixels; p++) {
        double sum = 0;

        for (int s = 0; s < PARTIALS; s++)
            sum += partial[s].pixel_sum[p];
        d->mean_image[p] = (float)(sum / n);
    }
    d->mean_counts = total;
    if (!(total > 0))
        return spi_fail(SPI_EFORMAT, "the images are all zero on the usable pixels");
    return SPI_OK;
}

/* Who takes part, in which half set. */
static spi_err split(struct spi_data *d, const struct spi_settings *set,
                     const struct look *look)
{
    double least = set->signal_min;
    spi_err err = SPI_OK;

    if (least < 0)
        err = spi_split_least(d->n_images, look->signal, d->kind == SPI_PHOTONS, &least);
    if (!err)
        err = spi_split_init(&d->split, d->n_images, look->signal, look->hash, least,
                             strcmp(set->halves, "blocks") == 0, (uint64_t)set->seed);
    if (err || d->split.n_half[0] + d->split.n_half[1] >= SPI_IMAGES_LEAST)
        return err;
    if (d->split.n_blank == d->n_images && !(least > 0))
        return spi_fail(SPI_EFORMAT, "the %lld images are all zero on the usable pixels",
                        (long long)d->n_images);
    return spi_fail(
        SPI_EFORMAT,
        "%lld of %lld images are left: %lld hold no signal on the usable pixels, "
        "%lld repeat an earlier image; a reconstruction needs at least %d",
        (long long)(d->split.n_half[0] + d->split.n_half[1]), (long long)d->n_images,
        (long long)d->split.n_blank, (long long)d->split.n_copies, SPI_IMAGES_LEAST);
}

/* fn over blocks of images, partials in turn. */
static spi_err each_block(const struct spi_data *d, struct spi_graph *g, spi_task_fn *fn,
                          const struct block *partial, spi_on_ingest *progress, void *user)
{
    spi_err err = SPI_OK;
    int turn = 0;

    for (int64_t first = 0; first < d->n_images; first += BLOCK, turn++) {
        struct ingest_args a = {first,
                                d->n_images - first < BLOCK ? d->n_images - first : BLOCK};
        struct spi_access access = {partial[turn % PARTIALS].region, SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(g, "ingest", fn, &a, sizeof a, 1, &access), out);
        if (turn % PARTIALS == PARTIALS - 1) { /* memory: PARTIALS blocks at once */
            SPI_TRY(err = spi_graph_wait(g), out);
            if (progress)
                progress(first + a.n, d->n_images, user);
        }
    }
    err = spi_graph_wait(g);
out:
    return err;
}

/* Pixels that add to an image's signal: good ones up to the last ring. */
static void choose_counted(const struct spi_data *d, uint8_t *counted)
{
    double top = d->rings.q[d->rings.R - 1];

    for (int64_t p = 0; p < d->det->n_pixels; p++) {
        const double *q = d->det->q + 3 * p;

        counted[p] =
            !d->det->bad[p] && sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) <= top;
    }
}

static spi_err ingest(struct spi_data *d, struct spi_graph *g,
                      const struct spi_settings *set, spi_on_ingest *progress, void *user)
{
    struct block partial[PARTIALS] = {0};
    struct look look = {0};
    uint8_t *counted = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(counted, d->det->n_pixels, "ingest"), out);
    SPI_TRY(err = SPI_NEW(look.signal, d->n_images, "ingest"), out);
    SPI_TRY(err = SPI_NEW(look.hash, d->n_images, "ingest"), out);
    choose_counted(d, counted);
    look.counted = counted;
    for (int s = 0; s < PARTIALS; s++)
        SPI_TRY(err = block_init(partial + s, d, g, &look), out);
    SPI_TRY(err = each_block(d, g, ingest_block, partial, progress, user), out);
    SPI_TRY(err = split(d, set, &look), out);
    if (d->split.n_blank + d->split.n_copies > 0)
        SPI_TRY(err = each_block(d, g, take_out_block, partial, NULL, NULL), out);
    SPI_TRY(err = summarise(d, partial), out);
out:
    if (err)
        (void)!spi_graph_wait(g);
    for (int s = 0; s < PARTIALS; s++)
        block_clear(partial + s, g);
    free(counted);
    free(look.signal);
    free(look.hash);
    return err;
}

/* Scale of analogue data from images drawn from all of the file; photons are taken as they
 * are. */
static spi_err find_scale(struct spi_data *d, double gain)
{
    enum { DRAWN = 100 };
    struct spi_rng rng = spi_rng_stream(0, SPI_RNG_SAMPLE, 1);
    int64_t n_pixels = d->det->n_pixels, n = 0;
    float *pixels = NULL;
    double sum = 0;
    spi_err err;

    d->scale = gain > 0 ? 1 / gain : 1;
    if (d->kind == SPI_PHOTONS)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(pixels, n_pixels, "ingest"), out);
    for (int i = 0; i < DRAWN; i++) {
        int64_t k = (int64_t)(spi_rng_uniform(&rng) * (double)d->n_images);
        double one = 0;

        SPI_TRY(err = spi_images_read(d->images, k, 1, pixels), out);
        for (int64_t u = 0; u < d->map.n_used; u++)
            one += (double)pixels[d->map.pixel[u]];
        sum += one;
        n += one > 0;
    }
    if (sum > 0 && isfinite(sum))
        d->scale = typical_counts * (double)n / sum;
    else
        err = spi_fail(SPI_EFORMAT,
                       "%d images drawn from %lld are all zero on the usable pixels; are "
                       "these the images of a particle?",
                       DRAWN, (long long)d->n_images);
out:
    free(pixels);
    return err;
}

spi_err spi_data_init(struct spi_data *d, struct spi_graph *g, struct spi_images *images,
                      double gain, double diameter_A, double q_min, double q_max,
                      const struct spi_settings *set, const char *dir,
                      spi_on_ingest *progress, void *user)
{
    spi_err err;
    char path[4096];

    *d = (struct spi_data){.images = images,
                           .n_images = spi_images_count(images),
                           .kind = gain > 0 ? SPI_PHOTONS : spi_images_kind(images),
                           .det = spi_images_detector(images)};
    if (d->n_images < SPI_IMAGES_LEAST)
        return spi_fail(SPI_EFORMAT, "%lld images; a reconstruction needs at least %d",
                        (long long)d->n_images, SPI_IMAGES_LEAST);
    SPI_TRY(err = spi_rings_init(&d->rings, diameter_A, d->det->wavelength_A, q_min, q_max,
                                 set->ring_oversampling),
            fail);
    SPI_TRY(err = spi_ring_map_init(&d->map, &d->rings, d->det), fail);
    SPI_TRY(err = SPI_NEW(d->ring_mean, d->rings.R, "data"), fail);
    SPI_TRY(err = SPI_NEW(d->ring_var, d->rings.R, "data"), fail);
    SPI_TRY(err = SPI_NEW(d->mean_image, d->det->n_pixels, "data"), fail);
    SPI_TRY(err = find_scale(d, gain), fail);
    snprintf(path, sizeof path, "%s/rings.bin", dir);

    SPI_TRY(err = spi_record_cache_create(path, record_bytes(d->rings.h_at[d->rings.R]),
                                          d->n_images, spi_memory_bytes() / MEMORY_SHARE,
                                          &d->records),
            fail);
    SPI_TRY(err = ingest(d, g, set, progress, user), fail);
    SPI_TRY(err = spi_record_cache_finish(d->records), fail);
    return SPI_OK;
fail:
    spi_data_clear(d);
    return err;
}

void spi_data_clear(struct spi_data *d)
{
    spi_rings_clear(&d->rings);
    spi_ring_map_clear(&d->map);
    spi_record_cache_free(d->records);
    spi_split_clear(&d->split);
    free(d->ring_mean);
    free(d->ring_var);
    free(d->mean_image);
    *d = (struct spi_data){0};
}

void spi_data_inv_var(const struct spi_data *d, const struct spi_likelihood *like, int R,
                      float *inv_var)
{
    if (like->weighted)
        like->inv_var(R, d->ring_mean, d->ring_var, inv_var);
}

void spi_data_record(const struct spi_data *d, int64_t image, int R, float complex *h)
{
    const char *record = spi_record_cache_record(d->records, image);
    float scale;

    memcpy(&scale, record, sizeof scale);
    spi_f16_unpack(2 * (int64_t)d->rings.h_at[R],
                   (const uint16_t *)(const void *)(record + HEAD), scale, (float *)h);
}

void spi_data_ahead(const struct spi_data *d, int64_t image)
{
    const char *record = spi_record_cache_record(d->records, image);

    for (int i = 0; i < 4; i++)
        __builtin_prefetch(record + 64 * i);
}
