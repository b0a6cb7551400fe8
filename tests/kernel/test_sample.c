/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sampling a grid with tabulated weights against its literal twin in double.
 *
 * Bound: a sum of 64 products of three weights and a value, each weight two roundings off
 * its two table rows: gamma_{64 + 3 * 3} times the sum of absolute values.  The float
 * coordinates and fractions are taken over by the twin: they are the input of the sum. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/sample.h"
#include "tap.h"

enum { SIDE = 24, ROWS = 16, N = 300, W = SPI_SAMPLE_W };

static void twin(const struct spi_sample_grid *grid, const float u[3], double *out,
                 double *mag)
{
    double w[3][W];
    int first[3];

    for (int k = 0; k < 3; k++) {
        int i = (int)u[k];
        float at = (u[k] - (float)i) * ROWS;
        int row = (int)at < ROWS ? (int)at : ROWS - 1;

        first[k] = i - 1;
        for (int c = 0; c < W; c++) {
            double a = (double)grid->table[row * W + c];
            double b = (double)grid->table[(row + 1) * W + c];

            w[k][c] = a + ((double)at - row) * (b - a);
        }
    }
    for (int p = 0; p < grid->parts; p++) {
        out[p] = mag[p] = 0;
        for (int c = 0; c < W * W * W; c++) {
            int z = c / (W * W), y = c / W % W, x = c % W;
            int at = ((first[2] + z) * SIDE + first[1] + y) * SIDE + first[0] + x;
            double term =
                w[2][z] * w[1][y] * w[0][x] * (double)grid->f[at * grid->parts + p];

            out[p] += term;
            mag[p] += fabs(term);
        }
    }
}

static void one(int parts)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, (uint64_t)parts);
    static float f[SIDE * SIDE * SIDE * 2], table[(ROWS + 1) * W], q[N][3], out[N * 2];
    struct spi_sample_grid grid = {SIDE, parts, f, ROWS, table};
    /* a rotation by 2 pi / 3 about (1,1,1): no coordinate keeps its place, none is rounded
     */
    static const float M[9] = {0, 0, 1, 1, 0, 0, 0, 1, 0};
    double worst = 0, noticed = 0;

    for (int i = 0; i < SIDE * SIDE * SIDE * parts; i++)
        f[i] = (float)(2 * spi_rng_uniform(&rng) - 1);
    for (int i = 0; i < (ROWS + 1) * W; i++)
        table[i] = (float)spi_rng_uniform(&rng);
    for (int j = 0; j < N; j++)
        for (int k = 0; k < 3; k++)
            q[j][k] = (float)((2 * spi_rng_uniform(&rng) - 1) * (SIDE / 2 - 3));
    q[0][0] = q[0][1] = q[0][2] = 0; /* on a node */
    spi_sample(&grid, M, N, (const float(*)[3])q, out);
    for (int j = 0; j < N; j++) {
        float u[3] = {q[j][2] + SIDE / 2, q[j][0] + SIDE / 2, q[j][1] + SIDE / 2};
        double ref[2], mag[2];

        twin(&grid, u, ref, mag);
        for (int p = 0; p < parts; p++) {
            double bound = gamma_f32(64 + 9) * mag[p], value = (double)out[j * parts + p];

            worst = fmax(worst, fabs(value - ref[p]) / bound);
            noticed = fmax(noticed, fabs(value * (1 + 0x1p-10) - ref[p]) / bound);
        }
    }
    OK(worst <= 1, "%d parts: error / bound = %.3f", parts, worst);
    OK(noticed > 1, "a relative error of 2^-10 would be noticed");
}

int main(void)
{
    one(1);
    one(2);
    return tap_done();
}
