/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fast transforms against the direct sums: over tolerances, sizes, point sets and
 * rotations; adjointness; threads; refusals.
 *
 * Bound: relative l2 error <= tol + 2e-6 for points spread over the ball.  tol is what the
 * plan promises for the window's aliasing ((N7), measured 0.5-1 tol); 2e-6 is for float
 * sums over the FFT and the taps (log2(64^3) u and, (N8), some 10 u of the largest tap).
 * Sets of few points may be unlucky: 3 tol there (the error of one value is normal to good
 * approximation, and so are the values: a ratio of 3 among a few is not rare, of 1,000 is).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/grid_f16.h"
#include "math/rot.h"
#include "nufft/nufft.h"
#include "nufft/plan.h"
#include "tap.h"

enum { POINTS_MAX = 700, TURNS = 5 };
static const double dx = 3.7;
static const double identity[1][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1}};

static double relative_l2(int64_t n, const float *got, const double *want)
{
    double diff = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        diff += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return sqrt(diff / norm);
}

/* ---- point sets --------------------------------------------------------------------- */

enum set { BALL, CURVED, CLUSTER, NODES, LINE, MASKED, ONE, NONE, N_SETS };
static const char *const set_name[] = {"ball", "curved detector", "cluster", "nodes",
                                       "line", "masked detector", "one",     "none"};

/* Points with |q| dx <= 0.495; `nf`: fine grid. */
static int make_points(struct spi_rng *rng, enum set set, int nf, float (*q)[3])
{
    enum { SIDE = 21 };
    const double most = 0.495 / dx, lambda = 0.8 / most;
    int n = set == ONE ? 1 : set == NONE ? 0 : 400, m = 0;

    if (set == CURVED || set == MASKED) {
        for (int i = 0; i < SIDE * SIDE; i++) {
            double x = (i % SIDE - SIDE / 2) / (SIDE / 2 * sqrt(2)) * most;
            double y = (i / SIDE - SIDE / 2) / (SIDE / 2 * sqrt(2)) * most * 0.9;

            if (set == MASKED && (i % SIDE == 4 || i % 7 == 2 || i / SIDE == 9))
                continue;
            q[m][0] = (float)x;
            q[m][1] = (float)y;
            q[m++][2] = (float)(-lambda * (x * x + y * y) / 2);
        }
        return m;
    }
    while (m < n) {
        double v[3], r2 = 0;

        for (int a = 0; a < 3; a++) {
            v[a] = (2 * spi_rng_uniform(rng) - 1) * most;
            if (set == CLUSTER)
                v[a] = 0.3 * most + 0.02 * v[a];
            if (set == LINE)
                v[a] = a == 1 ? v[a] : 0.1 * most;
            if (set == NODES)
                v[a] = round(v[a] * nf * dx) / (nf * dx);
            r2 += v[a] * v[a];
        }
        if (r2 > most * most)
            continue;
        for (int a = 0; a < 3; a++)
            q[m][a] = (float)v[a];
        m++;
    }
    return n;
}

/* First as it is, then rotated at random. */
static void make_rotations(struct spi_rng *rng, double M[TURNS][9], enum set set)
{
    memcpy(M[0], identity[0], sizeof M[0]);
    for (int k = 1; k < TURNS; k++) {
        double quat[4];

        spi_rot_random(rng, quat);
        spi_rot_matrix(quat, M[k]);
        if (set == NODES && k % 2) { /* a rotation that keeps nodes nodes */
            memset(M[k], 0, sizeof M[k]);
            M[k][1] = M[k][3] = M[k][8] = -1;
        }
    }
}

/* ---- one plan, one set -------------------------------------------------------------- */

struct scene {
    int n, points;
    double tol;
    float *A, *grid, *grid2, q[POINTS_MAX][3], W[TURNS * POINTS_MAX],
        val[TURNS * POINTS_MAX][2];
    double M[TURNS][9], u[TURNS * POINTS_MAX][3], want[TURNS * POINTS_MAX];
    spi_nufft *plan;
    spi_points *set;
};

static void make_even(struct spi_rng *rng, int n, float *A)
{
    for (int k = 1; k < n; k++)
        for (int j = 1; j < n; j++)
            for (int i = 1; i < n; i++) {
                float v = (float)spi_rng_normal(rng);

                A[(k * n + j) * n + i] = v;
                A[((n - k) * n + n - j) * n + n - i] = v;
            }
}

