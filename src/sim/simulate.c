/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/simulate.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"
#include "sim/detector.h"
#include "sim/profile.h"

enum { WORKERS_MAX = 1024, BLOCK_MAX = 256, BLOCK_FLOATS = 1 << 22 };
static const double electron_radius_A = 2.8179403e-5;
/* (S12): r^2 / (2 s^2) of a particle in a focus, at most: three widths from its middle. */
static const double focus_most = 4.5;

/* What one structure needs on this detector. */
struct source {
    const struct spi_model *model;   /* borrowed */
    struct spi_model_points *points; /* [parts], owned */
    float *mean;                     /* [n_pixels] W averaged over directions, owned */
    double mean_sum;                 /* sum of geometry x mean over the usable pixels */
    double cumulative;               /* proportion of this and all before, 0..1 */
};

struct scratch {
    float (*F)[2], (*G)[2], *W;
};

struct spi_simulator {
    const struct spi_detector *det; /* borrowed */
    struct spi_simulate_options opt;
    int n_sources;                      /* structures; opt.n_others more follow them */
    struct source *source;              /* [n_sources], owned */
    struct scratch *scratch;            /* [workers], owned */
    double scale, mean_sum, background; /* its counts where beta is 1 */
    int64_t max_photons;
};

/* ---- calibration -------------------------------------------------------------------- */

static bool counts_photons(const struct spi_simulator *s)
{
    return (s->opt.photons > 0 || s->opt.fluence_ph_um2 > 0) && !s->opt.noise_free;
}

/* (S12) */
static double fluence_of(const struct spi_simulator *s, int64_t k)
{
    double sigma = s->opt.fluence_spread, fluence = 1;
    struct spi_rng r = spi_rng_stream(s->opt.seed, SPI_RNG_FLUENCE, (uint64_t)k);

    if (sigma > 0)
        fluence = exp(sigma * spi_rng_normal(&r) - sigma * sigma / 2);
    if (s->opt.focus)
        fluence *=
            exp(-focus_most * spi_rng_uniform(&r)) * focus_most / (1 - exp(-focus_most));
    return fluence;
}

/* (S15) */
static double background_of(const struct spi_simulator *s, int64_t k)
{
    double sigma = s->opt.background_spread;
    struct spi_rng r = spi_rng_stream(s->opt.seed, SPI_RNG_BACKGROUND, (uint64_t)k);

    return sigma > 0 ? exp(sigma * spi_rng_normal(&r) - sigma * sigma / 2) : 1;
}

/* The detector is the same for all images of a part. */
static int parts_of(const struct spi_simulator *s)
{
    return s->opt.drift ? s->opt.n_drift : 1;
}

static int part_of(const struct spi_simulator *s, int64_t k)
{
    return (int)(k * parts_of(s) / s->opt.n_images);
}

static const struct spi_detector *of_part(const struct spi_simulator *s, int part)
{
    return s->opt.drift ? &s->opt.drift[part] : s->det;
}

static spi_err prepare_source(struct spi_simulator *s, struct source *src)
{
    const struct spi_detector *d = s->det;
    struct spi_profile profile = {0};
    double q_max = spi_detector_q_corner(d);
    spi_err err;

    SPI_TRY(err = SPI_NEW(src->points, parts_of(s), "simulation"), out);
    for (int i = 0; i < parts_of(s); i++)
        SPI_TRY(err = spi_model_points_init(src->model, d->n_pixels,
                                            (const double(*)[3])of_part(s, i)->q,
                                            &src->points[i]),
                out);
    SPI_TRY(err = SPI_NEW(src->mean, d->n_pixels, "simulation"), out);
    SPI_TRY(err = spi_profile_init(src->model, q_max, &profile), out);
    for (int64_t p = 0; p < d->n_pixels; p++) {
        const double *q = d->q + 3 * p;

        src->mean[p] = (float)spi_profile_value(&profile, hypot(hypot(q[0], q[1]), q[2]));
        if (!d->bad[p])
            src->mean_sum += (double)d->geometry[p] * (double)src->mean[p];
    }
out:
    spi_profile_clear(&profile);
    return err;
}

