/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The normal equations: the Toeplitz product against direct sums, its symmetry, and what a
 * solution recovers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "math/fft.h"
#include "merge/normal.h"
#include "tap.h"

enum { N = 10, COUNT = N * N * N, POINTS = 3000 };
static const double dx = 3, support_A = 12.1, tol = 1e-6;
static const struct spi_cg_options rule = {.n_iter = 200, .tol = 1e-5};

static double q[POINTS][3], w[POINTS], b[POINTS];
static float qf[POINTS][3], val[POINTS][2];

/* Points spread over the whole cube |q_i| < 0.48 / dx, weights in (0.5, 1.5). */
static void make_points(struct spi_rng *rng)
{
    for (int j = 0; j < POINTS; j++) {
        for (int c = 0; c < 3; c++) {
            qf[j][c] = (float)((spi_rng_uniform(rng) - 0.5) * 0.96 / dx);
            q[j][c] = (double)qf[j][c];
        }
        w[j] = (double)(val[j][1] = (float)(0.5 + spi_rng_uniform(rng)));
    }
}

/* 1 inside the support, and never on the Nyquist planes. */
static float inside[COUNT];

static void make_inside(void)
{
    for (int z = -N / 2, i = 0; z < N / 2; z++)
        for (int y = -N / 2; y < N / 2; y++)
            for (int x = -N / 2; x < N / 2; x++, i++)
                inside[i] = (x * x + y * y + z * z) * dx * dx <= support_A * support_A;
}

/* The operator on cubes. */
static spi_err apply(const struct spi_normal *normal, const float *x, float *y)
{
    static double a[COUNT], b2[COUNT];
    spi_err err;

    spi_even_vector_get(&normal->u, x, a);
    err = normal->op.apply(normal->op.self, a, b2);
    spi_even_vector_put(&normal->u, b2, y);
    return err;
}

/* Largest transform of the kernel. */
static double largest_symbol(float *Q)
{
    enum { M = 2 * N, HALF = M * M * (N + 1) };
    float *rolled = spi_alloc(8 * COUNT, 4, "Q"), largest = 0;
    float complex *half = spi_alloc(HALF, sizeof *half, "Q");

    spi_volume_roll(M, Q, rolled);
    if (spi_fft3_r2c(M, rolled, half))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < HALF; i++)
        largest = fmaxf(largest, cabsf(half[i]));
    free(rolled), free(half);
    return (double)largest;
}

/* Real, even, inside the support. */
static void make_even(struct spi_rng *rng, float *A)
{
    memset(A, 0, COUNT * sizeof *A);
    for (int k = 1; k < N; k++)
        for (int j = 1; j < N; j++)
            for (int i = 1; i < N; i++) {
                int at = (k * N + j) * N + i, twin = ((N - k) * N + N - j) * N + N - i;

                A[at] = A[twin] = inside[at] * (float)spi_rng_normal(rng);
            }
}

