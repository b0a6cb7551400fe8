/* SPDX-License-Identifier: GPL-3.0-or-later */
/* patches.c, of nufft/nufft.h: slices and spreading, patch by patch of the points. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "kernel/clones.h"
#include "nufft/points.h"

/* ---- patches of a batch of rotations, brick by brick -------------------------------- */

enum {
    ENTRIES_MAX = 1 << 20, /* patches of a batch */
    SLICE_EDGE = 16,       /* fine-grid points of a brick: its columns, or its */
    SPREAD_EDGE = 24,      /* accumulators, fit the second cache */
    SHIFT_MAX = 2, /* 4^3 parts of a brick: what patches of one touch fits the first */
    TASK = 4096,   /* patches of a task of slicing, sorted */
    SPAN = 128,    /* and in the order of images */
    FEW = 8,       /* patches that are not worth a copy of their brick */
    BLOCK = 16,    /* patches rotated at once */
    THREAD_PATCHES = 2048 /* worth starting a thread for */
};

static const uint32_t lower_half = 1U << 31; /* the patch is taken at -u */

/* A rotation as the kernels want it: columns for the centres, rows for the offsets. */
struct rotation {
    double column[3][4];
    float row[16]; /* 9 used */
};

struct batch {
    const spi_points *points;
    int64_t n_rot;
    const double (*M)[9];
    int edge, bricks[3]; /* fine-grid points of a brick; bricks on x, y, z */
    int shift, bits;     /* 2^shift parts of a brick an axis; bits of a patch's number */
    bool sorted;         /* by brick; or else in the order of images */
    struct rotation *rotation; /* [n_rot] */
    uint32_t *key;   /* [n_rot * n_patches] part of a brick of each, in image order */
    uint32_t *entry; /* [n_rot * n_patches] sorted: rotation, patch, whether at -u */
    uint32_t *at;    /* [parts + 2] first entry of each */
    int beyond;      /* a patch lies outside of the grid */
    const struct spi_interp_variant *variant;
    const float *grid; /* slice */
    float *out;
    float *grid2; /* spread */
    const float (*val)[2];
};

static int64_t n_bricks(const struct batch *b)
{
    return (int64_t)b->bricks[0] * b->bricks[1] * b->bricks[2];
}

static int64_t n_entries(const struct batch *b)
{
    return b->n_rot * b->points->n_patches;
}

/* First entry of a brick; of the one after the last: their number. */
static int64_t first_of(const struct batch *b, int64_t brick)
{
    return b->at[brick << 3 * b->shift];
}

/* Cells below and above a patch's centre that its points can touch (and a hair: centres are
 * given to bricks in float). */
static int reach_of(const spi_points *p)
{
    return (int)ceil(p->radius + 0.5 * p->plan->taps.w + 0.01);
}

/* First cell that patches of a brick can touch, counted from u = 0. */
static void first_cell(const struct batch *b, int64_t brick, int origin[3])
{
    int reach = reach_of(b->points), low = b->points->plan->nf / 2 + 1;

    origin[0] = (int)(brick % b->bricks[0]) * b->edge - low - reach;
    origin[1] = (int)(brick / b->bricks[0] % b->bricks[1]) * b->edge - low - reach;
    origin[2] = (int)(brick / b->bricks[0] / b->bricks[1]) * b->edge - reach;
}

/* Rotations of a batch. */
static int64_t rotations_max(const spi_points *p)
{
    int64_t n = ENTRIES_MAX / (p->n_patches > 0 ? p->n_patches : 1);

    return n > 0 ? n : 1;
}

static void batch_free(struct batch *b)
{
    free(b->rotation);
    free(b->key);
    free(b->entry);
    free(b->at);
}

/* Sorted if there are more patches than `least` a brick.  On failure the caller, who owns
 * the batch, frees what is there. */
