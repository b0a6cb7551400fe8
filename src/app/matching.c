#include "app/matching.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/stage.h"
#include "base/mem.h"
#include "match/posterior.h"
#include "match/search.h"
#include "math/rot.h"
#include "mtip/orientations.h"
#include "slice/templates.h"

enum { FIRST_IMAGES = 1000, DIRECTIONS = 100, TASKS_AT_ONCE = 64 };
enum { BLOCK = 8 * SPI_GROUP }; /* images of a task: a multiple of what a tile takes */
static const double typical_counts = 1e5;

/* ---- preparation --------------------------------------------------------------------- */

/* Sums over the first images: of ring samples per live weight, of their squares. */
struct moments {
    double *sum, *sum2, *used; /* [R] */
    float *samples;
};

static void add_moments(const struct spi_matching *m, const float *image, struct moments *s)
{
    const struct spi_rings *g = &m->rings;

    spi_ring_resample(&m->map, g, image, s->samples);
    for (int r = 0; r < m->band.R; r++) {
        double live = (double)crealf(m->map.live_h[g->h_at[r]]) / g->n[r];

        for (int i = g->at[r]; i < g->at[r + 1]; i++) {
            if (!((double)m->map.live[i] > 0.2 * live)) /* the edge of a mask */
                continue;

            double v = (double)s->samples[i] / (double)m->map.live[i];

            s->sum[r] += v;
            s->sum2[r] += v * v;
            s->used[r] += 1;
        }
    }
}

static spi_err read_moments(const struct spi_matching *m, int64_t n, struct moments *s)
{
    float *pixels = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(pixels, m->det->n_pixels, "images"), out);
    for (int64_t k = 0; k < n; k++) {
        SPI_TRY(err = spi_images_read(m->spec.images, k * (m->n_images / n), 1, pixels),
                out);
        add_moments(m, pixels, s);
    }
out:
    free(pixels);
    return err;
}

/* Scale of the images: photons as they are, other data to typical_counts an image.  mean
 * [R]: counts per live weight. */
static spi_err use_moments(struct spi_matching *m, const struct moments *s, double n,
                           double *mean, double *counts)
{
    double total = 0;

    for (int r = 0; r < m->band.R; r++) {
        mean[r] = s->used[r] > 0 ? s->sum[r] / s->used[r] : 0;
        total += mean[r] * (double)crealf(m->map.live_h[m->rings.h_at[r]]);
    }
    if (!(total > 0 && isfinite(total)))
        return spi_fail(SPI_EFORMAT, "%.0f images are all zero between |q| = %g and %g 1/A",
                        n, m->spec.q_min, m->rings.q[m->band.R - 1]);
    m->scale = spi_images_kind(m->spec.images) == SPI_PHOTONS ? 1 : typical_counts / total;
    *counts = m->scale * total;
    for (int r = 0; r < m->band.R; r++) {
        double mu = m->scale * mean[r], used = s->used[r];
        double var = used > 0 ? m->scale * m->scale * s->sum2[r] / used - mu * mu : 0;

        m->inv_var[r] = m->spec.score != SPI_MATCHING_GAUSSIAN ? 1
                        : var > 1e-12 * mu * mu                ? (float)(1 / var)
                                                               : 0;
    }
    return SPI_OK;
}

