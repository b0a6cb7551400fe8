/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The general transform for one precision: REAL, REAL_BYTES, COORD, TOL_MIN, SPI(name).
 * Included by general_f32.c and general_f64.c. */
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "kernel/nubrick.h"
#include "kernel/nugrid.h"
#include "math/fft_many.h"
#include "nufft/general.h"
#include "nufft/general_grid.h"

typedef REAL complex cplx;
typedef struct SPI(spi_nu_point) point;
typedef struct SPI(spi_nuplan) plan_t;

enum {
    BLOCK = 256, /* points located at once */
    CHUNK =
        1 << 15, /* points of a brick spread at once: a full brick keeps all threads busy */
    COLUMNS = 8, /* columns of one transform in two dimensions */
    ROWS = 16,   /* rows of one task in two dimensions */
};

/* Points of one brick, at most CHUNK. */
struct task {
    int32_t brick[3];
    bool follows; /* the task before is of the same brick: add to the grid after it */
    uint32_t count;
    int64_t first;
};

struct SPI(spi_nuplan) {
    struct spi_nu_spec spec;
    struct spi_nu_grid g;
    const struct spi_nu_kernels *kernels;
    struct SPI(spi_nu_taps) * taps; /* owned */
    int64_t n, n_tasks, n_modes;
    point *points;          /* [n], owned, by brick */
    struct task *tasks;     /* [n_tasks], owned, by brick */
    int64_t *order, *first; /* owned: tasks by colour; phases of `order` */
    int n_phases;
    char *done; /* [n_tasks], owned: added to the grid */

    int stride;                      /* complex numbers in a line of `slab` and `middle` */
    cplx *fine;                      /* [nz][ny][nx], owned */
    cplx *middle;                    /* [nz][my][stride], owned; 3-D only */
    cplx **slab, **line;             /* [n_threads], owned: scratch of each thread */
    cplx **local;                    /* likewise */
    REAL *deconv[3];                 /* [m] of an axis, owned */
    SPI(spi_fft_many) * lines[2][3]; /* by sign and axis, owned; made when first used */

    /* of the transform in progress */
    int sign; /* index of lines */
    const cplx *in;
    cplx *out;
};

/* ---- memory ------------------------------------------------------------------------- */

static void release_scratch(plan_t *p)
{
    for (int t = 0; t < p->spec.n_threads; t++) {
        if (p->slab)
            free(p->slab[t]);
        if (p->line)
            free(p->line[t]);
        if (p->local)
            free(p->local[t]);
    }
    free(p->slab);
    free(p->line);
    free(p->local);
    free(p->fine);
    free(p->middle);
    free(p->taps);
    p->slab = p->line = p->local = NULL;
    p->fine = p->middle = NULL;
    p->taps = NULL;
    for (int d = 0; d < 3; d++) {
        free(p->deconv[d]);
        p->deconv[d] = NULL;
        for (int s = 0; s < 2; s++) {
            SPI(spi_fft_many_free)(p->lines[s][d]);
            p->lines[s][d] = NULL;
        }
    }
    spi_nu_grid_clear(&p->g);
}

static void release_points(plan_t *p)
{
    free(p->points);
    free(p->tasks);
    free(p->order);
    free(p->first);
    free(p->done);
    p->points = NULL;
    p->tasks = NULL;
    p->order = p->first = NULL;
    p->done = NULL;
    p->n = p->n_tasks = 0;
}

void SPI(spi_nuplan_free)(plan_t *p)
{
    if (!p)
        return;
    release_scratch(p);
    release_points(p);
    free(p);
}

spi_err SPI(spi_nuplan_new)(const struct spi_nu_spec *spec, plan_t **out)
{
    spi_err err;
    plan_t *p = NULL;

    *out = NULL;
    SPI_TRY(err = spi_nu_check(spec, TOL_MIN), out);
    SPI_TRY(err = SPI_NEW(p, 1, "nufft plan"), out);
    p->spec = *spec;
    p->kernels = spi_nu_kernels_best();
    p->n_modes = 1;
    for (int d = 0; d < spec->dim; d++)
        if (__builtin_mul_overflow(p->n_modes, spec->modes[d], &p->n_modes))
            err = spi_fail(SPI_EINVAL, "nufft: the number of modes overflows");
    SPI_TRY(err, out);
    *out = p;
out:
    if (err)
        SPI(spi_nuplan_free)(p);
    return err;
}

