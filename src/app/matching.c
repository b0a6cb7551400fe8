#include "app/matching.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/stage.h"
#include "base/mem.h"
#include "match/posterior.h"
#include "match/refine.h"
#include "math/rot.h"
#include "slice/templates.h"

enum { FIRST_IMAGES = 1000, DIRECTIONS = 100, TASKS_AT_ONCE = 64 };
static const double typical_counts = 1e5, scores_bytes = 256e6;

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

static spi_err orientations_new(int64_t n, struct spi_orientations *o)
{
    spi_err err;

    *o = (struct spi_orientations){.n = n};
    SPI_TRY(err = SPI_NEW(o->quat, 4 * n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->score, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->margin, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->fluence, n, "orientations"), fail);
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

struct ring_job {
    const struct spi_matching *m;
    float *templates, *table, *S;
    struct spi_refine_set refine; /* when spec.refine > 0 */
    struct spi_orientations *o;
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

/* Images -> harmonic-major records and their counts; pixels: read and scaled. */
static spi_err make_records(const struct spi_matching *m, int64_t first, int64_t n,
                            float *pixels, float *records, float *counts)
{
    const struct spi_rings *g = &m->rings;
    float *samples = NULL;
    float complex *h = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(samples, g->at[g->R], "images"), out);
    SPI_TRY(err = SPI_NEW(h, g->h_at[g->R], "images"), out);
    SPI_TRY(err = spi_images_read(m->spec.images, first, n, pixels), out);
    for (int64_t k = 0; k < n; k++) {
        float *image = pixels + k * m->det->n_pixels;
        double sum = 0;

        for (int64_t p = 0; p < m->det->n_pixels; p++)
            image[p] *= (float)m->scale;
        spi_ring_resample(&m->map, g, image, samples);
        SPI_TRY(err = spi_ring_analyse(g, m->band.R, samples, h), out);
        spi_band_pack(&m->band, g, h, NULL, records + k * m->band.floats);
        for (int r = 0; r < m->band.R; r++)
            sum += (double)crealf(h[g->h_at[r]]);
        counts[k] = (float)fmax(sum, 0);
    }
out:
    free(samples);
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

/* The best candidates of image k as quaternions, best first; q[0] is in o already. */
static int candidates(const struct spi_matching *m, const struct spi_scores *s, int k,
                      int keep, const int32_t *dir, double (*q)[4])
{
    int n = 1;

    for (; n < keep && dir[n] >= 0; n++) {
        int64_t at = s->first[k];
        const float *LL;
        int a = 0;

        while (at < s->first[k + 1] && (s->dir ? s->dir[at] : at - s->first[k]) != dir[n])
            at++;
        if (at == s->first[k + 1])
            break;
        LL = s->LL + at * s->Na;
        for (int i = 1; i < s->Na; i++)
            if (LL[i] > LL[a])
                a = i;
        spi_view_quat(&m->views, dir[n], 2 * SPI_PI * a / s->Na, q[n]);
    }
    return n;
}

static spi_err refine_block(const struct ring_args *a, const struct spi_scores *scores,
                            const float *pixels)
{
    const struct spi_matching *m = a->j->m;
    struct spi_orientations *o = a->j->o;
    int keep = m->spec.refine;
    int32_t *dir = NULL;
    double(*q)[4] = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(dir, a->n * keep, "candidates"), out);
    SPI_TRY(err = SPI_NEW(q, keep, "candidates"), out);
    SPI_TRY(err = spi_best_directions(scores, &m->views, keep, dir), out);
    for (int64_t k = 0; k < a->n; k++) {
        int64_t i = a->first + k;
        struct spi_refined best;

        memcpy(q[0], o->quat + 4 * i, sizeof q[0]);

        int n = candidates(m, scores, (int)k, keep, dir + k * keep, q);

        SPI_TRY(err = spi_refine_image(&a->j->refine.r, pixels + k * m->det->n_pixels, n,
                                       (const double(*)[4])q, &best),
                out);
        memcpy(o->quat + 4 * i, best.quat, sizeof best.quat);
        o->score[i] = (float)best.score;
        o->fluence[i] = (float)best.fluence;
    }
out:
    free(dir);
    free(q);
    return err;
}

static spi_err prepare_refinement(struct ring_job *j)
{
    const struct spi_matching *m = j->m;
    const float *inv_var = m->spec.score == SPI_MATCHING_POISSON ? NULL : m->inv_var;
    double *mean;
    spi_err err = SPI_NEW(mean, m->band.R, "refinement");

    if (!err)
        err = spi_ring_means_of_model(&m->rings, m->band.R, m->plan, m->grid, DIRECTIONS,
                                      mean);
    if (!err)
        err = spi_refine_set_init(&j->refine, m->det, &m->rings, m->band.R, mean, inv_var,
                                  m->plan, m->grid);
    free(mean);
    return err;
}

static spi_err task_score(void *const *data, const void *arg, const volatile int *stop)
{
    const struct ring_args *a = arg;
    const struct spi_matching *m = a->j->m;
    struct spi_scores scores = {0};
    struct spi_posterior post = {0};
    float *pixels = NULL, *records = NULL, *counts = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    SPI_TRY(err = SPI_NEW(pixels, a->n * m->det->n_pixels, "images"), out);
    SPI_TRY(err = SPI_NEW(records, a->n * m->band.floats, "images"), out);
    SPI_TRY(err = SPI_NEW(counts, a->n, "images"), out);
    SPI_TRY(err = make_records(m, a->first, a->n, pixels, records, counts), out);

    struct spi_score_input in = {.band = &m->band,
                                 .views = m->views,
                                 .kind = ring_kind(m),
                                 .templates = a->j->templates,
                                 .table = a->j->table,
                                 .n_images = (int)a->n,
                                 .records = records,
                                 .counts = counts};

    SPI_TRY(err = spi_score_all(&in, &scores), out);
    SPI_TRY(err = spi_posterior_make(&scores, &m->views, 1, 1, a->j->S, NULL, &post), out);
    store_best(a, &post, counts);
    if (m->spec.refine > 0)
        err = refine_block(a, &scores, pixels);
out:
    spi_posterior_clear(&post);
    spi_scores_clear(&scores);
    free(pixels);
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
    double fit =
        scores_bytes / (4.0 * (double)(nd * Na) * spi_graph_workers(m->spec.graph));
    int64_t block = fit < m->spec.block_images ? (int64_t)fit : m->spec.block_images;
    spi_err err;

    *o = (struct spi_orientations){0};
    if (m->spec.score == SPI_MATCHING_PUBLISHED)
        return spi_fail(SPI_EINVAL, "the published distance is between pixels, not rings");
    SPI_TRY(err = SPI_NEW(j.templates, nd * m->band.floats, "templates"), out);
    SPI_TRY(err = SPI_NEW(j.table, nd * Na, "templates"), out);
    SPI_TRY(err = SPI_NEW(j.S, nd * Na, "templates"), out);
    SPI_TRY(err = orientations_new(m->n_images, o), out);
    SPI_TRY(err = SPI_NEW(o->entropy, o->n, "orientations"), out);
    if (m->spec.refine > 0)
        SPI_TRY(err = prepare_refinement(&j), out);
    SPI_TRY(err = each_block(&j, "slice", task_templates, nd, 256, false), out);
    SPI_TRY(
        err = each_block(&j, "match", task_score, m->n_images, block > 1 ? block : 1, true),
        out);
    normalise(o);
out:
    if (err)
        spi_orientations_clear(o);
    spi_refine_set_clear(&j.refine);
    free(j.templates);
    free(j.table);
    free(j.S);
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
    SPI_TRY(err = orientations_new(m->n_images, o), out);
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
