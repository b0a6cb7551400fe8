/* The normal equations: the Toeplitz product against direct sums, its symmetry, and what a
 * solution recovers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "merge/normal.h"
#include "tap.h"

enum { N = 10, COUNT = N * N * N, POINTS = 3000 };
static const double dx = 3, support_A = 12.1, tol = 1e-6;

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

/* Real, even, inside the support. */
static void make_even(struct spi_rng *rng, const float *support, float *A)
{
    memset(A, 0, COUNT * sizeof *A);
    for (int k = 1; k < N; k++)
        for (int j = 1; j < N; j++)
            for (int i = 1; i < N; i++) {
                int at = (k * N + j) * N + i, twin = ((N - k) * N + N - j) * N + N - i;

                A[at] = A[twin] = support[at] * (float)spi_rng_normal(rng);
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

static void check_apply(struct spi_rng *rng, const struct spi_normal *normal,
                        const spi_nufft *plan, const float *grid)
{
    float *x = spi_alloc(COUNT, 4, "x"), *y = spi_alloc(COUNT, 4, "y");
    float *z = spi_alloc(COUNT, 4, "z"), *Az = spi_alloc(COUNT, 4, "Az");
    float *Q = spi_alloc(8 * COUNT, 4, "Q"), largest = 0;
    double *W = spi_alloc(POINTS, 8, "W"), *ref = spi_alloc(COUNT, 8, "ref");
    double worst = 0, wrong = 0, outside = 0, norm_Q = 0;

    make_even(rng, normal->support, x);
    OK(spi_normal_apply(normal, x, y) == SPI_OK, "applied");
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
        double want = ref[i] * (double)normal->support[i];

        worst = fmax(worst, fabs((double)y[i] - want));
        wrong = fmax(wrong, fabs((double)y[i] * 1.001 - want));
        outside = fmax(outside, normal->support[i] == 0 ? fabs((double)y[i]) : 0);
    }
    for (int i = 0; i < 4 * N * N * (N + 1); i++)
        largest = fmaxf(largest, fabsf(normal->symbol[i]));
    /* y = Q * x: |dy| <= |dQ|_2 |x|_2 with |dQ|_2 <= (2 tol + 2e-6) |Q|_2 (tests/nufft),
     * and two transforms of (2N)^3 in float: 2 * 4 log2((2N)^3) u of the largest symbol
     * times |x|_2 */
    double fft = 2 * 4 * 3 * log2(2 * N) * 0x1p-24 * (double)largest;
    double bound = ((2 * tol + 2e-6) * norm_Q + fft) * sqrt(dot(x, x));

    OK(worst <= bound, "H* w H x as direct sums: error / bound = %.4f", worst / bound);
    OK(wrong > bound, "a factor of 1.001 is noticed");
    OK(outside == 0, "nothing outside the support");

    for (int i = 0; i < COUNT; i++) /* any vectors, also odd ones */
        x[i] = (float)spi_rng_normal(rng), z[i] = (float)spi_rng_normal(rng);
    if (spi_normal_apply(normal, x, y) || spi_normal_apply(normal, z, Az))
        OK(0, "%s", spi_err_message());
    bound = fft * sqrt(dot(x, x) * dot(z, z));
    OK(fabs(dot(x, Az) - dot(z, y)) <= bound, "symmetric: gap / bound = %.3f",
       fabs(dot(x, Az) - dot(z, y)) / bound);
    /* positive up to the error of its symbol */
    OK(dot(x, y) >= -bound, "positive: x.Ax / x.x = %.3g", dot(x, y) / dot(x, x));
    y[5] += 1e3F * (float)bound / x[5];
    OK(fabs(dot(x, Az) - dot(z, y)) > bound, "a wrong product is noticed");
    free(x), free(y), free(z), free(Az), free(W), free(ref), free(Q);
}

static double distance(const float *A, const float *B)
{
    double sum = 0;

    for (int i = 0; i < COUNT; i++)
        sum += ((double)A[i] - (double)B[i]) * ((double)A[i] - (double)B[i]);
    return sqrt(sum);
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
        p += (double)normal->support[i];

    double gamma = sqrt(p / 2 / POINTS), kappa = 3 * pow((1 + gamma) / (1 - gamma), 2);
    double bound = kappa * (1e-5 + 2 * (2 * tol + 2e-6)) * norm;

    OK(spi_normal_solve(normal, 0, 200, NULL, x, &report) == SPI_OK &&
           report.end == SPI_CG_CONVERGED,
       "solved in %d steps", report.n_iter);
    OK(distance(x, A) <= bound, "a known A is recovered: error / bound = %.4f",
       distance(x, A) / bound);

    volatile int stop = 1;

    OK(spi_normal_solve(normal, 1e-2, 200, NULL, x, &report) == SPI_OK &&
           distance(x, A) > bound,
       "regularisation is noticed: %.3g", distance(x, A) / norm);
    memset(x, 0, COUNT * sizeof *x);
    OK(spi_normal_solve(normal, 0, 200, &stop, x, &report) == SPI_ECANCEL, "stop flag: %s",
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
    struct spi_cg_report report;
    double norm2 = 0, *W = spi_alloc(POINTS, 8, "W"), misfit = 0;
    int rising = 1;

    for (int j = 0; j < POINTS; j++)
        norm2 += w[j] * b[j] * b[j];
    OK(spi_normal_lcurve(normal, LAMBDAS, lambda, 200, norm2, NULL, x, point, &choice) ==
           SPI_OK,
       "L-curve");
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
    if (spi_normal_solve(normal, point[choice.index].lambda, 200, NULL, one, &report))
        OK(0, "%s", spi_err_message());
    /* both stop at a residual of 1e-5; condition number below 12 (check_recovers) */
    OK(distance(one, x) <= 12 * 2e-5 * sqrt(dot(x, x)), "the same as solved alone: %.1e",
       distance(one, x) / sqrt(dot(x, x)));
    free(x), free(one), free(W);
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

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    struct spi_normal normal = {0}, empty;
    spi_nufft *plan;
    float *grid, *A = spi_alloc(COUNT, 4, "A"), *all = spi_alloc(COUNT, 4, "1");
    double trace = 0;

    if (spi_nufft_new(2 * N, dx, tol, &plan)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    make_points(&rng);
    for (int j = 0; j < POINTS; j++)
        trace += w[j];
    for (int z = -N / 2, i = 0; z < N / 2; z++)
        for (int y = -N / 2; y < N / 2; y++)
            for (int x = -N / 2; x < N / 2; x++, i++)
                all[i] = (x * x + y * y + z * z) * dx * dx <= support_A * support_A;
    make_even(&rng, all, A);
    spi_nufft_slice_ref(N, dx, A, POINTS, (const double(*)[3])q, b);
    OK(build(plan, trace, &grid, &normal) == SPI_OK, "normal equations");
    OK(memcmp(all, normal.support, COUNT * sizeof *all) == 0, "support");
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
    free(grid), free(A), free(all);
    spi_nufft_free(plan);
    return tap_done();
}