/* Scratch of thread t. */
static spi_err new_scratch(plan_t *p, int t)
{
    spi_err err;
    const struct spi_nu_cut *a = p->g.axis;
    int lines = p->spec.dim == 2 ? 1 : a[1].n > a[2].n ? a[1].n : a[2].n;

    SPI_TRY(err = SPI_NEW(p->slab[t], (int64_t)lines * p->stride, "nufft slab"), out);
    SPI_TRY(err = SPI_NEW(p->line[t], a[0].n, "nufft line"), out);
    SPI_TRY(err = SPI_NEW(p->local[t], p->g.local_size, "nufft brick"), out);
out:
    return err;
}

/* Everything that depends on the fine grid but not on the points. */
static spi_err prepare_grid(plan_t *p, int64_t n)
{
    spi_err err;
    struct spi_nu_grid g;
    const struct spi_nu_cut *a = g.axis;
    size_t lines, threads = (size_t)p->spec.n_threads;

    SPI_TRY(err = spi_nu_grid_init(&p->spec, REAL_BYTES, n, &g), out);
    if (p->fine && g.win.w == p->g.win.w && a[0].n == p->g.axis[0].n &&
        a[1].n == p->g.axis[1].n && a[2].n == p->g.axis[2].n) {
        spi_nu_grid_clear(&g);
        return SPI_OK;
    }
    release_scratch(p);
    p->g = g;
    a = p->g.axis;
    p->stride = (a[0].m + 7) / 8 * 8;
    lines = (size_t)a[1].n * (size_t)a[2].n;
    if (!(p->fine =
              spi_alloc_unset(lines * (size_t)a[0].n, sizeof(cplx), "nufft fine grid")))
        return SPI_ENOMEM;
    if (p->spec.dim == 2)
        lines = (size_t)a[1].n;
    else
        lines = (size_t)a[1].m * (size_t)a[2].n;
    p->middle =
        spi_alloc_unset(lines * (size_t)p->stride, sizeof(cplx), "nufft half-way grid");
    if (!p->middle)
        return SPI_ENOMEM;
    SPI_TRY(err = SPI_NEW(p->taps, 1, "nufft window"), out);
    SPI(spi_nu_taps)(&p->g.win, p->taps);
    for (int d = 0; d < 3; d++) {
        SPI_TRY(err = SPI_NEW(p->deconv[d], a[d].m, "nufft window"), out);
        for (int i = 0; i < a[d].m; i++)
            p->deconv[d][i] = (REAL)spi_nu_deconvolve(&p->g, d, p->spec.fft_order, i);
    }
    SPI_TRY(err = SPI_NEW(p->slab, threads, "nufft scratch"), out);
    SPI_TRY(err = SPI_NEW(p->line, threads, "nufft scratch"), out);
    SPI_TRY(err = SPI_NEW(p->local, threads, "nufft scratch"), out);
    for (int t = 0; t < p->spec.n_threads; t++)
        SPI_TRY(err = new_scratch(p, t), out);
out:
    return err;
}

/* ---- points ---------------------------------------------------------------------------- */

/* A stable counting sort by brick, so that the order does not depend on the threads. */

struct sort {
    plan_t *p;
    const REAL *x[3];
    int64_t n, ranges;
    uint32_t *at; /* [ranges][n_bricks]: counts, then places */
    int64_t *bad; /* [ranges]: first point that is not finite, or -1 */
};

static bool locate(const struct sort *s, int64_t from, int n, COORD v[3][BLOCK],
                   uint32_t *brick)
{
    const struct spi_nu_grid *g = &s->p->g;
    uint32_t stride = 1;
    bool good = true;

    memset(brick, 0, BLOCK * sizeof *brick);
    for (int d = 0; d < g->dim; d++) {
        struct spi_nu_axis axis = {g->axis[d].n, g->axis[d].shift, stride};

        good &= SPI(spi_nu_locate)(&axis, n, s->x[d] + from, v[d], brick);
        stride *= (uint32_t)g->axis[d].bricks;
    }
    return good;
}