static spi_err set_proportions(struct spi_simulator *s)
{
    double sum = 0, so_far = 0;

    for (int i = 0; i < s->n_sources; i++) {
        double p = s->opt.proportion ? s->opt.proportion[i] : 1;

        if (!(p >= 0 && isfinite(p)))
            return spi_fail(SPI_EINVAL, "simulation: proportion %d is %g; need 0 or more",
                            i + 1, p);
        sum += p;
    }
    if (!(sum > 0))
        return spi_fail(SPI_EINVAL, "simulation: all proportions are 0");
    for (int i = 0; i < s->n_sources; i++) {
        double p = (s->opt.proportion ? s->opt.proportion[i] : 1) / sum;

        so_far += p;
        s->source[i].cumulative = so_far;
        s->mean_sum += p * s->source[i].mean_sum;
    }
    return SPI_OK;
}

/* (S11): Thomson scattering into a pixel, or what gives the mean number of photons. */
static spi_err set_scale(struct spi_simulator *s)
{
    if (!(s->mean_sum > 0 && isfinite(s->mean_sum)))
        return spi_fail(SPI_EINVAL, "simulation: nothing scatters into the usable pixels");
    s->scale = 1;
    if (s->opt.photons > 0)
        s->scale = s->opt.photons / s->mean_sum;
    else if (s->opt.fluence_ph_um2 > 0)
        s->scale = s->opt.fluence_ph_um2 * 1e-8 * electron_radius_A * electron_radius_A *
                   spi_detector_solid_angle(s->det);
    s->mean_sum *= s->scale;
    if (s->opt.background)
        s->background = s->opt.background_ratio * s->mean_sum;
    return SPI_OK;
}

/* The largest W of what images may show. */
static spi_err largest_intensity(const struct spi_simulator *s, double *most)
{
    const struct spi_junk_shares *junk = &s->opt.junk;
    double q_min, q_max;
    spi_err err = SPI_OK;

    *most = 0;
    spi_detector_q_range(s->det, &q_min, &q_max);
    for (int i = 0; i < s->opt.n_drift; i++) {
        double low, high;

        spi_detector_q_range(&s->opt.drift[i], &low, &high);
        q_min = fmin(q_min, low);
        q_max = fmax(q_max, high);
    }
    for (int i = 0; !err && i < s->n_sources + s->opt.n_others; i++) {
        double W = 0;

        if (s->opt.pure_noise)
            for (int64_t p = 0; p < s->det->n_pixels; p++)
                W = fmax(W, s->det->bad[p] ? 0 : (double)s->source[i].mean[p]);
        else
            err = spi_model_largest(s->source[i].model, q_min, q_max, &W);
        *most = fmax(*most, junk->doublet > 0 ? 4 * W : W);
    }
    if (junk->sphere > 0)
        *most = fmax(*most, spi_sphere_largest(SPI_SPHERE_MOST_A, q_min));
    return err;
}

/* (S13): brightest pixel at the largest fluence and background, ten standard deviations up;
 * and what the detector makes of it. */
static spi_err set_max_photons(struct spi_simulator *s)
{
    double most, fluence = 0, beta = 0, light = 0;
    spi_err err = largest_intensity(s, &most);

    for (int64_t k = 0; k < s->opt.n_images; k++) {
        fluence = fmax(fluence, fluence_of(s, k));
        beta = fmax(beta, background_of(s, k));
    }
    for (int64_t p = 0; s->opt.background && p < s->det->n_pixels; p++)
        light = fmax(light, s->det->bad[p] ? 0 : (double)s->opt.background[p]);
    most = most * s->scale * fluence + light * s->background * beta;
    most += 10 * sqrt(most) + 10;
    if (s->opt.response)
        most = spi_response_most(s->opt.response, most);
    if (!err && !(most < UINT32_MAX))
        err = spi_fail(
            SPI_EINVAL,
            "simulation: up to %.3g photons in a pixel; files hold %u at most: fewer "
            "photons or a larger beam stop",
            most, UINT32_MAX);
    if (!err)
        s->max_photons = (int64_t)ceil(most);
    return err;
}

