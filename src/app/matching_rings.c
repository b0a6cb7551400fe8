/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Matching on rings: exhaustive, and coarse to fine. */
#include <complex.h>
#include <math.h>
#include <stdlib.h>

#include "app/matching_parts.h"
#include "base/mem.h"
#include "match/posterior.h"
#include "match/search.h"
#include "slice/templates.h"

enum { BLOCK = 8 * SPI_GROUP }; /* images of a task: a multiple of what a tile takes */

/* ---- exhaustive --------------------------------------------------------------------- */

/* The model of one level: rows of the directions in `list`. */
struct level_model {
    float *templates, *table, *S; /* [n] rows, owned */
    int32_t *list;                /* [n] directions, owned */
    int32_t *row;                 /* [nd] row of a direction, owned */
    uint8_t *used;                /* [nd] owned */
    int64_t n;
};

struct ring_job {
    const struct spi_matching *m;
    float *templates, *table, *S;
    struct spi_orientations *o;
    /* coarse to fine: some images at a time */
    struct spi_search search;
    struct level_model model[SPI_SEARCH_LEVELS];
    int l;               /* the level now */
    bool all;            /* directions have templates, not only those in use */
    int64_t chunk_first; /* images chunk_first ... */
    float complex *h;    /* [chunk][harmonics] */
    int32_t *candidates; /* [chunk][SPI_SEARCH_KEEP] */
    int64_t *order;      /* [chunk] */
};

struct ring_args {
    struct ring_job *j;
    int64_t first, n;
};

static spi_err check_rings(const struct spi_matching *m)
{
    if (m->spec.like->rings)
        return SPI_OK;
    return spi_fail(SPI_EINVAL, "the likelihood \"%s\" compares pixels, not rings",
                    m->spec.like->name);
}

/* Rows of directions of a grid (of `list`, if not NULL) into whole arrays. */
static spi_err make_templates(const struct ring_args *a, const struct spi_band *band,
                              struct spi_views views, const int32_t *list, float *templates,
                              float *table, float *S)
{
    const struct spi_matching *m = a->j->m;
    struct spi_template_spec spec = {.rings = &m->rings,
                                     .band = band,
                                     .map = &m->map,
                                     .views = views,
                                     .like = m->spec.like,
                                     .inv_var = m->inv_var};

    return spi_templates_make(&spec, m->plan, m->grid, list, a->first, a->n,
                              templates + a->first * band->floats,
                              table + a->first * views.Na, S + a->first * views.Na);
}

static spi_err task_templates(struct spi_view *view, const void *arg,
                              const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct ring_job *j = a->j;

    (void)view;
    (void)stop;
    return make_templates(a, &j->m->band, j->m->views, NULL, j->templates, j->table, j->S);
}

/* Images -> ring-major harmonics h [n][..]; a few at a time, as detectors may be large. */
static spi_err make_harmonics(const struct spi_matching *m, int64_t first, int64_t n,
                              float complex *h)
{
    enum { AT_ONCE = 8 };
    const struct spi_rings *g = &m->rings;
    float *pixels = NULL, *samples = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(pixels, AT_ONCE * m->det->n_pixels, "images"), out);
    SPI_TRY(err = SPI_NEW(samples, g->at[g->R], "images"), out);
    for (int64_t k = 0; k < n; k++, h += g->h_at[g->R]) {
        float *image = pixels + k % AT_ONCE * m->det->n_pixels;
        int64_t left = n - k < AT_ONCE ? n - k : AT_ONCE;

        if (k % AT_ONCE == 0)
            SPI_TRY(err = spi_images_read(m->spec.images, first + k, left, pixels), out);
        for (int64_t p = 0; p < m->det->n_pixels; p++)
            image[p] *= (float)m->scale;
        spi_ring_resample(&m->map, g, image, samples);
        SPI_TRY(err = spi_ring_analyse(g, m->band.R, samples, h), out);
    }
out:
    free(pixels);
    free(samples);
    return err;
}