static int64_t range_start(const struct sort *s, int64_t r)
{
    return s->n / s->ranges * r + (r < s->n % s->ranges ? r : s->n % s->ranges);
}

static int64_t first_bad(const struct sort *s, int64_t from)
{
    for (int64_t j = from;; j++)
        for (int d = 0; d < s->p->spec.dim; d++)
            if (!isfinite(s->x[d][j]))
                return j;
}

static void count_range(void *ctx, int rank, int64_t r)
{
    const struct sort *s = ctx;
    uint32_t *count = s->at + r * s->p->g.n_bricks, brick[BLOCK];
    int64_t end = range_start(s, r + 1);
    COORD v[3][BLOCK];

    (void)rank;
    s->bad[r] = -1;
    for (int64_t j = range_start(s, r); j < end; j += BLOCK) {
        int n = end - j < BLOCK ? (int)(end - j) : BLOCK;

        if (!locate(s, j, n, v, brick)) {
            s->bad[r] = first_bad(s, j);
            return;
        }
        for (int i = 0; i < n; i++)
            count[brick[i]]++;
    }
}

static void place_range(void *ctx, int rank, int64_t r)
{
    const struct sort *s = ctx;
    uint32_t *at = s->at + r * s->p->g.n_bricks, brick[BLOCK];
    int64_t end = range_start(s, r + 1);
    COORD v[3][BLOCK];

    (void)rank;
    memset(v, 0, sizeof v);
    for (int64_t j = range_start(s, r); j < end; j += BLOCK) {
        int n = end - j < BLOCK ? (int)(end - j) : BLOCK;

        locate(s, j, n, v, brick);
        for (int i = 0; i < n; i++)
            s->p->points[at[brick[i]]++] =
                (point){{v[0][i], v[1][i], v[2][i]}, (uint32_t)(j + i)};
    }
}

/* Counts -> places; the tasks of each brick. */
static spi_err make_tasks(struct sort *s)
{
    spi_err err;
    plan_t *p = s->p;
    const struct spi_nu_grid *g = &p->g;
    int64_t at = 0, t = 0, cap = g->n_bricks + s->n / CHUNK;

    SPI_TRY(err = SPI_NEW(p->tasks, cap, "nufft tasks"), out);
    for (int64_t b = 0; b < g->n_bricks; b++) {
        int64_t first = at;

        for (int64_t r = 0; r < s->ranges; r++) {
            uint32_t *place = &s->at[r * g->n_bricks + b], count = *place;

            *place = (uint32_t)at;
            at += count;
        }
        for (int64_t j = first; j < at; j += CHUNK)
            p->tasks[t++] = (struct task){
                .brick = {(int32_t)(b % g->axis[0].bricks),
                          (int32_t)(b / g->axis[0].bricks % g->axis[1].bricks),
                          (int32_t)(b / g->axis[0].bricks / g->axis[1].bricks)},
                .follows = j > first,
                .first = j,
                .count = (uint32_t)(at - j < CHUNK ? at - j : CHUNK)};
    }
    p->n_tasks = t;
out:
    return err;
}

static int phase_of(const struct spi_nu_grid *g, const struct task *t)
{
    int phase = 0;

    for (int d = 0; d < 3; d++)
        phase = phase * g->axis[d].colours + g->axis[d].colour[t->brick[d]];
    return phase;
}

/* The tasks in order of colour: those of one colour touch different points of the grid. */
static spi_err order_tasks(plan_t *p)
{
    spi_err err;
    const struct spi_nu_grid *g = &p->g;

    p->n_phases = g->axis[0].colours * g->axis[1].colours * g->axis[2].colours;
    SPI_TRY(err = SPI_NEW(p->order, p->n_tasks, "nufft tasks"), out);
    SPI_TRY(err = SPI_NEW(p->done, p->n_tasks, "nufft tasks"), out);
    SPI_TRY(err = SPI_NEW(p->first, p->n_phases + 2, "nufft tasks"), out);
    for (int64_t t = 0; t < p->n_tasks; t++)
        p->first[phase_of(g, &p->tasks[t]) + 2]++;
    for (int q = 2; q < p->n_phases + 2; q++)
        p->first[q] += p->first[q - 1];
    for (int64_t t = 0; t < p->n_tasks; t++)
        p->order[p->first[phase_of(g, &p->tasks[t]) + 1]++] = t;
out:
    return err;
}

