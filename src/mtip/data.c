/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "io/survey.h"
#include "kernel/f16.h"
#include "kernel/pixels.h"
#include "match/kinds.h"
#include "mtip/uneven.h"
#include "ring/moments.h"

enum { BLOCK = 256, PARTIALS = 4, TURNS = 4 }; /* TURNS of all partials between two waits */
enum { MEMORY_SHARE = 3 }; /* of the memory that is free a third may hold records */

/* Sums over images, of one partial: per ring, per ring, per pixel. */
struct sums {
    double *sum, *sum2, *pixel_sum;
};

/* Scratch of a task: pixels -> ring samples -> harmonics -> records. */
struct scratch {
    float *pixels;      /* [images][n_pixels] */
    float *samples;     /* [images][samples] */
    char *records;      /* [images], as they are stored */
    struct spi_rooms h; /* harmonics */
    struct spi_rooms hits;
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
    const struct spi_data *d;
    const struct spi_hits *hits; /* NULL: nobody asks what the images show */
    const struct spi_kind_shells *shells;
    const uint8_t *counted; /* [n_pixels] adds to an image's signal */
    bool hashed;
    int64_t first, n;
};

/* In the unit of the file, in photons where these are known. */
static double signal_of(const struct spi_data *d, const uint8_t *counted,
                        const float *image)
{
    double signal = spi_pixels_sum(d->det->n_pixels, counted, image);

    return d->kind == SPI_PHOTONS ? signal * d->scale : signal;
}

static void scratch_clear(struct scratch *s)
{
    free(s->pixels);
    free(s->samples);
    spi_rooms_clear(&s->h);
    spi_rooms_clear(&s->hits);
    free(s->records);
}

static spi_err scratch_init(struct scratch *s, const struct spi_data *d,
                            const struct spi_hits *hits, int64_t images)
{
    const struct spi_rings *r = &d->rings;
    spi_err err;

    *s = (struct scratch){0};
    if (hits)
        SPI_TRY(err = spi_rooms_init(&s->hits, SPI_THREADS_MAX, spi_hits_work_bytes(hits),
                                     "ingest"),
                out);
    SPI_TRY(err = SPI_NEW_UNSET(s->pixels, images * d->det->n_pixels, "ingest"), out);
    SPI_TRY(err = SPI_NEW_UNSET(s->samples, images * r->at[r->R], "ingest"), out);
    SPI_TRY(err = spi_rooms_init(&s->h, SPI_THREADS_MAX,
                                 (size_t)r->h_at[r->R] * sizeof(float complex), "ingest"),
            out);
    SPI_TRY(
        err = SPI_NEW(s->records, images * (int64_t)record_bytes(r->h_at[r->R]), "ingest"),
        out);
out:
    return err;
}

static struct sums sums_of(const struct spi_data *d, const struct spi_view *rings,
                           const struct spi_view *pixels)
{
    double *sum = rings->data;

    return (struct sums){sum, sum + d->rings.R, pixels->data};
}

/* A block of images that has been read.  Items: each image becomes counts, ring samples and
 * a record; then the sums of each ring and of parts of the pixels take one image after
 * another, so that their bits do not depend on who adds. */
struct block {
    const struct spi_data *d;
    const uint8_t *counted;
    const volatile int *stop;
    int64_t n;
    double sign; /* 1: the images are added; -1: they are taken out again */
    struct scratch s;
    struct sums sums;
    double *signal; /* [n]; NULL: only the sums are wanted */
    uint64_t *hash; /* [n]; NULL: nobody wants them */
    const struct spi_hits *hits;
    struct spi_hit *hit; /* [n]; NULL: nobody wants them */
    const struct spi_kind_shells *shells;
    float *numbers; /* [n][SPI_KIND_NUMBERS]; the same */
    struct spi_failure failure;
};

enum { PIXEL_PARTS = 16 };

