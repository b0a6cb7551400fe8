/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Matching on rings: exhaustive, and coarse to fine. */
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/matching_parts.h"
#include "base/mem.h"
#include "match/posterior.h"
#include "match/search.h"
#include "slice/templates.h"

enum { BLOCK = 8 * SPI_GROUP }; /* images of a task: a multiple of what a tile takes */

enum { ROWS = 256 }; /* directions of a task */

/* The model on a grid of directions. */
struct model {
    struct spi_array *templates, *table, *S; /* [n] rows, a part a task */
    int32_t *list;                           /* [n] directions, owned; NULL: all */
    int64_t n;
};

static spi_err model_new(struct spi_graph *g, const struct spi_band *band, int Na,
                         int64_t n, struct model *m)
{
    struct spi_array_shape shape = {
        SPI_ARRAY_OF(float, "templates"),      .rows = n,         .columns = band->floats,
        .parts = (int)((n + ROWS - 1) / ROWS), .part_rows = ROWS, .unset = true};
    spi_err err;

    m->n = n;
    SPI_TRY(err = spi_array_new(g, &shape, &m->templates), out);
    shape.name = "template table";
    shape.columns = Na;
    SPI_TRY(err = spi_array_new(g, &shape, &m->table), out);
    shape.name = "template sums";
    err = spi_array_new(g, &shape, &m->S);
out:
    return err;
}

static void model_clear(struct spi_graph *g, struct model *m)
{
    spi_array_free(g, m->templates);
    spi_array_free(g, m->table);
    spi_array_free(g, m->S);
    free(m->list);
    *m = (struct model){0};
}

static spi_err check_rings(const struct spi_matching *m)
{
    if (m->spec.like->rings)
        return SPI_OK;
    return spi_fail(SPI_EINVAL, "the likelihood \"%s\" compares pixels, not rings",
                    m->spec.like->name);
}

/* Argument of the tasks: images or directions first ... first+n-1. */
struct ring_args {
    const struct spi_matching *m;
    const struct spi_search *search; /* and its level; NULL, exhaustive */
    int level;
    const int32_t *list;  /* templates: directions, or NULL */
    const uint8_t *used;  /* near: of the level before, or NULL */
    const int64_t *order; /* fine: image of a place */
    int64_t image;        /* ingest: the first of the chunk */
    int64_t first, n;
};

/* v: templates, table, S. */
static spi_err task_templates(struct spi_view *view, const void *arg,
                              const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_matching *m = a->m;
    const struct spi_search_level *l = a->search ? &a->search->level[a->level] : NULL;
    struct spi_template_spec spec = {.rings = &m->rings,
                                     .band = l ? &l->band : &m->band,
                                     .map = &m->map,
                                     .views = l ? l->views : m->views,
                                     .like = m->spec.like,
                                     .inv_var = m->inv_var};

    (void)stop;
    return spi_templates_make(&spec, m->plan, m->grid, a->list, a->first, a->n,
                              view[0].data, view[1].data, view[2].data);
}

/* Tasks in blocks of `block` over 0 ... total-1.  access: n of them; one whose part is EACH
 * is that of the task.  show: these are images, tell the progress. */
enum { EACH = -2 };

static spi_err each_block(const struct ring_args *args, const char *name, spi_task_fn *fn,
                          int64_t total, int64_t block, int n,
                          const struct spi_access *access, bool show)
{
    const struct spi_matching_spec *spec = &args->m->spec;
    spi_err err = SPI_OK, late;
    int b = 0;

    for (int64_t first = 0; first < total; first += block, b++) {
        struct spi_access own[SPI_ACCESSES_MAX];
        struct ring_args a = *args;

        a.first = first;
        a.n = total - first < block ? total - first : block;
        for (int i = 0; i < n; i++) {
            own[i] = access[i];
            if (own[i].part == EACH)
                own[i].part = b;
        }
        SPI_TRY(err = spi_graph_submit(spec->graph, name, fn, &a, sizeof a, n, own), out);
        if (show && b % SPI_MATCHING_TASKS == SPI_MATCHING_TASKS - 1) {
            SPI_TRY(err = spi_graph_wait(spec->graph), out);
            if (spec->progress)
                spec->progress(first + a.n, total, spec->user);
        }
    }
out:
    late = spi_graph_wait(spec->graph);
    return err ? err : late;
}

