/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interpolation with gradient, and the sums of a likelihood, against their literal twins.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/interp.h"
#include "kernel/refine.h"
#include "tap.h"

/* Taps of points within REACH of the centre stay on the grid, also where rows are read 8
 * wide; rows have room to spare, as those of a fine grid. */
enum { SIDE = 34, ROW = 40, REACH = SIDE / 2 - SPI_TAPS_MAX };

/* The same values by the interpolation of the transforms, 16 points a patch. */
static void plain_values(const struct spi_taps *taps, const struct spi_rows_in *grid,
                         const float u[3][SPI_POINTS], float *out)
{
    for (int j = 0; j < SPI_POINTS; j += SPI_PATCH_MAX) {
        _Alignas(64) float d[3][SPI_PATCH_MAX];
        struct spi_patch patch = {.d = d[0], .M = {1, 0, 0, 0, 1, 0, 0, 0, 1}};

        patch.n = SPI_PATCH_MAX;
        for (int c = 0; c < 3; c++)
            memcpy(d[c], u[c] + j, sizeof d[c]);
        spi_interp_best()->interp(taps, &patch, grid, out + j);
    }
}

static void one_width(int w)
{
    struct spi_taps taps;
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    size_t points = (size_t)SIDE * SIDE * ROW;
    float *grid = calloc(points, sizeof *grid);
    struct spi_rows_in rows = {.row = ROW, .plane = SIDE * ROW};
    static float u[3][SPI_POINTS], out[4][SPI_POINTS], same[SPI_POINTS];
    static double ref[4][SPI_POINTS], mag[4][SPI_POINTS];
    double worst = 0, other = 0, apart = 0;

    spi_taps_init(&taps, w, 2.3 * w); /* about what plans choose */
    for (size_t i = 0; i < points; i++)
        grid[i] = (float)spi_rng_normal(&rng);
    rows.at = grid + (SIDE / 2 * SIDE + SIDE / 2) * ROW + SIDE / 2;
    for (int j = 0; j < SPI_POINTS; j++)
        for (int c = 0; c < 3; c++)
            u[c][j] = j == 0 ? 0 /* on a grid point */
                             : (float)((2 * spi_rng_uniform(&rng) - 1) * REACH);
    spi_interp_grad(&taps, &rows, SPI_POINTS, (const float(*)[SPI_POINTS])u, out);
    spi_interp_grad_ref(&taps, &rows, SPI_POINTS, (const float(*)[SPI_POINTS])u, ref, mag);
    plain_values(&taps, &rows, (const float(*)[SPI_POINTS])u, same);

    double gamma = gamma_f32(w * w * w + 9 * taps.window.degree + 8);

    for (int j = 0; j < SPI_POINTS; j++)
        for (int c = 0; c < 4; c++) {
            double bound = gamma * mag[c][j];

            worst = fmax(worst, fabs((double)out[c][j] - ref[c][j]) / bound);
            other = fmax(other, fabs((double)out[c][j] - ref[(c + 1) % 4][j]) / bound);
            if (c == 0)
                apart = fmax(apart, fabs((double)(out[0][j] - same[j])) / (2 * bound));
        }
    OK(worst <= 1, "w = %d: value and slopes, error / bound = %.3f", w, worst);
    OK(other > 1, "slopes along other axes are told apart");
    OK(apart <= 1, "the value is that of the transforms, difference / bound = %.3f", apart);
    free(grid);
}

/* The fields of struct spi_likelihood_sums, in order. */
enum { FIELDS = 2 + 3 + 3 + 6 };

static void check_sums(const char *name, spi_sums_fn *fast, spi_sums_ref_fn *slow, int n)
{
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, (uint64_t)n);
    static float K[SPI_POINTS], g[SPI_POINTS], least[SPI_POINTS], v[SPI_POINTS],
        u[3][SPI_POINTS], W[4][SPI_POINTS];
    struct spi_likelihood_sums sums = {0}, ref = {0}, mag = {0};
    double got[FIELDS], want[FIELDS], size[FIELDS], worst = 0, nearest = INFINITY;
    double gamma = gamma_f32(SPI_POINTS + 16);
    int floored = 0;

    for (int j = 0; j < n; j++) {
        K[j] = (float)spi_rng_poisson(&rng, 1.5);
        g[j] = 0.5F + (float)spi_rng_uniform(&rng);
        v[j] = 0.1F + (float)spi_rng_uniform(&rng);
        W[0][j] = (float)exp(6 * spi_rng_normal(&rng)) - 0.3F;
        least[j] = 0.05F;
        floored += W[0][j] <= least[j];
        for (int c = 0; c < 3; c++) {
            u[c][j] = (float)(20 * spi_rng_normal(&rng));
            W[1 + c][j] = (float)spi_rng_normal(&rng);
        }
    }
    fast(n, K, g, least, v, (const float(*)[SPI_POINTS])u, (const float(*)[SPI_POINTS])W,
         &sums);
    slow(n, K, g, least, v, (const float(*)[SPI_POINTS])u, (const float(*)[SPI_POINTS])W,
         &ref, &mag);
    memcpy(got, &sums, sizeof got);
    memcpy(want, &ref, sizeof want);
    memcpy(size, &mag, sizeof size);
    for (int i = 0; i < FIELDS; i++) {
        double bound = (gamma + (i == 0 ? 0x1p-22 : 0)) * size[i];

        worst = fmax(worst, fabs(got[i] - want[i]) / bound);
        nearest = fmin(nearest, fabs(got[i] - want[(i + 1) % FIELDS]) / bound);
    }
    OK(worst <= 1, "%s, %d points (%d below the floor): error / bound = %.3f", name, n,
       floored, worst);
    OK(nearest > 1, "another sum is told apart, %.1f bounds away at least", nearest);
}

int main(void)
{
    for (int w = 2; w <= SPI_TAPS_MAX; w++)
        one_width(w);
    for (int n = 77; n <= SPI_POINTS; n += SPI_POINTS - 77) { /* 77: no whole vectors */
        check_sums("counts", spi_sums_counts, spi_sums_counts_ref, n);
        check_sums("squares", spi_sums_squares, spi_sums_squares_ref, n);
    }
    return tap_done();
}