static spi_err sort_points(struct sort *s)
{
    spi_err err;
    plan_t *p = s->p;

    SPI_TRY(err = SPI_NEW(s->at, s->ranges * p->g.n_bricks, "nufft sort"), out);
    SPI_TRY(err = SPI_NEW(s->bad, s->ranges, "nufft sort"), out);
    spi_parallel_for(p->spec.n_threads, s->ranges, count_range, s);
    for (int64_t r = 0; r < s->ranges; r++)
        if (s->bad[r] >= 0) {
            int64_t j = s->bad[r];

            err = spi_fail(SPI_EINVAL,
                           "nufft: point %lld is (%g, %g, %g); need finite numbers",
                           (long long)j, (double)s->x[0][j], (double)s->x[1][j],
                           p->spec.dim == 3 ? (double)s->x[2][j] : 0);
            goto out;
        }
    SPI_TRY(err = make_tasks(s), out);
    SPI_TRY(err = order_tasks(p), out);
    p->points = spi_alloc_unset((size_t)s->n, sizeof *p->points, "nufft points");
    SPI_TRY(err = p->points ? SPI_OK : SPI_ENOMEM, out);
    spi_parallel_for(p->spec.n_threads, s->ranges, place_range, s);
    p->n = s->n;
out:
    free(s->at);
    free(s->bad);
    return err;
}

spi_err SPI(spi_nuplan_points)(plan_t *p, int64_t n, const REAL *x, const REAL *y,
                               const REAL *z)
{
    spi_err err;
    int64_t most = n / (1 << 16) + 1;

    release_points(p);
    if (n < 0 || n > UINT32_MAX)
        return spi_fail(SPI_EINVAL, "nufft: %lld points; need 0..%lld", (long long)n,
                        (long long)UINT32_MAX);
    if ((err = prepare_grid(p, n))) {
        release_scratch(p);
        return err;
    }
    struct sort s = {.p = p, .x = {x, y, z}, .n = n};

    s.ranges = most < p->spec.n_threads ? most : p->spec.n_threads;
    if (n > 0)
        err = sort_points(&s);
    if (err)
        release_points(p);
    return err;
}

struct spi_nu_choice SPI(spi_nuplan_choice)(const plan_t *p)
{
    const struct spi_nu_cut *a = p->g.axis;

    return (struct spi_nu_choice){p->g.win.w, {a[0].n, a[1].n, a[2].n}, p->g.sigma};
}

/* ---- between the fine grid and the bricks ------------------------------------------- */

typedef void row_fn(int n, cplx *local, cplx *fine);

/* Every row of the local grid of a brick with its place on the (periodic) fine grid. */
static void for_rows(const plan_t *p, const struct task *t, cplx *local, row_fn *row)
{
    const struct spi_nu_grid *g = &p->g;
    int e[3], o[3], nx = g->axis[0].n;

    for (int d = 0; d < 3; d++) {
        e[d] = spi_nu_extent(g, d, t->brick[d]);
        o[d] = spi_nu_origin(g, d, t->brick[d]);
    }
    for (int k = 0; k < e[2]; k++)
        for (int j = 0; j < e[1]; j++) {
            int64_t z = (o[2] + k) % g->axis[2].n, y = (o[1] + j) % g->axis[1].n;
            cplx *fine = p->fine + (z * g->axis[1].n + y) * nx;
            cplx *to = local + ((int64_t)k * g->local.rows + j) * g->local.row;

            for (int i = 0, x = o[0]; i < e[0];) {
                int n = e[0] - i < nx - x ? e[0] - i : nx - x;

                row(n, to + i, fine + x);
                i += n;
                x = 0;
            }
        }
}

static void add_row(int n, cplx *local, cplx *fine)
{
    SPI(spi_nu_add)(n, local, fine);
}

static void load_row(int n, cplx *local, cplx *fine)
{
    memcpy(local, fine, (size_t)n * sizeof *local);
}