static spi_err make_templates(const struct ring_args *args, const struct model *m)
{
    struct spi_access access[3] = {{m->templates, EACH, SPI_WRITE},
                                   {m->table, EACH, SPI_WRITE},
                                   {m->S, EACH, SPI_WRITE}};

    return each_block(args, "slice", task_templates, m->n, ROWS, 3, access, false);
}

/* A row of each image, a part a block of images. */
static spi_err per_image(struct spi_graph *g, const char *name, enum spi_type type,
                         size_t item, int64_t n, int64_t columns, void *wrap,
                         struct spi_array **out)
{
    struct spi_array_shape shape = {.name = name,
                                    .type = type,
                                    .item = item,
                                    .rows = n,
                                    .columns = columns,
                                    .parts = (int)((n + BLOCK - 1) / BLOCK),
                                    .part_rows = BLOCK};

    return wrap ? spi_array_wrap(g, &shape, wrap, out) : spi_array_new(g, &shape, out);
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

/* ---- exhaustive --------------------------------------------------------------------- */

/* v: templates, table, S; best, fluence. */
static spi_err task_score(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_matching *m = a->m;
    struct spi_best *best = view[3].data;
    float *fluence = view[4].data;
    struct spi_scores scores = {0};
    struct spi_posterior post = {0};
    float *records = NULL, *counts = NULL;
    double drop = spi_posterior_drop(1, 1, (double)m->views.nd * m->views.Na);
    spi_err err;

    (void)stop;
    SPI_TRY(err = SPI_NEW(records, a->n * m->band.floats, "images"), out);
    SPI_TRY(err = SPI_NEW(counts, a->n, "images"), out);
    SPI_TRY(err = make_records(m, a->first, a->n, records, counts), out);

    struct spi_score_input in = {.band = &m->band,
                                 .views = m->views,
                                 .like = m->spec.like,
                                 .templates = view[0].data,
                                 .table = view[1].data,
                                 .n_images = (int)a->n,
                                 .records = records,
                                 .counts = counts};

    SPI_TRY(err = spi_score_peaks(&in, drop, &scores), out);
    SPI_TRY(err = spi_posterior_make(&scores, &m->views, 1, 1, view[2].data, NULL, &post),
            out);
    for (int64_t k = 0; k < a->n; k++) {
        float model = post.model_sum[k];

        best[k] = post.best[k];
        fluence[k] = model > 0 ? counts[k] / model : 0;
    }
out:
    spi_posterior_clear(&post);
    spi_scores_clear(&scores);
    free(records);
    free(counts);
    return err;
}

/* What matching found of n images, in the order `order` (NULL: as they come) from image
 * `first` on. */
static void store(const struct spi_views *views, int64_t first, int64_t n,
                  const int64_t *order, struct spi_array *best, struct spi_array *fluence,
                  struct spi_orientations *o)
{
    const struct spi_best *b = spi_array_data(best, SPI_WHOLE, NULL);
    const float *phi = spi_array_data(fluence, SPI_WHOLE, NULL);

