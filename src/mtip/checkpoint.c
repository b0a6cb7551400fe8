/* SPDX-License-Identifier: GPL-3.0-or-later */
/* checkpoint.c, of mtip/run.h: what lasts of a run (mtip/lasting.h) as named arrays. */
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
#include "mtip/run.h"

enum {
    NAME = 32,
    PER_REPLICA = 10,
    ITEMS_MAX = 32 + 2 * (8 + PER_REPLICA * SPI_REPLICAS_MAX)
};

/* The members of struct spi_run that last. */
struct run_lasting {
    SPI_RUN_LASTING(SPI_MEMBER, SPI_MEMBER_MANY)
};

/* Those of a replica, and the grid of its model; fresh: a random initialisation that has
 * not been merged yet has no model here. */
struct replica_lasting {
    SPI_REPLICA_LASTING(SPI_MEMBER, SPI_MEMBER_MANY)
    int32_t fresh, n;
    double step;
};

/* ---- writing ------------------------------------------------------------------------ */

struct list {
    int n;
    struct spi_state_item item[ITEMS_MAX];
    char name[ITEMS_MAX][NAME];
};

/* Names of items: "run.stage", "half.1.fluence", "replica.0.3.beta". */
__attribute__((format(printf, 4, 5))) static void
add(struct list *l, size_t bytes, const void *data, const char *name, ...)
{
    va_list ap;

    va_start(ap, name);
    vsnprintf(l->name[l->n], NAME, name, ap);
    va_end(ap);
    l->item[l->n] = (struct spi_state_item){l->name[l->n], bytes, data};
    l->n++;
}

static void add_run(struct list *l, const struct spi_run *r)
{
#define ADD(type, name)             add(l, sizeof r->name, &r->name, "run." #name);
#define ADD_MANY(type, name, count) ADD(type, name)
    SPI_RUN_LASTING(ADD, ADD_MANY)
#undef ADD
#undef ADD_MANY
}

static void add_half(struct list *l, const struct spi_half_set *f, int h)
{
    size_t n = (size_t)f->n_images, keep = (size_t)f->keep;

#define ADD(type, name) add(l, sizeof f->name, &f->name, "half.%d." #name, h);
#define ADD_EACH(type, name, columns) \
    add(l, n *(columns) * sizeof(type), f->name, "half.%d." #name, h);
    SPI_HALF_SET_LASTING(ADD, ADD_EACH)
#undef ADD
#undef ADD_EACH
}

static void add_replica(struct list *l, const struct spi_replica *c,
                        struct replica_lasting *grid, int h, int s)
{
    *grid = (struct replica_lasting){
        .fresh = c->ring_scale != NULL, .n = c->A.n, .step = c->A.step};
#define ADD(type, name)             add(l, sizeof c->name, &c->name, "replica.%d.%d." #name, h, s);
#define ADD_MANY(type, name, count) ADD(type, name)
    SPI_REPLICA_LASTING(ADD, ADD_MANY)
#undef ADD
#undef ADD_MANY
    add(l, sizeof grid->fresh, &grid->fresh, "replica.%d.%d.fresh", h, s);
    if (grid->fresh)
        return;
    add(l, sizeof grid->n, &grid->n, "replica.%d.%d.A.n", h, s);
    add(l, sizeof grid->step, &grid->step, "replica.%d.%d.A.step", h, s);
    add(l, spi_volume_count(&c->A) * sizeof *c->A.data, c->A.data, "replica.%d.%d.A", h, s);
}

spi_err spi_run_save(const struct spi_run *r, const char *path, const char *key)
{
    struct replica_lasting(*grid)[SPI_REPLICAS_MAX] = NULL;
    struct list *l = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(l, 1, "checkpoint"), out);
    SPI_TRY(err = SPI_NEW(grid, 2, "checkpoint"), out);
    add_run(l, r);
    for (int h = 0; h < 2; h++) {
        add_half(l, &r->half[h], h);
        for (int s = 0; s < r->n_replicas; s++)
            add_replica(l, &r->replica[h][s], &grid[h][s], h, s);
    }
    err = spi_state_write(path, key, l->n, l->item);
out:
    free(grid);
    free(l);
    return err;
}