static void one_image(struct block *b, int rank, int64_t k)
{
    const struct spi_data *d = b->d;
    const struct spi_rings *g = &d->rings;
    int H = g->h_at[g->R], samples = g->at[g->R];
    float *image = b->s.pixels + k * d->det->n_pixels, *sample = b->s.samples + k * samples;
    float complex *h = spi_rooms_of(&b->s.h, rank);
    spi_err err = h ? SPI_OK : SPI_ENOMEM;

    SPI_TRY(err, out);
    SPI_TRY(err = *b->stop ? spi_fail(SPI_ECANCEL, "stopped on request") : SPI_OK, out);
    if (b->hash)
        b->hash[k] = spi_split_hash(d->det->n_pixels, image);
    if (b->signal)
        b->signal[k] = signal_of(d, b->counted, image);
    for (int64_t p = 0; p < d->det->n_pixels; p++)
        image[p] *= (float)d->scale;
    if (b->hit) {
        void *work = spi_rooms_of(&b->s.hits, rank);

        SPI_TRY(err = work ? spi_hits_image(b->hits, image, work, &b->hit[k]) : SPI_ENOMEM,
                out);
        spi_kinds_image(b->shells, b->hits, image, work, b->numbers + k * SPI_KIND_NUMBERS);
    }
    spi_ring_resample(&d->map, g, image, sample);
    if (b->signal) {
        SPI_TRY(err = spi_ring_analyse(g, g->R, sample, h), out);
        pack_record(H, h, b->s.records + (size_t)k * record_bytes(H));
    }
out:
    spi_failure_note(&b->failure, err);
}

static void block_item(void *ctx, int rank, int64_t item)
{
    struct block *b = ctx;
    const struct spi_data *d = b->d;
    int64_t n_pixels = d->det->n_pixels, part = item - b->n - d->rings.R;

    if (item < b->n) {
        one_image(b, rank, item);
    } else if (part < 0) {
        for (int64_t k = 0; k < b->n; k++)
            spi_ring_moments_add_one(&d->map, &d->rings, (int)(item - b->n), b->sign,
                                     b->s.samples + k * d->rings.at[d->rings.R],
                                     b->sums.sum, b->sums.sum2);
    } else {
        int64_t from = n_pixels * part / PIXEL_PARTS,
                to = n_pixels * (part + 1) / PIXEL_PARTS;

        for (int64_t k = 0; k < b->n; k++)
            spi_pixels_add(to - from, 1, b->sign, b->s.pixels + k * n_pixels + from,
                           b->sums.pixel_sum + from);
    }
}

static spi_err do_block(struct block *b)
{
    const int64_t first[] = {0, b->n, b->n + b->d->rings.R + PIXEL_PARTS};

    spi_parallel_phases(SPI_THREADS_MAX, 2, first, block_item, b);
    return spi_failure_end(&b->failure);
}

/* v: of a partial ring sums, pixel sums; of the block signals, hashes if wanted.
 * The records of the block go to the record cache: each is written once, and read after the
 * wait only. */
static spi_err task_ingest(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct ingest_args *a = arg;
    const struct spi_data *d = a->d;
    struct block b = {.d = d,
                      .counted = a->counted,
                      .stop = stop,
                      .n = a->n,
                      .sign = 1,
                      .sums = sums_of(d, &v[0], &v[1]),
                      .signal = v[2].data,
                      .hash = a->hashed ? v[3].data : NULL,
                      .hits = a->hits,
                      .hit = a->hits ? v[4].data : NULL,
                      .shells = a->shells,
                      .numbers = a->hits ? v[5].data : NULL};
    spi_err err;

    SPI_TRY(err = scratch_init(&b.s, d, a->hits, a->n), out);
    SPI_TRY(err = spi_images_read(d->images, a->first, a->n, b.s.pixels), out);
    SPI_TRY(err = do_block(&b), out);
    err = spi_record_cache_write(d->records, a->first, a->n, b.s.records);
out:
    scratch_clear(&b.s);
    return err;
}

/* v: ring sums, pixel sums.  Images that stay aside add to no mean: they are taken out of
 * the moments again. */
static spi_err task_take_out(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct ingest_args *a = arg;
    const struct spi_data *d = a->d;
    struct block b = {
        .d = d, .stop = stop, .n = 1, .sign = -1, .sums = sums_of(d, &v[0], &v[1])};
    spi_err err;

    SPI_TRY(err = scratch_init(&b.s, d, NULL, 1), out);
    for (int64_t k = a->first; k < a->first + a->n; k++) {
        if (d->split.aside[k] == SPI_ASIDE_NO)
            continue;
        SPI_TRY(err = spi_images_read(d->images, k, 1, b.s.pixels), out);
        SPI_TRY(err = do_block(&b), out);
    }
out:
    scratch_clear(&b.s);
    return err;
}