    for (int64_t i = 0; i < n; i++) {
        int64_t k = first + (order ? order[i] : i);

        spi_view_quat(views, b[i].dir, (double)b[i].angle, o->quat + 4 * k);
        o->score[k] = b[i].score;
        o->margin[k] = b[i].margin;
        o->entropy[k] = b[i].entropy;
        o->fluence[k] = phi[i];
    }
}

spi_err spi_matching_rings(const struct spi_matching *m, struct spi_orientations *o)
{
    struct spi_graph *g = m->spec.graph;
    struct ring_args args = {.m = m};
    struct model model = {0};
    struct spi_array *best = NULL, *fluence = NULL;
    spi_err err = check_rings(m);

    *o = (struct spi_orientations){0};
    if (err)
        return err;
    SPI_TRY(err = model_new(g, &m->band, m->views.Na, m->views.nd, &model), out);
    SPI_TRY(err = spi_matching_results_new(m->n_images, true, o), out);
    SPI_TRY(err = per_image(g, "best", SPI_RECORD, sizeof(struct spi_best), m->n_images, 1,
                            NULL, &best),
            out);
    SPI_TRY(err = per_image(g, "fluence", SPI_F32, sizeof(float), m->n_images, 1, NULL,
                            &fluence),
            out);
    SPI_TRY(err = make_templates(&args, &model), out);

    struct spi_access access[5] = {{model.templates, SPI_WHOLE, SPI_READ},
                                   {model.table, SPI_WHOLE, SPI_READ},
                                   {model.S, SPI_WHOLE, SPI_READ},
                                   {best, EACH, SPI_WRITE},
                                   {fluence, EACH, SPI_WRITE}};

    SPI_TRY(err =
                each_block(&args, "match", task_score, m->n_images, BLOCK, 5, access, true),
            out);
    store(&m->views, 0, m->n_images, NULL, best, fluence, o);
    err = spi_matching_results_finish(m, o);
out:
    if (err)
        spi_orientations_clear(o);
    spi_array_free(g, best);
    spi_array_free(g, fluence);
    model_clear(g, &model);
    return err;
}

/* ---- coarse to fine ----------------------------------------------------------------- */

/* The model of one level. */
struct level {
    struct model model;
    int32_t *row;           /* [nd] row of a direction, owned */
    uint8_t *used;          /* [nd] owned */
    struct spi_array *near; /* [nd before][SPI_SEARCH_NEAR]: near of its search level */
};

/* Some images at a time. */
struct level_job {
    const struct spi_matching *m;
    struct spi_search search;
    struct level level[SPI_SEARCH_LEVELS];
    bool all;                     /* directions have templates, not only those in use */
    int64_t *order;               /* [chunk] */
    struct spi_array *h;          /* [n][harmonics] of the chunk */
    struct spi_array *candidates; /* [n][SPI_SEARCH_KEEP], after level 0 in their order */
    struct spi_array *best, *fluence; /* [n] in their order */
    struct spi_orientations *o;
};

/* v: harmonics. */
static spi_err task_ingest(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;

    (void)stop;
    return make_harmonics(a->m, a->image + a->first, a->n, view[0].data);
}

/* A level of the search whose model is what a task sees. */
static struct spi_search seen(const struct ring_args *a, const struct spi_view *v)
{
    struct spi_search s = *a->search;
    struct spi_search_level *l = &s.level[a->level];