static double dot(const float *x, const float *y)
{
    double sum = 0;

    for (int i = 0; i < COUNT; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

static spi_err build(spi_nufft *plan, double trace, float **grid, struct spi_normal *normal)
{
    static const double identity[1][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1}};
    spi_points *points = NULL;
    spi_err err = spi_nufft_grid_new(plan, 2, grid);

    for (int j = 0; j < POINTS; j++)
        val[j][0] = (float)(w[j] * b[j]);
    if (!err)
        err = spi_points_new(plan, POINTS, (const float(*)[3])qf, &points);
    if (!err)
        err = spi_nufft_spread(points, *grid, 1, identity, (const float(*)[2])val);
    spi_points_free(points);
    return err ? err : spi_normal_init(normal, N, support_A, plan, *grid, trace);
}

static double distance(const float *A, const float *B)
{
    double sum = 0;

    for (int i = 0; i < COUNT; i++)
        sum += ((double)A[i] - (double)B[i]) * ((double)A[i] - (double)B[i]);
    return sqrt(sum);
}

/* Every voxel of the support once, |A| = |y|, and there and back is the same. */
static void check_unknowns(const struct spi_even_vector *v, const float *A)
{
    static double y[COUNT];
    static float back[COUNT];
    double sum = 0, yy = 0;

    for (int i = 0; i < COUNT; i++)
        sum += (double)inside[i];
    OK((double)(2 * v->count - 1) == sum, "%d unknowns, %.0f voxels", (int)v->count, sum);
    spi_even_vector_get(v, A, y);
    for (int64_t i = 0; i < v->count; i++)
        yy += y[i] * y[i];
    OK(fabs(yy / dot(A, A) - 1) < 1e-14 * COUNT, "|y| = |A|"); /* gamma_n in double */
    spi_even_vector_put(v, y, back);
    OK(distance(A, back) == 0, "there and back");
    back[7] = 1;
    OK(distance(A, back) != 0, "a voxel outside is noticed");
}

static void check_apply(struct spi_rng *rng, const struct spi_normal *normal,
                        const spi_nufft *plan, const float *grid)
{
    float *x = spi_alloc(COUNT, 4, "x"), *y = spi_alloc(COUNT, 4, "y");
    float *z = spi_alloc(COUNT, 4, "z"), *Az = spi_alloc(COUNT, 4, "Az");
    float *Q = spi_alloc(8 * COUNT, 4, "Q");
    double *W = spi_alloc(POINTS, 8, "W"), *ref = spi_alloc(COUNT, 8, "ref");
    double worst = 0, wrong = 0, outside = 0, norm_Q = 0;

    make_even(rng, x);
    OK(apply(normal, x, y) == SPI_OK, "applied");
    spi_nufft_slice_ref(N, dx, x, POINTS, (const double(*)[3])q, W);
    for (int j = 0; j < POINTS; j++)
        W[j] *= w[j];
    spi_nufft_merge_ref(N, dx, POINTS, (const double(*)[3])q, W, ref);
    if (spi_nufft_collect(plan, grid, 1, 2 * N, Q))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < 8 * COUNT; i++)
        norm_Q += (double)Q[i] * (double)Q[i];
    norm_Q = sqrt(norm_Q);
    for (int i = 0; i < COUNT; i++) {
        double want = ref[i] * (double)inside[i];

        worst = fmax(worst, fabs((double)y[i] - want));
        wrong = fmax(wrong, fabs((double)y[i] * 1.001 - want));
        outside = fmax(outside, inside[i] == 0 ? fabs((double)y[i]) : 0);
    }
    /* y = Q * x: |dy| <= |dQ|_2 |x|_2 with |dQ|_2 <= (2 tol + 2e-6) |Q|_2 (tests/nufft),
     * and two transforms of (2N)^3 in float: 2 * 4 log2((2N)^3) u of the largest symbol
     * times |x|_2 */
    double fft = 2 * 4 * 3 * log2(2 * N) * 0x1p-24 * largest_symbol(Q);
    double bound = ((2 * tol + 2e-6) * norm_Q + fft) * sqrt(dot(x, x));

    OK(worst <= bound, "H* w H x as direct sums: error / bound = %.4f", worst / bound);
    OK(wrong > bound, "a factor of 1.001 is noticed");
    OK(outside == 0, "nothing outside the support");

    make_even(rng, x), make_even(rng, z);
    if (apply(normal, x, y) || apply(normal, z, Az))
        OK(0, "%s", spi_err_message());
    bound = fft * sqrt(dot(x, x) * dot(z, z));
    OK(fabs(dot(x, Az) - dot(z, y)) <= bound, "symmetric: gap / bound = %.3f",
       fabs(dot(x, Az) - dot(z, y)) / bound);
    /* positive up to the error of its symbol */
    OK(dot(x, y) >= -bound, "positive: x.Ax / x.x = %.3g", dot(x, y) / dot(x, x));
    y[N / 2 * (N * N + N + 1)] += 1e3F * (float)bound / x[N / 2 * (N * N + N + 1)];
    OK(fabs(dot(x, Az) - dot(z, y)) > bound, "a wrong product is noticed");
    free(x), free(y), free(z), free(Az), free(W), free(ref), free(Q);
}