/* What is noted of the images on the way. */
struct look {
    const uint8_t *counted;           /* [n_pixels] */
    struct spi_array *rings, *pixels; /* sums, a part a partial */
    struct spi_array *signal, *hash; /* [n_images], a part a block; hash: NULL, or wanted */
    const struct spi_hits *hits;     /* NULL: nobody asks what the images show */
    const struct spi_kind_shells *shells; /* where it is asked */
    struct spi_array *hit, *numbers;      /* [n_images], where it is asked */
};

static spi_err look_init(struct look *l, struct spi_graph *g, const struct spi_data *d,
                         bool hashed)
{
    int blocks = (int)((d->n_images + BLOCK - 1) / BLOCK);
    const struct spi_array_shape
        rings = {SPI_ARRAY_OF(double, "ring sums"), .rows = PARTIALS,
                 .columns = 2 * d->rings.R, .parts = PARTIALS},
        pixels = {SPI_ARRAY_OF(double, "pixel sums"), .rows = PARTIALS,
                  .columns = d->det->n_pixels, .parts = PARTIALS},
        signal = {SPI_ARRAY_OF(double, "signals"), .rows = d->n_images, .columns = 1,
                  .parts = blocks, .part_rows = BLOCK},
        hit = {SPI_ARRAY_OF(struct spi_hit, "hits"), .rows = d->n_images, .columns = 1,
               .parts = blocks, .part_rows = BLOCK},
        numbers = {SPI_ARRAY_OF(float, "numbers of images"), .rows = d->n_images,
                   .columns = SPI_KIND_NUMBERS, .parts = blocks, .part_rows = BLOCK},
        hash = {SPI_ARRAY_OF(uint64_t, "hashes"), .rows = d->n_images, .columns = 1,
                .parts = blocks, .part_rows = BLOCK};
    spi_err err;

    SPI_TRY(err = spi_array_new(g, &rings, &l->rings), out);
    SPI_TRY(err = spi_array_new(g, &pixels, &l->pixels), out);
    SPI_TRY(err = spi_array_new(g, &signal, &l->signal), out);
    if (hashed)
        SPI_TRY(err = spi_array_new(g, &hash, &l->hash), out);
    if (l->hits) {
        SPI_TRY(err = spi_array_new(g, &hit, &l->hit), out);
        err = spi_array_new(g, &numbers, &l->numbers);
    }
out:
    return err;
}

static void look_clear(struct look *l, struct spi_graph *g)
{
    spi_array_free(g, l->rings);
    spi_array_free(g, l->pixels);
    spi_array_free(g, l->signal);
    spi_array_free(g, l->hash);
    spi_array_free(g, l->hit);
    spi_array_free(g, l->numbers);
}

/* Moments of all partials -> ring means, variances, mean image. */
static spi_err summarise(struct spi_data *d, const struct look *look)
{
    struct sums partial[PARTIALS];
    const struct spi_rings *g = &d->rings;
    double total = 0, n = (double)spi_split_count(&d->split), *sum, *sum2;

    for (int s = 0; s < PARTIALS; s++) {
        double *of = spi_array_data(look->rings, s, NULL);

        partial[s] = (struct sums){of, of + g->R, spi_array_data(look->pixels, s, NULL)};
    }
    sum = partial[0].sum; /* of all, from here on */
    sum2 = partial[0].sum2;
    for (int r = 0; r < g->R; r++)
        for (int s = 1; s < PARTIALS; s++)
            sum[r] += partial[s].sum[r], sum2[r] += partial[s].sum2[r];
    spi_ring_moments(&d->map, g, g->R, n, 1, sum, sum2, d->ring_mean, d->ring_var);
    for (int r = 0; r < g->R; r++)
        total += d->ring_mean[r] * (double)crealf(d->map.live_h[g->h_at[r]]);
    for (int64_t p = 0; p < d->det->n_pixels; p++) {
        double light = 0;

        for (int s = 0; s < PARTIALS; s++)
            light += partial[s].pixel_sum[p];
        d->mean_image[p] = (float)(light / n);
    }
    if (!(total > 0))
        return spi_fail(SPI_EFORMAT, "the images are all zero on the usable pixels");
    return SPI_OK;
}

