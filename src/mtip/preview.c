/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/preview.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "io/survey.h"
#include "match/hits.h"
#include "mtip/uneven.h"

enum { CHUNK_PIXELS = 1 << 22 };
enum { BLOCK = 50, BLOCKS = 20, PARTS = 5 };
_Static_assert(SPI_FRIEDEL_BLOCKS == (int)BLOCKS, "the pairs have the same blocks");
_Static_assert(SPI_PREVIEW_CENTRE_LEAST == PARTS * BLOCK, "a block at least for each part");

/* (J24) */
static const double short_most = 0.03, short_least = 0.3, long_least = 0.15,
                    long_sigmas = 6, long_part = 0.03, same_diameter = 0.12;

struct trial;

struct look {
    struct spi_preview *s;
    struct spi_images *images;
    const struct spi_detector *det;
    float *pixels, *sum;  /* [at_once][n_pixels]; [PARTS][n_pixels] */
    double number[PARTS]; /* images of each part */
    float *uneven;        /* [n_pixels] taken out of each image; NULL: nothing */
    int64_t at_once;
    spi_diameter *diameter;
    spi_friedel *pairs;
    struct trial *trial;
};

/* ---- the images --------------------------------------------------------------------- */

/* What is done with some images of a block. */
typedef spi_err chunk_fn(struct look *l, int64_t block, int64_t n);

/* Blocks spread evenly over the file, a few images at a time: detectors may be large. */
static spi_err each_chunk(struct look *l, chunk_fn *fn)
{
    int64_t count = spi_images_count(l->images), blocks = (count + BLOCK - 1) / BLOCK;
    spi_err err = SPI_OK;

    blocks = blocks < BLOCKS ? blocks : BLOCKS;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t at = blocks < BLOCKS ? b * BLOCK : count * b / blocks, /* no image twice */
            end = at + BLOCK < count ? at + BLOCK : count;

        for (int64_t n; at < end && !err; at += n) {
            n = end - at < l->at_once ? end - at : l->at_once;
            err = spi_images_read(l->images, at, n, l->pixels);
            for (int64_t i = 0; i < n * l->det->n_pixels && l->s->gain > 0 && !err; i++)
                l->pixels[i] = rintf(l->pixels[i] / (float)l->s->gain);
            for (int64_t i = 0; i < n * l->det->n_pixels && l->uneven && !err; i++)
                l->pixels[i] -= l->uneven[i % l->det->n_pixels];
            if (!err)
                err = fn(l, b, n);
        }
        if (err)
            break;
    }
    return err;
}

static spi_err look_chunk(struct look *l, int64_t block, int64_t n)
{
    float *sum = l->sum + block % PARTS * l->det->n_pixels;
    spi_err err =
        l->diameter ? spi_diameter_look(l->diameter, l->det, n, l->pixels) : SPI_OK;

    for (int64_t i = 0; i < n * l->det->n_pixels && !err; i++)
        sum[i % l->det->n_pixels] += l->pixels[i];
    l->s->n += n;
    l->number[block % PARTS] += (double)n;
    return err;
}

static spi_err add_chunk(struct look *l, int64_t block, int64_t n)
{
    (void)block;
    return spi_diameter_add(l->diameter, l->det, n, l->pixels);
}

static spi_err pair_chunk(struct look *l, int64_t block, int64_t n)
{
    return spi_friedel_add(l->pairs, (int)block, n, l->pixels);
}

static void make_mean(const struct look *l, float *mean)
{
    for (int64_t p = 0; p < l->det->n_pixels; p++) {
        mean[p] = 0;
        for (int k = 0; k < PARTS; k++)
            mean[p] += l->sum[k * l->det->n_pixels + p];
        mean[p] /= (float)l->s->n;
    }
}

static spi_err estimate(struct look *l)
{
    spi_err err = each_chunk(l, add_chunk);

    if (!err)
        err = spi_diameter_estimate(l->diameter, &l->s->diameter);
    l->s->left_out = spi_diameter_left_out(l->diameter);
    return err;
}

/* The first pass: the mean image, and what the diameter's estimate asks. */
static spi_err look(struct look *l, bool diameter)
{
    spi_err err = SPI_OK;

    l->s->n = 0;
    memset(l->number, 0, sizeof l->number);
    memset(l->sum, 0, PARTS * (size_t)l->det->n_pixels * sizeof *l->sum);
    spi_diameter_free(l->diameter);
    l->diameter = NULL;
    if (diameter)
        err = spi_diameter_new(l->det, l->s->kind, &l->diameter);
    return err ? err : each_chunk(l, look_chunk);
}

/* ---- images that are not one particle ------------------------------------------------- */

