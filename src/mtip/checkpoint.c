/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state of a run as named arrays. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/state.h"
#include "math/sphere.h"
#include "math/symmetry.h"
#include "mtip/mtip.h"

enum { NAME = 32, ITEMS_MAX = 16 + 2 * (8 + 4 * SPI_REPLICAS_MAX) };

/* The scalars of struct spi_run, in one record. */
struct head {
    int32_t stage, step, n_replicas, round, leading[2], waiting, have_pose, converged,
        begun_at;
    double best_cc, halves_cc;
    struct spi_pose pose;
    struct spi_symmetry_found found;
    double diameter_A[SPI_DIAMETERS_MAX];
    int64_t n_diameters;
};

struct half_head {
    int64_t candidate_nd, best_nd;
    double candidate_cell;
};

struct replica_head {
    int32_t n, has_scale;
    float beta;
    double step, score, residual, axes[9];
    char symmetry[16];
};

struct list {
    int n;
    struct spi_state_item item[ITEMS_MAX];
    char name[ITEMS_MAX][NAME];
};

static void add(struct list *l, size_t bytes, const void *data, const char *what, int h,
                int s)
{
    snprintf(l->name[l->n], NAME, "%s.%d.%d", what, h, s);
    l->item[l->n] = (struct spi_state_item){l->name[l->n], bytes, data};
    l->n++;
}

spi_err spi_run_save(const struct spi_run *r, const char *path, const char *key)
{
    int32_t generation = r->generation;
    struct head head = {.stage = r->stage,
                        .step = r->step,
                        .n_replicas = r->n_replicas,
                        .round = r->round,
                        .leading = {r->leading[0], r->leading[1]},
                        .waiting = r->waiting,
                        .have_pose = r->have_pose,
                        .converged = r->converged,
                        .begun_at = r->begun_at,
                        .best_cc = r->best_cc,
                        .halves_cc = r->halves_cc,
                        .pose = r->pose,
                        .found = r->found,
                        .n_diameters = r->n_diameters};
    struct half_head half[2];
    struct replica_head(*replica)[SPI_REPLICAS_MAX] = NULL;
    struct list *l = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(l, 1, "checkpoint"), out);
    SPI_TRY(err = SPI_NEW(replica, 2, "checkpoint"), out);
    add(l, sizeof generation, &generation, "generation", 0, 0);
    memcpy(head.diameter_A, r->diameter_A, sizeof head.diameter_A);
    add(l, sizeof head, &head, "run", 0, 0);
    for (int h = 0; h < 2; h++) {
        const struct spi_half_set *f = &r->half[h];
        size_t n = (size_t)f->n_images;

        half[h] = (struct half_head){f->candidate_nd, f->best_nd, f->candidate_cell};
        add(l, sizeof half[h], &half[h], "half", h, 0);
        add(l, n * (size_t)f->keep * sizeof *f->candidate, f->candidate, "candidate", h, 0);
        add(l, n * sizeof *f->fluence, f->fluence, "fluence", h, 0);
        add(l, n * sizeof *f->best, f->best, "best", h, 0);
        for (int s = 0; s < r->n_replicas; s++) {
            const struct spi_replica *c = &r->replica[h][s];

            replica[h][s] = (struct replica_head){.n = c->A.n,
                                                  .has_scale = c->ring_scale != NULL,
                                                  .beta = c->beta,
                                                  .step = c->A.step,
                                                  .score = c->score,
                                                  .residual = c->residual};
            memcpy(replica[h][s].axes, c->axes, sizeof c->axes);
            memcpy(replica[h][s].symmetry, c->symmetry, sizeof c->symmetry);
            add(l, sizeof replica[h][s], &replica[h][s], "replica", h, s);
            if (!c->ring_scale) /* a fresh random initialisation is made again */
                add(l, spi_volume_count(&c->A) * sizeof *c->A.data, c->A.data, "A", h, s);
        }
    }
    err = spi_state_write(path, key, l->n, l->item);
out:
    free(replica);
    free(l);
    return err;
}

static spi_err get(const struct spi_state *st, size_t bytes, void *to, const char *what,
                   int h, int s)
{
    char name[NAME];

    snprintf(name, sizeof name, "%s.%d.%d", what, h, s);
    return spi_state_get(st, name, bytes, to);
}

/* ---- is what was read possible? ----------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static spi_err damaged(const char *path,
                                                             const char *fmt, ...)
{
    char what[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return spi_state_damaged(path, what);
}

/* Deviations of an orthonormal matrix in double stay below 1e-12; 1e-6 is no rotation. */
static bool is_rotation(const double R[9])
{
    double det = R[0] * (R[4] * R[8] - R[5] * R[7]) - R[1] * (R[3] * R[8] - R[5] * R[6]) +
                 R[2] * (R[3] * R[7] - R[4] * R[6]);

    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double dot = R[3 * i] * R[3 * j] + R[3 * i + 1] * R[3 * j + 1] +
                         R[3 * i + 2] * R[3 * j + 2];

            if (!(fabs(dot - (i == j)) < 1e-6))
                return false;
        }
    return det > 0;
}