static spi_err batch_new(struct batch *b, const spi_points *p, int64_t n_rot, int edge,
                         int least)
{
    int nf = p->plan->nf;
    int64_t most = rotations_max(p);
    spi_err err;

    n_rot = n_rot < most ? n_rot : most;
    *b = (struct batch){
        .points = p, .n_rot = n_rot, .edge = edge, .variant = spi_interp_best()};
    b->bricks[0] = b->bricks[1] = (nf + 2) / edge + 1;
    b->bricks[2] = (nf / 2 + 1) / edge + 1;
    while (b->shift < SHIFT_MAX && n_bricks(b) << 3 * (b->shift + 1) <= n_entries(b))
        b->shift++;
    while (1 << b->bits < p->n_patches)
        b->bits++;
    b->sorted = n_entries(b) > least * n_bricks(b);
    SPI_TRY(err = SPI_NEW(b->rotation, n_rot, "nufft batch"), out);
    SPI_TRY(err = SPI_NEW(b->key, n_entries(b), "nufft batch"), out);
    SPI_TRY(err = SPI_NEW(b->entry, n_entries(b), "nufft batch"), out);
    if (b->sorted)
        SPI_TRY(err = SPI_NEW(b->at, (n_bricks(b) << 3 * b->shift) + 2, "nufft batch"),
                out);
out:
    return err;
}

/* Parts of bricks of the n patches of one rotation (times scale); the top bit tells that
 * the patch is taken at -u.  Returns how many lie more than a point outside of the grid. */
SPI_CLONES static int find_parts(int n, float *const c[3], const float M[9], float half,
                                 float per_part, int shift, const int bricks[3],
                                 uint32_t *restrict key)
{
    const float *restrict x = c[0], *restrict y = c[1], *restrict z = c[2];
    int nx = bricks[0], ny = bricks[1], beyond = 0, part = (1 << shift) - 1;

#pragma omp simd reduction(+ : beyond)
    for (int i = 0; i < n; i++) {
        float uz = M[6] * x[i] + M[7] * y[i] + M[8] * z[i];
        float s = uz < 0 ? -1.0F : 1.0F;
        float ux = s * (M[0] * x[i] + M[1] * y[i] + M[2] * z[i]);
        float uy = s * (M[3] * x[i] + M[4] * y[i] + M[5] * z[i]);
        /* false for NaN */
        int inside =
            (fabsf(ux) < half + 1) & (fabsf(uy) < half + 1) & (fabsf(uz) < half + 1);
        int ix = inside ? (int)((ux + half + 1) * per_part) : 0;
        int iy = inside ? (int)((uy + half + 1) * per_part) : 0;
        int iz = inside ? (int)(s * uz * per_part) : 0;
        int brick = ((iz >> shift) * ny + (iy >> shift)) * nx + (ix >> shift);
        int in = (((iz & part) << shift | (iy & part)) << shift) | (ix & part);

        beyond += !inside;
        key[i] = (uint32_t)(brick << 3 * shift | in) | (uz < 0 ? 1U << 31 : 0U);
    }
    return beyond;
}

static void find_rotation(void *ctx, int rank, int64_t k)
{
    struct batch *b = ctx;
    const spi_points *p = b->points;
    struct rotation *rotation = &b->rotation[k];

    (void)rank;
    for (int i = 0; i < 9; i++) {
        rotation->row[i] = (float)b->M[k][i];
        rotation->column[i % 3][i / 3] = b->M[k][i];
    }
    if (find_parts(p->n_patches, p->centre, rotation->row, (float)(p->plan->nf / 2),
                   (float)(1 << b->shift) / (float)b->edge, b->shift, b->bricks,
                   b->key + k * p->n_patches))
        __atomic_store_n(&b->beyond, 1, __ATOMIC_RELAXED);
}

spi_err spi_nufft_beyond(const spi_nufft *p)
{
    return spi_fail(SPI_EINVAL,
                    "nufft: a rotated point lies beyond |q| = %g on an axis, half the "
                    "period of modes %g apart",
                    0.5 / p->dx, p->dx);
}

/* The patches of the next rotations; sorted: a counting sort, which keeps the order of
 * images within a part. */
static spi_err sort(struct batch *b)
{
    int64_t parts = n_bricks(b) << 3 * b->shift;
    int n = b->points->n_patches;
    uint32_t *at = b->at;

    spi_parallel_for(b->points->plan->threads, b->n_rot, find_rotation, b);
    if (b->beyond)
        return spi_nufft_beyond(b->points->plan);
    if (b->sorted) {
        memset(at, 0, (size_t)(parts + 2) * sizeof *at);
        for (int64_t i = 0; i < n_entries(b); i++)
            at[(b->key[i] & ~lower_half) + 2]++;
        for (int64_t k = 2; k < parts + 2; k++)
            at[k] += at[k - 1];
    }
    for (int64_t k = 0; k < b->n_rot; k++)
        for (int i = 0; i < n; i++) {
            uint32_t key = b->key[k * n + i];
            int64_t to = b->sorted ? at[(key & ~lower_half) + 1]++ : k * n + i;

            b->entry[to] = (uint32_t)k << b->bits | (uint32_t)i | (key & lower_half);
        }
    return SPI_OK;
}