static void spread_task(void *ctx, int rank, int64_t i)
{
    plan_t *p = ctx;
    int64_t at = p->order[i];
    const struct task *t = &p->tasks[at];
    cplx *local = p->local[rank];

    memset(local, 0, (size_t)p->g.local_size * sizeof *local);
    p->kernels->SPI(spread)[p->g.win.w](p->taps, &p->g.local, t->count,
                                        p->points + t->first, p->in, local);
    /* the task before was handed out before: some thread is at it or has ended it */
    while (t->follows && !__atomic_load_n(&p->done[at - 1], __ATOMIC_ACQUIRE))
        sched_yield();
    for_rows(p, t, local, add_row);
    __atomic_store_n(&p->done[at], 1, __ATOMIC_RELEASE);
}

static void interp_task(void *ctx, int rank, int64_t at)
{
    plan_t *p = ctx;
    const struct task *t = &p->tasks[at];
    cplx *local = p->local[rank];

    for_rows(p, t, local, load_row);
    p->kernels->SPI(interp)[p->g.win.w](p->taps, &p->g.local, t->count,
                                        p->points + t->first, local, p->out);
}

static void zero_part(void *ctx, int rank, int64_t part)
{
    plan_t *p = ctx;
    const struct spi_nu_cut *a = p->g.axis;
    int64_t lines = (int64_t)a[1].n * a[2].n, from = lines * part / 64;
    int64_t to = lines * (part + 1) / 64;

    (void)rank;
    memset(p->fine + from * a[0].n, 0, (size_t)((to - from) * a[0].n) * sizeof *p->fine);
}

/* ---- transforms: only the lines that hold modes ------------------------------------- */

static size_t bytes(int64_t n)
{
    return (size_t)n * sizeof(cplx);
}

/* The two runs of modes on x: in the caller's order and on the fine grid. */
static void copy_x(const plan_t *p, const cplx *from, cplx *to, bool to_fine)
{
    const struct spi_nu_cut *a = &p->g.axis[0];
    int negative = a->m / 2, positive = a->m - negative;
    int neg_at = p->spec.fft_order ? positive : 0,
        pos_at = p->spec.fft_order ? 0 : negative;
    int neg_fine = a->n - negative;

    memcpy(to + (to_fine ? 0 : pos_at), from + (to_fine ? pos_at : 0), bytes(positive));
    memcpy(to + (to_fine ? neg_fine : neg_at), from + (to_fine ? neg_at : neg_fine),
           bytes(negative));
}

static int fine_of(const plan_t *p, int axis, int i)
{
    return spi_nu_fine_of(&p->g.axis[axis], p->spec.fft_order, i);
}

/* x lines y0 ... y1-1 of plane z -> the modes on x, in slab[y][stride]. */
static void x_to_modes(const plan_t *p, int64_t z, int y0, int y1, cplx *line, cplx *slab)
{
    const struct spi_nu_cut *a = p->g.axis;

    for (int y = y0; y < y1; y++) {
        cplx *to = slab + (int64_t)y * p->stride;

        SPI(spi_fft_many_run)
        (p->lines[p->sign][0], p->fine + (z * a[1].n + y) * a[0].n, line);
        copy_x(p, line, to, false);
        memset(to + a[0].m, 0, bytes(p->stride - a[0].m));
    }
}

static void x_from_modes(const plan_t *p, int64_t z, int y0, int y1, cplx *line,
                         const cplx *slab)
{
    const struct spi_nu_cut *a = p->g.axis;

    memset(line, 0, bytes(a[0].n));
    for (int y = y0; y < y1; y++) {
        copy_x(p, slab + (int64_t)y * p->stride, line, true);
        SPI(spi_fft_many_run)
        (p->lines[p->sign][0], line, p->fine + (z * a[1].n + y) * a[0].n);
    }
}

/* Between row ky, kz of the caller's modes and a line of them on x, deconvolved. */
static void take_modes(const plan_t *p, int ky, int kz, cplx *to)
{
    const struct spi_nu_cut *a = p->g.axis;

    SPI(spi_nu_scale)
    (a[0].m, p->deconv[1][ky] * p->deconv[2][kz], p->deconv[0],
     p->in + ((int64_t)kz * a[1].m + ky) * a[0].m, to);
    memset(to + a[0].m, 0, bytes(p->stride - a[0].m));
}

static void give_modes(const plan_t *p, int ky, int kz, const cplx *from)
{
    const struct spi_nu_cut *a = p->g.axis;

    SPI(spi_nu_scale)
    (a[0].m, p->deconv[1][ky] * p->deconv[2][kz], p->deconv[0], from,
     p->out + ((int64_t)kz * a[1].m + ky) * a[0].m);
}

