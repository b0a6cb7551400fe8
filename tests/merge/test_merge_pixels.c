/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Merging pixel by pixel against its literal twin: the sums (V6) in double, the transforms
 * by direct summation (spi_nufft_merge_ref). */
#include <string.h>

#include "merge/merge_pixels.h"
#include "merge/normal.h"
#include "stage_test.h"
#include "tap.h"

enum { N = 12, SIDE = 7, IMAGES = 11, NP = SIDE * SIDE };
static const double tol = 1e-4, dx = 6.2, q_min = 0.012, q_max = 0.075;

static struct spi_detector det;
static float images[IMAGES][NP], phi[IMAGES];
static double quat[IMAGES][4];

struct sums {
    double modes[2][N * N * N], weight, norm2;
};

/* (V6), (V7) as they are written, over all pixels of the detector. */
static void twin(struct sums *out)
{
    static double q[IMAGES * NP][3], s[2][IMAGES * NP];
    int64_t n = 0;

    memset(out, 0, sizeof *out);
    for (int k = 0; k < IMAGES; k++)
        for (int p = 0; p < NP; p++) {
            double *v = det.q + 3 * p, R[9], g = (double)det.geometry[p];
            double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            double w = length / q_max * (double)phi[k] * g;

            if (det.bad[p] || length < q_min || length > q_max || w == 0)
                continue;

            double b = (double)images[k][p] / ((double)phi[k] * g);

            spi_rot_matrix(quat[k], R);
            spi_rot_apply_t(R, v, q[n]);
            s[0][n] = w * b;
            s[1][n++] = w;
            out->weight += w;
            out->norm2 += w * b * b;
        }
    for (int c = 0; c < 2; c++)
        spi_nufft_merge_ref(N, dx, n, (const double(*)[3])q, s[c], out->modes[c]);
}

static int threads = 1; /* of the loops, and of the plan */

/* The same in one call, or in blocks of 4. */
static spi_err fast(const struct spi_pixel_list *l, int block, float *modes, double *weight,
                    double *norm2)
{
    spi_nufft *plan = NULL;
    spi_points *points = NULL;
    float *grid = NULL;
    spi_err err;

    *weight = *norm2 = 0;
    SPI_TRY(err = spi_nufft_new(N, dx, tol, &plan), out);
    spi_nufft_set_threads(plan, threads);
    SPI_TRY(err = spi_points_new(plan, l->n, (const float(*)[3])l->q, &points), out);
    SPI_TRY(err = spi_nufft_grid_new(plan, 2, &grid), out);
    for (int k = 0; k < IMAGES; k += block) {
        int n = IMAGES - k < block ? IMAGES - k : block;

        SPI_TRY(err = spi_merge_pixels(l, points, n, NP, images[k],
                                       (const double(*)[4])quat + k, phi + k, threads, grid,
                                       weight, norm2),
                out);
    }
    for (int c = 0; c < 2 && !err; c++)
        err = spi_nufft_collect(plan, grid, c, N, modes + c * N * N * N);
out:
    free(grid);
    spi_points_free(points);
    spi_nufft_free(plan);
    return err;
}

/* Same bits with any number of threads. */
static void same_bits(const struct spi_pixel_list *l)
{
    static float one[2 * N * N * N], many[2 * N * N * N];
    double w1, n1, w, n;

    OK(fast(l, IMAGES, one, &w1, &n1) == SPI_OK, "one thread");
    for (threads = 2; threads <= 8; threads *= 2)
        OK(fast(l, IMAGES, many, &w, &n) == SPI_OK && w == w1 && n == n1 &&
               memcmp(one, many, sizeof one) == 0,
           "%d threads: the same bits", threads);
    threads = 1;
    OK(fast(l, 4, many, &w, &n) == SPI_OK && memcmp(one, many, sizeof one) != 0,
       "other blocks round in another way: the comparison can fail");
}