/* A patch ready for a kernel. */
struct rotated {
    struct spi_patch patch;
    int32_t cell[4]; /* of its centre, x y z, counted from u = 0 */
    int64_t values;  /* of its rotation: the first among the batch's */
    int32_t first;   /* in patch order */
};

/* Entries e ... e + n - 1, n <= BLOCK. */
SPI_CLONES static void rotate_patches(const struct batch *b, int64_t e, int n,
                                      struct rotated *to)
{
    typedef double v4 __attribute__((vector_size(32), aligned(8), may_alias));
    typedef int64_t v4l __attribute__((vector_size(32)));
    typedef int32_t v4i __attribute__((vector_size(16), aligned(4), may_alias));
    typedef float v4f __attribute__((vector_size(16), aligned(4), may_alias));
    const v4 one = {1, 1, 1, 1};
    const spi_points *p = b->points;

    for (int i = 0; i < n; i++, to++) {
        uint32_t entry = b->entry[e + i];
        uint32_t k = (entry & ~lower_half) >> b->bits;
        int64_t at = entry & ((1U << b->bits) - 1);
        const struct patch *patch = &p->patch[at];
        const struct rotation *rotation = &b->rotation[k];
        double sign = entry & lower_half ? -1 : 1;
        float fsign = (float)sign;
        v4 u = sign * (*(const v4 *)rotation->column[0] * patch->centre[0] +
                       *(const v4 *)rotation->column[1] * patch->centre[1] +
                       *(const v4 *)rotation->column[2] * patch->centre[2]);
        v4i cell = __builtin_convertvector(u, v4i);
        v4 whole = __builtin_convertvector(cell, v4);

        whole -= (v4)((v4l)one & (v4l)(u < whole)); /* floor */

        v4f f = __builtin_convertvector(u - whole, v4f);

        *(v4i *)to->cell = __builtin_convertvector(whole, v4i);
        for (int a = 0; a < 3; a++)
            to->patch.f[a] = f[a];
        for (int a = 0; a < 9; a++)
            to->patch.M[a] = fsign * rotation->row[a];
        to->patch.d = p->d[at][0];
        to->patch.n = patch->n;
        to->values = (int64_t)k * p->n;
        to->first = patch->first;
    }
}

/* Bring what a patch that comes soon needs into the cache: its offsets and its values,
 * which are those of another image than its neighbour's. */
static void call_for(const struct batch *b, const struct rotated *t)
{
    const spi_points *p = b->points;
    int shift = b->val ? 3 : 4; /* values of a line of the cache */
    int64_t last = -1;

    for (int i = 0; i < 3; i++)
        __builtin_prefetch(t->patch.d + i * SPI_PATCH_MAX);
    for (int j = 0; j < t->patch.n; j += p->order ? 1 : 1 << shift) {
        int64_t at = t->values + (p->order ? p->order[t->first + j] : t->first + j);

        if (at >> shift == last)
            continue;
        last = at >> shift;
        if (b->val)
            __builtin_prefetch(&b->val[at]);
        else
            __builtin_prefetch(&b->out[at], 1);
    }
}

/* Patches from ... of the n that begin with entry `first`: their half of `block`. */
static void rotate_block(const struct batch *b, int64_t first, int64_t n, int64_t from,
                         struct rotated block[2 * BLOCK])
{
    struct rotated *to = block + from % (2 * BLOCK);
    int m = n - from < BLOCK ? (int)(n - from) : BLOCK;

    if (m <= 0)
        return;
    rotate_patches(b, first + from, m, to);
    for (int k = 0; k < m; k++)
        call_for(b, to + k);
}

/* Patch i, i = 0, 1, ... in turn; a block is rotated while the one before is worked on. */
static struct rotated *next_patch(const struct batch *b, int64_t first, int64_t n,
                                  int64_t i, struct rotated block[2 * BLOCK])
{
    if (i == 0)
        rotate_block(b, first, n, 0, block);
    if (i % BLOCK == 0)
        rotate_block(b, first, n, i + BLOCK, block);
    return &block[i % (2 * BLOCK)];
}

