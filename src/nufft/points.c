#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/clones.h"
#include "kernel/interp.h"
#include "nufft/nufft.h"
#include "nufft/plan.h"
#include "nufft/team.h"

/* ---- grouping into patches -------------------------------------------------------------
 */

struct patch {
    int32_t first, n; /* points first ... first + n - 1 in patch order */
    double centre[3]; /* fine-grid units, laboratory */
};

struct spi_points {
    const spi_nufft *plan; /* borrowed */
    int64_t n;
    int n_patches;
    double radius;                /* of the largest patch, fine-grid units */
    struct patch *patch;          /* [n_patches], owned */
    float (*d)[3][SPI_PATCH_MAX]; /* [n_patches] offsets from the centre, owned */
    float *centre[3];             /* [n_patches] again, for sorting, owned */
    int32_t *order; /* [n] point at each place of patch order, owned; NULL: in order */
};

struct member {
    float q[3];
    int32_t at;
};

static void swap(struct member *a, struct member *b)
{
    struct member t = *a;

    *a = *b;
    *b = t;
}

/* Along an axis, then the others: only equal points are equal, so that a partition does not
 * depend on the order the points come in. */
static bool before(const struct member *a, const struct member *b, int axis)
{
    for (int c = 0; c < 3; c++) {
        int k = (axis + c) % 3;

        if (a->q[k] != b->q[k])
            return a->q[k] < b->q[k];
    }
    return false;
}

