/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/interp_complex.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernel/clones.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize( \
    "fp-contract=fast") /* -std=c17 alone would forbid fused multiply-add */
#endif

/* Eight floats at any float's address; the compiler makes of it what the processor has. */
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));

#define LOAD(from) (*(const v8 *)(const void *)(from))

/* Taps of the three coordinates side by side, by Horner's rule; first[] = floor(u). */
SPI_INLINE void taps(const struct spi_window *win, const double u[3], float tap[3][8],
                     int first[3])
{
    float z[3];
    v8 t[3];

    for (int k = 0; k < 3; k++) {
        double fl = floor(u[k]);

        first[k] = (int)fl;
        z[k] = (float)(2 * (u[k] - fl) - 1);
        t[k] = LOAD(win->coef[win->degree]);
    }
    for (int p = win->degree - 1; p >= 0; p--) {
        v8 coef = LOAD(win->coef[p]);

        for (int k = 0; k < 3; k++)
            t[k] = t[k] * z[k] + coef;
    }
    memcpy(tap, t, sizeof t);
}

/* sum_i phi(i - u) G(i) for the 2 comp = C reals of a point.  A row of W points is W C
 * neighbouring floats: the x taps are applied once at the end. */
SPI_INLINE void gather(const int W, const int C, const struct spi_window *win,
                       const struct spi_half_space_grid *grid, const double u[3],
                       float *sum)
{
    enum { V_MAX = 8 };
    const int V = W * C / 8;
    float tap[3][8], acc[8 * V_MAX];
    int first[3];

    taps(win, u, tap, first);

    int ix = first[0] - W / 2 + 1 + grid->x0, iy = first[1] - W / 2 + 1 + grid->c0;
    int iz = first[2] - W / 2 + 1 + grid->c0;

    assert(ix >= 0 && iy >= 0 && iz >= 0 && ix + W <= grid->nx && iy + W <= grid->n &&
           iz + W <= grid->n);

    ptrdiff_t line = (ptrdiff_t)grid->nx * C;
    const float *corner = grid->data + ((ptrdiff_t)iz * grid->n + iy) * line + ix * C;
    v8 part[V_MAX] = {{0}};

    for (int a = 0; a < W; a++) {
        v8 plane[V_MAX] = {{0}};

        for (int b = 0; b < W; b++) {
            const float *row = corner + ((ptrdiff_t)a * grid->n + b) * line;

            for (int i = 0; i < V; i++)
                plane[i] += tap[1][b] * LOAD(row + 8 * i);
        }
        for (int i = 0; i < V; i++)
            part[i] += tap[2][a] * plane[i];
    }
    memcpy(acc, part, sizeof acc);
    for (int c = 0; c < C; c++)
        sum[c] = 0;
    for (int t = 0; t < W; t++)
        for (int c = 0; c < C; c++)
            sum[c] += tap[0][t] * acc[t * C + c];
}

SPI_INLINE void interp(const int W, const int C, const struct spi_window *win,
                       const struct spi_half_space_grid *grid, const double M[9], int64_t n,
                       const double (*restrict q)[3], const float *restrict factor,
                       float (*restrict F)[2])
{
    for (int64_t j = 0; j < n; j++) {
        const double *x = q[j];
        double u[3] = {M[0] * x[0] + M[1] * x[1] + M[2] * x[2],
                       M[3] * x[0] + M[4] * x[1] + M[5] * x[2],
                       M[6] * x[0] + M[7] * x[1] + M[8] * x[2]};
        double sign = u[0] < 0 ? -1 : 1;
        float sum[8], re = 0, im = 0;

        for (int k = 0; k < 3; k++)
            u[k] *= sign;
        gather(W, C, win, grid, u, sum);
        for (int c = 0; c < C / 2; c++) {
            re += factor[j * (C / 2) + c] * sum[2 * c];
            im += factor[j * (C / 2) + c] * sum[2 * c + 1];
        }
        F[j][0] += re;
        F[j][1] += (float)sign * im;
    }
}

SPI_CLONES void spi_interp_complex(const struct spi_window *win,
                                   const struct spi_half_space_grid *grid,
                                   const double M[9], int64_t n, const double (*q)[3],
                                   const float *factor, float (*F)[2])
{
    assert(grid->comp == 2 || grid->comp == 4);
    if (win->w == 4 && grid->comp == 2)
        interp(4, 4, win, grid, M, n, q, factor, F);
    else if (win->w == 4)
        interp(4, 8, win, grid, M, n, q, factor, F);
    else if (win->w == 6 && grid->comp == 2)
        interp(6, 4, win, grid, M, n, q, factor, F);
    else if (win->w == 6)
        interp(6, 8, win, grid, M, n, q, factor, F);
    else if (grid->comp == 2)
        interp(8, 4, win, grid, M, n, q, factor, F);
    else
        interp(8, 8, win, grid, M, n, q, factor, F);
}