/* ---- background --------------------------------------------------------------------- */

/* Mean images of two parts of the images: partials in turn. */
static spi_err means_of_parts(struct spi_data *d, const struct look *look)
{
    int64_t n_pixels = d->det->n_pixels;
    spi_err err = SPI_OK;

    d->part_images[0] = d->part_images[1] = 0;
    for (int64_t k = 0; k < d->n_images; k++)
        d->part_images[k / BLOCK % 2] += d->split.aside[k] == SPI_ASIDE_NO;
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err = SPI_NEW(d->part_mean[h], n_pixels, "background"), out);
        for (int s = h; s < PARTIALS; s += 2) {
            const double *sum = spi_array_data(look->pixels, s, NULL);

            for (int64_t p = 0; p < n_pixels; p++)
                d->part_mean[h][p] += (float)(sum[p] / fmax(1, d->part_images[h]));
        }
    }
out:
    return err;
}

_Static_assert(PARTIALS % 2 == 0, "an even partial holds even blocks only");

/* of_h [rings.h_at[R]], owned by the caller: harmonics of counts at the pixels. */
static spi_err harmonics_of(const struct spi_data *d, const float *of, float complex **of_h)
{
    const struct spi_rings *g = &d->rings;
    float *samples = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(samples, g->at[g->R], "background"), out);
    SPI_TRY(err = SPI_NEW(*of_h, g->h_at[g->R], "background"), out);
    spi_ring_resample(&d->map, g, of, samples);
    err = spi_ring_analyse(g, g->R, samples, *of_h);
out:
    free(samples);
    return err;
}

/* d->uneven from the means of the parts. */
static spi_err find_in_parts(struct spi_data *d, bool *found)
{
    static const double ball_qD = 2.5;
    const struct spi_rings *g = &d->rings;

    return spi_uneven_find(
        d->det, (const float *const[2]){d->part_mean[0], d->part_mean[1]}, d->part_images,
        fmin(ball_qD / g->diameter_A, g->q[g->R - 1] / 2), g->q[g->R - 1], d->uneven,
        found);
}

static void forget_parts(struct spi_data *d)
{
    for (int h = 0; h < 2; h++) {
        free(d->part_mean[h]);
        d->part_mean[h] = NULL;
    }
}

/* What is known of the background, and what the mean image shows beyond its rings. */
static spi_err find_uneven(struct spi_data *d, const struct look *look,
                           const struct spi_data_spec *spec)
{
    enum { LEAST = 32 }; /* images of a part */
    bool found = spec->background != NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(d->uneven, d->det->n_pixels, "background"), out);
    if (spec->background) {
        SPI_TRY(err = SPI_NEW(d->background, d->det->n_pixels, "background"), out);
        for (int64_t p = 0; p < d->det->n_pixels; p++)
            d->background[p] =
                d->det->bad[p] ? 0 : (float)(d->scale * (double)spec->background[p]);
        SPI_TRY(err = spi_uneven_of(d->det, d->background, d->uneven), out);
    } else if (strcmp(spec->set->background, "none") != 0) {
        SPI_TRY(err = means_of_parts(d, look), out);
        if (d->part_images[0] >= LEAST && d->part_images[1] >= LEAST)
            SPI_TRY(err = find_in_parts(d, &found), out);
    }
    if (!found) {
        free(d->uneven);
        d->uneven = NULL;
        forget_parts(d);
        goto out;
    }
    err = harmonics_of(d, d->uneven, &d->uneven_h);
out:
    return err;
}

spi_err spi_data_uneven_again(struct spi_data *d)
{
    bool found = true;
    spi_err err = SPI_OK;

    if (!d->uneven)
        return SPI_OK;
    if (d->background)
        err = spi_uneven_of(d->det, d->background, d->uneven);
    else
        err = find_in_parts(d, &found);
    if (!err && !found)
        memset(d->uneven, 0, (size_t)d->det->n_pixels * sizeof *d->uneven);
    return err;
}

