/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The product point by point, in both precisions, against direct sums; and what is merged
 * in double against the same. */
#include <string.h>

#include "base/mem.h"
#include "merge/direct.h"
#include "merge/even_vector.h"
#include "stage_test.h"
#include "tap.h"

enum { N = 12, COUNT = N * N * N, SIDE = 7, IMAGES = 5, NP = SIDE * SIDE };
static const double dx = 6.2, q_min = 0.012, q_max = 0.075;

static struct spi_detector det;
static struct spi_pixel_list l;
static float images[IMAGES][NP], phi[IMAGES], A[COUNT];
static double quat[IMAGES][4], q[IMAGES * NP][3], w[IMAGES * NP], wb[IMAGES * NP];
static int64_t points;
static double want[COUNT];

/* Places and weights of all points, as (V6), (V7) are written. */
static void literal(void)
{
    points = 0;
    for (int k = 0; k < IMAGES; k++)
        for (int64_t p = 0; p < l.n; p++, points++) {
            double R[9], v[3] = {(double)l.q[p][0], (double)l.q[p][1], (double)l.q[p][2]};

            spi_rot_matrix(quat[k], R);
            spi_rot_apply_t(R, v, q[points]);
            w[points] = (double)l.kappa[p] * (double)phi[k] * (double)l.geometry[p];
            wb[points] = (double)l.kappa[p] * (double)images[k][l.pixel[p]];
        }
}

/* want = H* (w H A) by sums. */
static void product_ref(void)
{
    double *W = spi_alloc((size_t)points, sizeof *W, "W");

    spi_nufft_slice_ref(N, dx, A, points, (const double(*)[3])q, W);
    for (int64_t j = 0; j < points; j++)
        W[j] *= w[j];
    spi_nufft_merge_ref(N, dx, points, (const double(*)[3])q, W, want);
    free(W);
}

static double error_f64(const double complex *got, const double *ref, bool imaginary)
{
    double diff = 0, norm = 0;

    for (int i = 0; i < COUNT; i++) {
        int x = i % N, y = i / N % N, z = i / (N * N), twin;
        double v;

        if (!x || !y || !z)
            continue;
        twin = ((N - z) * N + N - y) * N + N - x;
        v = imaginary ? cimag(got[i] + got[twin]) / 2 : creal(got[i] + got[twin]) / 2;
        diff += (v - ref[i]) * (v - ref[i]);
        norm += ref[i] * ref[i];
    }
    return sqrt(diff / norm);
}

static void check_float(void)
{
    const double tol = 1e-4;
    spi_nufft *plan = NULL;
    float *prepared = NULL, *grid = NULL, got[COUNT];
    double bound = 2 * transform_bound(tol, N); /* one each way */

    if (spi_nufft_new(N, dx, tol, &plan) || spi_nufft_grid_new(plan, 1, &prepared) ||
        spi_nufft_grid_new(plan, 2, &grid) || spi_nufft_prepare(plan, A, prepared) ||
        spi_direct_add(&l, 2, (const double(*)[4])quat, phi, plan, prepared, grid) ||
        spi_direct_add(&l, IMAGES - 2, (const double(*)[4])quat + 2, phi + 2, plan,
                       prepared, grid) ||
        spi_nufft_collect(plan, grid, 0, N, got))
        OK(0, "%s", spi_err_message());
    OK(relative_l2_error(COUNT, got, want) <= bound, "float: error / bound = %.3f",
       relative_l2_error(COUNT, got, want) / bound);
    for (int i = 0; i < COUNT; i++)
        got[i] *= 1 + 2 * (float)bound;
    OK(relative_l2_error(COUNT, got, want) > bound, "a wrong product is noticed");
    free(prepared);
    free(grid);
    spi_nufft_free(plan);
}

static void check_double(void)
{
    const struct spi_modes modes = {.m = N, .dx = dx, .tol = 1e-10};
    static double complex in[COUNT], sum[COUNT], merged[COUNT];
    static double rhs[COUNT], kernel[COUNT];
    double weight = 0, norm2 = 0, w_ref = 0, n_ref = 0, bound = 2 * modes.tol + 1e-13;

    for (int i = 0; i < COUNT; i++)
        in[i] = (double)A[i];
    if (spi_direct_add_f64(&l, 2, (const double(*)[4])quat, phi, &modes, in, sum) ||
        spi_direct_add_f64(&l, IMAGES - 2, (const double(*)[4])quat + 2, phi + 2, &modes,
                           in, sum))
        OK(0, "%s", spi_err_message());
    OK(error_f64(sum, want, false) <= 2 * bound, "double: error / bound = %.4f",
       error_f64(sum, want, false) / (2 * bound));
    sum[COUNT / 2 + N / 2 * (N + 1)] *= 1 + 1e-6;
    OK(error_f64(sum, want, false) > 2 * bound, "a wrong value is noticed");

    if (spi_direct_merge_f64(&l, IMAGES, NP, images[0], (const double(*)[4])quat, phi,
                             &modes, merged, &weight, &norm2))
        OK(0, "%s", spi_err_message());
    spi_nufft_merge_ref(N, dx, points, (const double(*)[3])q, wb, rhs);
    spi_nufft_merge_ref(N, dx, points, (const double(*)[3])q, w, kernel);
    OK(error_f64(merged, rhs, false) <= bound, "H* w b: error / bound = %.4f",
       error_f64(merged, rhs, false) / bound);
    OK(error_f64(merged, kernel, true) <= bound, "kernel: error / bound = %.4f",
       error_f64(merged, kernel, true) / bound);
    OK(error_f64(merged, rhs, true) > bound, "not one for the other");
    for (int64_t j = 0; j < points; j++) {
        w_ref += w[j];
        n_ref += wb[j] * wb[j] / w[j];
    }
    /* sums of a few hundred positive terms in double */
    OK(fabs(weight / w_ref - 1) < 1e-13 && fabs(norm2 / n_ref - 1) < 1e-13,
       "sums of w, w b^2");
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(6, SPI_RNG_TEST, 1);

    if (curved_detector(&det, SIDE, 0.06, 7.75) ||
        spi_pixel_list_init(&l, &det, q_min, q_max)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    random_quats(6, IMAGES, quat);
    for (int k = 0; k < IMAGES; k++) {
        phi[k] = (float)(0.5 + spi_rng_uniform(&rng));
        for (int p = 0; p < NP; p++)
            images[k][p] = (float)spi_rng_poisson(&rng, 20);
    }
    blob_autocorrelation(N, dx, 8, 1, A);
    literal();
    product_ref();
    check_float();
    check_double();
    spi_pixel_list_clear(&l);
    spi_detector_clear(&det);
    return tap_done();
}