static spi_err measure_images(struct spi_matching *m, double *counts)
{
    int R = m->rings.R;
    int64_t n = m->n_images < FIRST_IMAGES ? m->n_images : FIRST_IMAGES;
    struct moments s = {0};
    double *mean = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(m->inv_var, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(mean, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(s.sum, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(s.sum2, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(s.used, R, "matching"), out);
    SPI_TRY(err = SPI_NEW(s.samples, m->rings.at[R], "matching"), out);
    SPI_TRY(err = read_moments(m, n, &s), out);
    err = use_moments(m, &s, (double)n, mean, counts);
out:
    free(mean);
    free(s.sum);
    free(s.sum2);
    free(s.used);
    free(s.samples);
    return err;
}

/* The model whose mean image has `counts`. */
static spi_err scale_model(struct spi_matching *m, double counts)
{
    double *mean = NULL, total = 0, largest = 0;
    size_t n = spi_volume_count(m->spec.A);
    spi_err err;

    SPI_TRY(err = SPI_NEW(mean, m->band.R, "matching"), out);
    SPI_TRY(err = spi_volume_copy(m->spec.A, &m->model), out);
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)m->model.data[i]));
    for (size_t i = 0; i < n; i++) /* so that sums stay within a float's range */
        m->model.data[i] = (float)((double)m->model.data[i] / largest);
    SPI_TRY(err = spi_stage_prepare(&m->model, m->spec.nufft_tol, &m->plan, &m->grid), out);
    SPI_TRY(err = spi_ring_means_of_model(&m->rings, m->band.R, m->plan, m->grid,
                                          DIRECTIONS, mean),
            out);
    for (int r = 0; r < m->band.R; r++)
        total += fmax(mean[r], 0) * (double)crealf(m->map.live_h[m->rings.h_at[r]]);
    if (!(total > 0)) {
        err = spi_fail(SPI_EINVAL,
                       "the model has no positive intensity between |q| = %g and "
                       "%g 1/A; is it an autocorrelation?",
                       m->spec.q_min, m->rings.q[m->band.R - 1]);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        m->model.data[i] = (float)((double)m->model.data[i] * counts / total);
    err = spi_nufft_prepare(m->plan, m->model.data, m->grid);
out:
    free(mean);
    return err;
}

spi_err spi_matching_init(struct spi_matching *m, const struct spi_matching_spec *spec)
{
    double counts = 0, reach = 0.5 / spec->A->step;
    spi_err err;

    *m = (struct spi_matching){.spec = *spec,
                               .det = spi_images_detector(spec->images),
                               .n_images = spi_images_count(spec->images)};
    if (!(spec->q_max < reach))
        return spi_fail(SPI_EINVAL, "|q| up to %g 1/A is asked; the model ends at %g 1/A",
                        spec->q_max, reach);
    SPI_TRY(err = spi_rings_init(&m->rings, spec->diameter_A, m->det->wavelength_A,
                                 spec->q_min, spec->q_max, spec->oversampling),
            fail);
    SPI_TRY(err = spi_ring_map_init(&m->map, &m->rings, m->det), fail);
    SPI_TRY(err =
                spi_band_init(&m->band, &m->rings, spi_rings_upto(&m->rings, spec->q_max)),
            fail);
    m->views = spi_views_for(&m->rings, &m->band, spec->finer);
    if (m->views.Na > UINT16_MAX || m->views.nd > INT32_MAX) {
        err = spi_fail(SPI_EINVAL, "%lld directions x %d angles are too many",
                       (long long)m->views.nd, m->views.Na);
        goto fail;
    }
    SPI_TRY(err = measure_images(m, &counts), fail);
    SPI_TRY(err = scale_model(m, counts), fail);
    return SPI_OK;
fail:
    spi_matching_clear(m);
    return err;
}

void spi_matching_clear(struct spi_matching *m)
{
    spi_rings_clear(&m->rings);
    spi_ring_map_clear(&m->map);
    spi_band_clear(&m->band);
    free(m->inv_var);
    spi_volume_clear(&m->model);
    spi_nufft_free(m->plan);
    free(m->grid);
    *m = (struct spi_matching){0};
}

/* ---- results ------------------------------------------------------------------------- */

static spi_err orientations_new(int64_t n, bool entropy, struct spi_orientations *o)
{
    spi_err err;

    *o = (struct spi_orientations){.n = n};
    SPI_TRY(err = SPI_NEW(o->quat, 4 * n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->score, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->margin, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->fluence, n, "orientations"), fail);
    if (entropy)
        SPI_TRY(err = SPI_NEW(o->entropy, n, "orientations"), fail);
    return SPI_OK;
fail:
    spi_orientations_clear(o);
    return err;
}

/* Mean fluence becomes 1. */
static void normalise(struct spi_orientations *o)
{
    double sum = 0;

    for (int64_t k = 0; k < o->n; k++)
        sum += (double)o->fluence[k];
    for (int64_t k = 0; k < o->n && sum > 0; k++)
        o->fluence[k] = (float)((double)o->fluence[k] * (double)o->n / sum);
}

/* Many tasks on TASKS_AT_ONCE slots: slot i is owned by one task at a time. */
struct slots {
    struct spi_graph *g;
    int n;
    char place[TASKS_AT_ONCE];
    struct spi_region *region[TASKS_AT_ONCE];
};

static spi_err slots_new(struct slots *s, struct spi_graph *g)
{
    spi_err err = SPI_OK;

    s->g = g;
    s->n =
        2 * spi_graph_workers(g) < TASKS_AT_ONCE ? 2 * spi_graph_workers(g) : TASKS_AT_ONCE;
    for (int i = 0; i < s->n && !err; i++)
        err = spi_region_new(g, &s->place[i], 1, &s->region[i]);
    return err;
}

static void slots_free(struct slots *s)
{
    (void)!spi_graph_wait(s->g);
    for (int i = 0; i < s->n; i++)
        spi_region_free(s->g, s->region[i]);
}

/* ---- on rings ------------------------------------------------------------------------ */

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

static enum spi_score_kind ring_kind(const struct spi_matching *m)
{
    return m->spec.score == SPI_MATCHING_POISSON ? SPI_SCORE_POISSON : SPI_SCORE_GAUSSIAN;
}

static spi_err task_templates(void *const *data, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_matching *m = a->j->m;
    struct spi_template_spec spec = {.rings = &m->rings,
                                     .band = &m->band,
                                     .map = &m->map,
                                     .views = m->views,
                                     .kind = ring_kind(m),
                                     .inv_var = m->inv_var};

    (void)data;
    (void)stop;
    return spi_templates_make(&spec, m->plan, m->grid, NULL, a->first, a->n,
                              a->j->templates + a->first * m->band.floats,
                              a->j->table + a->first * m->views.Na,
                              a->j->S + a->first * m->views.Na);
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
        double sum = 0;

        spi_band_pack(&m->band, g, h + k * H, NULL, records + k * m->band.floats);
        for (int r = 0; r < m->band.R; r++)
            sum += (double)crealf(h[k * H + g->h_at[r]]);
        counts[k] = (float)fmax(sum, 0);
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

static spi_err task_score(void *const *data, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_matching *m = a->j->m;
    struct spi_scores scores = {0};
    struct spi_posterior post = {0};
    float *records = NULL, *counts = NULL;
    double drop = spi_posterior_drop(1, 1, (double)m->views.nd * m->views.Na);
    spi_err err;

    (void)data;
    (void)stop;
    SPI_TRY(err = SPI_NEW(records, a->n * m->band.floats, "images"), out);
    SPI_TRY(err = SPI_NEW(counts, a->n, "images"), out);
    SPI_TRY(err = make_records(m, a->first, a->n, records, counts), out);

    struct spi_score_input in = {.band = &m->band,
                                 .views = m->views,
                                 .kind = ring_kind(m),
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
    struct slots s = {0};
    int turn = 0;
    spi_err err;

    SPI_TRY(err = slots_new(&s, spec->graph), out);
    for (int64_t first = 0; first < total; first += block, turn++) {
        struct ring_args a = {j, first, total - first < block ? total - first : block};
        struct spi_access access = {s.region[turn % s.n], SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(s.g, name, fn, &a, sizeof a, 1, &access), out);
        if (turn % s.n == s.n - 1) {
            SPI_TRY(err = spi_graph_wait(s.g), out);
            if (show && spec->progress)
                spec->progress(first + a.n, total, spec->user);
        }
    }
    err = spi_graph_wait(s.g);
out:
    slots_free(&s);
    return err;
}

spi_err spi_matching_rings(const struct spi_matching *m, struct spi_orientations *o)
{
    struct ring_job j = {.m = m, .o = o};
    int64_t nd = m->views.nd, Na = m->views.Na;
    spi_err err;

    *o = (struct spi_orientations){0};
    if (m->spec.score == SPI_MATCHING_PUBLISHED)
        return spi_fail(SPI_EINVAL, "the published distance is between pixels, not rings");
    SPI_TRY(err = SPI_NEW(j.templates, nd * m->band.floats, "templates"), out);
    SPI_TRY(err = SPI_NEW(j.table, nd * Na, "templates"), out);
    SPI_TRY(err = SPI_NEW(j.S, nd * Na, "templates"), out);
    SPI_TRY(err = orientations_new(m->n_images, true, o), out);
    SPI_TRY(err = each_block(&j, "slice", task_templates, nd, 256, false), out);
    SPI_TRY(err = each_block(&j, "match", task_score, m->n_images, BLOCK, true), out);
    normalise(o);
out:
    if (err)
        spi_orientations_clear(o);
    free(j.templates);
    free(j.table);
    free(j.S);
    return err;
}

/* ---- coarse to fine --------------------------------------------------------------------
 */

static spi_err task_level_templates(void *const *data, const void *arg,
                                    const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_matching *m = a->j->m;
    const struct spi_search_level *l = &a->j->search.level[a->j->l];
    struct level_model *model = &a->j->model[a->j->l];
    struct spi_template_spec spec = {.rings = &m->rings,
                                     .band = &l->band,
                                     .map = &m->map,
                                     .views = l->views,
                                     .kind = ring_kind(m),
                                     .inv_var = m->inv_var};

    (void)data;
    (void)stop;
    return spi_templates_make(&spec, m->plan, m->grid, model->list, a->first, a->n,
                              model->templates + a->first * l->band.floats,
                              model->table + a->first * l->views.Na,
                              model->S + a->first * l->views.Na);
}

static spi_err task_ingest(void *const *data, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_rings *g = &a->j->m->rings;

    (void)data;
    (void)stop;
    return make_harmonics(a->j->m, a->j->chunk_first + a->first, a->n,
                          a->j->h + a->first * g->h_at[g->R]);
}

static spi_err task_coarse(void *const *data, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_rings *g = &a->j->m->rings;
    const float complex *h[BLOCK];

    (void)data;
    (void)stop;
    for (int64_t i = 0; i < a->n; i++)
        h[i] = a->j->h + (a->first + i) * g->h_at[g->R];
    return spi_search_coarse(&a->j->search, (int)a->n, h,
                             a->j->candidates + a->first * SPI_SEARCH_KEEP);
}

static spi_err task_near(void *const *data, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct ring_job *j = a->j;

    (void)data;
    (void)stop;
    spi_search_near(&j->search, j->l, a->first, a->n,
                    j->all ? NULL : j->model[j->l - 1].used);
    return SPI_OK;
}

static spi_err task_fine(void *const *data, const void *arg, const volatile int *stop)
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

    (void)data;
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
    SPI_TRY(err = SPI_NEW(m->templates, m->n * l->band.floats, "templates"), out);
    SPI_TRY(err = SPI_NEW(m->table, m->n * l->views.Na, "templates"), out);
    SPI_TRY(err = SPI_NEW(m->S, m->n * l->views.Na, "templates"), out);
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
    double q_start = m->spec.start_qD / m->spec.diameter_A;
    spi_err err;

    *o = (struct spi_orientations){0};
    if (m->spec.score == SPI_MATCHING_PUBLISHED)
        return spi_fail(SPI_EINVAL, "the published distance is between pixels, not rings");
    SPI_TRY(err =
                spi_search_init(&j.search, &m->rings, ring_kind(m), q_start, m->spec.finer),
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
    SPI_TRY(err = orientations_new(m->n_images, true, o), out);
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
    normalise(o);
out:
    if (err)
        spi_orientations_clear(o);
    levels_clear(&j);
    return err;
}

/* ---- pixel by pixel ------------------------------------------------------------------ */

struct brute_job {
    const struct spi_matching *m;
    struct spi_pixel_list list;
    float *inv_var; /* [list.n] */
    struct spi_brute brute;
    struct spi_brute_images images;
    struct slots slots;
    struct spi_brute_best *best[TASKS_AT_ONCE]; /* [images.n] of each slot */
    float *group_best;                          /* [images.n][nd] */
    int64_t done, total;                        /* pairs */
    struct spi_orientations *o;
};

struct brute_args {
    struct brute_job *j;
    int slot;
    int64_t first, n; /* directions */
};

static spi_err task_brute(void *const *data, const void *arg, const volatile int *stop)
{
    const struct brute_args *a = arg;
    struct brute_job *j = a->j;
    const struct spi_views *v = &j->m->views;
    int64_t n = a->n * v->Na;
    double(*quat)[4] = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    SPI_TRY(err = SPI_NEW(quat, n, "orientations"), out);
    for (int64_t i = 0; i < n; i++)
        spi_view_quat(v, a->first + i / v->Na, 2 * SPI_PI * (double)(i % v->Na) / v->Na,
                      quat[i]);
    err = spi_brute_match(&j->brute, j->m->plan, j->m->grid, a->first * v->Na, n,
                          (const double(*)[4])quat, &j->images, j->best[a->slot], v->Na,
                          v->nd, j->group_best);
out:
    free(quat);
    return err;
}

static spi_err brute_init(struct brute_job *j)
{
    static const enum spi_brute_kind kind[] = {
        [SPI_MATCHING_POISSON] = SPI_BRUTE_POISSON,
        [SPI_MATCHING_GAUSSIAN] = SPI_BRUTE_GAUSSIAN,
        [SPI_MATCHING_EUCLID] = SPI_BRUTE_GAUSSIAN,
        [SPI_MATCHING_PUBLISHED] = SPI_BRUTE_PUBLISHED,
    };
    const struct spi_matching *m = j->m;
    spi_err err;

    SPI_TRY(err = spi_pixel_list_init(&j->list, m->det, m->rings.q[0],
                                      m->rings.q[m->band.R - 1]),
            out);
    SPI_TRY(err = SPI_NEW(j->inv_var, j->list.n, "variances"), out);
    spi_pixels_from_rings(&j->list, &m->rings, m->band.R, m->inv_var, j->inv_var);
    SPI_TRY(err = spi_brute_init(&j->brute, kind[m->spec.score], &j->list, j->inv_var,
                                 m->rings.dq),
            out);
    err = slots_new(&j->slots, m->spec.graph);
out:
    return err;
}

static void brute_clear(struct brute_job *j)
{
    if (j->slots.g)
        slots_free(&j->slots);
    spi_brute_clear(&j->brute);
    spi_pixel_list_clear(&j->list);
    free(j->inv_var);
}

/* Read n images in blocks, keeping only the pixels that take part. */
static spi_err pack_images(struct brute_job *j, int64_t first, int64_t n)
{
    const struct spi_matching *m = j->m;
    int64_t n_pixels = m->det->n_pixels, P = j->list.n, block = spi_stage_block(m->det);
    struct spi_brute_images part = {0};
    float *pixels = NULL;
    spi_err err;

    j->images = (struct spi_brute_images){.n = n};
    SPI_TRY(err = SPI_NEW(pixels, block * n_pixels, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.row, n * P, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.count, n, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.norm2, n, "images"), out);
    for (int64_t k = 0; k < n; k += block) {
        int64_t c = n - k < block ? n - k : block;

        SPI_TRY(err = spi_images_read(m->spec.images, first + k, c, pixels), out);
        for (int64_t i = 0; i < c * n_pixels; i++)
            pixels[i] *= (float)m->scale;
        SPI_TRY(err = spi_brute_images_init(&part, &j->list, c, n_pixels, pixels), out);
        memcpy(j->images.row + k * P, part.row, (size_t)(c * P) * sizeof *part.row);
        memcpy(j->images.count + k, part.count, (size_t)c * sizeof *part.count);
        memcpy(j->images.norm2 + k, part.norm2, (size_t)c * sizeof *part.norm2);
        spi_brute_images_clear(&part);
    }
out:
    free(pixels);
    return err;
}

static spi_err chunk_new(struct brute_job *j, int64_t first, int64_t n)
{
    int64_t groups = n * j->m->views.nd;
    spi_err err;

    SPI_TRY(err = pack_images(j, first, n), out);
    SPI_TRY(err = SPI_NEW(j->group_best, groups, "scores"), out);
    for (int64_t i = 0; i < groups; i++)
        j->group_best[i] = -INFINITY;
    for (int s = 0; s < j->slots.n; s++) {
        SPI_TRY(err = SPI_NEW(j->best[s], n, "scores"), out);
        for (int64_t k = 0; k < n; k++)
            j->best[s][k] = spi_brute_best_none;
    }
out:
    return err;
}

static void chunk_clear(struct brute_job *j)
{
    spi_brute_images_clear(&j->images);
    free(j->group_best);
    j->group_best = NULL;
    for (int s = 0; s < TASKS_AT_ONCE; s++) {
        free(j->best[s]);
        j->best[s] = NULL;
    }
}

static void chunk_store(struct brute_job *j, int64_t first)
{
    const struct spi_views *v = &j->m->views;

    for (int s = 1; s < j->slots.n; s++)
        spi_brute_reduce(j->images.n, j->best[s], j->best[0]);
    for (int64_t k = 0; k < j->images.n; k++) {
        const struct spi_brute_best *b = &j->best[0][k];
        int64_t i = first + k, at = b->at < 0 ? 0 : b->at;

        spi_view_quat(v, at / v->Na, 2 * SPI_PI * (double)(at % v->Na) / v->Na,
                      j->o->quat + 4 * i);
        j->o->score[i] = b->at < 0 ? 0 : b->score;
        j->o->fluence[i] = b->fluence;
        j->o->margin[i] =
            b->at < 0 ? 0 : spi_brute_margin(v, j->group_best + k * v->nd, at / v->Na);
    }
}

/* All orientations against the images in memory. */
static spi_err match_chunk(struct brute_job *j)
{
    const struct spi_matching_spec *spec = &j->m->spec;
    const struct spi_views *v = &j->m->views;
    int64_t block = v->Na < 2048 ? 2048 / v->Na : 1;
    int turn = 0;
    spi_err err = SPI_OK;

    for (int64_t d = 0; d < v->nd; d += block, turn++) {
        int slot = turn % j->slots.n;
        struct brute_args a = {j, slot, d, v->nd - d < block ? v->nd - d : block};
        struct spi_access access = {j->slots.region[slot], SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(j->slots.g, "match", task_brute, &a, sizeof a, 1,
                                       &access),
                out);
        j->done += a.n * j->images.n;
        if (slot == j->slots.n - 1) {
            SPI_TRY(err = spi_graph_wait(j->slots.g), out);
            if (spec->progress)
                spec->progress(j->done / v->nd, j->m->n_images, spec->user);
        }
    }
out:
    return err ? err : spi_graph_wait(j->slots.g);
}

spi_err spi_matching_brute(const struct spi_matching *m, double bytes,
                           struct spi_orientations *o)
{
    struct brute_job j = {.m = m, .o = o};
    int64_t chunk;
    spi_err err;

    *o = (struct spi_orientations){0};
    SPI_TRY(err = brute_init(&j), out);
    SPI_TRY(err = orientations_new(m->n_images, false, o), out);
    bytes /= 4.0 * (double)(j.list.n + m->views.nd);
    chunk = bytes < 1 ? 1 : bytes > (double)m->n_images ? m->n_images : (int64_t)bytes;
    for (int64_t k = 0; k < m->n_images; k += chunk) {
        int64_t n = m->n_images - k < chunk ? m->n_images - k : chunk;

        err = chunk_new(&j, k, n);
        if (!err)
            err = match_chunk(&j);
        if (err)
            (void)!spi_graph_wait(m->spec.graph);
        else
            chunk_store(&j, k);
        chunk_clear(&j);
        SPI_TRY(err, out);
    }
    normalise(o);
out:
    brute_clear(&j);
    if (err)
        spi_orientations_clear(o);
    return err;
}

/* ---- refinement ---------------------------------------------------------------------- */

spi_err spi_matching_refine(const struct spi_matching *m, struct spi_orientations *o)
{
    const float *inv_var = m->spec.score == SPI_MATCHING_POISSON ? NULL : m->inv_var;
    struct spi_refine_set set = {0};
    const struct spi_refine *model[2] = {&set.r, NULL};
    double *mean;
    spi_err err;

    SPI_TRY(err = SPI_NEW(mean, m->band.R, "refinement"), out);
    SPI_TRY(err = spi_ring_means_of_model(&m->rings, m->band.R, m->plan, m->grid,
                                          DIRECTIONS, mean),
            out);
    SPI_TRY(err = spi_refine_set_init(&set, m->det, &m->rings, m->band.R, mean, inv_var,
                                      m->plan, m->grid),
            out);
    err = spi_refine_images(m->spec.graph, m->spec.images, m->scale, model,
                            m->spec.progress, m->spec.user, o);
out:
    spi_refine_set_clear(&set);
    free(mean);
    return err;
}