spi_err spi_data_take_even(struct spi_data *d, float *even, float *glow, float *excess)
{
    free(d->even);
    free(d->even_h);
    free(d->glow);
    free(d->excess);
    d->even = even;
    d->even_h = NULL;
    d->glow = glow;
    d->excess = excess;
    return even ? harmonics_of(d, even, &d->even_h) : SPI_OK;
}

struct spi_beside spi_data_beside(const struct spi_data *d)
{
    return (struct spi_beside){d->uneven, d->even, d->excess};
}

/* ---- who takes part ----------------------------------------------------------------- */

static int64_t images_least(const struct spi_data_spec *spec)
{
    return spec->one_set ? 1 : SPI_IMAGES_LEAST;
}

/* (J23): of images that show a particle, as far as one image tells, those that are of
 * another kind than most; again of the rest, as long as some are. */
static spi_err find_others(const struct spi_data *d, const struct look *look,
                           const double *signal, double least, uint64_t seed,
                           uint8_t *shows)
{
    enum { ROUNDS = 3 };
    const float *all = spi_array_data(look->numbers, SPI_WHOLE, NULL);
    float *numbers = NULL, *p = NULL;
    int64_t *image = NULL, n, kept = -1;
    spi_err err;

    SPI_TRY(err = SPI_NEW_UNSET(numbers, d->n_images * SPI_KIND_NUMBERS, "kinds of images"),
            out);
    SPI_TRY(err = SPI_NEW(p, d->n_images, "kinds of images"), out);
    SPI_TRY(err = SPI_NEW(image, d->n_images, "kinds of images"), out);
    for (int round = 0; round < ROUNDS; round++) {
        struct spi_kinds kinds;

        n = 0;
        for (int64_t k = 0; k < d->n_images; k++)
            if (shows[k] == SPI_ASIDE_NO && signal[k] > 0 && signal[k] >= least)
                image[n++] = k;
        if (n == kept)
            break;
        kept = n;
        for (int64_t i = 0; i < n; i++)
            memcpy(numbers + i * SPI_KIND_NUMBERS, all + image[i] * SPI_KIND_NUMBERS,
                   SPI_KIND_NUMBERS * sizeof *all);
        SPI_TRY(err = spi_kinds_find(look->shells, n, numbers, seed, p, &kinds), out);
        if (kinds.n < 2)
            break;
        for (int64_t i = 0; i < n; i++)
            if (p[i] < 0.5F)
                shows[image[i]] = SPI_ASIDE_OTHER;
    }
out:
    free(numbers);
    free(p);
    free(image);
    return err;
}

/* What each image shows by itself. */
static spi_err look_at_each(struct spi_data *d, const struct look *look,
                            const double *signal, double least, uint64_t seed,
                            uint8_t *shows)
{
    const struct spi_hit *hit = spi_array_data(look->hit, SPI_WHOLE, NULL);
    int64_t others = 0;
    spi_err err;

    SPI_TRY(err = spi_hits_judge(d->n_images, hit, shows, &d->structure), out);
    d->along = spi_hits_add_up(d->n_images, hit);
    for (int64_t k = 0; k < d->n_images; k++)
        shows[k] = shows[k] == SPI_HIT_ROUND     ? SPI_ASIDE_ROUND
                   : shows[k] == SPI_HIT_DOUBLET ? SPI_ASIDE_DOUBLET
                                                 : SPI_ASIDE_NO;
    SPI_TRY(err = find_others(d, look, signal, least, seed, shows), out);
    for (int64_t k = 0; k < d->n_images; k++)
        others += shows[k] == SPI_ASIDE_NO;
    /* few images: there are not enough to set doubtful ones aside */
    for (int64_t k = 0; k < d->n_images && others < 2 * SPI_IMAGES_LEAST; k++)
        shows[k] = SPI_ASIDE_NO;
out:
    return err;
}