static bool is_group(const char *name)
{
    double(*ops)[9] = NULL;
    int n;
    bool yes = spi_symmetry_parse(name, &ops, &n) == SPI_OK;

    free(ops);
    return yes;
}

/* A correlation, or NAN where there was nothing to correlate. */
static bool is_correlation(double cc)
{
    return isnan(cc) || fabs(cc) <= 1 + 1e-6;
}

/* Read as a byte: another value than 0 or 1 is no bool. */
static bool is_bool(const bool *b)
{
    unsigned char byte;

    memcpy(&byte, b, 1);
    return byte <= 1;
}

static spi_err check_counters(const struct spi_run *r, const char *path, int32_t generation,
                              const struct head *h)
{
    enum { MANY = 1000000 }; /* a hundred times the most generations that settings allow */
    struct spi_step step;
    int inits = r->set->N_inits;

    if (h->n_replicas < 1 || h->n_replicas > SPI_REPLICAS_MAX || h->round < 0 ||
        h->round >= SPI_REPLICAS_MAX || h->n_replicas != (h->round + 1) * inits)
        return damaged(path, "%d replicas after %d rounds of %d", h->n_replicas, h->round,
                       inits);
    for (int i = 0; i < 2; i++)
        if (h->leading[i] < 0 || h->leading[i] >= h->n_replicas)
            return damaged(path, "replica %d leads half set %d; there are %d",
                           h->leading[i], i + 1, h->n_replicas);
    if (h->stage < SPI_STAGE_INIT || h->stage > SPI_STAGE_DONE)
        return damaged(path, "stage %d; need %d..%d", h->stage, SPI_STAGE_INIT,
                       SPI_STAGE_DONE);
    if (generation < 0 || generation > MANY || h->waiting < 0 || h->waiting > MANY ||
        h->step < 0 || h->step > MANY ||
        (h->stage != SPI_STAGE_DONE &&
         !spi_plan_step(r->set, r->data->rings.diameter_A, r->q_max,
                        (enum spi_stage)h->stage, h->step, &step)))
        return damaged(path, "step %d of stage %d after %d generations, %d of them waiting",
                       h->step, h->stage, generation, h->waiting);
    if (h->begun_at < 0 || h->begun_at > generation)
        return damaged(path, "generation %d of a run that began at %d", generation,
                       h->begun_at);
    if ((h->have_pose & ~1) || (h->converged & ~1) ||
        (h->converged && h->stage != SPI_STAGE_DONE))
        return damaged(path, "pose %d, converged %d in stage %d", h->have_pose,
                       h->converged, h->stage);
    return SPI_OK;
}

/* A diameter that was refined is within a factor of 4 of the first. */
static spi_err check_diameters(const char *path, const struct head *h, double first_A)
{
    if (h->n_diameters < 1 || h->n_diameters > SPI_DIAMETERS_MAX)
        return damaged(path, "%lld diameters", (long long)h->n_diameters);
    for (int i = 0; i < h->n_diameters; i++)
        if (!(h->diameter_A[i] >= first_A / 4 && h->diameter_A[i] <= first_A * 4))
            return damaged(path, "a diameter of %g A; the run began with %g A",
                           h->diameter_A[i], first_A);
    return SPI_OK;
}

static spi_err check_head(const struct spi_run *r, const char *path, int32_t generation,
                          const struct head *h)
{
    const struct spi_symmetry_found *f = &h->found;
    spi_err err = check_counters(r, path, generation, h);

    if (!err)
        err = check_diameters(path, h, r->data->rings.diameter_A);
    if (err)
        return err;
    if (h->diameter_A[h->n_diameters - 1] != r->data->rings.diameter_A)
        return damaged(path, "a diameter of %g A; the rings are for %g A",
                       h->diameter_A[h->n_diameters - 1], r->data->rings.diameter_A);
    if (!is_correlation(h->best_cc) || !is_correlation(h->halves_cc))
        return damaged(path, "correlations %g and %g; need -1..1", h->best_cc,
                       h->halves_cc);
    if (!is_bool(&h->pose.inverted) || (h->have_pose && !is_rotation(h->pose.R)))
        return damaged(path, "the pose of the half sets is no rotation");
    for (int i = 0; i < 3; i++)
        if (!(fabs(h->pose.shift_A[i]) <= 10 * r->data->rings.diameter_A))
            return damaged(path, "the half sets are shifted by %g A", h->pose.shift_A[i]);
    if (!memchr(f->group, 0, sizeof f->group) ||
        (*f->group &&
         (!is_group(f->group) || !is_rotation(f->axes) || !is_correlation(f->score) ||
          !is_correlation(f->between) || !is_correlation(f->level))))
        return damaged(path, "the symmetry found is none");
    return SPI_OK;
}