static spi_err scene_init(struct scene *s, int n, double tol, enum set set)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, (uint64_t)set);
    spi_err err;

    *s = (struct scene){.n = n, .tol = tol};
    SPI_TRY(err = SPI_NEW(s->A, n * n * n, "A"), out);
    make_even(&rng, n, s->A);
    SPI_TRY(err = spi_nufft_new(n, dx, tol, &s->plan), out);
    s->points = make_points(&rng, set, spi_nufft_fine(s->plan), s->q);
    make_rotations(&rng, s->M, set);
    for (int k = 0; k < TURNS; k++)
        for (int j = 0; j < s->points; j++) {
            const double v[3] = {(double)s->q[j][0], (double)s->q[j][1],
                                 (double)s->q[j][2]};

            spi_rot_apply(s->M[k], v, s->u[k * s->points + j]);
        }
    for (int i = 0; i < TURNS * s->points; i++) {
        s->val[i][0] = (float)spi_rng_normal(&rng);
        s->val[i][1] = (float)spi_rng_uniform(&rng);
    }
    SPI_TRY(err = spi_points_new(s->plan, s->points, (const float(*)[3])s->q, &s->set),
            out);
    SPI_TRY(err = spi_nufft_grid_new(s->plan, 1, &s->grid), out);
    SPI_TRY(err = spi_nufft_grid_new(s->plan, 2, &s->grid2), out);
    SPI_TRY(err = spi_nufft_prepare(s->plan, s->A, s->grid), out);
    SPI_TRY(err = spi_nufft_slice(s->set, s->grid, TURNS, (const double(*)[9])s->M, s->W),
            out);
    err = spi_nufft_spread(s->set, s->grid2, TURNS, (const double(*)[9])s->M,
                           (const float(*)[2])s->val);
out:
    return err;
}

static void scene_clear(struct scene *s)
{
    spi_points_free(s->set);
    spi_nufft_free(s->plan);
    free(s->A);
    free(s->grid);
    free(s->grid2);
}

static double bound_of(const struct scene *s)
{
    return (s->points < 100 ? 3 : 1) * s->tol + 2e-6;
}

static void check_slice(struct scene *s, const char *name)
{
    int64_t n = TURNS * s->points;
    double bound = bound_of(s), e;

    spi_nufft_slice_ref(s->n, dx, s->A, n, (const double(*)[3])s->u, s->want);
    e = relative_l2(n, s->W, s->want);
    OK(e <= bound, "%s, n = %d, tol %g (w = %d, nf = %d): slice error / bound = %.2f", name,
       s->n, s->tol, spi_nufft_width(s->plan), spi_nufft_fine(s->plan), e / bound);

    float keep = s->W[n - 1];
    double norm = 0;

    for (int64_t i = 0; i < n; i++)
        norm += s->want[i] * s->want[i];
    s->W[n - 1] += (float)(2.1 * bound * sqrt(norm));
    OK(relative_l2(n, s->W, s->want) > bound, "%s: a wrong value is noticed", name);
    s->W[n - 1] = keep;
}

static void check_merge(struct scene *s, const char *name)
{
    int64_t n = TURNS * s->points;
    double bound = bound_of(s), *values = spi_alloc((size_t)n, sizeof *values, "values");

    for (int c = 0; c < 2 && values; c++)
        for (int m = s->n; m >= s->n / 2; m -= s->n / 2) {
            size_t count = (size_t)m * (size_t)m * (size_t)m;
            float *modes = spi_alloc(count, sizeof *modes, "modes");
            double *ref = spi_alloc(count, sizeof *ref, "modes"), e;

            if (m % 2 || !modes || !ref) {
                free(modes), free(ref);
                continue;
            }
            for (int64_t i = 0; i < n; i++)
                values[i] = (double)s->val[i][c];
            OK(spi_nufft_collect(s->plan, s->grid2, c, m, modes) == SPI_OK, "collected");
            spi_nufft_merge_ref(m, dx, n, (const double(*)[3])s->u, values, ref);
            e = relative_l2((int64_t)count, modes, ref);
            /* tol is promised for all modes together: a part may have a fifth more */
            OK(e <= (m < s->n ? 1.2 : 1) * bound,
               "%s, n = %d, tol %g: merge %d, %d^3 modes, error / bound = %.2f", name, s->n,
               s->tol, c, m, e / bound);
            free(modes), free(ref);
        }
    free(values);
}