/* Who takes part, in which half set. */
static spi_err split(struct spi_data *d, const struct spi_data_spec *spec,
                     const struct look *look)
{
    const struct spi_settings *set = spec->set;
    double least = set->signal_min;
    const double *signal = spi_array_data(look->signal, SPI_WHOLE, NULL);
    const uint64_t *hash = look->hash ? spi_array_data(look->hash, SPI_WHOLE, NULL) : NULL;
    enum spi_deal deal = spec->one_set                        ? SPI_DEAL_ONE
                         : strcmp(set->halves, "blocks") == 0 ? SPI_DEAL_BLOCKS
                                                              : SPI_DEAL_RANDOM;
    uint8_t *shows = NULL;
    spi_err err = SPI_OK;

    if (least < 0)
        SPI_TRY(err = spi_split_least(d->n_images, signal, d->kind == SPI_PHOTONS, &least),
                out);
    if (look->hit) {
        SPI_TRY(err = SPI_NEW(shows, d->n_images, "hits"), out);
        SPI_TRY(err = look_at_each(d, look, signal, least, (uint64_t)set->seed, shows),
                out);
    }
    err = spi_split_init(&d->split, d->n_images, signal, hash, shows, least, deal,
                         (uint64_t)set->seed);
out:
    free(shows);
    if (err || spi_split_count(&d->split) >= images_least(spec))
        return err;
    if (d->split.n_blank == d->n_images && !(least > 0))
        return spi_fail(SPI_EFORMAT, "the %lld images are all zero on the usable pixels",
                        (long long)d->n_images);
    if (spec->one_set)
        return spi_fail(SPI_EFORMAT,
                        "each of the %lld images holds less than algorithm.signal_min = "
                        "%g on the usable pixels; need an image with more",
                        (long long)d->n_images, least);
    return spi_fail(
        SPI_EFORMAT,
        "%lld of %lld images are left: %lld hold no signal on the usable pixels, "
        "%lld repeat an earlier image; a reconstruction needs at least %d",
        (long long)spi_split_count(&d->split), (long long)d->n_images,
        (long long)d->split.n_blank, (long long)d->split.n_copies, SPI_IMAGES_LEAST);
}