/* Images -> records of the band and their counts. */
static spi_err make_records(const struct spi_matching *m, int64_t first, int64_t n,
                            float *records, float *counts)
{
    const struct spi_rings *g = &m->rings;
    int64_t H = g->h_at[g->R];
    float complex *h;
    spi_err err = SPI_NEW(h, n * H, "images");

    if (!err)
        err = make_harmonics(m, first, n, h);
    for (int64_t k = 0; k < n && !err; k++) {
        spi_band_pack(&m->band, g, h + k * H, NULL, records + k * m->band.floats);
        counts[k] = spi_ring_counts(g, m->band.R, h + k * H);
    }
    free(h);
    return err;
}

static void store_best(const struct ring_args *a, const struct spi_posterior *post,
                       const float *counts)
{
    const struct spi_matching *m = a->j->m;
    struct spi_orientations *o = a->j->o;

    for (int64_t k = 0; k < a->n; k++) {
        const struct spi_best *b = &post->best[k];
        int64_t i = a->first + k;
        float model = post->model_sum[k];

        spi_view_quat(&m->views, b->dir, (double)b->angle, o->quat + 4 * i);
        o->score[i] = b->score;
        o->margin[i] = b->margin;
        o->entropy[i] = b->entropy;
        o->fluence[i] = model > 0 ? counts[k] / model : 0;
    }
}

static spi_err task_score(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_matching *m = a->j->m;
    struct spi_scores scores = {0};
    struct spi_posterior post = {0};
    float *records = NULL, *counts = NULL;
    double drop = spi_posterior_drop(1, 1, (double)m->views.nd * m->views.Na);
    spi_err err;

    (void)view;
    (void)stop;
    SPI_TRY(err = SPI_NEW(records, a->n * m->band.floats, "images"), out);
    SPI_TRY(err = SPI_NEW(counts, a->n, "images"), out);
    SPI_TRY(err = make_records(m, a->first, a->n, records, counts), out);

    struct spi_score_input in = {.band = &m->band,
                                 .views = m->views,
                                 .like = m->spec.like,
                                 .templates = a->j->templates,
                                 .table = a->j->table,
                                 .n_images = (int)a->n,
                                 .records = records,
                                 .counts = counts};

    SPI_TRY(err = spi_score_peaks(&in, drop, &scores), out);
    SPI_TRY(err = spi_posterior_make(&scores, &m->views, 1, 1, a->j->S, NULL, &post), out);
    store_best(a, &post, counts);
out:
    spi_posterior_clear(&post);
    spi_scores_clear(&scores);
    free(records);
    free(counts);
    return err;
}

/* Submit fn over 0 ... total-1 in blocks; `show`: these are images, tell the progress. */
static spi_err each_block(struct ring_job *j, const char *name, spi_task_fn *fn,
                          int64_t total, int64_t block, bool show)
{
    const struct spi_matching_spec *spec = &j->m->spec;
    struct spi_matching_partials s = {0};
    int turn = 0;
    spi_err err;

    SPI_TRY(err = spi_matching_partials_init(&s, spec->graph), out);
    for (int64_t first = 0; first < total; first += block, turn++) {
        struct ring_args a = {j, first, total - first < block ? total - first : block};
        struct spi_access access = {s.turn, turn % s.n, SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(s.g, name, fn, &a, sizeof a, 1, &access), out);
        if (turn % s.n == s.n - 1) {
            SPI_TRY(err = spi_graph_wait(s.g), out);
            if (show && spec->progress)
                spec->progress(first + a.n, total, spec->user);
        }
    }
    err = spi_graph_wait(s.g);
out:
    spi_matching_partials_clear(&s);
    return err;
}

