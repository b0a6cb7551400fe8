/* The fast transforms against the direct sums, and slicing against merging (adjoint).
 *
 * Bound: relative l2 error <= 2 tol + 2e-6.  tol is what the plan promises for points
 * spread over the ball (the window's aliasing error is a property of w; measured 0.3-0.9
 * tol); 2 allows for one set of 200 points, 2e-6 for float sums over the FFT (log2(48^3) u
 * < 2e-6). */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/interp.h"
#include "nufft/nufft.h"
#include "tap.h"

enum { N = 12, POINTS = 200 };
static const double dx = 3.7;

static void make_even(struct spi_rng *rng, float *A)
{
    for (int k = 1; k < N; k++)
        for (int j = 1; j < N; j++)
            for (int i = 1; i < N; i++) {
                float v = (float)spi_rng_normal(rng);

                A[(k * N + j) * N + i] = v;
                A[((N - k) * N + N - j) * N + N - i] = v;
            }
}

static double relative_l2(int64_t n, const float *got, const double *want)
{
    double diff = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        diff += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return sqrt(diff / norm);
}

static void one_tolerance(double tol)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    float *A = calloc(N * N * N, sizeof *A), *grid, *spread, got[POINTS];
    float u[POINTS][3], val[POINTS][2];
    double q[POINTS][3], want[POINTS], s[2][POINTS], bound = 2 * tol + 2e-6;
    spi_nufft *plan;

    make_even(&rng, A);
    if (spi_nufft_new(N, dx, tol, &plan) || spi_nufft_grid_new(plan, 1, &grid) ||
        spi_nufft_grid_new(plan, 2, &spread)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int j = 0; j < POINTS; j++)
        for (int c = 0; c < 3; c++) {
            q[j][c] = (spi_rng_uniform(&rng) - 0.5) * 0.96 / dx;
            u[j][c] = (float)(q[j][c] * spi_nufft_scale(plan));
        }
    OK(spi_nufft_prepare(plan, A, grid) == SPI_OK, "prepared");
    OK(spi_nufft_slice(plan, grid, POINTS, (const float(*)[3])u, got) == SPI_OK, "sliced");
    spi_nufft_slice_ref(N, dx, A, POINTS, (const double(*)[3])q, want);

    double e = relative_l2(POINTS, got, want);

    OK(e <= bound, "tol %g: slice error / bound = %.2f", tol, e / bound);
    got[3] += (float)(2 * bound * sqrt(POINTS) * fabs(want[3]) + 4 * bound * 50);
    OK(relative_l2(POINTS, got, want) > bound, "tol %g: a wrong value is noticed", tol);

    for (int j = 0; j < POINTS; j++)
        for (int c = 0; c < 2; c++)
            s[c][j] = (double)(val[j][c] = (float)spi_rng_normal(&rng));
    OK(spi_nufft_spread(plan, spread, POINTS, (const float(*)[3])u,
                        (const float(*)[2])val) == SPI_OK,
       "spread");
    for (int c = 0; c < 2; c++)
        for (int m = N; m >= N / 2; m -= N / 2) {
            float *modes = calloc((size_t)(m * m * m), sizeof *modes);
            double *ref = calloc((size_t)(m * m * m), sizeof *ref);

            OK(spi_nufft_collect(plan, spread, c, m, modes) == SPI_OK, "collected");
            spi_nufft_merge_ref(m, dx, POINTS, (const double(*)[3])q, s[c], ref);
            e = relative_l2(m * m * m, modes, ref);
            OK(e <= bound, "tol %g: merge %d, %d^3 modes, error / bound = %.2f", tol, c, m,
               e / bound);
            free(modes);
            free(ref);
        }
    spi_nufft_free(plan);
    free(grid);
    free(spread);
    free(A);
}

int main(void)
{
    spi_nufft *plan;

    one_tolerance(1e-2);
    one_tolerance(1e-3);
    one_tolerance(1e-4);
    one_tolerance(1e-5);
    one_tolerance(1e-6);
    OK(spi_nufft_new(13, 1, 1e-3, &plan) == SPI_EINVAL, "odd n: %s", spi_err_message());
    OK(spi_nufft_new(12, 1, 1e-9, &plan) == SPI_EINVAL, "tol: %s", spi_err_message());
    return tap_done();
}