/* Noise-free values of a known A are recovered.  The rows cos(2 pi q.x) of uniform random q
 * form a random matrix of p/2 independent unknowns and POINTS rows: by Marchenko and Pastur
 * its spectrum ends at (1 +- sqrt gamma)^2, gamma = p / 2 / POINTS, and the weights add a
 * factor of 3; the error is the condition number times what is not exact: CG's 1e-5, tol of
 * rhs and symbol. */
static void check_recovers(const struct spi_normal *normal, const float *A)
{
    float *x = spi_alloc(COUNT, 4, "x");
    struct spi_cg_report report;
    double p = 0, norm = sqrt(dot(A, A));

    for (int i = 0; i < COUNT; i++)
        p += (double)inside[i];

    double gamma = sqrt(p / 2 / POINTS), kappa = 3 * pow((1 + gamma) / (1 - gamma), 2);
    double bound = kappa * (1e-5 + 2 * (2 * tol + 2e-6)) * norm;

    OK(spi_normal_solve(normal, 0, &rule, x, &report) == SPI_OK &&
           report.end == SPI_CG_CONVERGED,
       "solved in %d steps", report.n_iter);
    OK(distance(x, A) <= bound, "a known A is recovered: error / bound = %.4f",
       distance(x, A) / bound);

    volatile int stop = 1;
    struct spi_cg_options stopped = {.n_iter = 200, .tol = 1e-5, .stop = &stop};

    OK(spi_normal_solve(normal, 1e-2, &rule, x, &report) == SPI_OK &&
           distance(x, A) > bound,
       "regularisation is noticed: %.3g", distance(x, A) / norm);
    memset(x, 0, COUNT * sizeof *x);
    OK(spi_normal_solve(normal, 0, &stopped, x, &report) == SPI_ECANCEL, "stop flag: %s",
       spi_err_message());
    free(x);
}

static void check_lcurve(const struct spi_normal *normal)
{
    enum { LAMBDAS = 7 };
    static const double lambda[LAMBDAS] = {1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6};
    float *x = spi_alloc(COUNT, 4, "x"), *one = spi_alloc(COUNT, 4, "x");
    struct spi_lcurve_point point[LAMBDAS];
    struct spi_lcurve_choice choice;
    struct spi_cg_report report, all[LAMBDAS];
    double *xs = spi_alloc((size_t)(LAMBDAS * normal->u.count), 8, "x");
    double norm2 = 0, *W = spi_alloc(POINTS, 8, "W"), misfit = 0;
    int rising = 1;

    for (int j = 0; j < POINTS; j++)
        norm2 += w[j] * b[j] * b[j];
    OK(spi_normal_krylov(normal, LAMBDAS, lambda, &rule, xs, all) == SPI_OK &&
           spi_normal_choose(normal, LAMBDAS, lambda, norm2, xs, all, x, point, &choice,
                             &report) == SPI_OK,
       "L-curve");
    OK(report.shift == point[choice.index].lambda * normal->trace, "report of the chosen");
    for (int i = 1; i < LAMBDAS; i++)
        rising &=
            point[i].lambda > point[i - 1].lambda &&
            point[i].residual >=
                point[i - 1].residual * (1 - 1e-4) &&        /* of its cancellation */
            point[i].norm <= point[i - 1].norm * (1 + 1e-4); /* CG's tol, 1e-5 kappa */
    OK(rising, "residual rises and norm falls with lambda");
    spi_nufft_slice_ref(N, dx, x, POINTS, (const double(*)[3])q, W);
    for (int j = 0; j < POINTS; j++)
        misfit += w[j] * (W[j] - b[j]) * (W[j] - b[j]);
    /* |y|^2 - drop: drop is good to the transforms' error, 2 (2 tol + 2e-6) |y|^2 */
    double bound = 2 * (2 * tol + 2e-6) * norm2 / misfit;
    double got = point[choice.index].residual;

    OK(fabs(got * got / misfit - 1) <= bound,
       "chosen lambda %g (%s): residual / direct sum = %.6f", point[choice.index].lambda,
       spi_lcurve_how_text(choice.how), got / sqrt(misfit));
    OK(fabs(point[LAMBDAS - 1].residual * point[LAMBDAS - 1].residual / misfit - 1) > bound,
       "another residual is noticed");
    if (spi_normal_solve(normal, point[choice.index].lambda, &rule, one, &report))
        OK(0, "%s", spi_err_message());
    /* both stop at a residual of 1e-5; condition number below 12 (check_recovers) */
    OK(distance(one, x) <= 12 * 2e-5 * sqrt(dot(x, x)), "the same as solved alone: %.1e",
       distance(one, x) / sqrt(dot(x, x)));
    free(x), free(one), free(W), free(xs);
}