/* Threads that are worth starting. */
static int threads_for(const struct batch *b)
{
    int64_t n = n_entries(b) / THREAD_PATCHES + 1;

    return n < b->points->plan->threads ? (int)n : b->points->plan->threads;
}

/* ---- slice -------------------------------------------------------------------------- */

struct task {
    int64_t first;
    int32_t n, brick; /* entries; brick -1: none */
};

struct slicer {
    struct batch b;
    int cells; /* of a box on an axis */
    struct spi_columns columns;
    struct spi_rooms boxes;
    struct task *task; /* [n_tasks] */
    int64_t n_tasks;
    struct spi_failure failure;
};

/* The columns of a brick: cell 0 of the box is at `origin`. */
static void fill_box(const struct slicer *s, int32_t brick, struct spi_columns *box,
                     int origin[3])
{
    const struct batch *b = &s->b;
    const spi_nufft *plan = b->points->plan;
    int last = plan->nf / 2 + MARGIN - SPI_TAPS_MAX / 2, w = plan->taps.w, n[3];
    struct spi_rows_in rows = {.row = plan->pitch,
                               .plane = (ptrdiff_t)plan->side * plan->pitch};

    first_cell(b, brick, origin);
    for (int a = 0; a < 3;
         a++) /* no point reaches beyond `last`; columns may, by step - 1 */
        n[a] = last - origin[a] < s->cells ? last - origin[a] : s->cells;
    rows.at = b->grid + grid_at(plan, 1, origin[0], origin[1], origin[2]);
    spi_columns_fill(box, n[2], (n[1] - w) / box->step + 1, n[0], &rows);
}

static void slice_task(void *ctx, int rank, int64_t task)
{
    struct slicer *s = ctx;
    const struct batch *b = &s->b;
    const struct task *t = &s->task[task];
    const spi_points *p = b->points;
    const spi_nufft *plan = p->plan;
    struct spi_rows_in rows = {.row = plan->pitch,
                               .plane = (ptrdiff_t)plan->side * plan->pitch};
    struct spi_columns box = s->columns;
    bool copy = t->brick >= 0 && t->n >= FEW;
    struct rotated block[2 * BLOCK];
    int origin[3] = {0};

    if (copy && !(box.data = spi_rooms_of(&s->boxes, rank))) {
        spi_failure_note(&s->failure, SPI_ENOMEM);
        return;
    }
    if (copy)
        fill_box(s, t->brick, &box, origin);
    for (int i = 0; i < t->n; i++) {
        struct rotated *at = next_patch(b, t->first, t->n, i, block);
        float scattered[SPI_PATCH_MAX];
        float *out = b->out + at->values;
        float *value = p->order ? scattered : out + at->first;

        if (copy) {
            for (int a = 0; a < 3; a++)
                at->cell[a] -= origin[a];
            b->variant->interp_columns(&plan->taps, &at->patch, &box, at->cell, value);
        } else {
            rows.at = b->grid + grid_at(plan, 1, at->cell[0], at->cell[1], at->cell[2]);
            b->variant->interp(&plan->taps, &at->patch, &rows, value);
        }
        for (int j = 0; j < at->patch.n && p->order; j++)
            out[p->order[at->first + j]] = scattered[j];
    }
}

static void slicer_free(struct slicer *s)
{
    batch_free(&s->b);
    spi_rooms_clear(&s->boxes);
    free(s->task);
}

static spi_err slicer_new(struct slicer *s, const spi_points *p, int64_t n_rot)
{
    spi_err err;

    *s = (struct slicer){.cells = SLICE_EDGE + 2 * reach_of(p)};
    SPI_TRY(err = batch_new(&s->b, p, n_rot, SLICE_EDGE, FEW), out);
    spi_columns_layout(p->plan->taps.w, &s->columns);
    s->columns.row = (ptrdiff_t)s->cells * s->columns.lanes;
    s->columns.plane =
        ((s->cells - p->plan->taps.w) / s->columns.step + 1) * s->columns.row;
    /* a vector more: what lies behind the last column is read, and multiplied by zero */
    SPI_TRY(err = spi_rooms_init(&s->boxes, threads_for(&s->b),
                                 ((size_t)(s->columns.plane * s->cells) + 31) / 16 * 16 *
                                     sizeof(float),
                                 "nufft boxes"),
            out);
    SPI_TRY(err = SPI_NEW(s->task,
                          (s->b.sorted ? n_bricks(&s->b) : 0) +
                              n_entries(&s->b) / (s->b.sorted ? TASK : SPAN) + 1,
                          "nufft tasks"),
            out);
out:
    if (err)
        slicer_free(s);
    return err;
}