spi_err spi_matching_rings(const struct spi_matching *m, struct spi_orientations *o)
{
    struct ring_job j = {.m = m, .o = o};
    int64_t nd = m->views.nd, Na = m->views.Na;
    spi_err err;

    *o = (struct spi_orientations){0};
    if ((err = check_rings(m)))
        return err;
    SPI_TRY(err = SPI_NEW_UNSET(j.templates, nd * m->band.floats, "templates"), out);
    SPI_TRY(err = SPI_NEW_UNSET(j.table, nd * Na, "templates"), out);
    SPI_TRY(err = SPI_NEW_UNSET(j.S, nd * Na, "templates"), out);
    SPI_TRY(err = spi_matching_results_new(m->n_images, true, o), out);
    SPI_TRY(err = each_block(&j, "slice", task_templates, nd, 256, false), out);
    SPI_TRY(err = each_block(&j, "match", task_score, m->n_images, BLOCK, true), out);
    err = spi_matching_results_finish(m, o);
out:
    if (err)
        spi_orientations_clear(o);
    free(j.templates);
    free(j.table);
    free(j.S);
    return err;
}

/* ---- coarse to fine ----------------------------------------------------------------- */

static spi_err task_level_templates(struct spi_view *view, const void *arg,
                                    const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_search_level *l = &a->j->search.level[a->j->l];
    struct level_model *m = &a->j->model[a->j->l];

    (void)view;
    (void)stop;
    return make_templates(a, &l->band, l->views, m->list, m->templates, m->table, m->S);
}

static spi_err task_ingest(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_rings *g = &a->j->m->rings;

    (void)view;
    (void)stop;
    return make_harmonics(a->j->m, a->j->chunk_first + a->first, a->n,
                          a->j->h + a->first * g->h_at[g->R]);
}

static spi_err task_coarse(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_rings *g = &a->j->m->rings;
    const float complex *h[BLOCK];

    (void)view;
    (void)stop;
    for (int64_t i = 0; i < a->n; i++)
        h[i] = a->j->h + (a->first + i) * g->h_at[g->R];
    return spi_search_coarse(&a->j->search, (int)a->n, h,
                             a->j->candidates + a->first * SPI_SEARCH_KEEP);
}

static spi_err task_near(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct ring_job *j = a->j;

    (void)view;
    (void)stop;
    spi_search_near(&j->search, j->l, a->first, a->n,
                    j->all ? NULL : j->model[j->l - 1].used);
    return SPI_OK;
}

static spi_err task_fine(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    struct ring_job *j = a->j;
    const struct spi_rings *g = &j->m->rings;
    const struct spi_views *v = &j->search.level[j->l].views;
    bool last = j->l == j->search.n - 1;
    const float complex *h[BLOCK];
    int32_t *candidates[BLOCK];
    struct spi_best best[BLOCK];
    float fluence[BLOCK];
    spi_err err;

    (void)view;
    (void)stop;
    for (int64_t i = 0; i < a->n; i++) {
        int64_t k = j->order[a->first + i];

        h[i] = j->h + k * g->h_at[g->R];
        candidates[i] = j->candidates + k * SPI_SEARCH_KEEP;
    }
    err = spi_search_fine(&j->search, j->l, (int)a->n, h, candidates, last ? best : NULL,
                          fluence);
    for (int64_t i = 0; i < a->n && last && !err; i++) {
        int64_t k = j->chunk_first + j->order[a->first + i];

        spi_view_quat(v, best[i].dir, (double)best[i].angle, j->o->quat + 4 * k);
        j->o->score[k] = best[i].score;
        j->o->margin[k] = best[i].margin;
        j->o->entropy[k] = best[i].entropy;
        j->o->fluence[k] = fluence[i];
    }
    return err;
}

/* Templates of the directions of level j->l that are in use, or of all. */
static spi_err make_level(struct ring_job *j)
{
    struct spi_search_level *l = &j->search.level[j->l];
    struct level_model *m = &j->model[j->l];
    int64_t nd = l->views.nd;
    spi_err err;

    SPI_TRY(err = SPI_NEW(m->list, nd, "templates"), out);
    SPI_TRY(err = SPI_NEW(m->row, nd, "templates"), out);
    for (int32_t d = 0; d < nd; d++)
        if (j->l == 0 || j->all || m->used[d]) {
            m->row[d] = (int32_t)m->n;
            m->list[m->n++] = d;
        }
    SPI_TRY(err = SPI_NEW_UNSET(m->templates, m->n * l->band.floats, "templates"), out);
    SPI_TRY(err = SPI_NEW_UNSET(m->table, m->n * l->views.Na, "templates"), out);
    SPI_TRY(err = SPI_NEW_UNSET(m->S, m->n * l->views.Na, "templates"), out);
    SPI_TRY(err = each_block(j, "slice", task_level_templates, m->n, 256, false), out);
    l->templates = m->templates;
    l->table = m->table;
    l->S = m->S;
    l->row = m->row;
out:
    return err;
}