    l->templates = v[0].data;
    l->table = v[1].data;
    l->S = v[2].data;
    return s;
}

/* v: templates, table, S; harmonics, candidates. */
static spi_err task_coarse(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_rings *g = &a->m->rings;
    const struct spi_search search = seen(a, view);
    const float complex *h[BLOCK];

    (void)stop;
    for (int64_t i = 0; i < a->n; i++)
        h[i] = (const float complex *)view[3].data + i * g->h_at[g->R];
    return spi_search_coarse(&search, (int)a->n, h, view[4].data);
}

/* v: near. */
static spi_err task_near(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    struct spi_search search = *a->search;

    (void)stop;
    search.level[a->level].near =
        (int32_t *)view[0].data - a->first * SPI_SEARCH_NEAR; /* of direction 0 */
    spi_search_near(&search, a->level, a->first, a->n, a->used);
    return SPI_OK;
}

/* v: templates, table, S; harmonics of the chunk, near; candidates, and of the last level
 * best and fluence. */
static spi_err task_fine(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_rings *g = &a->m->rings;
    struct spi_search search = seen(a, view);
    bool last = a->level == search.n - 1;
    const float complex *h[BLOCK];
    int32_t *candidates[BLOCK];

    (void)stop;
    search.level[a->level].near = view[4].data;
    for (int64_t i = 0; i < a->n; i++) {
        h[i] = (const float complex *)view[3].data + a->order[a->first + i] * g->h_at[g->R];
        candidates[i] = (int32_t *)view[5].data + i * SPI_SEARCH_KEEP;
    }
    return spi_search_fine(&search, a->level, (int)a->n, h, candidates,
                           last ? view[6].data : NULL, last ? view[7].data : NULL);
}

static struct ring_args args_of(const struct level_job *j, int level)
{
    return (struct ring_args){.m = j->m,
                              .search = &j->search,
                              .level = level,
                              .order = j->order,
                              .list = j->level[level].model.list};
}

/* Which directions of a level are near those of the level before, and which are in use. */
static spi_err find_near(struct level_job *j, int l, int64_t n)
{
    struct spi_search_level *level = &j->search.level[l];
    int64_t before = level[-1].views.nd;
    struct ring_args a = args_of(j, l);
    struct spi_array_shape shape = {SPI_ARRAY_OF(int32_t, "directions nearby"),
                                    .rows = before, .columns = SPI_SEARCH_NEAR,
                                    .parts = (int)((before + ROWS - 1) / ROWS),
                                    .part_rows = ROWS};
    struct spi_access access;
    spi_err err;

    SPI_TRY(err = spi_array_wrap(j->m->spec.graph, &shape, level->near, &j->level[l].near),
            out);
    access = (struct spi_access){j->level[l].near, EACH, SPI_READ_WRITE};
    a.used = j->all ? NULL : j->level[l - 1].used;
    SPI_TRY(err = each_block(&a, "match", task_near, before, ROWS, 1, &access, false), out);
    SPI_TRY(err = SPI_NEW(j->level[l].used, level->views.nd, "search"), out);
    if (!j->all) {
        struct spi_search search = j->search;

        search.level[l].near = spi_array_data(j->level[l].near, SPI_WHOLE, NULL);
        spi_search_mark(&search, l, n, spi_array_data(j->candidates, SPI_WHOLE, NULL),
                        j->level[l].used);
    }
out:
    return err;
}

/* Templates of the directions of level l that are in use, or of all. */
static spi_err make_level(struct level_job *j, int l)
{
    struct spi_search_level *level = &j->search.level[l];
    struct level *own = &j->level[l];
    int64_t nd = level->views.nd, n = 0;
    struct ring_args a;
    spi_err err;

    SPI_TRY(err = SPI_NEW(own->model.list, nd, "templates"), out);
    SPI_TRY(err = SPI_NEW(own->row, nd, "templates"), out);
    for (int32_t d = 0; d < nd; d++)
        if (l == 0 || j->all || own->used[d]) {
            own->row[d] = (int32_t)n;
            own->model.list[n++] = d;
        }
    SPI_TRY(err =
                model_new(j->m->spec.graph, &level->band, level->views.Na, n, &own->model),
            out);
    level->row = own->row;
    a = args_of(j, l);
    err = make_templates(&a, &own->model);
out:
    return err;
}

/* Candidates of the n images of a chunk, from their order in the file to that of `order`. */
static spi_err put_in_order(const struct level_job *j, int64_t n)
{
    int32_t *candidates = spi_array_data(j->candidates, SPI_WHOLE, NULL), *copy;
    size_t bytes = SPI_SEARCH_KEEP * sizeof *copy;
    spi_err err = SPI_NEW(copy, n * SPI_SEARCH_KEEP, "search");

    if (err)
        return err;
    memcpy(copy, candidates, (size_t)n * bytes);
    for (int64_t i = 0; i < n; i++)
        memcpy(candidates + i * SPI_SEARCH_KEEP, copy + j->order[i] * SPI_SEARCH_KEEP,
               bytes);
    free(copy);
    return SPI_OK;
}

/* Level l of the n images of a chunk. */
static spi_err match_level(struct level_job *j, int l, int64_t n)
{
    struct level *own = &j->level[l];
    struct ring_args a;
    spi_err err;

    if (!own->model.list && l > 0) /* first use */
        SPI_TRY(err = find_near(j, l, n), out);
    if (!own->model.list)
        SPI_TRY(err = make_level(j, l), out);
    a = args_of(j, l);

    struct spi_access access[8] = {{own->model.templates, SPI_WHOLE, SPI_READ},
                                   {own->model.table, SPI_WHOLE, SPI_READ},
                                   {own->model.S, SPI_WHOLE, SPI_READ},
                                   {j->h, l ? SPI_WHOLE : EACH, SPI_READ}};

    if (l == 0) {
        access[4] = (struct spi_access){j->candidates, EACH, SPI_WRITE};
        SPI_TRY(err = each_block(&a, "match", task_coarse, n, BLOCK, 5, access, false),
                out);
        SPI_TRY(err = spi_search_order(&j->search, n,
                                       spi_array_data(j->candidates, SPI_WHOLE, NULL),
                                       j->order),
                out);
        return put_in_order(j, n);
    }
    access[4] = (struct spi_access){own->near, SPI_WHOLE, SPI_READ};
    access[5] = (struct spi_access){j->candidates, EACH, SPI_READ_WRITE};
    access[6] = (struct spi_access){j->best, EACH, SPI_WRITE};
    access[7] = (struct spi_access){j->fluence, EACH, SPI_WRITE};
    err = each_block(&a, "match", task_fine, n, BLOCK, l == j->search.n - 1 ? 8 : 6, access,
                     false);
out:
    return err;
}

static void chunk_clear(struct level_job *j)
{
    struct spi_graph *g = j->m->spec.graph;

    spi_array_free(g, j->h);
    spi_array_free(g, j->candidates);
    spi_array_free(g, j->best);
    spi_array_free(g, j->fluence);
    j->h = j->candidates = j->best = j->fluence = NULL;
}

/* The n images from `first` on. */
static spi_err match_chunk(struct level_job *j, int64_t first, int64_t n)
{
    struct spi_graph *g = j->m->spec.graph;
    struct ring_args a = {.m = j->m, .image = first};
    struct spi_access access;
    spi_err err;

    SPI_TRY(err = per_image(g, "harmonics", SPI_C32, sizeof(float complex), n,
                            j->m->rings.h_at[j->m->rings.R], NULL, &j->h),
            out);
    SPI_TRY(err = per_image(g, "candidates", SPI_I32, sizeof(int32_t), n, SPI_SEARCH_KEEP,
                            NULL, &j->candidates),
            out);
    SPI_TRY(err = per_image(g, "best", SPI_RECORD, sizeof(struct spi_best), n, 1, NULL,
                            &j->best),
            out);
    SPI_TRY(err = per_image(g, "fluence", SPI_F32, sizeof(float), n, 1, NULL, &j->fluence),
            out);
    access = (struct spi_access){j->h, EACH, SPI_WRITE};
    SPI_TRY(err = each_block(&a, "match", task_ingest, n, BLOCK, 1, &access, false), out);
    for (int l = 0; l < j->search.n; l++)
        SPI_TRY(err = match_level(j, l, n), out);
    store(&j->search.level[j->search.n - 1].views, first, n, j->order, j->best, j->fluence,
          j->o);
out:
    return err;
}

static void levels_clear(struct level_job *j)
{
    struct spi_graph *g = j->m->spec.graph;

    chunk_clear(j);
    for (int l = 0; l < SPI_SEARCH_LEVELS; l++) {
        model_clear(g, &j->level[l].model);
        spi_array_free(g, j->level[l].near);
        free(j->level[l].row);
        free(j->level[l].used);
    }
    spi_search_clear(&j->search);
    free(j->order);
}

spi_err spi_matching_levels(const struct spi_matching *m, double bytes,
                            struct spi_orientations *o)
{
    struct level_job j = {.m = m, .o = o};
    int64_t H = m->rings.h_at[m->rings.R], chunk;
    double q_start = m->spec.init_qD / m->spec.diameter_A;
    spi_err err = check_rings(m);

    *o = (struct spi_orientations){0};
    if (err)
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
    SPI_TRY(err = SPI_NEW(j.order, chunk, "search"), out);
    for (int64_t first = 0; first < m->n_images; first += chunk) {
        int64_t left = m->n_images - first, n = left < chunk ? left : chunk;

        SPI_TRY(err = match_chunk(&j, first, n), out);
        chunk_clear(&j);
        if (m->spec.progress)
            m->spec.progress(first + n, m->n_images, m->spec.user);
    }
    err = spi_matching_results_finish(m, o);
out:
    if (err)
        spi_orientations_clear(o);
    levels_clear(&j);
    return err;
}