/* Bricks in turn, or images in turn. */
static void make_tasks(struct slicer *s)
{
    const struct batch *b = &s->b;
    int64_t n = b->sorted ? n_bricks(b) : 1, most = b->sorted ? TASK : SPAN;

    s->n_tasks = 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t first = b->sorted ? first_of(b, k) : 0;
        int64_t end = b->sorted ? first_of(b, k + 1) : n_entries(b);

        for (; first < end; first += most)
            s->task[s->n_tasks++] =
                (struct task){first, (int32_t)(end - first < most ? end - first : most),
                              b->sorted ? (int32_t)k : -1};
    }
}

spi_err spi_nufft_slice(const spi_points *p, const float *grid, int64_t n_rot,
                        const double (*M)[9], float *out)
{
    int64_t most = rotations_max(p);
    struct slicer s;
    spi_err err = slicer_new(&s, p, n_rot);

    if (err)
        return err;
    s.b.grid = grid;
    for (int64_t k = 0; k < n_rot; k += most) {
        s.b.n_rot = n_rot - k < most ? n_rot - k : most;
        s.b.M = M + k;
        s.b.out = out + k * p->n;
        SPI_TRY(err = sort(&s.b), out);
        make_tasks(&s);
        spi_parallel_for(threads_for(&s.b), s.n_tasks, slice_task, &s);
        SPI_TRY(err = spi_failure_end(&s.failure), out);
    }
out:
    slicer_free(&s);
    return err;
}

/* ---- spread ------------------------------------------------------------------------- */

struct brick {
    int64_t brick, n; /* its patches */
};

/* A brick's accumulators: its cells and what its patches reach beyond them. */
struct spreader {
    struct batch b;
    int rows;       /* cells of a box on an axis */
    int64_t direct; /* fewer patches than this go straight to the grid */
    struct spi_slots slots;
    struct spi_rooms boxes;
    int colours;         /* bricks that many apart never meet */
    struct brick *brick; /* [bricks] by colour */
    struct spi_failure failure;
};

static void spread_brick(void *ctx, int rank, int64_t task)
{
    struct spreader *s = ctx;
    const struct batch *b = &s->b;
    const spi_points *p = b->points;
    const spi_nufft *plan = p->plan;
    int64_t brick = s->brick[task].brick, n = s->brick[task].n, first = first_of(b, brick);
    int origin[3];
    ptrdiff_t row = 2 * (ptrdiff_t)plan->pitch;
    struct spi_rows rows = {.row = row, .plane = plan->side * row};
    struct spi_slots box = s->slots;
    struct rotated block[2 * BLOCK];

    first_cell(b, brick, origin);
    if (n >= s->direct && !(box.data = spi_rooms_of(&s->boxes, rank))) {
        spi_failure_note(&s->failure, SPI_ENOMEM);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        struct rotated *at = next_patch(b, first, n, i, block);
        float value[SPI_PATCH_MAX][2];
        const float(*val)[2] = b->val + at->values + (p->order ? 0 : at->first);

        if (p->order) {
            for (int j = 0; j < at->patch.n; j++)
                memcpy(value[j], val[p->order[at->first + j]], sizeof value[j]);
            val = (const float(*)[2])value;
        }
        if (n < s->direct) {
            rows.at = b->grid2 + grid_at(plan, 2, at->cell[0], at->cell[1], at->cell[2]);
            b->variant->spread(&plan->taps, &at->patch, val, &rows);
            continue;
        }
        for (int a = 0; a < 3; a++)
            at->cell[a] -= origin[a];
        b->variant->spread_slots(&plan->taps, &at->patch, val, &box, at->cell);
    }
    if (n >= s->direct) {
        /* what lies beyond the grid is zero: no point reaches it */
        int half = plan->nf / 2 + MARGIN,
            x0 = -half - origin[0] > 0 ? -half - origin[0] : 0;
        int x1 = half - origin[0] < s->rows ? half - origin[0] : s->rows;
        int y0 = -half - origin[1] > 0 ? -half - origin[1] : 0;
        int z0 = -Z_LOW - origin[2] > 0 ? -Z_LOW - origin[2] : 0;
        int ny = half - origin[1] < s->rows ? half - origin[1] : s->rows;
        int nz = plan->nf / 2 + MARGIN - origin[2] < s->rows
                     ? plan->nf / 2 + MARGIN - origin[2]
                     : s->rows;

        rows.at = b->grid2 + grid_at(plan, 2, origin[0], origin[1] + y0, origin[2] + z0);
        box.data += z0 * box.plane + y0 * box.row;
        spi_slots_add(&box, nz - z0, ny - y0, x0, x1, &rows);
    }
}

