/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/refine.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel/clones.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize( \
    "fp-contract=fast") /* -std=c17 alone would forbid fused multiply-add */
#endif

/* ---- interpolation ------------------------------------------------------------------ */

/* Eight floats at any float's address; the compiler makes of it what the processor has. */
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

#define LOAD8(from) (*(const v8 *)(const void *)(from))
#define LOAD4(from) (*(const v4 *)(const void *)(from))

enum { V_MAX = 8, LANES = 16 };

/* Taps of 16 points and their derivatives, one point a lane; 0 beyond W. */
struct grad_lanes {
    _Alignas(64) float tap[3][SPI_TAPS_MAX][LANES], slope[3][SPI_TAPS_MAX][LANES];
    _Alignas(64) int32_t at[3][LANES]; /* first grid index, ceil(u - W/2) */
};

/* Tap c at z = 2 (at - u) + W - 1 is E(z^2) + z O(z^2), tap W-1-c E - z O (interp.h).
 * E, O and their derivatives by Horner's rule; du = -dz / 2. */
SPI_INLINE void grad_taps(const int W, const struct spi_taps *t, int first, int n,
                          const float (*restrict u)[SPI_POINTS],
                          struct grad_lanes *restrict l)
{
    const int K = (W + 1) / 2 + 1;

    for (int a = 0; a < 3; a++) {
        float z[LANES] = {0};

        memcpy(z, u[a] + first, (size_t)n * sizeof *z);
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            float v = z[j] - 0.5F * (float)W;
            int32_t i = (int32_t)v;

            i += v > (float)i ? 1 : 0;
            l->at[a][j] = i;
            z[j] = 2 * ((float)i - v) - 1;
        }
        for (int c = 0; c < (W + 1) / 2; c++) {
            float *restrict tc = l->tap[a][c], *restrict tw = l->tap[a][W - 1 - c];
            float *restrict dc = l->slope[a][c], *restrict dw = l->slope[a][W - 1 - c];
            const bool middle = W % 2 && c == W / 2; /* is even */

#pragma omp simd
            for (int j = 0; j < LANES; j++) {
                float x = z[j], x2 = x * x, e = t->even[c][K - 1], o = t->odd[c][K - 1];
                float e1 = 0, o1 = 0;

                for (int k = K - 2; k >= 0; k--) {
                    e1 = e1 * x2 + e;
                    e = e * x2 + t->even[c][k];
                    o1 = o1 * x2 + o;
                    o = o * x2 + t->odd[c][k];
                }
                e1 = -4 * x * e1;
                o1 = middle ? 0 : -2 * o - 4 * x2 * o1;
                o = middle ? 0 : o * x;
                tc[j] = e + o;
                dc[j] = e1 + o1;
                if (!middle) {
                    tw[j] = e - o;
                    dw[j] = e1 - o1;
                }
            }
        }
        for (int c = W; c < SPI_TAPS_MAX; c++)
            for (int j = 0; j < LANES; j++)
                l->tap[a][c][j] = l->slope[a][c][j] = 0;
    }
}

/* Four taps of 16 points -> the four of each point together. */
SPI_INLINE void to_quads(const float (*restrict from)[LANES], float (*restrict to)[8])
{
    for (int j = 0; j < LANES; j += 4) {
        v4 a = LOAD4(from[0] + j), b = LOAD4(from[1] + j);
        v4 c = LOAD4(from[2] + j), d = LOAD4(from[3] + j);
        v4 ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        v4 ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        v4 cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
        v4 cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);

        *(v4 *)(void *)to[j] = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
        *(v4 *)(void *)to[j + 1] = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
        *(v4 *)(void *)to[j + 2] = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
        *(v4 *)(void *)to[j + 3] = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
    }
}

/* The taps of each point: four of them twice (L = 4), or eight. */
SPI_INLINE void by_point(const int L, const float (*restrict from)[LANES],
                         float (*restrict to)[8])
{
    to_quads(from, to);
    to_quads(L == 4 ? from : from + 4, (float(*)[8])(void *)(to[0] + 4));
}

typedef int i8 __attribute__((vector_size(32)));

/* The taps of y for vector i of a plane: L = 4 holds two rows in a vector, L = 8 one. */
SPI_INLINE void rows(const int L, const v8 *tap, int i, v8 *out)
{
    int a = L == 4 ? 2 * i : i, b = L == 4 ? 2 * i + 1 : i;

    *out = SPI_SHUFFLE(*tap, ((i8){a, a, a, a, b, b, b, b}));
}

