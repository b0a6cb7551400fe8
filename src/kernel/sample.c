/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/sample.h"

#include <assert.h>
#include <stddef.h>

#include "kernel/clones.h"

enum { W = SPI_SAMPLE_W };

/* Four floats at any float's address. */
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

#define LOAD(from) (*(const v4 *)(const void *)(from))

SPI_INLINE v4 weights(const struct spi_sample_grid *grid, float fraction)
{
    float at = fraction * (float)grid->rows;
    int row = (int)at;

    row = row < grid->rows ? row : grid->rows - 1;
    at -= (float)row;

    const float *from = grid->table + row * W;

    return LOAD(from) + at * (LOAD(from + W) - LOAD(from));
}

/* PARTS is a constant: a row of nodes is one vector or two; the x weights come last. */
SPI_INLINE void sample(const int PARTS, const struct spi_sample_grid *grid,
                       const float M[9], int64_t n, const float (*restrict q)[3],
                       float *restrict out)
{
    ptrdiff_t side = grid->side;
    float centre = (float)(grid->side / 2);

    for (int64_t j = 0; j < n; j++) {
        ptrdiff_t first[3];
        v4 w[3], acc[2] = {{0}};

        for (int k = 0; k < 3; k++) {
            float u = M[3 * k] * q[j][0] + M[3 * k + 1] * q[j][1] + M[3 * k + 2] * q[j][2] +
                      centre;
            int i = (int)u;

            first[k] = i - W / 2 + 1;
            assert(first[k] >= 0 && first[k] + W <= side);
            w[k] = weights(grid, u - (float)i);
        }

        const float *corner =
            grid->f + ((first[2] * side + first[1]) * side + first[0]) * PARTS;

        for (int a = 0; a < W; a++) {
            v4 plane[2] = {{0}};

            for (int b = 0; b < W; b++) {
                const float *row = corner + (a * side + b) * side * PARTS;

                for (int h = 0; h < PARTS; h++)
                    plane[h] += w[1][b] * LOAD(row + 4 * h);
            }
            for (int h = 0; h < PARTS; h++)
                acc[h] += w[2][a] * plane[h];
        }
        for (int p = 0; p < PARTS; p++) {
            float sum = 0;

            for (int c = 0; c < W; c++)
                sum += w[0][c] * acc[(PARTS * c + p) / W][(PARTS * c + p) % W];
            out[j * PARTS + p] = sum;
        }
    }
}

SPI_CLONES void spi_sample(const struct spi_sample_grid *grid, const float M[9], int64_t n,
                           const float (*q)[3], float *out)
{
    assert(grid->parts == 1 || grid->parts == 2);
    if (grid->parts == 1)
        sample(1, grid, M, n, q, out);
    else
        sample(2, grid, M, n, q, out);
}