/* Level j->l of the n images of a chunk. */
static spi_err match_level(struct ring_job *j, int64_t n)
{
    const struct spi_search_level *l = &j->search.level[j->l];
    struct level_model *m = &j->model[j->l];
    spi_err err;

    if (!m->list && j->l > 0) { /* first use */
        SPI_TRY(err = each_block(j, "match", task_near, l[-1].views.nd, 256, false), out);
        SPI_TRY(err = SPI_NEW(m->used, l->views.nd, "search"), out);
        if (!j->all)
            spi_search_mark(&j->search, j->l, n, j->candidates, m->used);
    }
    if (!m->list)
        SPI_TRY(err = make_level(j), out);
    if (j->l > 0)
        return each_block(j, "match", task_fine, n, BLOCK, false);
    SPI_TRY(err = each_block(j, "match", task_coarse, n, BLOCK, false), out);
    err = spi_search_order(&j->search, n, j->candidates, j->order);
out:
    return err;
}

static void levels_clear(struct ring_job *j)
{
    for (int l = 0; l < SPI_SEARCH_LEVELS; l++) {
        struct level_model *m = &j->model[l];

        free(m->templates);
        free(m->table);
        free(m->S);
        free(m->list);
        free(m->row);
        free(m->used);
    }
    spi_search_clear(&j->search);
    free(j->h);
    free(j->candidates);
    free(j->order);
}

spi_err spi_matching_levels(const struct spi_matching *m, double bytes,
                            struct spi_orientations *o)
{
    struct ring_job j = {.m = m, .o = o};
    int64_t H = m->rings.h_at[m->rings.R], chunk;
    double q_start = m->spec.init_qD / m->spec.diameter_A;
    spi_err err;

    *o = (struct spi_orientations){0};
    if ((err = check_rings(m)))
        return err;
    SPI_TRY(err =
                spi_search_init(&j.search, &m->rings, m->spec.like, q_start, m->spec.finer),
            out);
    if (j.search.n == 1) { /* as coarse as that: exhaustive is all there is */
        levels_clear(&j);
        return spi_matching_rings(m, o);
    }
    bytes /= 8.0 * (double)(H + SPI_SEARCH_KEEP);
    chunk = bytes < BLOCK                 ? BLOCK
            : bytes < (double)m->n_images ? (int64_t)bytes
                                          : m->n_images;
    /* one chunk of few images does not need all directions of the last levels */
    j.all = chunk < m->n_images || m->n_images > j.search.level[j.search.n - 1].views.nd;
    SPI_TRY(err = spi_matching_results_new(m->n_images, true, o), out);
    SPI_TRY(err = SPI_NEW(j.h, chunk * H, "images"), out);
    SPI_TRY(err = SPI_NEW(j.candidates, chunk * SPI_SEARCH_KEEP, "search"), out);
    SPI_TRY(err = SPI_NEW(j.order, chunk, "search"), out);
    for (; j.chunk_first < m->n_images; j.chunk_first += chunk) {
        int64_t left = m->n_images - j.chunk_first, n = left < chunk ? left : chunk;

        SPI_TRY(err = each_block(&j, "match", task_ingest, n, BLOCK, false), out);
        for (j.l = 0; j.l < j.search.n; j.l++)
            SPI_TRY(err = match_level(&j, n), out);
        if (m->spec.progress)
            m->spec.progress(j.chunk_first + n, m->n_images, m->spec.user);
    }
    err = spi_matching_results_finish(m, o);
out:
    if (err)
        spi_orientations_clear(o);
    levels_clear(&j);
    return err;
}