static void spreader_free(struct spreader *s)
{
    batch_free(&s->b);
    spi_rooms_clear(&s->boxes);
    free(s->brick);
}

static spi_err spreader_new(struct spreader *s, const spi_points *p, int64_t n_rot)
{
    int w = p->plan->taps.w, edge = SPREAD_EDGE;
    size_t floats;
    spi_err err;

    *s = (struct spreader){.rows = edge + 2 * reach_of(p)};
    SPI_TRY(err = batch_new(&s->b, p, n_rot, edge, -1), out);
    spi_slots_layout(w, s->rows, s->rows, &s->slots);
    floats = (spi_slots_floats(&s->slots, s->rows) + 15) / 16 * 16;
    s->direct = (int64_t)floats / (128 * w * w);
    SPI_TRY(err = spi_rooms_init(&s->boxes, p->plan->threads, floats * sizeof(float),
                                 "nufft boxes"),
            out);
    SPI_TRY(err = SPI_NEW(s->brick, n_bricks(&s->b), "nufft bricks"), out);
    /* a row is written up to 8 wide */
    s->colours = (s->rows + SPI_TAPS_MAX + edge - 1) / edge;
out:
    if (err)
        spreader_free(s);
    return err;
}

static int largest_first(const void *a, const void *b)
{
    const struct brick *x = a, *y = b;

    return (x->n < y->n) - (x->n > y->n);
}

/* Bricks with patches, sorted by colour, the largest first (so that no thread is left with
 * one in the end; they never meet, so their order does not matter): first[c] ... first[c +
 * 1] - 1 have colour c. */
static void colour_bricks(struct spreader *s, int64_t *first)
{
    const struct batch *b = &s->b;
    int c = s->colours;
    int64_t n = 0;

    for (int colour = 0; colour < c * c * c; colour++) {
        first[colour] = n;
        for (int64_t z = colour / c / c; z < b->bricks[2]; z += c)
            for (int64_t y = colour / c % c; y < b->bricks[1]; y += c)
                for (int64_t x = colour % c; x < b->bricks[0]; x += c) {
                    int64_t brick = (z * b->bricks[1] + y) * b->bricks[0] + x;

                    int64_t size = first_of(b, brick + 1) - first_of(b, brick);

                    if (size > 0)
                        s->brick[n++] = (struct brick){brick, size};
                }
        qsort(s->brick + first[colour], (size_t)(n - first[colour]), sizeof *s->brick,
              largest_first);
    }
    first[c * c * c] = n;
}

spi_err spi_nufft_spread(const spi_points *p, float *grid2, int64_t n_rot,
                         const double (*M)[9], const float (*val)[2])
{
    enum { COLOURS_MAX = 5 };
    int64_t most = rotations_max(p), first[COLOURS_MAX * COLOURS_MAX * COLOURS_MAX + 1];
    struct spreader s;
    spi_err err = spreader_new(&s, p, n_rot);

    if (err)
        return err;
    s.b.grid2 = grid2;
    for (int64_t k = 0; k < n_rot; k += most) {
        s.b.n_rot = n_rot - k < most ? n_rot - k : most;
        s.b.M = M + k;
        s.b.val = val + k * p->n;
        SPI_TRY(err = sort(&s.b), out);
        colour_bricks(&s, first);
        spi_parallel_phases(p->plan->threads, s.colours * s.colours * s.colours, first,
                            spread_brick, &s);
        SPI_TRY(err = spi_failure_end(&s.failure), out);
    }
out:
    spreader_free(&s);
    return err;
}