static spi_err check(const struct spi_detector *det, const struct spi_simulate_options *opt)
{
    int64_t usable = 0;

    for (int64_t p = 0; p < det->n_pixels; p++)
        usable += !det->bad[p];
    if (usable == 0)
        return spi_fail(SPI_EINVAL, "simulation: mask and beam stop hide every pixel");
    if (opt->n_images < 1 || opt->workers < 1 || opt->workers > WORKERS_MAX)
        return spi_fail(
            SPI_EINVAL,
            "simulation: %lld images, %d workers; need at least 1, workers to %d",
            (long long)opt->n_images, opt->workers, WORKERS_MAX);
    if (opt->photons > 0 && opt->fluence_ph_um2 > 0)
        return spi_fail(SPI_EINVAL, "simulation: photons and fluence both given; need one");
    const struct spi_junk_shares *junk = &opt->junk;
    double junk_all = junk->blank + junk->sphere + junk->doublet + junk->other;

    if (!(junk->blank >= 0 && junk->sphere >= 0 && junk->doublet >= 0 && junk->other >= 0 &&
          junk_all <= 1))
        return spi_fail(SPI_EINVAL, "simulation: junk is %g of all images; need 0..1",
                        junk_all);
    if (junk->other > 0 && opt->n_others < 1)
        return spi_fail(SPI_EINVAL, "simulation: another structure without its model");
    if (!(opt->fluence_spread >= 0 && opt->fluence_spread <= 3))
        return spi_fail(SPI_EINVAL, "simulation: fluence spread %g; need 0..3",
                        opt->fluence_spread);
    return SPI_OK;
}

spi_err spi_simulator_new(const struct spi_detector *det, int n_models,
                          struct spi_model *const *models,
                          const struct spi_simulate_options *opt,
                          struct spi_simulator **out)
{
    struct spi_simulator *s = NULL;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = check(det, opt), fail);
    SPI_TRY(err = SPI_NEW(s, 1, "simulation"), fail);
    s->det = det;
    s->opt = *opt;
    SPI_TRY(err = SPI_NEW(s->source, n_models, "simulation"), fail);
    SPI_TRY(err = SPI_NEW(s->scratch, opt->workers, "simulation"), fail);
    s->n_sources = n_models - opt->n_others;
    for (int i = 0; i < n_models; i++) {
        s->source[i].model = models[i];
        SPI_TRY(err = prepare_source(s, &s->source[i]), fail);
    }
    for (int i = 0; i < opt->workers; i++) {
        SPI_TRY(err = SPI_NEW(s->scratch[i].F, det->n_pixels, "simulation"), fail);
        SPI_TRY(err = SPI_NEW(s->scratch[i].G, det->n_pixels, "simulation"), fail);
        SPI_TRY(err = SPI_NEW(s->scratch[i].W, det->n_pixels, "simulation"), fail);
    }
    SPI_TRY(err = set_proportions(s), fail);
    SPI_TRY(err = set_scale(s), fail);
    if (counts_photons(s))
        SPI_TRY(err = set_max_photons(s), fail);
    *out = s;
    return SPI_OK;
fail:
    spi_simulator_free(s);
    return err;
}

void spi_simulator_free(struct spi_simulator *s)
{
    if (!s)
        return;
    for (int i = 0; s->source && i < s->n_sources + s->opt.n_others; i++) {
        for (int p = 0; s->source[i].points && p < parts_of(s); p++)
            spi_model_points_clear(&s->source[i].points[p]);
        free(s->source[i].points);
        free(s->source[i].mean);
    }
    for (int i = 0; s->scratch && i < s->opt.workers; i++) {
        free(s->scratch[i].F);
        free(s->scratch[i].G);
        free(s->scratch[i].W);
    }
    free(s->source);
    free(s->scratch);
    free(s);
}

enum spi_image_kind spi_simulator_kind(const struct spi_simulator *s)
{
    bool analogue = s->opt.response && spi_response_is_analogue(s->opt.response);

    return counts_photons(s) && !analogue ? SPI_PHOTONS : SPI_INTENSITIES;
}

double spi_simulator_scale(const struct spi_simulator *s)
{
    return s->scale;
}

double spi_simulator_mean_sum(const struct spi_simulator *s)
{
    return s->mean_sum;
}

int64_t spi_simulator_max_photons(const struct spi_simulator *s)
{
    return s->max_photons;
}

/* ---- one image ---------------------------------------------------------------------- */

static int label_of(const struct spi_simulator *s, int64_t k)
{
    struct spi_rng r = spi_rng_stream(s->opt.seed, SPI_RNG_LABEL, (uint64_t)k);
    double u = spi_rng_uniform(&r);
    int i = 0;

    while (i < s->n_sources - 1 && u >= s->source[i].cumulative)
        i++;
    return i;
}

