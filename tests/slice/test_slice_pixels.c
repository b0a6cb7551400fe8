/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Slicing at the detector's pixels: against direct sums in double, and against merging,
 * whose transpose it is. */
#include <string.h>

#include "merge/merge_pixels.h"
#include "slice/slice_pixels.h"
#include "stage_test.h"
#include "tap.h"

enum { N = 16, SIDE = 9, IMAGES = 10, NP = SIDE * SIDE };
static const double tol = 1e-4, dx = 6.2, q_min = 0.012, q_max = 0.075;

static struct spi_detector det;
static struct spi_pixel_list l;
static float A[N * N * N], phi[IMAGES], images[IMAGES][NP];
static double quat[IMAGES][4];

/* (V7), (V8) as they are written. */
static void twin(double want[IMAGES][NP])
{
    memset(want, 0, IMAGES * sizeof *want);
    for (int k = 0; k < IMAGES; k++)
        for (int p = 0; p < NP; p++) {
            double *v = det.q + 3 * p, R[9], q[1][3], W;
            double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);

            if (det.bad[p] || length < q_min || length > q_max)
                continue;
            spi_rot_matrix(quat[k], R);
            spi_rot_apply_t(R, v, q[0]);
            spi_nufft_slice_ref(N, dx, A, 1, (const double(*)[3])q, &W);
            want[k][p] = (double)phi[k] * (double)det.geometry[p] * W;
        }
}

static void against_twin(const spi_nufft *plan, const float *grid)
{
    static double want[IMAGES][NP];
    spi_packed *kept;
    double e, bound = transform_bound(tol, N), swap;
    int outside = 0;

    OK(spi_packed_new(plan, grid, &kept) == SPI_OK, "kept");
    OK(spi_slice_pixels(&l, IMAGES, NP, (const double(*)[4])quat, phi, plan, kept,
                        images[0]) == SPI_OK,
       "sliced");
    spi_packed_free(kept);
    twin(want);
    e = relative_l2_error(IMAGES * NP, images[0], want[0]);
    OK(e <= bound, "error / bound = %.2f", e / bound);
    for (int k = 0; k < IMAGES; k++)
        for (int p = 0; p < NP; p++)
            outside += want[k][p] == 0 && images[k][p] != 0;
    OK(!outside, "pixels that take no part are 0");

    swap = quat[4][2];
    quat[4][2] = quat[4][3];
    quat[4][3] = swap;
    twin(want);
    quat[4][3] = quat[4][2];
    quat[4][2] = swap;
    OK(relative_l2_error(IMAGES * NP, images[0], want[0]) > bound,
       "a wrong turn is noticed");
}

/* <H A, s> = <A, H^T s> with s = kappa y: merging the images y with fluence 1 makes H^T s
 * its first component.  Both use the same taps at the same positions, so only the rounding
 * of the transforms remains, transform_bound(0, N), times |H A| |s| for one and |A| |H^T s|
 * for the other (Cauchy-Schwarz). */
static void adjoint(const spi_nufft *plan, const float *grid)
{
    struct spi_rng rng = spi_rng_stream(8, SPI_RNG_TEST, 2);
    static float W[IMAGES * NP], y[IMAGES][NP], modes[N * N * N];
    float *grid2 = NULL;
    spi_points *points = NULL;
    double weight = 0, norm2 = 0, left = 0, right = 0, HA = 0, yy = 0, AA = 0, Hy = 0;

    for (int k = 0; k < IMAGES; k++)
        for (int p = 0; p < NP; p++)
            y[k][p] = (float)spi_rng_uniform(&rng); /* > 0: no cancellation */
    if (spi_pixel_list_values(&l, IMAGES, (const double(*)[4])quat, plan, grid, W) ||
        spi_nufft_grid_new(plan, 2, &grid2) ||
        spi_points_new(plan, l.n, (const float(*)[3])l.q, &points) ||
        spi_merge_pixels(&l, points, IMAGES, NP, y[0], (const double(*)[4])quat, NULL, 1,
                         grid2, &weight, &norm2) ||
        spi_nufft_collect(plan, grid2, 0, N, modes)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int k = 0; k < IMAGES; k++)
        for (int64_t p = 0; p < l.n; p++) {
            double w = (double)W[k * l.n + p];
            double s = (double)(l.kappa[p] * y[k][l.pixel[p]]);

            left += w * s;
            HA += w * w;
            yy += s * s;
        }
    for (int i = 0; i < N * N * N; i++) {
        right += (double)A[i] * (double)modes[i];
        AA += (double)A[i] * (double)A[i];
        Hy += (double)modes[i] * (double)modes[i];
    }

    double bound = transform_bound(0, N) * (sqrt(HA * yy) + sqrt(AA * Hy));

    OK(fabs(left - right) <= bound, "adjoint: gap / bound = %.2g (of %.3g)",
       fabs(left - right) / bound, left);
    right *= 1.001;
    OK(fabs(left - right) > bound, "a scale wrong by 1e-3 is noticed");
    spi_points_free(points);
    free(grid2);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(6, SPI_RNG_TEST, 1);
    spi_nufft *plan = NULL;
    float *grid = NULL;

    random_quats(6, IMAGES, quat);
    for (int k = 0; k < IMAGES; k++)
        phi[k] = (float)(0.5 + spi_rng_uniform(&rng));
    blob_autocorrelation(N, dx, 4, 1, A);
    if (curved_detector(&det, SIDE, 0.06, 7.75) ||
        spi_pixel_list_init(&l, &det, q_min, q_max) || spi_nufft_new(N, dx, tol, &plan) ||
        spi_nufft_grid_new(plan, 1, &grid) || spi_nufft_prepare(plan, A, grid)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    against_twin(plan, grid);
    adjoint(plan, grid);
    free(grid);
    spi_nufft_free(plan);
    spi_pixel_list_clear(&l);
    spi_detector_clear(&det);
    return tap_done();
}
