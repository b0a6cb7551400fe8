/* SPDX-License-Identifier: GPL-3.0-or-later */
/* packed.c, of nufft/nufft.h: a model packed for reading slices from it. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "kernel/clones.h"
#include "kernel/f16.h"
#include "kernel/grid_f16.h"
#include "nufft/nufft.h"
#include "nufft/plan.h"
#include "nufft/points.h"

enum {
    BEYOND = RADIUS_MAX + 1, /* a point lies within nf/2 + BEYOND on each axis */
    LOW = BEYOND + 2,        /* cells that its taps reach below -nf/2, and above nf/2 */
    HIGH = BEYOND + 3,
    CHUNK = 512,          /* points rotated at once */
    SPAN = 8 * CHUNK,     /* points of a task */
    THREAD_POINTS = 32768 /* worth starting a thread for */
};

struct spi_packed {
    const spi_nufft *plan;       /* borrowed */
    const float *grid;           /* borrowed */
    struct spi_grid_f16 columns; /* data owned; NULL: the grid is read */
    const struct spi_grid_f16_variant *variant;
};

/* ---- the columns -------------------------------------------------------------------- */

struct filling {
    const struct spi_grid_f16 *columns;
    struct spi_rows_in from;
    int nk, nx;
};

static void fill_plane(void *ctx, int rank, int64_t z)
{
    const struct filling *f = ctx;
    struct spi_grid_f16 to = *f->columns;
    struct spi_rows_in from = f->from;

    (void)rank;
    to.data += (ptrdiff_t)z * to.plane * SPI_GRID_F16_LANES;
    from.at += z * from.plane;
    spi_grid_f16_fill(&to, 1, f->nk, f->nx, &from);
}

static spi_err make_columns(const spi_nufft *p, const float *grid, struct spi_grid_f16 *h)
{
    int half = p->nf / 2, nx = half + LOW + half + HIGH + 1;
    /* the last column holds the cells from half + BEYOND - 1 on, the first tap at most */
    int nk = (half + LOW + half + BEYOND - 1) / SPI_GRID_F16_STEP + 1;
    int z_low = SPI_GRID_F16_W_MAX / 2, nz = z_low + half + HIGH;
    struct filling f = {
        h, {.row = p->pitch, .plane = (ptrdiff_t)p->side * p->pitch}, nk, nx};
    spi_err err;

    *h = (struct spi_grid_f16){
        .low = {half + LOW, half + LOW, z_low}, .row = nx, .plane = nk * nx};
    SPI_TRY(err = SPI_NEW(h->data, (int64_t)nz * h->plane * SPI_GRID_F16_LANES, "model"),
            out);
    h->scale = spi_f16_scale(spi_largest((int64_t)spi_nufft_grid_floats(p, 1), grid));
    f.from.at = grid + grid_at(p, 1, -h->low[0], -h->low[1], -h->low[2]);
    spi_parallel_for(p->threads, nz, fill_plane, &f);
out:
    return err;
}

spi_err spi_packed_new(const spi_nufft *plan, const float *grid, spi_packed **out)
{
    spi_packed *k;
    spi_err err = SPI_NEW(k, 1, "model");

    *out = NULL;
    if (err)
        return err;
    k->plan = plan;
    k->grid = grid;
    k->variant = spi_grid_f16_best();
    if (k->variant && plan->taps.w <= SPI_GRID_F16_W_MAX)
        SPI_TRY(err = make_columns(plan, grid, &k->columns), fail);
    *out = k;
    return SPI_OK;
fail:
    spi_packed_free(k);
    return err;
}

void spi_packed_free(spi_packed *k)
{
    if (!k)
        return;
    free(k->columns.data);
    free(k);
}

bool spi_packed_reads_grid(const spi_packed *k)
{
    return !k->columns.data;
}

/* ---- slices ------------------------------------------------------------------------- */

struct job {
    const spi_points *points;
    const spi_packed *kept;
    const double (*M)[9];
    float *out;
    int64_t spans; /* of an image */
    int beyond;    /* a point lies outside of the columns */
};