/* Uniform, or with the view direction R^T z within a cap about a direction that all images
 * share (S14). */
static void orientation_of(const struct spi_simulator *s, int64_t k, double quat[4])
{
    struct spi_rng r = spi_rng_stream(s->opt.seed, SPI_RNG_ORIENTATION, (uint64_t)k);
    struct spi_rng shared = spi_rng_stream(s->opt.seed, SPI_RNG_ORIENTATION, UINT64_MAX);
    double cap = s->opt.view_cone_rad, z, azimuth, n[3], common[4], C[9], V[9], R[9];

    if (!(cap > 0)) {
        spi_rot_random(&r, quat);
        return;
    }
    z = 1 - spi_rng_uniform(&r) * (1 - cos(cap));
    azimuth = 2 * SPI_PI * spi_rng_uniform(&r);
    n[0] = sqrt(1 - z * z) * cos(azimuth);
    n[1] = sqrt(1 - z * z) * sin(azimuth);
    n[2] = z;
    spi_rot_random(&shared, common);
    spi_rot_matrix(common, C);
    spi_rot_view(n, 2 * SPI_PI * spi_rng_uniform(&r), V); /* detector -> tilted object */
    spi_rot_mul(C, V, R);
    for (int i = 0; i < 9; i++)
        V[i] = R[i % 3 * 3 + i / 3]; /* molecule -> laboratory */
    spi_rot_quat(V, quat);
}

/* Two particles of one structure, each turned as it likes, that touch (S18). */
static void doublet(const struct spi_simulator *s, const struct source *src,
                    struct scratch *scratch, int64_t k, const double quat[4])
{
    struct spi_rng r = spi_rng_stream(s->opt.seed, SPI_RNG_JUNK, (uint64_t)k);
    const struct spi_model_points *points = &src->points[part_of(s, k)];
    double second[4], frame[4], R[9], d[3];

    spi_rot_random(&r, second);
    spi_rot_random(&r, frame);
    spi_rot_matrix(frame, R);
    for (int i = 0; i < 3; i++)
        d[i] = 2 * spi_model_half_extent_A(src->model) * R[3 * i];
    spi_model_slice(src->model, points, second, scratch->G, scratch->W);
    spi_model_slice(src->model, points, quat, scratch->F, scratch->W);
    spi_doublet_add(of_part(s, part_of(s, k)), d, (const float(*)[2])scratch->G,
                    scratch->F);
    for (int64_t p = 0; p < s->det->n_pixels; p++)
        scratch->W[p] =
            scratch->F[p][0] * scratch->F[p][0] + scratch->F[p][1] * scratch->F[p][1];
}

/* W of image k, electrons^2; the label becomes that of what is shown. */
static const float *scattering(const struct spi_simulator *s, struct scratch *scratch,
                               int64_t k, enum spi_image_class class, const double quat[4],
                               int32_t *label)
{
    struct spi_rng r = spi_rng_stream(s->opt.seed, SPI_RNG_JUNK, (uint64_t)k);
    const struct source *src = &s->source[*label];

    switch (class) {
    case SPI_IS_BLANK:
        memset(scratch->W, 0, (size_t)s->det->n_pixels * sizeof *scratch->W);
        *label = -1;
        break;
    case SPI_IS_SPHERE:
        spi_sphere_intensity(of_part(s, part_of(s, k)), spi_sphere_diameter_A(&r),
                             scratch->W);
        *label = -1;
        break;
    case SPI_IS_DOUBLET:
        doublet(s, src, scratch, k, quat);
        *label = -1;
        break;
    case SPI_IS_OTHER:
        *label = s->n_sources + (int32_t)spi_rng_below(&r, (uint32_t)s->opt.n_others);
        src = &s->source[*label];
        spi_model_slice(src->model, &src->points[part_of(s, k)], quat, scratch->F,
                        scratch->W);
        break;
    case SPI_IS_PARTICLE:
        if (s->opt.pure_noise)
            return src->mean;
        spi_model_slice(src->model, &src->points[part_of(s, k)], quat, scratch->F,
                        scratch->W);
        break;
    }
    return scratch->W;
}