static void check_grid(void)
{
    int n;
    double step;

    spi_merge_grid(150, 1 / 12.0, &n, &step);
    OK(0.5 / step >= 1.04 / 12 - 1e-12 && n * step >= 2.1 * 150 && n % 2 == 0, /* (V5) */
       "grid for 150 A at 12 A: %d voxels of %.3f A", n, step);
    spi_merge_grid(1, 0.1, &n, &step);
    OK(n == 8, "never below 8 voxels");
}

/* Cubes above and below the size from which several threads work. */
static void check_threads(struct spi_rng *rng)
{
    static const int side[] = {20, 50}, threads[] = {2, 3, 7, 40};

    for (int s = 0; s < 2; s++) {
        size_t n = (size_t)side[s], count = n * n * n;
        struct spi_normal normal = {0};
        double *rhs = spi_alloc(count, 8, "b"), *Q = spi_alloc(8 * count, 8, "Q");
        double *x = NULL, *y = NULL, *z = NULL;

        NEED(rhs && Q);
        for (size_t i = 0; i < 8 * count; i++)
            Q[i] = spi_rng_normal(rng);
        NEED(spi_normal_new(&normal, side[s], 1, 0.45 * side[s], rhs, Q, 1, s == 0) ==
             SPI_OK);
        NEED(SPI_NEW(x, normal.u.count, "x") == SPI_OK);
        NEED(SPI_NEW(y, normal.u.count, "y") == SPI_OK);
        NEED(SPI_NEW(z, normal.u.count, "z") == SPI_OK);
        for (int64_t i = 0; i < normal.u.count; i++)
            x[i] = spi_rng_normal(rng);
        OK(spi_normal_product(&normal, x, y) == SPI_OK && y[0] != 0, "a product");
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
            normal.threads = threads[t];
            memset(z, 0, (size_t)normal.u.count * sizeof *z);
            OK(spi_normal_product(&normal, x, z) == SPI_OK &&
                   memcmp(y, z, (size_t)normal.u.count * sizeof *z) == 0,
               "%d^3, %d threads: the same bits", side[s], threads[t]);
        }
        spi_normal_clear(&normal);
        free(rhs), free(Q), free(x), free(y), free(z);
    }
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    struct spi_normal normal = {0}, empty;
    spi_nufft *plan;
    float *grid, *A = spi_alloc(COUNT, 4, "A");
    double trace = 0;

    if (spi_nufft_new(2 * N, dx, tol, &plan)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    make_points(&rng);
    for (int j = 0; j < POINTS; j++)
        trace += w[j];
    make_inside();
    make_even(&rng, A);
    spi_nufft_slice_ref(N, dx, A, POINTS, (const double(*)[3])q, b);
    OK(build(plan, trace, &grid, &normal) == SPI_OK, "normal equations");
    check_unknowns(&normal.u, A);
    check_apply(&rng, &normal, plan, grid);
    check_recovers(&normal, A);
    spi_normal_clear(&normal);
    free(grid);
    for (int j = 0; j < POINTS; j++)
        b[j] += 5 * spi_rng_normal(&rng);
    OK(build(plan, trace, &grid, &normal) == SPI_OK, "noisy values");
    check_lcurve(&normal);
    spi_normal_clear(&normal);
    OK(spi_normal_init(&empty, N, support_A, plan, grid, 0) == SPI_EINVAL, "%s",
       spi_err_message());
    OK(spi_normal_init(&empty, N, support_A, plan, grid, NAN) == SPI_EINVAL, "%s",
       spi_err_message());
    check_grid();
    check_threads(&rng);
    free(grid), free(A);
    spi_nufft_free(plan);
    return tap_done();
}