/* View directions of the finest grid that a run can use. */
static spi_err finest_grid(const struct spi_run *r, int64_t *nd)
{
    const struct spi_rings *g = &r->data->rings;
    struct spi_step step;
    struct spi_band band;
    spi_err err;

    (void)spi_plan_step(r->set, g->diameter_A, r->q_max, SPI_STAGE_REFINEMENT, 0, &step);
    if ((err = spi_band_init(&band, g, spi_rings_upto(g, step.q_match))) != SPI_OK)
        return err;
    *nd = spi_views_for(g, &band, step.oversampling).nd;
    spi_band_clear(&band);
    return SPI_OK;
}

/* Cells of a grid of nd points; 1 more or less is rounding. */
static bool is_grid(int64_t nd, double cell, int64_t most)
{
    return nd >= 12 && nd <= most && cell >= 1e-6 && cell <= 4 &&
           llabs(spi_sphere_count(cell) - nd) <= 1;
}

static spi_err check_images(const char *path, const struct spi_half_set *f, int h)
{
    for (int64_t i = 0; i < f->n_images; i++) {
        const struct spi_best *b = &f->best[i];

        if (!(f->fluence[i] >= 0 && f->fluence[i] <= FLT_MAX))
            return damaged(path, "fluence %g of image %lld of half set %d",
                           (double)f->fluence[i], (long long)i, h + 1);
        for (int k = 0; k < f->keep && f->candidate_nd > 0; k++) {
            int32_t dir = f->candidate[i * f->keep + k];

            if (dir < (k == 0 ? 0 : -1) || dir >= f->candidate_nd)
                return damaged(path,
                               "candidate %d of image %lld of half set %d is %d; need "
                               "0..%lld",
                               k + 1, (long long)i, h + 1, dir,
                               (long long)f->candidate_nd - 1);
        }
        if (f->best_nd > 0 &&
            (b->dir < 0 || b->dir >= f->best_nd || !(fabsf(b->angle) <= 100) ||
             isnan(b->score) || isnan(b->entropy) || isnan(b->margin)))
            return damaged(path,
                           "orientation of image %lld of half set %d: direction %d of "
                           "%lld, angle %g",
                           (long long)i, h + 1, b->dir, (long long)f->best_nd,
                           (double)b->angle);
    }
    return SPI_OK;
}

/* A local step needs candidates, the end needs orientations. */
static spi_err check_half(const struct spi_run *r, const char *path, int h)
{
    const struct spi_half_set *f = &r->half[h];
    struct spi_step step = {0};
    bool local, ended = r->stage == SPI_STAGE_DONE && r->converged;
    int64_t most;
    spi_err err = finest_grid(r, &most);

    if (err)
        return err;
    if (r->stage != SPI_STAGE_DONE)
        (void)spi_plan_step(r->set, r->data->rings.diameter_A, r->q_max,
                            (enum spi_stage)r->stage, r->step, &step);
    local = step.local;
    if ((local || f->candidate_nd != 0) &&
        !is_grid(f->candidate_nd, f->candidate_cell, most))
        return damaged(path,
                       "candidates of half set %d on a grid of %lld directions, %g "
                       "apart",
                       h + 1, (long long)f->candidate_nd, f->candidate_cell);
    if ((ended || f->best_nd != 0) && (f->best_nd < 12 || f->best_nd > most))
        return damaged(path, "orientations of half set %d on a grid of %lld directions",
                       h + 1, (long long)f->best_nd);
    return check_images(path, f, h);
}

/* The grid of a model is that of one of the rings. */
static bool is_model_grid(const struct spi_rings *g, int n, double step)
{
    for (int R = 0; R < g->R; R++) {
        int n_ring;
        double dx;

        spi_merge_grid(g->diameter_A, g->q[R], &n_ring, &dx);
        if (n == n_ring && step == dx)
            return true;
    }
    return false;
}

static spi_err check_replica(const struct spi_run *r, const char *path,
                             const struct replica_head *head, int h, int s)
{
    if (!memchr(head->symmetry, 0, sizeof head->symmetry) || !is_group(head->symmetry) ||
        !is_rotation(head->axes))
        return damaged(path, "replica %d of half set %d: the point group is none", s,
                       h + 1);
    if ((head->has_scale & ~1) || !(head->beta >= 0 && head->beta <= FLT_MAX) ||
        isnan(head->score) || isnan(head->residual))
        return damaged(path, "replica %d of half set %d: scale %d, beta %g, score %g", s,
                       h + 1, head->has_scale, (double)head->beta, head->score);
    if (!head->has_scale && !is_model_grid(&r->data->rings, head->n, head->step))
        return damaged(path, "replica %d of half set %d: a model of %d voxels of %g A", s,
                       h + 1, head->n, head->step);
    return SPI_OK;
}