/* What is known of image k. */
struct told {
    double *quat, *fluence, *background;
    int32_t *label;
    uint8_t *class;
};

static void one_image(const struct spi_simulator *s, struct scratch *scratch, int64_t k,
                      float *pixels, const struct told *t)
{
    const struct spi_detector *d = of_part(s, part_of(s, k));
    struct spi_rng r = spi_rng_stream(s->opt.seed, SPI_RNG_PHOTONS, (uint64_t)k);
    enum spi_image_class class = spi_junk_class(&s->opt.junk, s->opt.seed, k);

    orientation_of(s, k, t->quat);
    *t->class = (uint8_t) class;
    *t->label = label_of(s, k);
    *t->fluence = fluence_of(s, k);
    *t->background = background_of(s, k);

    const float *W = scattering(s, scratch, k, class, t->quat, t->label);
    double scale = s->scale * *t->fluence, light = s->background * *t->background;

    if (class != SPI_IS_PARTICLE && class != SPI_IS_OTHER)
        for (int i = 0; i < 4; i++)
            t->quat[i] = (double)NAN;
    for (int64_t p = 0; p < d->n_pixels; p++) {
        double I = scale * (double)d->geometry[p] * (double)W[p]; /* (S15) */

        if (s->opt.background)
            I += light * (double)s->opt.background[p];
        pixels[p] = !counts_photons(s) ? (float)I
                    : d->bad[p]        ? 0
                                       : (float)spi_rng_poisson(&r, I);
    }
    if (s->opt.response)
        spi_response_apply(s->opt.response, k, pixels);
}

/* ---- a block of images on all workers ----------------------------------------------- */

struct block {
    struct spi_simulator *s;
    int64_t first, n;
    float *pixels;
    const struct spi_image_truth *truth;
    atomic_llong next;
    int running;
    pthread_t thread[WORKERS_MAX];
    struct block_worker {
        struct block *block;
        struct scratch *scratch;
    } worker[WORKERS_MAX];
};

static void *work(void *arg)
{
    struct block_worker *w = arg;
    struct block *b = w->block;

    for (;;) {
        int64_t i = atomic_fetch_add(&b->next, 1);

        if (i >= b->n)
            return NULL;
        one_image(b->s, w->scratch, b->first + i, b->pixels + i * b->s->det->n_pixels,
                  &(struct told){.quat = b->truth->quat + 4 * i,
                                 .fluence = b->truth->fluence + i,
                                 .background = b->truth->background + i,
                                 .label = b->truth->label + i,
                                 .class = b->truth->class + i});
    }
}

/* As many threads as the system grants; without any the caller does the work itself. */
static void block_start(struct block *b, struct spi_simulator *s, int64_t first, int64_t n,
                        float *pixels, const struct spi_image_truth *truth)
{
    b->s = s;
    b->first = first;
    b->n = n;
    b->pixels = pixels;
    b->truth = truth;
    atomic_store(&b->next, 0);
    for (b->running = 0; b->running < s->opt.workers && b->running < n; b->running++) {
        struct block_worker *w = &b->worker[b->running];

        w->block = b;
        w->scratch = &s->scratch[b->running];
        if (pthread_create(&b->thread[b->running], NULL, work, w) != 0)
            break;
    }
    if (b->running == 0)
        work(&b->worker[0]);
}

static void block_wait(struct block *b)
{
    for (int i = 0; i < b->running; i++)
        pthread_join(b->thread[i], NULL);
    b->running = 0;
}

spi_err spi_simulator_images(struct spi_simulator *s, int64_t first, int64_t n,
                             float *pixels, const struct spi_image_truth *truth)
{
    struct block *b;
    spi_err err = SPI_NEW(b, 1, "simulation");

    if (err)
        return err;
    block_start(b, s, first, n, pixels, truth);
    block_wait(b);
    free(b);
    return SPI_OK;
}

/* ---- a file ------------------------------------------------------------------------- */

/* Two blocks: one is computed while the other is written. */
struct pair {
    struct block *block;
    float *pixels[2];
    struct spi_image_truth truth[2];
};