/* Both components at once: the same bits. */
static void check_both(struct scene *s, const char *name)
{
    int m[2] = {s->n, s->n / 4 * 2};
    float *modes[2][2] = {{NULL}};
    size_t bytes[2];
    bool same = true;

    for (int c = 0; c < 2; c++) {
        bytes[c] = (size_t)m[c] * (size_t)m[c] * (size_t)m[c] * sizeof(float);
        modes[0][c] = spi_alloc(bytes[c], 1, "modes");
        modes[1][c] = spi_alloc(bytes[c], 1, "modes");
        same = same && modes[0][c] && modes[1][c] &&
               !spi_nufft_collect(s->plan, s->grid2, c, m[c], modes[0][c]);
    }
    if (!same ||
        spi_nufft_collect_both(s->plan, s->grid2, m[0], modes[1][0], m[1], modes[1][1])) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int c = 0; c < 2; c++)
        same = same && !memcmp(modes[0][c], modes[1][c], bytes[c]);
    OK(same, "%s, n = %d, tol %g: both components at once", name, s->n, s->tol);
    OK(memcmp(modes[1][0], modes[1][1], bytes[1]) != 0, "%s: which differ", name);
    for (int c = 0; c < 2; c++)
        free(modes[0][c]), free(modes[1][c]);
}

/* <slice A, y> = <A, merge y>: the same taps, so up to float roundings.  Those of a value
 * are below gamma_{w^3 + 24} of its sum of absolute values, which is less than the norm of
 * A times that of the window's l1 norm over its l2 norm; a random walk over the terms
 * leaves much less of the sum of |terms|: 1e-6 of sqrt(sum of squares) sqrt(terms) is asked
 * for. */
static void check_adjoint(struct scene *s, const char *name)
{
    size_t count = (size_t)s->n * (size_t)s->n * (size_t)s->n;
    float *modes = spi_alloc(count, sizeof *modes, "modes");
    double left = 0, right = 0, size = 0, other = 0;

    if (!modes || spi_nufft_collect(s->plan, s->grid2, 0, s->n, modes)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int i = 0; i < TURNS * s->points; i++) {
        left += (double)s->W[i] * (double)s->val[i][0];
        other += (double)s->W[i] * (double)s->val[i][1];
        size += fabs((double)s->W[i] * (double)s->val[i][0]);
    }
    for (size_t i = 0; i < count; i++)
        right += (double)s->A[i] * (double)modes[i];
    OK(fabs(left - right) <= 1e-6 * size, "%s: adjoint: gap / bound = %.3f", name,
       fabs(left - right) / (1e-6 * size));
    OK(fabs(other - right) > 1e-6 * size, "%s: other values are noticed", name);
    free(modes);
}

/* ---- a grid that is kept ------------------------------------------------------------ */

/* (N10): relative l2 error of values or of slopes from halves: rounding, 2^-11 / sqrt(3) of
 * each grid value, passes the window as white noise. */
static double rounding_of(const struct scene *s, bool slopes)
{
    enum { STEPS = 2000 };
    const struct spi_kaiser *win = &s->plan->taps.window;
    int w = spi_nufft_width(s->plan), nf = spi_nufft_fine(s->plan);
    double inverse = 0, square = 0, slope = 0, k2 = 0, h = (double)w / STEPS;

    for (int i = 1; i < s->n; i++) {
        double xi = (double)(i - s->n / 2) / nf;

        inverse += pow(spi_kaiser_transform(w, win->beta, xi), -2) / (s->n - 1);
        k2 += 4 * SPI_PI * SPI_PI * xi * xi / (s->n - 1);
    }
    for (int i = 1; i < STEPS; i++) {
        double x = i * h - 0.5 * w, d = 0.4 * h;
        double v = spi_kaiser_value(win, x);
        double dv = (spi_kaiser_value(win, x + d) - spi_kaiser_value(win, x - d)) / (2 * d);

        square += v * v * h;
        slope += dv * dv * h;
    }

    double alpha = square * inverse, along = slope * inverse / k2;

    return 0x1p-11 / sqrt(3) * alpha * sqrt(slopes ? along : alpha);
}

/* The values from halves against those from the grid, whose own error is the same; but for
 * nodes, which rounding puts on either side of a tap where the window ends with a jump. */