/* Partition so that the k smallest along an axis come first (Hoare's selection). */
static void select_smallest(struct member *m, int64_t n, int64_t k, int axis)
{
    int64_t lo = 0, hi = n - 1;

    while (lo < hi) {
        struct member pivot = m[(lo + hi) / 2];
        int64_t i = lo, j = hi;

        while (i <= j) {
            while (before(&m[i], &pivot, axis))
                i++;
            while (before(&pivot, &m[j], axis))
                j--;
            if (i <= j)
                swap(&m[i++], &m[j--]);
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
}

/* Bounding box of n points: centre, and the distance of the farthest from it. */
static double box(const struct member *m, int64_t n, double scale, double centre[3],
                  int *widest)
{
    double lo[3], hi[3], most = 0, r2 = 0;

    *widest = 0;
    for (int a = 0; a < 3; a++) {
        lo[a] = hi[a] = (double)m[0].q[a];
        for (int64_t i = 1; i < n; i++) {
            lo[a] = fmin(lo[a], (double)m[i].q[a]);
            hi[a] = fmax(hi[a], (double)m[i].q[a]);
        }
        centre[a] = scale * (lo[a] + hi[a]) / 2;
        if (hi[a] - lo[a] > most)
            most = hi[a] - lo[a], *widest = a;
    }
    for (int64_t i = 0; i < n && n <= SPI_PATCH_MAX; i++) {
        double s = 0;

        for (int a = 0; a < 3; a++)
            s += pow(scale * (double)m[i].q[a] - centre[a], 2);
        r2 = fmax(r2, s);
    }
    return sqrt(r2);
}

static int by_place(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

/* Halve along the widest axis, at a multiple of 16 points, until a part fits a patch. */
static void group(struct spi_points *p, struct member *m, int64_t first, int64_t n,
                  double scale)
{
    struct patch *to = p->patch + p->n_patches;
    int widest;
    double radius = box(m + first, n, scale, to->centre, &widest);

    if (n <= SPI_PATCH_MAX && (radius <= RADIUS_MAX - 1 || n == 1)) {
        qsort(m + first, (size_t)n, sizeof *m, by_place);
        to->first = (int32_t)first;
        to->n = (int32_t)n;
        p->radius = fmax(p->radius, radius);
        p->n_patches++;
        return;
    }

    int64_t half = n <= SPI_PATCH_MAX
                       ? n / 2
                       : (n / 2 + SPI_PATCH_MAX - 1) / SPI_PATCH_MAX * SPI_PATCH_MAX;

    select_smallest(m + first, n, half, widest);
    group(p, m, first, half, scale);
    group(p, m, first + half, n - half, scale);
}

static spi_err fill(struct spi_points *p, const struct member *m)
{
    double scale = spi_nufft_scale(p->plan);
    spi_err err;

    SPI_TRY(err = SPI_NEW(p->d, p->n_patches, "points"), out);
    for (int a = 0; a < 3; a++)
        SPI_TRY(err = SPI_NEW(p->centre[a], p->n_patches, "points"), out);
    for (int i = 0; i < p->n_patches; i++) {
        const struct patch *patch = &p->patch[i];

        for (int a = 0; a < 3; a++) {
            p->centre[a][i] = (float)patch->centre[a];
            for (int j = 0; j < patch->n; j++)
                p->d[i][a][j] =
                    (float)(scale * (double)m[patch->first + j].q[a] - patch->centre[a]);
        }
    }
out:
    return err;
}

static spi_err members_of(int64_t n, const float (*q)[3], struct member **m)
{
    spi_err err = SPI_NEW(*m, n, "points");

    for (int64_t i = 0; i < n && !err; i++) {
        if (!isfinite(q[i][0]) || !isfinite(q[i][1]) || !isfinite(q[i][2]))
            return spi_fail(SPI_EINVAL, "nufft: point %lld is not finite", (long long)i);
        memcpy((*m)[i].q, q[i], sizeof q[i]);
        (*m)[i].at = (int32_t)i;
    }
    return err;
}

spi_err spi_points_order(int64_t n, const float (*q)[3], int32_t *order)
{
    struct member *m = NULL;
    struct spi_points p = {0};
    spi_err err;

    SPI_TRY(err = members_of(n, q, &m), out);
    SPI_TRY(err = SPI_NEW(p.patch, n, "points"), out);
    if (n > 0)
        group(&p, m, 0, n, 0);
    for (int64_t i = 0; i < n; i++)
        order[i] = m[i].at;
out:
    free(p.patch);
    free(m);
    return err;
}

spi_err spi_points_new(const spi_nufft *plan, int64_t n, const float (*q)[3],
                       spi_points **out)
{
    struct member *m = NULL;
    spi_points *p = NULL;
    bool in_order = true;
    spi_err err;

    *out = NULL;
    SPI_TRY(err = SPI_NEW(p, 1, "points"), out);
    p->plan = plan;
    p->n = n;
    SPI_TRY(err = members_of(n, q, &m), out);
    SPI_TRY(err = SPI_NEW(p->order, n, "points"), out);
    SPI_TRY(err = SPI_NEW(p->patch, n, "points"), out);
    if (n > 0)
        group(p, m, 0, n, spi_nufft_scale(plan));
    for (int64_t i = 0; i < n; i++) {
        p->order[i] = m[i].at;
        in_order = in_order && m[i].at == i;
    }
    if (in_order) {
        free(p->order);
        p->order = NULL;
    }
    SPI_TRY(err = fill(p, m), out);
    *out = p;
    p = NULL;
out:
    spi_points_free(p);
    free(m);
    return err;
}

void spi_points_free(spi_points *p)
{
    if (!p)
        return;
    free(p->patch);
    free(p->d);
    for (int a = 0; a < 3; a++)
        free(p->centre[a]);
    free(p->order);
    free(p);
}

/* ---- patches of a batch of rotations, brick by brick -----------------------------------
 */

enum {
    ENTRIES_MAX = 1 << 20, /* patches of a batch */
    SLICE_EDGE = 8,   /* fine-grid points of a brick: patches of one share cache lines, */
    SPREAD_EDGE = 24, /* and accumulators, of which the rims are overhead */
    CHUNK = 128       /* patches of a task */
};

static const uint32_t lower_half = 1U << 31; /* the patch is taken at -u */

struct batch {
    const spi_points *points;
    int64_t n_rot;
    const double (*M)[9];
    int edge, bricks[3]; /* fine-grid points of a brick; bricks on x, y, z */
    uint32_t *key;       /* [n_rot * n_patches] brick of each, in image order */
    uint32_t *entry;     /* [n_rot * n_patches] sorted: number, and whether at -u */
    int64_t *at;         /* [bricks + 1] first entry of each brick */
    int beyond;          /* a patch lies outside of the grid */
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

/* Rotations of a batch. */
static int64_t rotations_max(const spi_points *p)
{
    int64_t n = ENTRIES_MAX / (p->n_patches > 0 ? p->n_patches : 1);

    return n > 0 ? n : 1;
}

static void batch_free(struct batch *b)
{
    free(b->key);
    free(b->entry);
    free(b->at);
}

static spi_err batch_new(struct batch *b, const spi_points *p, int64_t n_rot, int edge)
{
    int nf = p->plan->nf;
    int64_t most = rotations_max(p);
    spi_err err;

    n_rot = n_rot < most ? n_rot : most;
    *b = (struct batch){.points = p, .edge = edge, .variant = spi_interp_best()};
    b->bricks[0] = b->bricks[1] = (nf + 1) / edge + 1;
    b->bricks[2] = (nf / 2 + 1) / edge + 1;
    SPI_TRY(err = SPI_NEW(b->key, n_rot * p->n_patches, "nufft batch"), fail);
    SPI_TRY(err = SPI_NEW(b->entry, n_rot * p->n_patches, "nufft batch"), fail);
    SPI_TRY(err = SPI_NEW(b->at, n_bricks(b) + 2, "nufft batch"), fail);
    return SPI_OK;
fail:
    batch_free(b);
    return err;
}

/* Bricks of the n patches of one rotation (times scale); the top bit tells that the patch
 * is taken at -u.  Returns how many lie more than a point outside of the grid. */
SPI_CLONES static int find_bricks(int n, float *const c[3], const float M[9], float half,
                                  float per_brick, const int bricks[3],
                                  uint32_t *restrict key)
{
    const float *restrict x = c[0], *restrict y = c[1], *restrict z = c[2];
    int nx = bricks[0], ny = bricks[1], beyond = 0;

#pragma omp simd reduction(+ : beyond)
    for (int i = 0; i < n; i++) {
        float uz = M[6] * x[i] + M[7] * y[i] + M[8] * z[i];
        float s = uz < 0 ? -1.0F : 1.0F;
        float ux = s * (M[0] * x[i] + M[1] * y[i] + M[2] * z[i]);
        float uy = s * (M[3] * x[i] + M[4] * y[i] + M[5] * z[i]);
        /* false for NaN */
        int inside =
            (fabsf(ux) < half + 1) & (fabsf(uy) < half + 1) & (fabsf(uz) < half + 1);
        int bx = inside ? (int)((ux + half) * per_brick) : 0;
        int by = inside ? (int)((uy + half) * per_brick) : 0;
        int bz = inside ? (int)(s * uz * per_brick) : 0;

        beyond += !inside;
        key[i] = (uint32_t)((bz * ny + by) * nx + bx) | (uz < 0 ? 1U << 31 : 0U);
    }
    return beyond;
}

static void find_rotation(void *ctx, int rank, int64_t k)
{
    struct batch *b = ctx;
    const spi_points *p = b->points;
    float M[9];

    (void)rank;
    for (int i = 0; i < 9; i++)
        M[i] = (float)b->M[k][i];
    if (find_bricks(p->n_patches, p->centre, M, (float)(p->plan->nf / 2),
                    1.0F / (float)b->edge, b->bricks, b->key + k * p->n_patches))
        __atomic_store_n(&b->beyond, 1, __ATOMIC_RELAXED);
}

/* A counting sort; the order within a brick is that of images. */
static spi_err sort(struct batch *b)
{
    int64_t n = b->n_rot * b->points->n_patches, *at = b->at;

    spi_team_for(b->points->plan->threads, b->n_rot, find_rotation, b);
    if (b->beyond)
        return spi_fail(SPI_EINVAL,
                        "nufft: a turned point lies beyond |q| = %g on an axis, half the "
                        "period of modes %g apart",
                        0.5 / b->points->plan->dx, b->points->plan->dx);
    memset(at, 0, (size_t)(n_bricks(b) + 2) * sizeof *at);
    for (int64_t i = 0; i < n; i++)
        at[(b->key[i] & ~lower_half) + 2]++;
    for (int64_t k = 2; k < n_bricks(b) + 2; k++)
        at[k] += at[k - 1];
    for (int64_t i = 0; i < n; i++)
        b->entry[at[(b->key[i] & ~lower_half) + 1]++] =
            (uint32_t)i | (b->key[i] & lower_half);
    return SPI_OK;
}

/* Entry -> patch ready for a kernel: cell[] is its centre's, counted from u = 0; returns
 * the place of its first point among the batch's values in patch order. */
static const struct patch *load(const struct batch *b, uint32_t entry, struct spi_patch *to,
                                int cell[3], int64_t *rotation)
{
    const spi_points *p = b->points;
    uint32_t i = entry & ~lower_half;
    uint32_t k = i / (uint32_t)p->n_patches, at = i % (uint32_t)p->n_patches;
    const struct patch *patch = &p->patch[at];
    double sign = entry & lower_half ? -1 : 1;

    for (int a = 0; a < 3; a++) {
        const double *M = b->M[k] + 3 * a;
        double u = sign * (M[0] * patch->centre[0] + M[1] * patch->centre[1] +
                           M[2] * patch->centre[2]);
        double whole = floor(u);

        cell[a] = (int)whole;
        to->f[a] = (float)(u - whole);
        for (int c = 0; c < 3; c++)
            to->M[3 * a + c] = (float)(sign * M[c]);
    }
    to->d = p->d[at][0];
    to->n = patch->n;
    *rotation = k;
    return patch;
}

/* Bring the values of an entry that comes soon into cache: those of neighbouring entries
 * are of different images, far apart. */
static void prefetch(const struct batch *b, int64_t e, int64_t end)
{
    enum { AHEAD = 4 };
    const spi_points *p = b->points;

    if (e + AHEAD >= end)
        return;

    uint32_t i = b->entry[e + AHEAD] & ~lower_half;
    int64_t k = i / (uint32_t)p->n_patches, at = i % (uint32_t)p->n_patches;
    const struct patch *patch = &p->patch[at];

    for (int j = 0; j < patch->n; j++) {
        int64_t point =
            k * p->n + (p->order ? p->order[patch->first + j] : patch->first + j);

        if (b->val)
            __builtin_prefetch(&b->val[point]);
        else
            __builtin_prefetch(&b->out[point], 1);
    }
}

/* ---- slice -----------------------------------------------------------------------------
 */

static void slice_chunk(void *ctx, int rank, int64_t task)
{
    const struct batch *b = ctx;
    const spi_points *p = b->points;
    const spi_nufft *plan = p->plan;
    int64_t n = b->n_rot * p->n_patches, from = task * CHUNK;
    int64_t to = from + CHUNK < n ? from + CHUNK : n;
    struct spi_rows_in rows = {.row = plan->pitch,
                               .plane = (ptrdiff_t)plan->side * plan->pitch};

    (void)rank;
    for (int64_t e = from; e < to; e++) {
        struct spi_patch patch;
        int cell[3];
        int64_t k;
        const struct patch *at = load(b, b->entry[e], &patch, cell, &k);
        float *out = b->out + k * p->n, value[SPI_PATCH_MAX];

        prefetch(b, e, to);
        rows.at = b->grid + grid_at(plan, 1, cell[0], cell[1], cell[2]);
        if (!p->order) {
            b->variant->interp(&plan->taps, &patch, &rows, out + at->first);
            continue;
        }
        b->variant->interp(&plan->taps, &patch, &rows, value);
        for (int j = 0; j < at->n; j++)
            out[p->order[at->first + j]] = value[j];
    }
}

spi_err spi_nufft_slice(const spi_points *p, const float *grid, int64_t n_rot,
                        const double (*M)[9], float *out)
{
    int64_t most = rotations_max(p);
    struct batch b;
    spi_err err = batch_new(&b, p, n_rot, SLICE_EDGE);

    if (err)
        return err;
    b.grid = grid;
    for (int64_t k = 0; k < n_rot; k += most) {
        b.n_rot = n_rot - k < most ? n_rot - k : most;
        b.M = M + k;
        b.out = out + k * p->n;
        SPI_TRY(err = sort(&b), out);
        spi_team_for(p->plan->threads, (b.n_rot * p->n_patches + CHUNK - 1) / CHUNK,
                     slice_chunk, &b);
    }
out:
    batch_free(&b);
    return err;
}

/* ---- spread ----------------------------------------------------------------------------
 */

/* A brick's accumulators: its cells and what its patches reach beyond them. */
struct spreader {
    struct batch b;
    int reach;      /* cells below the brick's first that are kept */
    int rows;       /* on y and z */
    int n_slots;    /* on x */
    int64_t direct; /* fewer patches than this go straight to the grid */
    struct spi_slots slots;
    float *boxes; /* [threads] */
    size_t box_floats;
    int colours;    /* bricks that many apart never meet */
    int64_t *brick; /* [bricks] by colour */
};

static void spread_brick(void *ctx, int rank, int64_t task)
{
    const struct spreader *s = ctx;
    const struct batch *b = &s->b;
    const spi_points *p = b->points;
    const spi_nufft *plan = p->plan;
    int64_t brick = s->brick[task], n = b->at[brick + 1] - b->at[brick];
    int bx = (int)(brick % b->bricks[0]), by = (int)(brick / b->bricks[0] % b->bricks[1]);
    int bz = (int)(brick / b->bricks[0] / b->bricks[1]);
    int origin[3] = {bx * b->edge - plan->nf / 2 - s->reach,
                     by * b->edge - plan->nf / 2 - s->reach, bz * b->edge - s->reach};
    ptrdiff_t row = 2 * (ptrdiff_t)plan->pitch;
    struct spi_rows rows = {.row = row, .plane = plan->side * row};
    struct spi_slots box = s->slots;

    box.data = s->boxes + (size_t)rank * s->box_floats;
    for (int64_t e = b->at[brick]; e < b->at[brick + 1]; e++) {
        struct spi_patch patch;
        float value[SPI_PATCH_MAX][2];
        int cell[3];
        int64_t k;
        const struct patch *at = load(b, b->entry[e], &patch, cell, &k);
        const float(*val)[2] = b->val + k * p->n;

        prefetch(b, e, b->at[brick + 1]);
        if (!p->order) {
            val += at->first;
        } else {
            for (int j = 0; j < at->n; j++)
                memcpy(value[j], val[p->order[at->first + j]], sizeof value[j]);
            val = (const float(*)[2])value;
        }
        if (n < s->direct) {
            rows.at = b->grid2 + grid_at(plan, 2, cell[0], cell[1], cell[2]);
            b->variant->spread(&plan->taps, &patch, val, &rows);
            continue;
        }
        for (int a = 0; a < 3; a++)
            cell[a] -= origin[a];
        b->variant->spread_slots(&plan->taps, &patch, val, &box, cell);
    }
    if (n >= s->direct) {
        /* what lies beyond the grid is zero: no point reaches it */
        int half = plan->nf / 2 + MARGIN, x0 = -half - origin[0];
        int x1 = half - origin[0] < s->rows ? half - origin[0] : s->rows;
        int y0 = -half - origin[1] > 0 ? -half - origin[1] : 0;
        int z0 = -Z_LOW - origin[2] > 0 ? -Z_LOW - origin[2] : 0;
        int ny = half - origin[1] < s->rows ? half - origin[1] : s->rows;
        int nz = plan->nf / 2 + MARGIN - origin[2] < s->rows
                     ? plan->nf / 2 + MARGIN - origin[2]
                     : s->rows;

        rows.at = b->grid2 + grid_at(plan, 2, origin[0], origin[1] + y0, origin[2] + z0);
        box.data += z0 * box.plane + y0 * box.row;
        spi_slots_add(&box, nz - z0, ny - y0, s->n_slots, x0, x1, &rows);
    }
}

static void spreader_free(struct spreader *s)
{
    batch_free(&s->b);
    free(s->boxes);
    free(s->brick);
}

static spi_err spreader_new(struct spreader *s, const spi_points *p, int64_t n_rot)
{
    int w = p->plan->taps.w, r = (int)ceil(p->radius) + 1;
    int edge = SPREAD_EDGE;
    spi_err err;

    *s = (struct spreader){.reach = r + (w - 1) / 2 + 1};
    SPI_TRY(err = batch_new(&s->b, p, n_rot, edge), out);
    s->rows = edge + s->reach + r + w / 2 + 1;
    spi_slots_layout(w, &s->slots);
    s->n_slots = (s->rows - w) / s->slots.cells + 1;
    s->slots.row = (ptrdiff_t)s->n_slots * s->slots.copies * 2 * s->slots.cells;
    s->slots.plane = s->slots.row * s->rows;
    s->box_floats = (size_t)(s->slots.plane * s->rows);
    s->direct = (int64_t)s->box_floats / (2 * w * w);
    SPI_TRY(err =
                SPI_NEW(s->boxes, s->box_floats * (size_t)p->plan->threads, "nufft boxes"),
            out);
    SPI_TRY(err = SPI_NEW(s->brick, n_bricks(&s->b), "nufft bricks"), out);
    /* a row is written up to 8 wide */
    s->colours = (s->rows + SPI_TAPS_MAX + edge - 1) / edge;
out:
    if (err)
        spreader_free(s);
    return err;
}

/* Bricks with patches, sorted by colour: first[c] ... first[c + 1] - 1 have colour c. */
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

                    if (b->at[brick + 1] > b->at[brick])
                        s->brick[n++] = brick;
                }
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
        spi_team_phases(p->plan->threads, s.colours * s.colours * s.colours, first,
                        spread_brick, &s);
    }
out:
    spreader_free(&s);
    return err;
}
