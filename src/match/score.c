/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/lanes.h"
#include "kernel/softmax.h"

struct scratch {
    const struct spi_lanes *kernel;
    struct spi_angular angular;
    enum spi_score_form form;
    float *panel, *group, *C, *table, *work, *x;
    float *S; /* of a tile, where soft weights are asked for */
};

/* groups: of images to be packed. */
static spi_err scratch_new(const struct spi_score_input *in, int groups, struct scratch *s)
{
    const struct spi_band *b = in->band;
    size_t Na = (size_t)in->views.Na, width = SPI_LANES;
    size_t work = 2 * Na * width, records = width * 2 * (size_t)(b->M + SPI_LANES);
    spi_err err;

    *s = (struct scratch){.kernel = spi_lanes_best(), .form = in->like->form};
    SPI_TRY(err = spi_angular_init(&s->angular, b->M, in->views.Na), out);
    SPI_TRY(err = SPI_NEW(s->panel, spi_panel_floats(b), "score"), out);
    SPI_TRY(err = SPI_NEW(s->group, groups * spi_group_floats(b), "score"), out);
    SPI_TRY(err = SPI_NEW(s->C, SPI_GROUP * spi_pairs_floats(b), "score"), out);
    SPI_TRY(err = SPI_NEW(s->table, Na * width, "score"), out);
    SPI_TRY(err = SPI_NEW(s->work, work > records ? work : records, "score"), out);
    SPI_TRY(err = SPI_NEW(s->x, Na * width, "score"), out);
out:
    return err;
}

static void scratch_free(struct scratch *s)
{
    spi_angular_clear(&s->angular);
    free(s->panel);
    free(s->group);
    free(s->C);
    free(s->table);
    free(s->work);
    free(s->x);
    free(s->S);
}

/* ---- every image against every direction -------------------------------------------- */

/* What becomes of image k against directions d0 ... d0+n-1: s->x [Na][lane]. */
struct use {
    void (*fn)(const struct spi_score_input *in, const struct scratch *s,
               const struct use *use, int k, int64_t d0, int n);
    struct spi_scores *out;
    /* weights: where to, for which beta, and expected counts [directions][Na] */
    struct spi_soft *soft;
    float beta;
    const float *S;
};

static void keep_rows(const struct spi_score_input *in, const struct scratch *s,
                      const struct use *use, int k, int64_t d0, int n)
{
    struct spi_scores *out = use->out;
    const float *table[SPI_LANES];
    float *row[SPI_LANES], count[SPI_LANES];
    int64_t at = k * in->views.nd + d0;

    for (int t = 0; t < n; t++) {
        table[t] = in->table + (d0 + t) * in->views.Na;
        row[t] = out->LL + (at + t) * in->views.Na;
        count[t] = in->counts[k];
    }
    s->kernel->rows(s->form, in->views.Na, n, s->x, table, count, row, out->row_top + at);
}

static void keep_tops(const struct spi_score_input *in, const struct scratch *s,
                      const struct use *use, int k, int64_t d0, int n)
{
    struct spi_scores *out = use->out;
    _Alignas(64) float top[SPI_LANES];

    s->kernel->top(s->form, in->views.Na, s->x, s->table, in->counts[k], top);
    memcpy(out->top + k * in->views.nd + d0, top, (size_t)n * sizeof *top);
}

static void keep_weights(const struct spi_score_input *in, const struct scratch *s,
                         const struct use *use, int k, int64_t d0, int n)
{
    _Alignas(64) struct spi_weight_sums sums;
    _Alignas(64) float top[SPI_LANES];
    struct spi_soft *soft = use->soft;
    int64_t tile = d0 / SPI_LANES, at = (k * soft->tiles + tile) * SPI_LANES;
    size_t bytes = sizeof sums.w;

    s->kernel->top(s->form, in->views.Na, s->x, s->table, in->counts[k], top);
    s->kernel->weights(s->form, in->views.Na, s->x, s->table, in->counts[k], top, use->beta,
                       s->S, soft->q + (tile * in->n_images + k) * in->views.Na * SPI_LANES,
                       &sums);
    for (int i = n; i < SPI_LANES; i++)
        sums.w[i] = sums.wx[i] = sums.wS[i] = 0;
    memcpy(use->out->top + k * in->views.nd + d0, top, (size_t)n * sizeof *top);
    memcpy(soft->w + at, sums.w, bytes);
    memcpy(soft->wx + at, sums.wx, bytes);
    memcpy(soft->wS + at, sums.wS, bytes);
}