/* Three dimensions, type 1: tasks 0 ... nz-1 transform a plane on x and y and keep the
 * modes; then task nz + ky transforms on z. */
static void modes3_task(void *ctx, int rank, int64_t task)
{
    plan_t *p = ctx;
    const struct spi_nu_cut *a = p->g.axis;
    cplx *slab = p->slab[rank];
    int64_t stride = p->stride;

    if (task < a[2].n) {
        x_to_modes(p, task, 0, a[1].n, p->line[rank], slab);
        SPI(spi_fft_many_run)(p->lines[p->sign][1], slab, slab);
        for (int ky = 0; ky < a[1].m; ky++)
            memcpy(p->middle + (task * a[1].m + ky) * stride,
                   slab + fine_of(p, 1, ky) * stride, bytes(stride));
        return;
    }
    int ky = (int)(task - a[2].n);

    for (int64_t z = 0; z < a[2].n; z++)
        memcpy(slab + z * stride, p->middle + (z * a[1].m + ky) * stride, bytes(stride));
    SPI(spi_fft_many_run)(p->lines[p->sign][2], slab, slab);
    for (int kz = 0; kz < a[2].m; kz++)
        give_modes(p, ky, kz, slab + fine_of(p, 2, kz) * stride);
}

/* Type 2, the other way: tasks 0 ... my-1 on z, then my + z on y and x. */
static void fine3_task(void *ctx, int rank, int64_t task)
{
    plan_t *p = ctx;
    const struct spi_nu_cut *a = p->g.axis;
    cplx *slab = p->slab[rank];
    int64_t stride = p->stride, z = task - a[1].m;

    if (z < 0) {
        int ky = (int)task;

        memset(slab, 0, bytes(a[2].n * stride));
        for (int kz = 0; kz < a[2].m; kz++)
            take_modes(p, ky, kz, slab + fine_of(p, 2, kz) * stride);
        SPI(spi_fft_many_run)(p->lines[p->sign][2], slab, slab);
        for (int64_t i = 0; i < a[2].n; i++)
            memcpy(p->middle + (i * a[1].m + ky) * stride, slab + i * stride,
                   bytes(stride));
        return;
    }
    memset(slab, 0, bytes(a[1].n * stride));
    for (int ky = 0; ky < a[1].m; ky++)
        memcpy(slab + fine_of(p, 1, ky) * stride, p->middle + (z * a[1].m + ky) * stride,
               bytes(stride));
    SPI(spi_fft_many_run)(p->lines[p->sign][1], slab, slab);
    x_from_modes(p, z, 0, a[1].n, p->line[rank], slab);
}

/* Two dimensions: `middle` is the one slab, and the tasks are blocks of rows or columns. */
static int blocks(int n, int size)
{
    return (n + size - 1) / size;
}

static int block_end(int64_t block, int n)
{
    return (int)(block + 1) * ROWS < n ? (int)(block + 1) * ROWS : n;
}

static void modes2_task(void *ctx, int rank, int64_t task)
{
    plan_t *p = ctx;
    const struct spi_nu_cut *a = p->g.axis;
    int64_t x_tasks = blocks(a[1].n, ROWS), y_tasks = p->stride / COLUMNS;
    int64_t y_task = task - x_tasks, block = y_task - y_tasks;

    if (y_task < 0)
        x_to_modes(p, 0, (int)task * ROWS, block_end(task, a[1].n), p->line[rank],
                   p->middle);
    else if (block < 0)
        SPI(spi_fft_many_run)
    (p->lines[p->sign][1], p->middle + y_task * COLUMNS, p->middle + y_task * COLUMNS);
    else for (int ky = (int)block * ROWS; ky < block_end(block, a[1].m); ky++)
        give_modes(p, ky, 0, p->middle + (int64_t)fine_of(p, 1, ky) * p->stride);
}