__attribute__((format(printf, 4, 5))) static spi_err
get(const struct spi_state *st, size_t bytes, void *to, const char *item, ...)
{
    char name[NAME];
    va_list ap;

    va_start(ap, item);
    vsnprintf(name, sizeof name, item, ap);
    va_end(ap);
    return spi_state_get(st, name, bytes, to);
}

/* Members: the first failure counts. */
#define GET(type, name)             err = err ? err : get(st, sizeof to->name, &to->name, ITEM(name));
#define GET_MANY(type, name, count) GET(type, name)

static spi_err get_run(const struct spi_state *st, struct run_lasting *to)
{
    spi_err err = SPI_OK;

#define ITEM(name) "run." #name
    SPI_RUN_LASTING(GET, GET_MANY)
#undef ITEM
    return err;
}

static spi_err get_half(const struct spi_state *st, struct spi_half_set *to, int h)
{
    size_t n = (size_t)to->n_images, keep = (size_t)to->keep;
    spi_err err = SPI_OK;

#define ITEM(name) "half.%d." #name, h
#define GET_EACH(type, name, columns) \
    err = err ? err : get(st, n * (columns) * sizeof(type), to->name, ITEM(name));
    SPI_HALF_SET_LASTING(GET, GET_EACH)
#undef GET_EACH
#undef ITEM
    return err;
}

static spi_err get_replica(const struct spi_state *st, struct replica_lasting *to, int h,
                           int s)
{
    spi_err err = SPI_OK;

    *to = (struct replica_lasting){.fresh = 1};
#define ITEM(name) "replica.%d.%d." #name, h, s
    SPI_REPLICA_LASTING(GET, GET_MANY)
    GET(int32_t, fresh)
    if (!err && !to->fresh) {
        err = get(st, sizeof to->n, &to->n, ITEM(A.n));
        err = err ? err : get(st, sizeof to->step, &to->step, ITEM(A.step));
    }
#undef ITEM
    return err;
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

static spi_err check_counters(const struct spi_run *r, const char *path,
                              const struct run_lasting *h)
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
    if (h->generation < 0 || h->generation > MANY || h->waiting < 0 || h->waiting > MANY ||
        h->step < 0 || h->step > MANY ||
        (h->stage != SPI_STAGE_DONE &&
         !spi_plan_step(r->set, r->data->rings.diameter_A, r->q_max,
                        (enum spi_stage)h->stage, h->step, &step)))
        return damaged(path, "step %d of stage %d after %d generations, %d of them waiting",
                       h->step, h->stage, h->generation, h->waiting);
    if (h->begun_at < 0 || h->begun_at > h->generation)
        return damaged(path, "generation %d of a run that began at %d", h->generation,
                       h->begun_at);
    if ((h->have_pose & ~1) || (h->converged & ~1) ||
        (h->converged && h->stage != SPI_STAGE_DONE))
        return damaged(path, "pose %d, converged %d in stage %d", h->have_pose,
                       h->converged, h->stage);
    return SPI_OK;
}

/* A diameter that was refined is within a factor of 4 of the first. */
static spi_err check_diameters(const char *path, const struct run_lasting *h,
                               double first_A)
{
    if (h->n_diameters < 1 || h->n_diameters > SPI_DIAMETERS_MAX)
        return damaged(path, "%d diameters", h->n_diameters);
    for (int i = 0; i < h->n_diameters; i++)
        if (!(h->diameter_A[i] >= first_A / 4 && h->diameter_A[i] <= first_A * 4))
            return damaged(path, "a diameter of %g A; the run began with %g A",
                           h->diameter_A[i], first_A);
    return SPI_OK;
}