/* (J24): the images as they look if the particle is as wide as a trial says. */
struct trial {
    struct spi_hits hits;
    struct spi_rooms rooms;
    struct spi_hit *hit; /* [n] */
    const float *pixels; /* of the chunk in hand */
    int64_t n_pixels, n, at;
    struct spi_failure failure;
};

static void hit_image(void *ctx, int rank, int64_t i)
{
    struct trial *t = ctx;
    void *work = spi_rooms_of(&t->rooms, rank);

    spi_failure_note(&t->failure,
                     work ? spi_hits_image(&t->hits, t->pixels + i * t->n_pixels, work,
                                           &t->hit[t->at + i])
                          : SPI_ENOMEM);
}

static spi_err hit_chunk(struct look *l, int64_t block, int64_t n)
{
    struct trial *t = l->trial;

    (void)block;
    n = n < t->n - t->at ? n : t->n - t->at;
    t->pixels = l->pixels;
    spi_parallel_for(SPI_THREADS_MAX, n, hit_image, t);
    t->at += n;
    return spi_failure_end(&t->failure);
}

/* An image without lengths beyond those of one particle. */
static bool is_short(const struct spi_hit *hit)
{
    return hit->sigma > 0 && hit->structure > 0 && hit->beyond != 0 &&
           (double)hit->beyond < short_most;
}

/* One with such lengths, for certain (J19). */
static bool is_long(const struct spi_hit *hit)
{
    return (double)hit->beyond > long_least && (double)hit->sigmas > long_sigmas;
}

static spi_err add_short_chunk(struct look *l, int64_t block, int64_t n)
{
    struct trial *t = l->trial;
    spi_err err = SPI_OK;

    (void)block;
    for (int64_t i = 0; i < n && t->at < t->n && !err; i++, t->at++)
        if (is_short(&t->hit[t->at]))
            err =
                spi_diameter_add(l->diameter, l->det, 1, l->pixels + i * l->det->n_pixels);
    return err;
}

static void trial_clear(struct trial *t)
{
    spi_hits_clear(&t->hits);
    spi_rooms_clear(&t->rooms);
    free(t->hit);
}

/* The diameter of the images that are short if the particle is D wide, *share of all.  No
 * estimate (0) where such images are few, or where few others are long. */
static spi_err try_diameter(struct look *l, double D, struct spi_diameter_result *out,
                            double *share)
{
    struct trial t = {.n = l->s->n, .n_pixels = l->det->n_pixels};
    int64_t n = 0, n_long = 0;
    spi_err err;

    *out = (struct spi_diameter_result){0};
    l->trial = &t;
    SPI_TRY(err = spi_hits_init(&t.hits, l->det, D, spi_detector_q_edge(l->det)), out);
    SPI_TRY(err = spi_rooms_init(&t.rooms, SPI_THREADS_MAX, spi_hits_work_bytes(&t.hits),
                                 "hits"),
            out);
    SPI_TRY(err = SPI_NEW(t.hit, t.n, "hits"), out);
    SPI_TRY(err = each_chunk(l, hit_chunk), out);
    for (int64_t k = 0; k < t.n; k++) {
        n += is_short(&t.hit[k]);
        n_long += is_long(&t.hit[k]);
    }
    *share = (double)n / (double)t.n;
    if (*share < short_least || n < SPI_DIAMETER_LEAST_IMAGES ||
        (double)n_long < long_part * (double)t.n)
        goto out;
    SPI_TRY(err = look(l, true), out);
    t.at = 0;
    SPI_TRY(err = each_chunk(l, add_short_chunk), out);
    if (spi_diameter_estimate(l->diameter, out) == SPI_ENOMEM)
        err = SPI_ENOMEM;
out:
    trial_clear(&t);
    l->trial = NULL;
    return err;
}

/* (J24): lengths of two particles in one image make the estimate twice as large.  Half of it
 * is tried: many images must be short then, and say that diameter themselves. */
static spi_err look_for_half(struct look *l)
{
    static const double part[] = {0.5, 0.56};
    struct spi_preview *s = l->s;
    const double D = s->diameter.diameter_A;
    spi_err err = SPI_OK;

    for (size_t i = 0; i < sizeof part / sizeof *part && !err; i++) {
        double trial = part[i] * D, share = 0;
        struct spi_diameter_result found;

        err = try_diameter(l, trial, &found, &share);
        if (!err && fabs(found.diameter_A / trial - 1) < same_diameter) {
            s->left_out.images = (int64_t)((1 - share) * (double)s->n);
            spi_diameter_result_clear(&s->diameter);
            s->diameter = found;
            return SPI_OK;
        }
        spi_diameter_result_clear(&found);
        if (share < short_least / 2)
            break;
    }
    return err;
}

