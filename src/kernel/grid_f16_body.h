/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interpolation from halves; included by each variant, which defines before
 *
 *     LANE_BYTES                a vector of the instruction set, 16, 32 or 64
 *     pick, pick_of, cells      how four columns become 16 floats [x][y]
 *     lo, hi, lo2, hi2          interleave ones (twos) of the low (high) halves of quads
 *     each_x, all_y             taps on x, y of a point -> the lanes of [x][y]
 *     add_quads                 out[4 k + i] = sum over the quads of r[k], their lane i
 *
 * Points go by 16: while one block is read, the next is placed and its columns called for.
 */
#ifndef SPI_KERNEL_GRID_F16_BODY_H
#define SPI_KERNEL_GRID_F16_BODY_H

#include <assert.h>
#include <string.h>

enum { BLOCK = 16, V = LANE_BYTES / 4, R = BLOCK / V, W_MAX = SPI_GRID_F16_W_MAX };

#define VF(p)  (*(vf *)(void *)(p))
#define VI(p)  (*(vi *)(void *)(p))
#define CVF(p) (*(const vf *)(const void *)(p))

/* Taps of one axis and their derivatives, zero beyond W: one point a lane, and the four of
 * each point together. */
struct axis {
    _Alignas(64) float tap[W_MAX][BLOCK], slope[W_MAX][BLOCK];
    _Alignas(64) float taps_of[BLOCK][4], slopes_of[BLOCK][4]; /* see quad_at */
};

struct block {
    struct axis axis[3];
    _Alignas(64) int32_t at[BLOCK], shift[BLOCK]; /* first column; first tap in it */
};

/* Four taps of V points -> to[j % 4] holds the four of point j in its quad j / 4. */
SPI_INLINE void to_quads(const float (*tap)[BLOCK], float (*to)[4])
{
    vf a = CVF(tap[0]), b = CVF(tap[1]), c = CVF(tap[2]), d = CVF(tap[3]);
    vf ab0 = lo(a, b), ab1 = hi(a, b), cd0 = lo(c, d), cd1 = hi(c, d);

    VF(to) = lo2(ab0, cd0);
    VF(to + V / 4) = hi2(ab0, cd0);
    VF(to + 2 * (V / 4)) = lo2(ab1, cd1);
    VF(to + 3 * (V / 4)) = hi2(ab1, cd1);
}

SPI_INLINE const float *quad_at(const float (*quads)[4], int j)
{
    return quads[j / V * V + j % 4 * (V / 4) + j % V / 4];
}

/* Taps at z = 2 (i - u) + W - 1 (interp.h), i = ceil(u - W/2); du = -dz / 2.  Returns i. */
SPI_INLINE vi taps_at(const int W, const bool slopes, const struct spi_taps *t, vf u,
                      float factor, float (*tap)[BLOCK], float (*slope)[BLOCK])
{
    const int K = (W + 1) / 2 + 1;
    vf v = u - 0.5F * (float)W;
    vi i = __builtin_convertvector(v, vi);

    i -= v > __builtin_convertvector(i, vf); /* ceil */

    vf z = 2 * (__builtin_convertvector(i, vf) - v) - 1, z2 = z * z;

    for (int c = 0; c < (W + 1) / 2; c++) {
        const bool middle = c == W - 1 - c; /* is even */
        vf e = t->even[c][K - 1] + (vf){0}, o = t->odd[c][K - 1] + (vf){0};
        vf e1 = {0}, o1 = {0};

        for (int k = K - 2; k >= 0; k--) {
            e1 = e1 * z2 + e;
            e = e * z2 + t->even[c][k];
            o1 = o1 * z2 + o;
            o = o * z2 + t->odd[c][k];
        }
        e *= factor;
        o *= factor;
        e1 *= -4 * factor * z;
        o1 = -2 * o - 4 * factor * z2 * o1;
        o *= z;
        if (middle)
            o = o1 = (vf){0};
        VF(tap[c]) = e + o;
        VF(tap[W - 1 - c]) = e - o;
        if (slopes) {
            VF(slope[c]) = e1 + o1;
            VF(slope[W - 1 - c]) = e1 - o1;
        }
    }
    for (int c = W; c < W_MAX; c++) {
        VF(tap[c]) = (vf){0};
        if (slopes)
            VF(slope[c]) = (vf){0};
    }
    return i;
}