static void check_packed(struct scene *s, enum set set)
{
    bool halves = spi_nufft_width(s->plan) <= SPI_GRID_F16_W_MAX && spi_grid_f16_best();
    int n = TURNS * s->points;
    float *W = spi_alloc((size_t)n + 1, sizeof *W, "W");
    double *want = spi_alloc((size_t)n + 1, sizeof *want, "W"), e;
    double bound = (s->points < 100 ? 3 : 1) * rounding_of(s, false), norm = 0;
    spi_packed *kept = NULL;

    if (!W || !want || spi_packed_new(s->plan, s->grid, &kept) ||
        spi_packed_slice(s->set, kept, TURNS, (const double(*)[9])s->M, W)) {
        OK(0, "%s", spi_err_message());
        goto out;
    }
    for (int i = 0; i < n; i++)
        want[i] = (double)s->W[i];
    if (!halves || n == 0) {
        OK(!memcmp(W, s->W, (size_t)n * sizeof *W), "%s, w = %d: kept as it is",
           set_name[set], spi_nufft_width(s->plan));
        goto out;
    }
    e = relative_l2(n, W, want);
    OK((e <= bound || set == NODES) && e > 0,
       "%s, n = %d, tol %g: kept in halves, difference / bound = %.2f", set_name[set], s->n,
       s->tol, e / bound);
    spi_nufft_slice_ref(s->n, dx, s->A, n, (const double(*)[3])s->u, want);
    bound = sqrt(bound_of(s) * bound_of(s) + bound * bound);
    e = relative_l2(n, W, want);
    OK(e <= bound, "error / bound = %.2f", e / bound);
    for (int i = 0; i < n; i++)
        norm += want[i] * want[i];
    W[0] += (float)(2.1 * bound * sqrt(norm));
    OK(relative_l2(n, W, want) > bound, "a wrong value is noticed");
out:
    spi_packed_free(kept);
    free(W);
    free(want);
}

/* Slopes from halves against those from the grid. */
static void check_slopes(const struct scene *s)
{
    static float u[3][SPI_POINTS], got[4][SPI_POINTS], W[4][SPI_POINTS];
    double scale = spi_nufft_scale(s->plan);
    int n = s->points < SPI_POINTS ? s->points : SPI_POINTS;
    spi_packed *kept;

    if (spi_packed_new(s->plan, s->grid, &kept)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int j = 0; j < n; j++)
        for (int c = 0; c < 3; c++)
            u[c][j] = (float)(scale * s->u[s->points + j][c]);
    spi_nufft_gradient(s->plan, s->grid, n, (const float(*)[SPI_POINTS])u, W);
    spi_packed_gradient(kept, n, (const float(*)[SPI_POINTS])u, got);
    for (int c = 0; c < 4; c++) {
        double want[SPI_POINTS], other[SPI_POINTS], e, bound = rounding_of(s, c > 0);

        for (int j = 0; j < n; j++) {
            want[j] = (double)W[c][j];
            other[j] = (double)W[(c + 1) % 4][j];
        }
        e = relative_l2(n, got[c], want);
        OK(e <= bound, "tol %g, component %d of the gradient: difference / bound = %.2f",
           s->tol, c, e / bound);
        OK(relative_l2(n, got[c], other) > bound, "another component is noticed");
    }
    spi_packed_free(kept);
}

/* ---- threads, order, blocks --------------------------------------------------------- */