/* out[i] = sum of the eight numbers of p[i]. */
SPI_INLINE void sums_of_8(const v8 p[4], v4 *out)
{
    v4 h[4];

    for (int i = 0; i < 4; i++)
        h[i] = __builtin_shufflevector(p[i], p[i], 0, 1, 2, 3) +
               __builtin_shufflevector(p[i], p[i], 4, 5, 6, 7);

    v4 a = __builtin_shufflevector(h[0], h[1], 0, 4, 1, 5) +
           __builtin_shufflevector(h[0], h[1], 2, 6, 3, 7);
    v4 b = __builtin_shufflevector(h[2], h[3], 0, 4, 1, 5) +
           __builtin_shufflevector(h[2], h[3], 2, 6, 3, 7);

    *out = __builtin_shufflevector(a, b, 0, 1, 4, 5) +
           __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

/* Vectors of a plane: W rows, each read L wide; for L = 4 and odd W one row more, whose tap
 * is 0. */
#define VECTORS(W, L) (((W) * (L) + 7) / 8)

/* acc and dcc: the sums over W planes with the taps of z and with their derivatives. */
SPI_INLINE void gather(const int W, const int L, const float *corner,
                       const struct spi_rows_in *grid, const struct grad_lanes *l, int j,
                       v8 *acc, v8 *dcc)
{
    const int V = VECTORS(W, L);

    for (int i = 0; i < V; i++)
        acc[i] = dcc[i] = (v8){0};
    for (int a = 0; a < W; a++)
        for (int i = 0; i < V; i++) {
            const float *row = corner + a * grid->plane + (L == 4 ? 2 * i : i) * grid->row;
            v8 r;

            if (L == 4) {
                r = __builtin_shufflevector(LOAD4(row), LOAD4(row + grid->row), 0, 1, 2, 3,
                                            4, 5, 6, 7);
            } else {
                r = LOAD8(row);
            }
            acc[i] += l->tap[2][a][j] * r;
            dcc[i] += l->slope[2][a][j] * r;
        }
}

SPI_INLINE void interp_grad(const int W, const int L, const struct spi_taps *taps,
                            const struct spi_rows_in *grid, int first, int n,
                            const float (*restrict u)[SPI_POINTS],
                            float (*restrict out)[SPI_POINTS])
{
    const int V = VECTORS(W, L);
    _Alignas(64) float x[LANES][8], dx[LANES][8], y[LANES][8], dy[LANES][8];
    _Alignas(64) float sums[LANES][4];
    struct grad_lanes l;

    grad_taps(W, taps, first, n, u, &l);
    by_point(L, (const float(*)[LANES])l.tap[0], x);
    by_point(L, (const float(*)[LANES])l.slope[0], dx);
    by_point(L, (const float(*)[LANES])l.tap[1], y);
    by_point(L, (const float(*)[LANES])l.slope[1], dy);
    for (int j = 0; j < n; j++) {
        v8 acc[V_MAX], dcc[V_MAX], s0 = {0}, sy = {0}, sz = {0};
        v8 ty = LOAD8(y[j]), ty1 = LOAD8(dy[j]), tx = LOAD8(x[j]), tx1 = LOAD8(dx[j]);

        gather(W, L,
               grid->at + (ptrdiff_t)l.at[2][j] * grid->plane +
                   (ptrdiff_t)l.at[1][j] * grid->row + l.at[0][j],
               grid, &l, j, acc, dcc);
        for (int i = 0; i < V; i++) {
            v8 t, d;

            rows(L, &ty, i, &t);
            rows(L, &ty1, i, &d);
            s0 += acc[i] * t;
            sy += acc[i] * d;
            sz += dcc[i] * t;
        }
        sums_of_8((v8[4]){s0 * tx, s0 * tx1, sy * tx, sz * tx}, (v4 *)(void *)sums[j]);
    }
    for (int c = 0; c < 4; c++)
        for (int j = 0; j < n; j++)
            out[c][first + j] = sums[j][c];
}

SPI_INLINE void grad(const int W, const int L, const struct spi_taps *taps,
                     const struct spi_rows_in *grid, int n, const float (*u)[SPI_POINTS],
                     float (*out)[SPI_POINTS])
{
    for (int j = 0; j < n; j += LANES)
        interp_grad(W, L, taps, grid, j, n - j < LANES ? n - j : LANES, u, out);
}

SPI_CLONES void spi_interp_grad(const struct spi_taps *t, const struct spi_rows_in *grid,
                                int n, const float u[3][SPI_POINTS],
                                float out[4][SPI_POINTS])
{
    assert(n <= SPI_POINTS);
    switch (t->w) {
    case 2:
        grad(2, 4, t, grid, n, u, out);
        break;
    case 3:
        grad(3, 4, t, grid, n, u, out);
        break;
    case 4:
        grad(4, 4, t, grid, n, u, out);
        break;
    case 5:
        grad(5, 8, t, grid, n, u, out);
        break;
    case 6:
        grad(6, 8, t, grid, n, u, out);
        break;
    case 7:
        grad(7, 8, t, grid, n, u, out);
        break;
    default:
        grad(8, 8, t, grid, n, u, out);
        break;
    }
}

/* ---- sums of the likelihood --------------------------------------------------------- */

/* log x, x > 0 and normal: x = 2^e m, sqrt(1/2) <= m < sqrt 2, and with s = (m - 1)/(m +
 * 1), |s| < 0.1716, log m = 2 (s + s^3/3 + s^5/5 + s^7/7 + ...): the next term is below
 * 3e-8. */
SPI_INLINE float log_of(float x)
{
    int32_t bits, e, m_bits;
    float m;

    memcpy(&bits, &x, sizeof bits);
    e = (bits - 0x3f3504f3) >> 23; /* 0x3f3504f3: sqrt(1/2) */
    m_bits = bits - e * (1 << 23);
    memcpy(&m, &m_bits, sizeof m);

    float s = (m - 1) / (m + 1), s2 = s * s;

    return (float)e * 0.693147181F +
           2 * s * (1 + s2 * (1.0F / 3 + s2 * (1.0F / 5 + s2 * (1.0F / 7))));
}

/* What is added over pixels: the weights of K, of g with one y, of g with two. */
SPI_INLINE void add_sums(const bool counts, int n, const float *restrict K,
                         const float *restrict g, const float *restrict least,
                         const float *restrict v, const float (*restrict u)[SPI_POINTS],
                         const float (*restrict W)[SPI_POINTS],
                         struct spi_likelihood_sums *sums)
{
    float fit = 0, model = 0, kx = 0, ky = 0, kz = 0, gx = 0, gy = 0, gz = 0;
    float xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;

#pragma omp simd reduction(+ : fit, model, kx, ky, kz, gx, gy, gz, xx, xy, xz, yy, yz, zz)
    for (int j = 0; j < n; j++) {
        float T = W[0][j] > least[j] ? W[0][j] : least[j];
        float live = W[0][j] > least[j] ? 1 : 0;
        float y0 = live * (u[1][j] * W[3][j] - u[2][j] * W[2][j]);
        float y1 = live * (u[2][j] * W[1][j] - u[0][j] * W[3][j]);
        float y2 = live * (u[0][j] * W[2][j] - u[1][j] * W[1][j]);
        float a = counts ? 1 / T : v[j]; /* of K y and of g y y' */
        float b = counts ? 1 : T * v[j]; /* of g y */
        float wk = K[j] * a, wg = g[j] * b, w2 = g[j] * a;

        fit += K[j] * (counts ? log_of(T) : b);
        model += wg * T;
        kx += wk * y0, ky += wk * y1, kz += wk * y2;
        gx += wg * y0, gy += wg * y1, gz += wg * y2;
        xx += w2 * y0 * y0, xy += w2 * y0 * y1, xz += w2 * y0 * y2;
        yy += w2 * y1 * y1, yz += w2 * y1 * y2, zz += w2 * y2 * y2;
    }
    sums->fit += (double)fit, sums->model += (double)model;
    sums->K1[0] += (double)kx, sums->K1[1] += (double)ky, sums->K1[2] += (double)kz;
    sums->g1[0] += (double)gx, sums->g1[1] += (double)gy, sums->g1[2] += (double)gz;
    sums->g2[0] += (double)xx, sums->g2[1] += (double)xy, sums->g2[2] += (double)xz;
    sums->g2[3] += (double)yy, sums->g2[4] += (double)yz, sums->g2[5] += (double)zz;
}

SPI_CLONES void spi_sums_counts(int n, const float *K, const float *g, const float *least,
                                const float *v, const float u[3][SPI_POINTS],
                                const float W[4][SPI_POINTS],
                                struct spi_likelihood_sums *sums)
{
    (void)v;
    assert(n <= SPI_POINTS);
    add_sums(true, n, K, g, least, g, u, W, sums);
}

SPI_CLONES void spi_sums_squares(int n, const float *K, const float *g, const float *least,
                                 const float *v, const float u[3][SPI_POINTS],
                                 const float W[4][SPI_POINTS],
                                 struct spi_likelihood_sums *sums)
{
    assert(n <= SPI_POINTS);
    add_sums(false, n, K, g, least, v, u, W, sums);
}