/* SPI_LANES directions at a time stay in the second-level cache while all images pass. */
static void each_tile(const struct spi_score_input *in, struct scratch *s,
                      const struct use *use)
{
    const struct spi_band *b = in->band;
    int64_t nd = in->views.nd;

    for (int64_t d0 = 0; d0 < nd; d0 += SPI_LANES) {
        int n = nd - d0 < SPI_LANES ? (int)(nd - d0) : SPI_LANES;
        const float *record[SPI_LANES], *table[SPI_LANES];

        for (int t = 0; t < n; t++) {
            record[t] = in->templates + (d0 + t) * b->floats;
            table[t] = in->table + (d0 + t) * in->views.Na;
        }
        s->kernel->panel(b, n, record, s->panel);
        s->kernel->columns(n, in->views.Na, table, s->table);
        for (int t = 0; t < n && use->S; t++)
            table[t] = use->S + (d0 + t) * in->views.Na;
        if (use->S)
            s->kernel->columns(n, in->views.Na, table, s->S);
        for (int k0 = 0; k0 < in->n_images; k0 += SPI_GROUP) {
            int images = in->n_images - k0 < SPI_GROUP ? in->n_images - k0 : SPI_GROUP;

            s->kernel->tile(b, s->panel, images,
                            s->group + k0 / SPI_GROUP * spi_group_floats(b), s->C);
            for (int i = 0; i < images; i++) {
                s->kernel->angular(&s->angular, s->C + i * spi_pairs_floats(b), s->work,
                                   s->x);
                use->fn(in, s, use, k0 + i, d0, n);
            }
        }
    }
}

static void pack_images(const struct spi_score_input *in, float *group)
{
    for (int k0 = 0; k0 < in->n_images; k0 += SPI_GROUP) {
        const float *image[SPI_GROUP] = {0};

        for (int i = 0; i < SPI_GROUP && k0 + i < in->n_images; i++)
            image[i] = in->records + (int64_t)(k0 + i) * in->band->floats;
        spi_group_pack(in->band, image, group);
        group += spi_group_floats(in->band);
    }
}

static spi_err score_dense(const struct spi_score_input *in, const struct use *use)
{
    struct scratch s;
    spi_err err;

    SPI_TRY(err = scratch_new(in, (in->n_images + SPI_GROUP - 1) / SPI_GROUP, &s), out);
    if (use->S)
        SPI_TRY(err = SPI_NEW(s.S, in->views.Na * SPI_LANES, "score"), out);
    pack_images(in, s.group);
    each_tile(in, &s, use);
out:
    scratch_free(&s);
    return err;
}