static spi_err pair_init(struct pair *p, int64_t n, int64_t n_pixels)
{
    spi_err err = SPI_NEW(p->block, 1, "simulation");

    for (int i = 0; !err && i < 2; i++) {
        SPI_TRY(err = SPI_NEW(p->pixels[i], n * n_pixels, "block of images"), out);
        SPI_TRY(err = SPI_NEW(p->truth[i].quat, 4 * n, "block of images"), out);
        SPI_TRY(err = SPI_NEW(p->truth[i].label, n, "block of images"), out);
        SPI_TRY(err = SPI_NEW(p->truth[i].fluence, n, "block of images"), out);
        SPI_TRY(err = SPI_NEW(p->truth[i].class, n, "block of images"), out);
        SPI_TRY(err = SPI_NEW(p->truth[i].background, n, "block of images"), out);
    }
out:
    return err;
}

static void pair_clear(struct pair *p)
{
    free(p->block);
    for (int i = 0; i < 2; i++) {
        free(p->pixels[i]);
        spi_truth_clear(&p->truth[i]);
    }
}

static int64_t block_size(const struct spi_simulator *s)
{
    int64_t n = BLOCK_FLOATS / s->det->n_pixels;

    n = n > BLOCK_MAX ? BLOCK_MAX : n;
    return n < s->opt.workers ? s->opt.workers : n;
}

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static spi_err all_blocks(struct spi_simulator *s, struct pair *p,
                          struct spi_images_writer *w, spi_err (*report)(void *, int64_t),
                          void *ctx)
{
    int64_t size = block_size(s), total = s->opt.n_images, now = at_most(size, total);
    spi_err err = SPI_OK;

    block_start(p->block, s, 0, now, p->pixels[0], &p->truth[0]);
    for (int64_t done = 0, turn = 0; !err && done < total; turn = !turn) {
        int64_t then = at_most(size, total - done - now);

        block_wait(p->block);
        if (then > 0)
            block_start(p->block, s, done + now, then, p->pixels[!turn], &p->truth[!turn]);
        err = spi_images_append(w, now, p->pixels[turn], &p->truth[turn]);
        done += now;
        now = then;
        if (!err && report)
            err = report(ctx, done);
    }
    block_wait(p->block);
    return err;
}

spi_err spi_simulator_write(struct spi_simulator *s, const char *path,
                            const char *provenance_json,
                            spi_err (*report)(void *ctx, int64_t done), void *ctx)
{
    const struct spi_simulate_options *o = &s->opt;
    struct spi_detector_truth truth = {
        .fault = o->response ? o->response->fault : NULL,
        .centre_px = {o->told_centre_px[0], o->told_centre_px[1]},
        .distance_m = s->det->distance_m,
        .panel_px = o->told_panel_px};
    struct spi_images_spec spec = {.n_images = o->n_images,
                                   .kind = spi_simulator_kind(s),
                                   .max_photons = s->max_photons,
                                   .detector = o->told ? o->told : s->det,
                                   .provenance_json = provenance_json,
                                   .raw = o->response && spi_response_is_raw(o->response)};
    struct spi_images_writer *w = NULL;
    struct pair p = {0};
    float *background = NULL;
    double(*drift_px)[2] = NULL;
    spi_err err;

    if (o->drift) {
        SPI_TRY(err = SPI_NEW(drift_px, o->n_images, "simulation"), out);
        for (int64_t k = 0; k < o->n_images; k++)
            memcpy(drift_px[k], o->told_drift_px[part_of(s, k)], sizeof *drift_px);
        truth.drift_px = (const double(*)[2])drift_px;
    }
    if (o->background) {
        SPI_TRY(err = SPI_NEW(background, s->det->n_pixels, "background"), out);
        for (int64_t i = 0; i < s->det->n_pixels; i++)
            background[i] = (float)(s->background * (double)o->background[i]);
        truth.background = background;
    }
    if (background || o->response || o->told || o->drift ||
        o->junk.blank + o->junk.sphere + o->junk.doublet + o->junk.other > 0)
        spec.truth = &truth;
    SPI_TRY(err = pair_init(&p, block_size(s), s->det->n_pixels), out);
    SPI_TRY(err = spi_images_create(path, &spec, &w), out);
    err = all_blocks(s, &p, w, report, ctx);
    if (err)
        spi_images_abandon(w);
    else
        err = spi_images_finish_take(w);
out:
    pair_clear(&p);
    free(background);
    free(drift_px);
    return err;
}