/* The same bits from 1, 2 and 3 threads, for many turns of a set that fills boxes. */
static void check_threads(void)
{
    enum { N = 16, MANY = 150 };
    struct scene *s = spi_alloc(1, sizeof *s, "scene");
    double(*M)[9] = spi_alloc(MANY, sizeof *M, "M");
    float *W[3] = {NULL}, *modes[3] = {NULL}, (*val)[2] = NULL;
    int same_W = 1, same_modes = 1;

    if (!s || !M || scene_init(s, N, 1e-4, CURVED)) {
        OK(0, "%s", spi_err_message());
        return;
    }

    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, 0);
    size_t n = (size_t)MANY * (size_t)s->points, size = sizeof(float) * N * N * N;

    val = spi_alloc(n, sizeof *val, "val");
    for (int k = 0; k < MANY; k++) {
        double quat[4];

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, M[k]);
    }
    for (size_t i = 0; i < n; i++)
        val[i][0] = (float)spi_rng_normal(&rng), val[i][1] = 1;
    for (int t = 0; t < 3; t++) {
        spi_nufft_set_threads(s->plan, t + 1);
        W[t] = spi_alloc(n, sizeof *W[t], "W");
        modes[t] = spi_alloc(1, size, "modes");
        memset(s->grid2, 0, spi_nufft_grid_floats(s->plan, 2) * sizeof *s->grid2);
        if (spi_nufft_prepare(s->plan, s->A, s->grid) ||
            spi_nufft_slice(s->set, s->grid, MANY, (const double(*)[9])M, W[t]) ||
            spi_nufft_spread(s->set, s->grid2, MANY, (const double(*)[9])M,
                             (const float(*)[2])val) ||
            spi_nufft_collect(s->plan, s->grid2, 0, N, modes[t]))
            OK(0, "%s", spi_err_message());
        same_W &= !memcmp(W[0], W[t], n * sizeof *W[t]);
        same_modes &= !memcmp(modes[0], modes[t], size);
    }
    OK(same_W, "slice: the same bits from 1, 2 and 3 threads");
    OK(same_modes, "merge: the same bits from 1, 2 and 3 threads");

    /* boxes and single rows are both right, wherever a box of many patches is cut off */
    double left = 0, right = 0, sum = 0;

    for (size_t i = 0; i < n; i++) {
        left += (double)W[0][i] * (double)val[i][0];
        sum += fabs((double)W[0][i] * (double)val[i][0]);
    }
    for (int i = 0; i < N * N * N; i++)
        right += (double)s->A[i] * (double)modes[0][i];
    OK(fabs(left - right) <= 1e-6 * sum, "many turns: adjoint: gap / bound = %.3f",
       fabs(left - right) / (1e-6 * sum));
    modes[1][0] += 1;
    OK(memcmp(modes[0], modes[1], size) != 0, "other bits are noticed");
    for (int t = 0; t < 3; t++)
        free(W[t]), free(modes[t]);
    scene_clear(s);
    free(val), free(M), free(s);
}

/* A list without the masked pixels gives the same bits as the pixels of the whole list
 * would, but for patches, whose centres differ: u is known to 2^-24 of a patch's size. */
static void check_masked(void)
{
    struct scene *s = spi_alloc(1, sizeof *s, "scene");
    float q[POINTS_MAX][3], *W = spi_alloc(POINTS_MAX, 4, "W");
    spi_points *few = NULL;
    int n = 0;
    double diff = 0, norm = 0;

    if (!s || !W || scene_init(s, 16, 1e-5, CURVED)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int j = 0; j < s->points; j++)
        if (j % 5 < 3)
            memcpy(q[n++], s->q[j], sizeof q[0]);
    if (spi_points_new(s->plan, n, (const float(*)[3])q, &few) ||
        spi_nufft_slice(few, s->grid, 1, (const double(*)[9])s->M[2], W))
        OK(0, "%s", spi_err_message());
    n = 0;
    for (int j = 0; j < s->points; j++)
        if (j % 5 < 3) {
            double want = (double)s->W[2 * s->points + j];

            diff = fmax(diff, fabs((double)W[n++] - want));
            norm = fmax(norm, fabs(want));
        }
    /* 14 roundings of |t| <= 12 and the 216 + 24 terms of a value */
    double bound = norm * (14 * 12 * 0x1p-24 * SPI_PI + gamma_f32(240));

    OK(diff <= bound, "masked pixels are simply not there: difference / bound = %.3f",
       diff / bound);
    spi_points_free(few);
    scene_clear(s);
    free(W), free(s);
}