static spi_err check_run(const struct spi_run *r, const char *path,
                         const struct run_lasting *h)
{
    const struct spi_symmetry_found *f = &h->found;
    spi_err err = check_counters(r, path, h);

    if (!err)
        err = check_diameters(path, h, r->data->rings.diameter_A);
    if (err)
        return err;
    if (h->diameter_A[h->n_diameters - 1] != r->data->rings.diameter_A)
        return damaged(path, "a diameter of %g A; the rings are for %g A",
                       h->diameter_A[h->n_diameters - 1], r->data->rings.diameter_A);
    if (!is_correlation(h->best_cc) || !is_correlation(h->halves_cc) ||
        !is_correlation(h->last_cc))
        return damaged(path, "correlations %g, %g and %g; need -1..1", h->best_cc,
                       h->halves_cc, h->last_cc);
    if ((h->pose.inverted & ~1) || (h->have_pose && !is_rotation(h->pose.R)))
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
                             const struct replica_lasting *head, int h, int s)
{
    if (!memchr(head->symmetry, 0, sizeof head->symmetry) || !is_group(head->symmetry) ||
        !is_rotation(head->axes))
        return damaged(path, "replica %d of half set %d: the point group is none", s,
                       h + 1);
    if ((head->fresh & ~1) || !(head->beta >= 0 && head->beta <= FLT_MAX) ||
        isnan(head->score) || isnan(head->residual))
        return damaged(path, "replica %d of half set %d: fresh %d, beta %g, score %g", s,
                       h + 1, head->fresh, (double)head->beta, head->score);
    if (!head->fresh && !is_model_grid(&r->data->rings, head->n, head->step))
        return damaged(path, "replica %d of half set %d: a model of %d voxels of %g A", s,
                       h + 1, head->n, head->step);
    return SPI_OK;
}

/* ---- reading ------------------------------------------------------------------------ */

static spi_err load_model(const struct spi_state *st, const char *path,
                          const struct replica_lasting *from, struct spi_replica *c, int h,
                          int s)
{
    spi_err err;

    free(c->ring_scale);
    c->ring_scale = NULL;
    spi_volume_clear(&c->A);
    SPI_TRY(err = spi_volume_init(&c->A, from->n, from->step), out);
    SPI_TRY(err = get(st, spi_volume_count(&c->A) * sizeof *c->A.data, c->A.data,
                      "replica.%d.%d.A", h, s),
            out);
    for (size_t i = 0; i < spi_volume_count(&c->A); i++)
        if (!isfinite(c->A.data[i]))
            return damaged(path, "replica %d of half set %d: voxel %zu of the model is %g",
                           s, h + 1, i, (double)c->A.data[i]);
out:
    return err;
}

static spi_err load_replica(const struct spi_state *st, const char *path, struct spi_run *r,
                            int h, int s)
{
    struct spi_replica *c = &r->replica[h][s];
    struct replica_lasting from;
    spi_err err;

    SPI_TRY(err = get_replica(st, &from, h, s), out);
    SPI_TRY(err = check_replica(r, path, &from, h, s), out);
    c->data = r->data;
    c->half = &r->half[h];
    c->seed = r->seed * 2 + (uint64_t)h;
    c->index = s;
#define TAKE(type, name)             memcpy(&c->name, &from.name, sizeof c->name);
#define TAKE_MANY(type, name, count) TAKE(type, name)
    SPI_REPLICA_LASTING(TAKE, TAKE_MANY)
#undef TAKE
#undef TAKE_MANY
    SPI_TRY(err = spi_replica_symmetry(c, from.symmetry, from.axes), out);
    if (!from.fresh) /* else it is as spi_run_make_replicas made it */
        err = load_model(st, path, &from, c, h, s);
out:
    return err;
}

spi_err spi_run_load(struct spi_run *r, const char *path, const char *key)
{
    struct spi_state *st;
    struct run_lasting from;
    spi_err err = spi_state_read(path, key, &st);

    if (err)
        return err;
    SPI_TRY(err = get_run(st, &from), out);
    SPI_TRY(err = check_run(r, path, &from), out);
    SPI_TRY(err = spi_run_make_replicas(r, from.n_replicas), out);
#define TAKE(type, name)             memcpy(&r->name, &from.name, sizeof r->name);
#define TAKE_MANY(type, name, count) TAKE(type, name)
    SPI_RUN_LASTING(TAKE, TAKE_MANY)
#undef TAKE
#undef TAKE_MANY
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err = get_half(st, &r->half[h], h), out);
        SPI_TRY(err = check_half(r, path, h), out);
        for (int s = 0; s < r->n_replicas; s++)
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
    struct run_lasting from;
    spi_err err = spi_state_read(path, key, &st);

    if (err)
        return err;
    SPI_TRY(err = get_run(st, &from), out);
    SPI_TRY(err = check_diameters(path, &from, first_A), out);
    *n = from.n_diameters;
    memcpy(diameter_A, from.diameter_A, sizeof from.diameter_A);
out:
    spi_state_free(st);
    return err;
}