/* Call for the lines of every third point's first and last plane, both ends: its neighbours
 * lie in the same, planes between are not far. */
SPI_INLINE void call_for(const int W, const struct spi_grid_f16 *h, const struct block *b)
{
    const int end = 4 * SPI_GRID_F16_LANES - 1;
    const ptrdiff_t last = (ptrdiff_t)(W - 1) * h->plane * SPI_GRID_F16_LANES;

#pragma GCC unroll 6
    for (int j = 0; j < BLOCK; j += 3) {
        const uint16_t *from = h->data + (ptrdiff_t)b->at[j] * SPI_GRID_F16_LANES;

        __builtin_prefetch(from);
        __builtin_prefetch(from + end);
        __builtin_prefetch(from + last);
        __builtin_prefetch(from + last + end);
    }
}

/* Points first ... first + 15 of n. */
SPI_INLINE void place(const int W, const bool slopes, const struct spi_taps *t,
                      const struct spi_grid_f16 *h, int first, int n, const float *const *u,
                      struct block *b)
{
    const int left = n - first;
    _Alignas(64) float few[3][BLOCK] = {{0}};

    for (int s = 0; s < BLOCK; s += V) {
        vi i[3];

        for (int a = 0; a < 3; a++) {
            struct axis *x = &b->axis[a];
            const float *from = u[a] + first + s;
            vf v;

            if (left < BLOCK) { /* the others are at u = 0 */
                memcpy(few[a], u[a] + first, (size_t)left * sizeof **u);
                from = few[a] + s;
            }
            memcpy(&v, from, sizeof v);
            i[a] = h->low[a] + taps_at(W, slopes, t, v, a == 2 ? 1 / h->scale : 1,
                                       (float(*)[BLOCK])(x->tap[0] + s),
                                       (float(*)[BLOCK])(x->slope[0] + s));
            if (a == 2)
                continue;
            to_quads((const float(*)[BLOCK])(x->tap[0] + s), x->taps_of + s);
            if (slopes)
                to_quads((const float(*)[BLOCK])(x->slope[0] + s), x->slopes_of + s);
        }

        vi k = i[1] * 13108 >> 16; /* / 5, below 16000 */

        VI(b->shift + s) = i[1] - k * SPI_GRID_F16_STEP;
        VI(b->at + s) = i[2] * h->plane + k * h->row + i[0];
    }
    call_for(W, h, b);
}

/* acc and dcc: the sums over W planes with the taps of z and with their derivatives. */
SPI_INLINE void add_planes(const int W, const bool slopes, const struct spi_grid_f16 *h,
                           const struct block *b, int j, vf acc[R], vf dcc[R])
{
    const uint16_t *from = h->data + (ptrdiff_t)b->at[j] * SPI_GRID_F16_LANES;
    const struct axis *z = &b->axis[2];
    pick p = pick_of(b->shift[j]);

    for (int a = 0; a < W; a++, from += (ptrdiff_t)h->plane * SPI_GRID_F16_LANES) {
        vf v[R];

        cells(from, p, v);
        for (int r = 0; r < R; r++) {
            acc[r] = a ? acc[r] + v[r] * z->tap[a][j] : v[r] * z->tap[a][j];
            if (slopes)
                dcc[r] = a ? dcc[r] + v[r] * z->slope[a][j] : v[r] * z->slope[a][j];
        }
    }
}

/* Lane 4 q + i: the sum of quad q of v[i]. */
SPI_INLINE void add4(const vf v[4], vf *sum)
{
    vf a = lo(v[0], v[1]) + hi(v[0], v[1]), b = lo(v[2], v[3]) + hi(v[2], v[3]);

    *sum = lo2(a, b) + hi2(a, b);
}