static void fine2_task(void *ctx, int rank, int64_t task)
{
    plan_t *p = ctx;
    const struct spi_nu_cut *a = p->g.axis;
    int64_t mode_tasks = blocks(a[1].m, ROWS), y_tasks = p->stride / COLUMNS;
    int64_t y_task = task - mode_tasks, block = y_task - y_tasks;

    if (y_task < 0)
        for (int ky = (int)task * ROWS; ky < block_end(task, a[1].m); ky++)
            take_modes(p, ky, 0, p->middle + (int64_t)fine_of(p, 1, ky) * p->stride);
    else if (block < 0)
        SPI(spi_fft_many_run)
    (p->lines[p->sign][1], p->middle + y_task * COLUMNS, p->middle + y_task * COLUMNS);
    else x_from_modes(p, 0, (int)block * ROWS, block_end(block, a[1].n), p->line[rank],
                      p->middle);
}

static void transform_to_modes(plan_t *p)
{
    const struct spi_nu_cut *a = p->g.axis;

    if (p->spec.dim == 3) {
        const int64_t first[] = {0, a[2].n, a[2].n + a[1].m};

        spi_parallel_phases(p->spec.n_threads, 2, first, modes3_task, p);
    } else {
        int64_t x = blocks(a[1].n, ROWS), y = x + p->stride / COLUMNS;
        const int64_t first[] = {0, x, y, y + blocks(a[1].m, ROWS)};

        spi_parallel_phases(p->spec.n_threads, 3, first, modes2_task, p);
    }
}

static void transform_from_modes(plan_t *p)
{
    const struct spi_nu_cut *a = p->g.axis;

    if (p->spec.dim == 3) {
        const int64_t first[] = {0, a[1].m, a[1].m + a[2].n};

        spi_parallel_phases(p->spec.n_threads, 2, first, fine3_task, p);
    } else {
        int64_t m = blocks(a[1].m, ROWS), y = m + p->stride / COLUMNS;
        const int64_t first[] = {0, m, y, y + blocks(a[1].n, ROWS)};

        memset(p->middle, 0, bytes((int64_t)a[1].n * p->stride));
        spi_parallel_phases(p->spec.n_threads, 3, first, fine2_task, p);
    }
}

/* ---- execution ---------------------------------------------------------------------- */

static spi_err prepare_lines(plan_t *p, int s)
{
    spi_err err = SPI_OK;
    const struct spi_nu_cut *a = p->g.axis;
    int columns = p->spec.dim == 3 ? p->stride : COLUMNS;

    if (s != 1 && s != -1)
        return spi_fail(SPI_EINVAL, "nufft: sign is %d; need 1 or -1", s);
    p->sign = s > 0;
    SPI(spi_fft_many) **l = p->lines[p->sign];

    if (!l[0])
        SPI_TRY(err = SPI(spi_fft_many_row)(a[0].n, s, &l[0]), out);
    for (int d = 1; d < p->spec.dim; d++)
        if (!l[d])
            SPI_TRY(err = SPI(spi_fft_many_columns)(a[d].n, columns, p->stride, s, &l[d]),
                    out);
out:
    return err;
}

spi_err SPI(spi_nuplan_type1)(plan_t *p, int s, int n_transforms, const cplx *c, cplx *f)
{
    spi_err err;

    if (p->n == 0 && n_transforms > 0)
        memset(f, 0, bytes(n_transforms * p->n_modes));
    if (p->n == 0)
        return SPI_OK;
    SPI_TRY(err = prepare_lines(p, s), out);
    for (int i = 0; i < n_transforms; i++) {
        p->in = c + i * p->n;
        p->out = f + i * p->n_modes;
        memset(p->done, 0, (size_t)p->n_tasks);
        spi_parallel_for(p->spec.n_threads, 64, zero_part, p);
        spi_parallel_phases(p->spec.n_threads, p->n_phases, p->first, spread_task, p);
        transform_to_modes(p);
    }
out:
    return err;
}

spi_err SPI(spi_nuplan_type2)(plan_t *p, int s, int n_transforms, const cplx *f, cplx *c)
{
    spi_err err;

    if (p->n == 0)
        return SPI_OK;
    SPI_TRY(err = prepare_lines(p, s), out);
    for (int i = 0; i < n_transforms; i++) {
        p->in = f + i * p->n_modes;
        transform_from_modes(p);
        p->out = c + i * p->n;
        spi_parallel_for(p->spec.n_threads, p->n_tasks, interp_task, p);
    }
out:
    return err;
}