/* Points first ... first + n - 1, rotated; at -u where z < 0.  Returns how many lie beyond
 * `most` on an axis: these are put at 0. */
SPI_CLONES static int rotate(const spi_points *p, int64_t first, int n, const float M[9],
                             float most, float (*restrict u)[CHUNK])
{
    const float *restrict x = p->u[0] + first, *restrict y = p->u[1] + first;
    const float *restrict z = p->u[2] + first;
    int beyond = 0;

#pragma omp simd reduction(+ : beyond)
    for (int j = 0; j < n; j++) {
        float uz = M[6] * x[j] + M[7] * y[j] + M[8] * z[j];
        float ux = M[0] * x[j] + M[1] * y[j] + M[2] * z[j];
        float uy = M[3] * x[j] + M[4] * y[j] + M[5] * z[j];
        /* false for NaN */
        int inside = (fabsf(ux) < most) & (fabsf(uy) < most) & (fabsf(uz) < most);
        float s = uz < 0 ? -1.0F : 1.0F;

        beyond += !inside;
        u[0][j] = inside ? s * ux : 0;
        u[1][j] = inside ? s * uy : 0;
        u[2][j] = inside ? s * uz : 0;
    }
    return beyond;
}

static void slice_span(void *ctx, int rank, int64_t task)
{
    struct job *job = ctx;
    const spi_points *p = job->points;
    const spi_packed *k = job->kept;
    int64_t image = task / job->spans, first = task % job->spans * SPAN;
    int64_t end = first + SPAN < p->n ? first + SPAN : p->n;
    float *out = job->out + image * p->n, M[9];
    int beyond = 0;

    (void)rank;
    for (int i = 0; i < 9; i++)
        M[i] = (float)job->M[image][i];
    for (; first < end; first += CHUNK) {
        int n = end - first < CHUNK ? (int)(end - first) : CHUNK;
        _Alignas(64) float u[3][CHUNK], scattered[CHUNK];

        beyond += rotate(p, first, n, M, (float)(k->plan->nf / 2 + BEYOND), u);
        k->variant->interp(&k->plan->taps, &k->columns, n,
                           (const float *const[]){u[0], u[1], u[2]},
                           p->order ? scattered : out + first);
        for (int j = 0; j < n && p->order; j++)
            out[p->order[first + j]] = scattered[j];
    }
    if (beyond)
        __atomic_store_n(&job->beyond, 1, __ATOMIC_RELAXED);
}

spi_err spi_packed_slice(const spi_points *p, const spi_packed *k, int64_t n_rot,
                         const double (*M)[9], float *out)
{
    struct job job = {p, k, M, out, (p->n + SPAN - 1) / SPAN, 0};
    int64_t threads = n_rot * p->n / THREAD_POINTS + 1;

    if (spi_packed_reads_grid(k))
        return spi_nufft_slice(p, k->grid, n_rot, M, out);
    threads = threads < k->plan->threads ? threads : k->plan->threads;
    spi_parallel_for((int)threads, n_rot * job.spans, slice_span, &job);
    return job.beyond ? spi_nufft_beyond(k->plan) : SPI_OK;
}

/* ---- gradients ---------------------------------------------------------------------- */

void spi_packed_gradient(const spi_packed *k, int n, const float u[3][SPI_POINTS],
                         float out[4][SPI_POINTS])
{
    _Alignas(64) float folded[3][SPI_POINTS];

    if (spi_packed_reads_grid(k)) {
        spi_nufft_gradient(k->plan, k->grid, n, u, out);
        return;
    }
    spi_nufft_fold(k->plan, n, u, folded);
    k->variant->gradient(&k->plan->taps, &k->columns, n,
                         (const float *const[]){folded[0], folded[1], folded[2]},
                         (float *const[]){out[0], out[1], out[2], out[3]});
    spi_nufft_unfold(n, u, out);
}