SPI_INLINE void read_values(const int W, const struct spi_grid_f16 *h,
                            const struct block *b, float out[BLOCK])
{
    vf sums[4];

#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        vf v[4];

#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int j = 4 * k + i;
            const float *tx = quad_at(b->axis[0].taps_of, j);
            const float *ty = quad_at(b->axis[1].taps_of, j);
            vf acc[R], dcc[R];

            add_planes(W, false, h, b, j, acc, dcc);
            v[i] = acc[0] * each_x(tx, 0);
            for (int r = 1; r < R; r++)
                v[i] += acc[r] * each_x(tx, r);
            v[i] *= all_y(ty);
        }
        add4(v, &sums[k]);
    }
    add_quads(sums, out);
}

/* out[j]: the value of point j and its three slopes. */
SPI_INLINE void read_slopes(const int W, const struct spi_grid_f16 *h,
                            const struct block *b, float out[BLOCK][4])
{
#pragma GCC unroll 4
    for (int k = 0; k < BLOCK; k += 4) {
        vf sums[4];

#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int j = k + i;
            const float *tx = quad_at(b->axis[0].taps_of, j);
            const float *dx = quad_at(b->axis[0].slopes_of, j);
            vf ty = all_y(quad_at(b->axis[1].taps_of, j));
            vf dy = all_y(quad_at(b->axis[1].slopes_of, j));
            vf acc[R], dcc[R], v[4];

            add_planes(W, true, h, b, j, acc, dcc);
            v[0] = acc[0] * each_x(tx, 0);
            v[1] = acc[0] * each_x(dx, 0);
            v[3] = dcc[0] * each_x(tx, 0);
            for (int r = 1; r < R; r++) {
                v[0] += acc[r] * each_x(tx, r);
                v[1] += acc[r] * each_x(dx, r);
                v[3] += dcc[r] * each_x(tx, r);
            }
            v[2] = v[0] * dy;
            v[0] *= ty;
            v[1] *= ty;
            v[3] *= ty;
            add4(v, &sums[i]);
        }
        add_quads(sums, out[k]);
    }
}

SPI_INLINE void interp(const int W, const struct spi_taps *t, const struct spi_grid_f16 *h,
                       int n, const float *const *u, float *out)
{
    struct block block[2];

    if (n > 0)
        place(W, false, t, h, 0, n, u, &block[0]);
    for (int j = 0; j < n; j += BLOCK) {
        _Alignas(64) float value[BLOCK];

        if (j + BLOCK < n)
            place(W, false, t, h, j + BLOCK, n, u, &block[(j / BLOCK + 1) % 2]);
        read_values(W, h, &block[j / BLOCK % 2], value);
        if (n - j >= BLOCK)
            memcpy(out + j, value, sizeof value);
        else
            memcpy(out + j, value, (size_t)(n - j) * sizeof *value);
    }
}

SPI_INLINE void gradient(const int W, const struct spi_taps *t,
                         const struct spi_grid_f16 *h, int n, const float *const *u,
                         float *const *out)
{
    struct block block[2];

    if (n > 0)
        place(W, true, t, h, 0, n, u, &block[0]);
    for (int j = 0; j < n; j += BLOCK) {
        const int m = n - j < BLOCK ? n - j : BLOCK;
        _Alignas(64) float four[BLOCK][4];

        if (j + BLOCK < n)
            place(W, true, t, h, j + BLOCK, n, u, &block[(j / BLOCK + 1) % 2]);
        read_slopes(W, h, &block[j / BLOCK % 2], four);
        for (int c = 0; c < 4; c++)
            for (int i = 0; i < m; i++)
                out[c][j + i] = four[i][c];
    }
}

/* call(W, ...) with W a constant */
#define BY_NARROW_WIDTH(call, ...)      \
    assert(t->w <= SPI_GRID_F16_W_MAX); \
    switch (t->w) {                     \
    case 2:                             \
        call(2, __VA_ARGS__);           \
        break;                          \
    case 3:                             \
        call(3, __VA_ARGS__);           \
        break;                          \
    default:                            \
        call(4, __VA_ARGS__);           \
        break;                          \
    }

#endif
