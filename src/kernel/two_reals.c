/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/two_reals.h"

#include "kernel/clones.h"

SPI_CLONES void spi_two_reals_pack(int n, const float *restrict rows, float *restrict pairs)
{
    for (int p = 0; p < n / 2; p++, rows += 2 * n, pairs += 2 * n)
        for (int x = 0; x < n; x++) {
            pairs[2 * x] = rows[x];
            pairs[2 * x + 1] = rows[n + x];
        }
}

SPI_CLONES void spi_two_reals_unpack(int n, const float *restrict pairs,
                                     float *restrict rows)
{
    for (int p = 0; p < n / 2; p++, rows += 2 * n, pairs += 2 * n)
        for (int x = 0; x < n; x++) {
            rows[x] = pairs[2 * x];
            rows[n + x] = pairs[2 * x + 1];
        }
}

SPI_CLONES void spi_two_reals_untangle(int n, const float *restrict Z, float *restrict to)
{
    size_t column = 2 * (size_t)n;

    for (int p = 0; p < n / 2; p++, Z += column, to += 4)
        for (int k = 0; k <= n / 2; k++) {
            const float *z = Z + 2 * k, *w = Z + 2 * (k ? n - k : 0);
            float *t = to + (size_t)k * column;

            t[0] = (z[0] + w[0]) / 2;
            t[1] = (z[1] - w[1]) / 2;
            t[2] = (z[1] + w[1]) / 2;
            t[3] = (w[0] - z[0]) / 2;
        }
}

SPI_CLONES void spi_two_reals_tangle(int n, const float *restrict from, float *restrict Z)
{
    size_t column = 2 * (size_t)n;

    for (int p = 0; p < n / 2; p++, Z += column, from += 4) {
        const float *last = from + (size_t)(n / 2) * column;

        for (int k = 1; k < n / 2; k++) {
            const float *f = from + (size_t)k * column;
            float *z = Z + 2 * k, *w = Z + 2 * (n - k);

            z[0] = f[0] - f[3];
            z[1] = f[1] + f[2];
            w[0] = f[0] + f[3];
            w[1] = f[2] - f[1];
        }
        Z[0] = from[0];
        Z[1] = from[2];
        Z[n] = last[0];
        Z[n + 1] = last[2];
    }
}

SPI_CLONES void spi_transpose_lines(int n, int h, const float complex *restrict from,
                                    size_t line, float complex *restrict to, size_t row)
{
    for (int z = 0; z < n; z++)
        for (int k = 0; k < h; k++)
            to[(size_t)z * row + (size_t)k] = from[(size_t)k * line + (size_t)z];
}
