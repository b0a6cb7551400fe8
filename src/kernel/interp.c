#include "kernel/interp.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

#include "kernel/clones.h"

/* Taps of one coordinate by Horner's rule, all W at once. */
SPI_INLINE int taps(const int L, const struct spi_window *win, int side, float u,
                    float *tap)
{
    float fl = floorf(u), z = 2 * (u - fl) - 1;
    int degree = win->degree;
    float t[8];

    for (int c = 0; c < L; c++)
        t[c] = win->coef[degree][c];
    for (int p = degree - 1; p >= 0; p--)
        for (int c = 0; c < L; c++)
            t[c] = t[c] * z + win->coef[p][c];
    for (int c = 0; c < L; c++)
        tap[c] = t[c];

    int i0 = (int)fl - win->w / 2 + 1 + side / 2;

    assert(i0 >= 0 && i0 + 8 <= side);
    return i0;
}

int spi_window_taps(const struct spi_window *win, int side, float u, float tap[SPI_W_MAX])
{
    return taps(8, win, side, u, tap);
}

/* L is the padded width (4 or 8): rows are read and written L wide, taps beyond w are 0. */
SPI_INLINE void interp1(const int W, const int L, const struct spi_window *win, int side,
                        const float *restrict grid, int64_t n,
                        const float (*restrict pos)[3], float *restrict out)
{
    size_t s = (size_t)side;

    for (int64_t j = 0; j < n; j++) {
        float tx[8], ty[8], tz[8], acc[8] = {0};
        size_t ix = (size_t)taps(L, win, side, pos[j][0], tx);
        size_t iy = (size_t)taps(L, win, side, pos[j][1], ty);
        size_t iz = (size_t)taps(L, win, side, pos[j][2], tz);

        for (int a = 0; a < W; a++)
            for (int b = 0; b < W; b++) {
                const float *row = grid + ((iz + (size_t)a) * s + iy + (size_t)b) * s + ix;
                float k = tz[a] * ty[b];

                for (int c = 0; c < L; c++)
                    acc[c] += k * row[c];
            }

        float sum = 0;

        for (int c = 0; c < L; c++)
            sum += acc[c] * tx[c];
        out[j] = sum;
    }
}

SPI_INLINE void spread2(const int W, const int L, const struct spi_window *win, int side,
                        float *restrict grid, int64_t n, const float (*restrict pos)[3],
                        const float (*restrict val)[2])
{
    size_t s = (size_t)side;

    for (int64_t j = 0; j < n; j++) {
        float tx[8], ty[8], tz[8], add[16];
        size_t ix = (size_t)taps(L, win, side, pos[j][0], tx);
        size_t iy = (size_t)taps(L, win, side, pos[j][1], ty);
        size_t iz = (size_t)taps(L, win, side, pos[j][2], tz);

        for (int c = 0; c < L; c++) {
            add[2 * c] = tx[c] * val[j][0];
            add[2 * c + 1] = tx[c] * val[j][1];
        }
        for (int a = 0; a < W; a++)
            for (int b = 0; b < W; b++) {
                float *row = grid + 2 * (((iz + (size_t)a) * s + iy + (size_t)b) * s + ix);
                float k = tz[a] * ty[b];

                for (int c = 0; c < 2 * L; c++)
                    row[c] += k * add[c];
            }
    }
}

SPI_CLONES void spi_interp1(const struct spi_window *win, int side, const float *grid,
                            int64_t n, const float (*pos)[3], float *out)
{
    if (win->w == 4)
        interp1(4, 4, win, side, grid, n, pos, out);
    else if (win->w == 6)
        interp1(6, 8, win, side, grid, n, pos, out);
    else
        interp1(8, 8, win, side, grid, n, pos, out);
}

SPI_CLONES void spi_spread2(const struct spi_window *win, int side, float *grid, int64_t n,
                            const float (*pos)[3], const float (*val)[2])
{
    if (win->w == 4)
        spread2(4, 4, win, side, grid, n, pos, val);
    else if (win->w == 6)
        spread2(6, 8, win, side, grid, n, pos, val);
    else
        spread2(8, 8, win, side, grid, n, pos, val);
}