spi_err spi_score_all(const struct spi_score_input *in, struct spi_scores *out)
{
    int64_t n = in->n_images, nd = in->views.nd;
    spi_err err;

    *out = (struct spi_scores){.n_images = in->n_images, .Na = in->views.Na};
    SPI_TRY(err = SPI_NEW(out->first, n + 1, "scores"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(out->LL, n * nd * in->views.Na, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->row_top, n * nd, "scores"), fail);
    for (int k = 0; k <= n; k++)
        out->first[k] = k * nd;
    SPI_TRY(err = score_dense(in, &(struct use){.fn = keep_rows, .out = out}), fail);
    return SPI_OK;
fail:
    spi_scores_clear(out);
    return err;
}

/* ---- some pairs --------------------------------------------------------------------- */

/* SPI_LANES pairs at a time, in the order given: an image stays in the first-level cache
 * while its directions pass, and images of neighbouring directions share templates. */
static void each_pair(const struct spi_score_input *in, struct scratch *s,
                      const int32_t *row, struct spi_scores *out)
{
    int64_t pairs = out->first[out->n_images];
    int64_t Na = in->views.Na, floats = in->band->floats;
    int k = 0;

    for (int64_t p = 0; p < pairs; p += SPI_LANES) {
        int n = pairs - p < SPI_LANES ? (int)(pairs - p) : SPI_LANES;
        const float *image[SPI_LANES], *record[SPI_LANES], *table[SPI_LANES];
        float *LL[SPI_LANES], count[SPI_LANES];

        for (int i = 0; i < n; i++) {
            int32_t d = out->dir[p + i];
            int64_t at = row ? row[d] : d;

            while (out->first[k + 1] <= p + i)
                k++;
            image[i] = in->records + k * floats;
            count[i] = in->counts[k];
            record[i] = in->templates + at * floats;
            table[i] = in->table + at * Na;
            LL[i] = out->LL + (p + i) * Na;
        }
        s->kernel->pairs(in->band, n, image, record, s->work, s->C);
        s->kernel->angular(&s->angular, s->C, s->work, s->x);
        s->kernel->rows(s->form, (int)Na, n, s->x, table, count, LL, out->row_top + p);
    }
}

spi_err spi_score_some(const struct spi_score_input *in, const int64_t *first,
                       const int32_t *dir, const int32_t *row, struct spi_scores *out)
{
    int n = in->n_images;
    int64_t pairs = first[n];
    struct scratch s = {0};
    spi_err err;

    *out = (struct spi_scores){.n_images = n, .Na = in->views.Na};
    SPI_TRY(err = scratch_new(in, 0, &s), fail);
    SPI_TRY(err = SPI_NEW(out->first, n + 1, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->dir, pairs, "scores"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(out->LL, pairs * in->views.Na, "scores"), fail);
    SPI_TRY(err = SPI_NEW(out->row_top, pairs, "scores"), fail);
    memcpy(out->first, first, (size_t)(n + 1) * sizeof *first);
    memcpy(out->dir, dir, (size_t)pairs * sizeof *dir);
    each_pair(in, &s, row, out);
    scratch_free(&s);
    return SPI_OK;
fail:
    scratch_free(&s);
    spi_scores_clear(out);
    return err;
}

/* ---- all, of which some are kept ---------------------------------------------------- */

/* Directions of an image at most `drop` below its best; dir may be NULL. */
static int64_t near_top(int64_t nd, const float *top, double drop, int32_t *dir)
{
    enum { STEP = 64 };
    int64_t n = 0;
    float low = (float)((double)spi_max(nd, top) - drop);

    for (int64_t from = 0; from < nd; from += STEP) {
        int64_t to = from + STEP < nd ? from + STEP : nd;

        if (spi_max(to - from, top + from) < low)
            continue;
        for (int64_t d = from; d < to; d++)
            if (top[d] >= low) {
                if (dir)
                    dir[n] = (int32_t)d;
                n++;
            }
    }
    return n;
}

/* out: tops.top, which is taken over, and rows of the directions near the best. */
static spi_err rows_near_top(const struct spi_score_input *in, double drop,
                             struct spi_scores *tops, struct spi_scores *out)
{
    int n = in->n_images;
    int64_t nd = in->views.nd, *first = NULL;
    int32_t *dir = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(first, n + 1, "scores"), out);
    for (int k = 0; k < n; k++)
        first[k + 1] = first[k] + near_top(nd, tops->top + k * nd, drop, NULL);
    SPI_TRY(err = SPI_NEW(dir, first[n], "scores"), out);
    for (int k = 0; k < n; k++)
        near_top(nd, tops->top + k * nd, drop, dir + first[k]);
    SPI_TRY(err = spi_score_some(in, first, dir, NULL, out), out);
    out->nd = nd;
    out->top = tops->top;
    tops->top = NULL;
out:
    free(first);
    free(dir);
    return err;
}

spi_err spi_score_peaks(const struct spi_score_input *in, double drop,
                        struct spi_scores *out)
{
    struct spi_scores tops = {0};
    spi_err err;

    *out = (struct spi_scores){0};
    SPI_TRY(err = SPI_NEW(tops.top, in->n_images * in->views.nd, "scores"), out);
    SPI_TRY(err = score_dense(in, &(struct use){.fn = keep_tops, .out = &tops}), out);
    err = rows_near_top(in, drop, &tops, out);
out:
    free(tops.top);
    return err;
}

/* ---- soft weights of all ------------------------------------------------------------ */

spi_err spi_soft_init(struct spi_soft *s, int n_images, int64_t nd, int Na)
{
    int64_t tiles = (nd + SPI_LANES - 1) / SPI_LANES, pairs = tiles * n_images * SPI_LANES;
    spi_err err;

    *s = (struct spi_soft){.n_images = n_images, .Na = Na, .tiles = tiles};
    SPI_TRY(err = SPI_NEW_UNSET(s->q, pairs * Na, "weights"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(s->w, pairs, "weights"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(s->wx, pairs, "weights"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(s->wS, pairs, "weights"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(s->scale, pairs, "weights"), fail);
    return SPI_OK;
fail:
    spi_soft_clear(s);
    return err;
}

void spi_soft_clear(struct spi_soft *s)
{
    free(s->q);
    free(s->w);
    free(s->wx);
    free(s->wS);
    free(s->scale);
    *s = (struct spi_soft){0};
}

spi_err spi_score_soft(const struct spi_score_input *in, float beta, const float *S,
                       struct spi_soft *soft, struct spi_scores *out)
{
    struct spi_scores tops = {0};
    struct use use = {.fn = keep_weights, .out = &tops, .soft = soft, .beta = beta, .S = S};
    spi_err err;

    *out = (struct spi_scores){0};
    soft->n_images = in->n_images;
    SPI_TRY(err = SPI_NEW(tops.top, in->n_images * in->views.nd, "scores"), out);
    SPI_TRY(err = score_dense(in, &use), out);
    err = rows_near_top(in, 0, &tops, out);
out:
    free(tops.top);
    return err;
}

void spi_scores_clear(struct spi_scores *s)
{
    free(s->first);
    free(s->dir);
    free(s->LL);
    free(s->row_top);
    free(s->top);
    *s = (struct spi_scores){0};
}