static void compare(const struct spi_pixel_list *l)
{
    static struct sums want;
    static float got[2 * N * N * N];
    double bound = transform_bound(tol, N), weight, norm2;

    twin(&want);
    for (int block = 4; block <= IMAGES; block += IMAGES - 4) {
        OK(fast(l, block, got, &weight, &norm2) == SPI_OK, "merged, blocks of %d", block);
        for (int c = 0; c < 2; c++) {
            double e = relative_l2_error(N * N * N, got + c * N * N * N, want.modes[c]);

            OK(e <= bound, "component %d: error / bound = %.2f", c, e / bound);
        }
        /* every term is a product of at most 5 factors of one rounding each, all positive
         */
        OK(fabs(weight / want.weight - 1) <= gamma_f32(5), "sum of weights: %.1e",
           fabs(weight / want.weight - 1));
        OK(fabs(norm2 / want.norm2 - 1) <= gamma_f32(6), "sum of w b^2: %.1e",
           fabs(norm2 / want.norm2 - 1));
    }

    /* the test can fail: another hand, a forgotten geometry factor */
    quat[2][1] = -quat[2][1];
    twin(&want);
    quat[2][1] = -quat[2][1];
    OK(relative_l2_error(N * N * N, got, want.modes[0]) > bound, "a wrong turn is noticed");
    for (int64_t p = 0; p < NP; p++)
        det.geometry[p] *= p % 2 ? 1 : 1.01F;
    twin(&want);
    for (int64_t p = 0; p < NP; p++)
        det.geometry[p] /= p % 2 ? 1 : 1.01F;
    OK(relative_l2_error(N * N * N, got + N * N * N, want.modes[1]) > bound,
       "a wrong geometry factor is noticed");
}

/* What stands in pixels that do not take part, or in images of no fluence, changes nothing.
 */
static void masked(const struct spi_pixel_list *l)
{
    static float before[2 * N * N * N], after[2 * N * N * N];
    double w0, w1, n0, n1;
    int hidden = 0;
    float kept[IMAGES][NP];

    memcpy(kept, images, sizeof kept);
    OK(!fast(l, IMAGES, before, &w0, &n0), "merged");
    for (int k = 0; k < IMAGES; k++)
        for (int p = 0; p < NP; p++) {
            double *v = det.q + 3 * p, q = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);

            if (det.bad[p] || q < q_min || q > q_max || phi[k] == 0) {
                images[k][p] = 1e9F;
                hidden++;
            }
        }
    OK(!fast(l, IMAGES, after, &w1, &n1) && !memcmp(before, after, sizeof before) &&
           w0 == w1 && n0 == n1,
       "%d masked values weigh nothing", hidden);
    images[1][l->pixel[3]] *= 1.5F;
    OK(!fast(l, IMAGES, after, &w1, &n1) && memcmp(before, after, sizeof before) &&
           w0 == w1 && n0 != n1,
       "a pixel that takes part does weigh");
    memcpy(images, kept, sizeof kept);
}

static void no_pixels(void)
{
    struct spi_pixel_list l;

    OK(spi_pixel_list_init(&l, &det, 1, 2) == SPI_EINVAL && !l.pixel, "%s",
       spi_err_message());
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 1);
    struct spi_pixel_list l;
    int in_range = 0;

    if (curved_detector(&det, SIDE, 0.06, 7.75) ||
        spi_pixel_list_init(&l, &det, q_min, q_max)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    random_quats(5, IMAGES, quat);
    for (int k = 0; k < IMAGES; k++) {
        phi[k] = k == 3 ? 0 : (float)(0.5 + spi_rng_uniform(&rng));
        for (int p = 0; p < NP; p++)
            images[k][p] = (float)spi_rng_poisson(&rng, 20);
    }
    for (int p = 0; p < NP; p++)
        in_range += !det.bad[p];
    OK(l.n > NP / 2 && l.n < in_range, "%d of %d good pixels take part", (int)l.n,
       in_range);
    compare(&l);
    masked(&l);
    same_bits(&l);
    no_pixels();
    spi_pixel_list_clear(&l);
    spi_detector_clear(&det);
    return tap_done();
}