/* ---- reading ------------------------------------------------------------------------ */

static spi_err load_replica(const struct spi_state *st, const char *path, struct spi_run *r,
                            int h, int s)
{
    struct spi_replica *c = &r->replica[h][s];
    struct replica_head head;
    spi_err err;

    SPI_TRY(err = get(st, sizeof head, &head, "replica", h, s), out);
    SPI_TRY(err = check_replica(r, path, &head, h, s), out);
    c->data = r->data;
    c->half = &r->half[h];
    c->seed = r->seed * 2 + (uint64_t)h;
    c->index = s;
    c->beta = head.beta;
    c->score = head.score;
    c->residual = head.residual;
    SPI_TRY(err = spi_replica_symmetry(c, head.symmetry, head.axes), out);
    if (head.has_scale) /* a random initialisation, as spi_run_make_replicas made it */
        return SPI_OK;
    free(c->ring_scale);
    c->ring_scale = NULL;
    spi_volume_clear(&c->A);
    SPI_TRY(err = spi_volume_init(&c->A, head.n, head.step), out);
    SPI_TRY(err =
                get(st, spi_volume_count(&c->A) * sizeof *c->A.data, c->A.data, "A", h, s),
            out);
    for (size_t i = 0; i < spi_volume_count(&c->A); i++)
        if (!isfinite(c->A.data[i])) {
            err = damaged(path, "replica %d of half set %d: voxel %zu of the model is %g",
                          s, h + 1, i, (double)c->A.data[i]);
            goto out;
        }
out:
    return err;
}

static spi_err load_half(const struct spi_state *st, struct spi_half_set *f, int h)
{
    struct half_head head;
    size_t n = (size_t)f->n_images;
    spi_err err;

    SPI_TRY(err = get(st, sizeof head, &head, "half", h, 0), out);
    f->candidate_nd = head.candidate_nd;
    f->best_nd = head.best_nd;
    f->candidate_cell = head.candidate_cell;
    SPI_TRY(err = get(st, n * (size_t)f->keep * sizeof *f->candidate, f->candidate,
                      "candidate", h, 0),
            out);
    SPI_TRY(err = get(st, n * sizeof *f->fluence, f->fluence, "fluence", h, 0), out);
    err = get(st, n * sizeof *f->best, f->best, "best", h, 0);
out:
    return err;
}

spi_err spi_run_load(struct spi_run *r, const char *path, const char *key)
{
    struct spi_state *st;
    struct head head;
    int32_t generation;
    spi_err err = spi_state_read(path, key, &st);

    if (err)
        return err;
    SPI_TRY(err = get(st, sizeof head, &head, "run", 0, 0), out);
    SPI_TRY(err = spi_state_get(st, SPI_STATE_GENERATION, sizeof generation, &generation),
            out);
    SPI_TRY(err = check_head(r, path, generation, &head), out);
    SPI_TRY(err = spi_run_make_replicas(r, head.n_replicas), out);
    r->generation = generation, r->stage = head.stage, r->step = head.step;
    r->begun_at = head.begun_at;
    r->round = head.round, r->waiting = head.waiting, r->have_pose = head.have_pose;
    r->converged = head.converged, r->best_cc = head.best_cc, r->halves_cc = head.halves_cc;
    r->pose = head.pose;
    r->found = head.found;
    r->n_diameters = (int32_t)head.n_diameters;
    memcpy(r->diameter_A, head.diameter_A, sizeof head.diameter_A);
    for (int h = 0; h < 2; h++) {
        r->leading[h] = head.leading[h];
        SPI_TRY(err = load_half(st, &r->half[h], h), out);
        SPI_TRY(err = check_half(r, path, h), out);
        for (int s = 0; s < head.n_replicas; s++)
            SPI_TRY(err = load_replica(st, path, r, h, s), out);
    }
out:
    spi_state_free(st);
    return err;
}

spi_err spi_run_saved_diameters(const char *path, const char *key, double first_A,
                                int32_t *n, double diameter_A[SPI_DIAMETERS_MAX])
{
    struct spi_state *st;
    struct head head;
    spi_err err = spi_state_read(path, key, &st);

    if (err)
        return err;
    SPI_TRY(err = get(st, sizeof head, &head, "run", 0, 0), out);
    SPI_TRY(err = check_diameters(path, &head, first_A), out);
    *n = (int32_t)head.n_diameters;
    memcpy(diameter_A, head.diameter_A, sizeof head.diameter_A);
out:
    spi_state_free(st);
    return err;
}