/* Halves: the same bits from 1, 2 and 3 threads, and the refusal of points beyond. */
static void check_packed_threads(void)
{
    enum { N = 16, MANY = 150 };
    struct scene *s = spi_alloc(1, sizeof *s, "scene");
    double(*M)[9] = spi_alloc(MANY, sizeof *M, "M");
    float *W[3] = {NULL};
    spi_packed *kept = NULL;
    bool same = true;

    if (!s || !M || scene_init(s, N, 1e-3, CURVED) ||
        spi_packed_new(s->plan, s->grid, &kept)) {
        OK(0, "%s", spi_err_message());
        return;
    }

    struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, 0);
    size_t n = (size_t)MANY * (size_t)s->points;

    for (int k = 0; k < MANY; k++) {
        double quat[4];

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, M[k]);
    }
    for (int t = 0; t < 3; t++) {
        spi_nufft_set_threads(s->plan, t + 1);
        W[t] = spi_alloc(n, sizeof *W[t], "W");
        if (!W[t] || spi_packed_slice(s->set, kept, MANY, (const double(*)[9])M, W[t]))
            OK(0, "%s", spi_err_message());
        same = same && W[t] && !memcmp(W[0], W[t], n * sizeof *W[t]);
    }
    OK(same, "kept: the same bits from 1, 2 and 3 threads");
    W[1][n - 1] += 1;
    OK(memcmp(W[0], W[1], n * sizeof *W[0]) != 0, "other bits are noticed");
    for (int i = 0; i < 9; i++)
        M[MANY - 1][i] *= 2.5;
    OK(spi_packed_slice(s->set, kept, MANY, (const double(*)[9])M, W[0]) == SPI_EINVAL,
       "kept, beyond the period: %s", spi_err_message());
    M[MANY - 1][4] = (double)NAN;
    OK(spi_packed_slice(s->set, kept, MANY, (const double(*)[9])M, W[0]) == SPI_EINVAL,
       "kept, a rotation of NaN");
    for (int t = 0; t < 3; t++)
        free(W[t]);
    spi_packed_free(kept);
    scene_clear(s);
    free(M), free(s);
}

static void check_refusals(void)
{
    spi_nufft *plan;
    spi_points *points;
    float *grid, W[2], q[2][3] = {{0.13F, 0, 0}, {0.1F, 0.16F, 0}};
    static const double none[1][9] = {{0}},
                        nan_rotation[1][9] = {{1, 0, 0, NAN, 1, 0, 0, 0, 1}};

    OK(spi_nufft_new(13, 1, 1e-3, &plan) == SPI_EINVAL, "odd n: %s", spi_err_message());
    OK(spi_nufft_new(12, 1, 1e-9, &plan) == SPI_EINVAL, "tol: %s", spi_err_message());
    if (spi_nufft_new(64, dx, 1e-3, &plan) || spi_nufft_grid_new(plan, 1, &grid) ||
        spi_points_new(plan, 2, (const float(*)[3])q, &points)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    OK(spi_nufft_slice(points, grid, 1, identity, W) == SPI_EINVAL, "beyond the period: %s",
       spi_err_message());
    OK(spi_nufft_slice(points, grid, 1, nan_rotation, W) == SPI_EINVAL,
       "a rotation of NaN");
    OK(spi_nufft_slice(points, grid, 1, none, W) == SPI_OK && W[0] == 0,
       "all points at the centre");
    OK(spi_nufft_slice(points, grid, 0, NULL, NULL) == SPI_OK, "no rotations");
    spi_points_free(points);
    q[1][2] = INFINITY;
    OK(spi_points_new(plan, 2, (const float(*)[3])q, &points) == SPI_EINVAL && !points,
       "%s", spi_err_message());
    spi_nufft_free(plan);
    free(grid);
}

int main(void)
{
    static const double tols[] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 2e-6, 1e-6};
    static const int sizes[] = {4, 6, 10, 22, 26};
    struct scene *s = spi_alloc(1, sizeof *s, "scene");

    for (int i = 0; i < 7 + 5 + N_SETS; i++) {
        double tol = i < 7 ? tols[i] : i < 12 ? 1e-5 : 1e-4;
        int n = i < 7 || i >= 12 ? 12 : sizes[i - 7];
        enum set set = i < 12 ? BALL : (enum set)(i - 12);

        if (scene_init(s, n, tol, set)) {
            OK(0, "%s", spi_err_message());
            continue;
        }
        if (s->points == 0) {
            OK(s->W[0] == 0, "no points");
        } else {
            check_slice(s, set_name[set]);
            check_merge(s, set_name[set]);
            check_both(s, set_name[set]);
            check_adjoint(s, set_name[set]);
        }
        check_packed(s, set);
        scene_clear(s);
    }
    for (int set = 0; set < N_SETS; set++) {
        if (scene_init(s, 12, 1e-3, (enum set)set)) {
            OK(0, "%s", spi_err_message());
            continue;
        }
        check_packed(s, (enum set)set);
        if (set == BALL)
            check_slopes(s);
        scene_clear(s);
    }
    free(s);
    check_threads();
    check_packed_threads();
    check_masked();
    check_refusals();
    return tap_done();
}