/* fn over blocks of images, partials in turn; n: of its arrays. */
static spi_err each_block(const struct spi_data *d, struct spi_graph *g, spi_task_fn *fn,
                          int n, const struct look *look, spi_on_ingest *progress,
                          void *user)
{
    spi_err err = SPI_OK;
    int block = 0;

    for (int64_t first = 0; first < d->n_images; first += BLOCK, block++) {
        struct ingest_args a = {.d = d,
                                .counted = look->counted,
                                .hits = n > 4 ? look->hits : NULL,
                                .shells = look->shells,
                                .hashed = look->hash != NULL,
                                .first = first,
                                .n = d->n_images - first < BLOCK ? d->n_images - first
                                                                 : BLOCK};
        struct spi_access access[6] = {{look->rings, block % PARTIALS, SPI_READ_WRITE},
                                       {look->pixels, block % PARTIALS, SPI_READ_WRITE},
                                       {look->signal, block, SPI_WRITE},
                                       {look->hash, block, SPI_WRITE},
                                       {look->hit, block, SPI_WRITE},
                                       {look->numbers, block, SPI_WRITE}};

        SPI_TRY(err = spi_graph_submit(g, "ingest", fn, &a, sizeof a, n, access), out);
        /* memory: a partial is one block's at a time, so that PARTIALS of them are there */
        if (block % (PARTIALS * TURNS) == PARTIALS * TURNS - 1) {
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
                      const struct spi_data_spec *spec)
{
    struct look look = {0};
    struct spi_hits hits = {0};
    struct spi_kind_shells shells = {0};
    uint8_t *counted = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(counted, d->det->n_pixels, "ingest"), out);
    choose_counted(d, counted);
    look.counted = counted;
    if (!spec->one_set) {
        SPI_TRY(err = spi_hits_init(&hits, d->det, d->rings.diameter_A,
                                    d->rings.q[d->rings.R - 1]),
                out);
        SPI_TRY(err = spi_kind_shells_init(&shells, &hits, d->det, d->rings.diameter_A),
                out);
        look.hits = &hits;
        look.shells = &shells;
    }
    SPI_TRY(err = look_init(&look, g, d, !spec->one_set), out);
    SPI_TRY(err = each_block(d, g, task_ingest, look.hash ? 6 : 3, &look, spec->progress,
                             spec->user),
            out);
    SPI_TRY(err = split(d, spec, &look), out);
    if (spi_split_count(&d->split) < d->n_images)
        SPI_TRY(err = each_block(d, g, task_take_out, 2, &look, NULL, NULL), out);
    SPI_TRY(err = summarise(d, &look), out);
    err = find_uneven(d, &look, spec);
out:
    if (err)
        (void)!spi_graph_wait(g);
    look_clear(&look, g);
    spi_hits_clear(&hits);
    spi_kind_shells_clear(&shells);
    free(counted);
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
        d->scale = SPI_TYPICAL_COUNTS * (double)n / sum;
    else
        err = spi_fail(SPI_EFORMAT,
                       "%d images drawn from %lld are all zero on the usable pixels; are "
                       "these the images of a particle?",
                       DRAWN, (long long)d->n_images);
out:
    free(pixels);
    return err;
}

spi_err spi_data_init(struct spi_data *d, struct spi_graph *g,
                      const struct spi_data_spec *spec)
{
    struct spi_images *images = spec->images;
    spi_err err;

    *d = (struct spi_data){.images = images,
                           .n_images = spi_images_count(images),
                           .kind = spi_survey_images_kind(images, spec->gain),
                           .det = spi_images_detector(images)};
    if (d->n_images < images_least(spec))
        return spi_fail(
            SPI_EFORMAT, "%lld images; %s needs at least %lld", (long long)d->n_images,
            spec->one_set ? "matching" : "a reconstruction", (long long)images_least(spec));
    SPI_TRY(err = spi_rings_init(&d->rings, spec->diameter_A, d->det->wavelength_A,
                                 spec->q_min, spec->q_max, spec->set->ring_oversampling),
            fail);
    SPI_TRY(err = spi_ring_map_init(&d->map, &d->rings, d->det), fail);
    SPI_TRY(err = SPI_NEW(d->ring_mean, d->rings.R, "data"), fail);
    SPI_TRY(err = SPI_NEW(d->ring_var, d->rings.R, "data"), fail);
    SPI_TRY(err = SPI_NEW(d->mean_image, d->det->n_pixels, "data"), fail);
    SPI_TRY(err = find_scale(d, spec->gain), fail);
    SPI_TRY(err = spi_record_cache_create(spec->scratch, spi_data_record_bytes(d),
                                          d->n_images, spi_memory_bytes() / MEMORY_SHARE,
                                          &d->records),
            fail);
    SPI_TRY(err = ingest(d, g, spec), fail);
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
    free(d->background);
    free(d->uneven);
    free(d->uneven_h);
    forget_parts(d);
    free(d->even);
    free(d->even_h);
    free(d->glow);
    free(d->excess);
    *d = (struct spi_data){0};
}

void spi_data_inv_var(const struct spi_data *d, const struct spi_likelihood *like, int R,
                      float *inv_var)
{
    if (like->weighted)
        like->inv_var(R, d->ring_mean, d->ring_var, inv_var);
}

size_t spi_data_record_bytes(const struct spi_data *d)
{
    return record_bytes(d->rings.h_at[d->rings.R]);
}

void spi_data_record(const struct spi_data *d, int64_t image, int R, float complex *h)
{
    const char *record = spi_record_cache_record(d->records, image);
    float scale;

    memcpy(&scale, record, sizeof scale);
    spi_f16_unpack(2 * (int64_t)d->rings.h_at[R],
                   (const uint16_t *)(const void *)(record + HEAD), scale, (float *)h);
    for (int i = 0; i < d->rings.h_at[R] && d->uneven_h; i++)
        h[i] -= d->uneven_h[i];
    for (int i = 0; i < d->rings.h_at[R] && d->even_h; i++)
        h[i] -= d->excess[image] * d->even_h[i];
}

void spi_data_ahead(const struct spi_data *d, int64_t image)
{
    const char *record = spi_record_cache_record(d->records, image);

    for (int i = 0; i < 4; i++)
        __builtin_prefetch(record + 64 * i);
}