/* What the mean image and single images say about the centre. */
static spi_err measure_centre(struct look *l, const float *mean)
{
    struct spi_centre *c = &l->s->centre;
    struct spi_friedel_result pairs;
    spi_err err;

    SPI_TRY(err = spi_centre_estimate(l->det, l->s->kind, l->s->n, PARTS, l->sum, c), out);
    SPI_TRY(err = spi_friedel_new(l->det, l->s->kind, mean, &l->pairs), out);
    if (!l->pairs)
        goto out;
    SPI_TRY(err = each_chunk(l, pair_chunk), out);
    SPI_TRY(err = spi_friedel_find(l->pairs, &pairs), out);
    spi_centre_combine(c, &pairs);
out:
    spi_friedel_free(l->pairs);
    l->pairs = NULL;
    return err;
}

/* Where the file is clearly wrong about the beam's centre, the images say where it is. What
 * was seen about the wrong centre is looked at again. */
static spi_err find_centre(struct look *l, const float *mean, bool correct, bool diameter)
{
    struct spi_centre *c = &l->s->centre;
    spi_err err = SPI_OK;

    if (l->s->n >= SPI_PREVIEW_CENTRE_LEAST)
        err = measure_centre(l, mean);
    if (err || !correct || !spi_centre_is_off(c) || !c->agree || c->far)
        return err;
    l->s->moved.yes = true;
    memcpy(l->s->moved.shift_invA, c->shift_invA, sizeof c->shift_invA);
    memcpy(l->s->moved.shift_px, c->shift_px, sizeof c->shift_px);
    spi_images_positions_sha256(l->images, l->s->moved.positions_sha256);
    spi_images_move_centre(l->images, c->shift_invA);
    return look(l, diameter);
}

/* A background that is not the same around the beam would be taken for structure of the
 * particle: what was seen with it is looked at again, without. */
static spi_err find_uneven(struct look *l, bool diameter)
{
    enum { LEAST = 32 }; /* images of a half */
    int64_t n_pixels = l->det->n_pixels;
    double q_edge = spi_detector_q_edge(l->det), number[2] = {0, 0};
    float *mean[2] = {NULL, NULL}, *uneven = NULL;
    bool found = false;
    spi_err err = SPI_OK;

    for (int k = 0; k < PARTS; k++)
        number[k % 2] += l->number[k];
    if (number[0] < LEAST || number[1] < LEAST)
        return SPI_OK;
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err = SPI_NEW(mean[h], n_pixels, "background"), out);
        for (int k = h; k < PARTS; k += 2)
            for (int64_t p = 0; p < n_pixels; p++)
                mean[h][p] += l->sum[k * n_pixels + p] / (float)number[h];
    }
    SPI_TRY(err = SPI_NEW(uneven, n_pixels, "background"), out);
    SPI_TRY(err = spi_uneven_find(l->det, (const float *const[2]){mean[0], mean[1]}, number,
                                  q_edge / 4, q_edge, uneven, &found),
            out);
    if (found) {
        l->uneven = uneven;
        uneven = NULL;
        err = look(l, diameter);
    }
out:
    free(mean[0]);
    free(mean[1]);
    free(uneven);
    return err;
}

spi_err spi_preview_init(struct spi_preview *s, struct spi_images *images, double gain,
                         bool correct, bool diameter, spi_preview_seen *seen, void *user)
{
    struct look l = {.s = s, .images = images, .det = spi_images_detector(images)};
    float *mean = NULL;
    spi_err err;

    *s = (struct spi_preview){.kind = spi_survey_images_kind(images, gain), .gain = gain};
    l.at_once = CHUNK_PIXELS / l.det->n_pixels;
    l.at_once = l.at_once < 1 ? 1 : l.at_once > BLOCK ? BLOCK : l.at_once;
    SPI_TRY(err = SPI_NEW(l.pixels, l.at_once * l.det->n_pixels, "preview"), out);
    SPI_TRY(err = SPI_NEW(l.sum, PARTS * l.det->n_pixels, "preview"), out);
    SPI_TRY(err = look(&l, diameter), out);
    SPI_TRY(err = SPI_NEW(mean, l.det->n_pixels, "mean image"), out);
    make_mean(&l, mean);
    if (seen)
        SPI_TRY(err = seen(s, l.det, mean, user), out);
    SPI_TRY(err = find_centre(&l, mean, correct, diameter), out);
    if (diameter) {
        SPI_TRY(err = find_uneven(&l, diameter), out);
        SPI_TRY(err = estimate(&l), out);
        err = look_for_half(&l);
    }
out:
    spi_diameter_free(l.diameter);
    free(mean);
    free(l.pixels);
    free(l.sum);
    free(l.uneven);
    return err;
}

void spi_preview_clear(struct spi_preview *s)
{
    spi_diameter_result_clear(&s->diameter);
}
