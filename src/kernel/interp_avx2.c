/* SPDX-License-Identifier: GPL-3.0-or-later */
/* interp_avx2.c, of kernel/interp.h: the variant for AVX2. */
#include "kernel/interp.h"

#ifdef SPI_X86_VARIANTS
#pragma GCC target("avx2,fma,bmi2")

#include <immintrin.h>

#define LANE_BYTES 32
#include "kernel/interp_lanes.h"

/* Eight taps of eight points [tap][point] -> [point][tap]. */
SPI_INLINE void transpose8(const __m256 r[8], __m256 c[8])
{
    __m256 t[8], u[8];

    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        c[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        c[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

/* The taps of each point together, zero beyond W. */
SPI_INLINE void taps_by_point(const int W, const float (*tap)[SPI_PATCH_MAX],
                              __m256 by_point[SPI_PATCH_MAX])
{
    for (int h = 0; h < 2; h++) {
        __m256 r[8];

        for (int c = 0; c < 8; c++)
            r[c] = c < W ? _mm256_load_ps(tap[c] + 8 * h) : _mm256_setzero_ps();
        transpose8(r, by_point + 8 * h);
    }
}

SPI_INLINE const float *tap_at(const struct lanes *l, int axis, int a, int j)
{
    return l->tap[axis][a] + j;
}

/* The products of one point, W <= 4, rows of four, two in a vector: lanes [row % 2][x]. */
SPI_INLINE __m256 point4(const int W, const struct lanes *l, __m256 tx, int j,
                         const float *at, ptrdiff_t row, ptrdiff_t plane)
{
    const int P = (W + 1) / 2;
    __m256 acc[2], sum = _mm256_setzero_ps();

    acc[0] = acc[1] = _mm256_setzero_ps();
    for (int a = 0; a < W; a++)
        for (int p = 0; p < P; p++) {
            const float *from = at + a * plane + 2 * p * row;
            __m256 v = _mm256_zextps128_ps256(_mm_loadu_ps(from));

            if (2 * p + 1 < W)
                v = _mm256_insertf128_ps(v, _mm_loadu_ps(from + row), 1);
            acc[p] = _mm256_fmadd_ps(v, _mm256_broadcast_ss(tap_at(l, 2, a, j)), acc[p]);
        }
    for (int p = 0; p < P; p++) {
        __m128 lo = _mm_broadcast_ss(tap_at(l, 1, 2 * p, j));
        __m128 hi = _mm_broadcast_ss(tap_at(l, 1, 2 * p + 1 < W ? 2 * p + 1 : 0, j));

        sum = _mm256_fmadd_ps(acc[p], _mm256_set_m128(hi, lo), sum);
    }
    return _mm256_mul_ps(sum, _mm256_permute2f128_ps(tx, tx, 0x00));
}

SPI_INLINE __m256 point8(const int W, const struct lanes *l, __m256 tx, int j,
                         const float *at, ptrdiff_t row, ptrdiff_t plane)
{
    __m256 acc[SPI_TAPS_MAX], sum = _mm256_setzero_ps();

    for (int b = 0; b < W; b++)
        acc[b] = _mm256_setzero_ps();
    for (int a = 0; a < W; a++) {
        __m256 tz = _mm256_broadcast_ss(tap_at(l, 2, a, j));

        for (int b = 0; b < W; b++)
            acc[b] = _mm256_fmadd_ps(_mm256_loadu_ps(at + a * plane + b * row), tz, acc[b]);
    }
    for (int b = 0; b < W; b++)
        sum = _mm256_fmadd_ps(acc[b], _mm256_broadcast_ss(tap_at(l, 1, b, j)), sum);
    return _mm256_mul_ps(sum, tx);
}

/* out[0..n-1]: the sums over the lanes of four vectors. */
SPI_INLINE void put4(const __m256 v[4], int n, float *out)
{
    float four[4];
    __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));

    _mm_storeu_ps(four, _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
    for (int i = 0; i < 4 && i < n; i++)
        out[i] = four[i];
}

SPI_INLINE void interp(const int W, const struct spi_taps *t, const struct spi_patch *p,
                       const struct spi_rows_in *g, float *out)
{
    struct lanes l;
    __m256 tx[SPI_PATCH_MAX];

    lanes_of(W, t, p, &l);
    taps_by_point(W, l.tap[0], tx);
    for (int k = 0; k < 4; k++) {
        __m256 v[4];

        for (int i = 0; i < 4; i++) {
            int j = 4 * k + i;
            const float *at =
                g->at + l.first[2][j] * g->plane + l.first[1][j] * g->row + l.first[0][j];

            v[i] = W <= 4 ? point4(W, &l, tx[j], j, at, g->row, g->plane)
                          : point8(W, &l, tx[j], j, at, g->row, g->plane);
        }
        put4(v, p->n - 4 * k, out + 4 * k);
    }
}

/* Two columns of four (W <= 4), or one of eight, a vector; ty: the taps on y, in place. */
SPI_INLINE __m256 columns(const int W, const struct lanes *l, __m256 tx, __m256 ty, int j,
                          const float *at, ptrdiff_t plane)
{
    const int P = W <= 4 ? (W + 1) / 2 : W;
    __m256 acc[SPI_TAPS_MAX], sum = _mm256_setzero_ps();

    for (int p = 0; p < P; p++)
        acc[p] = _mm256_setzero_ps();
    for (int a = 0; a < W; a++) {
        __m256 tz = _mm256_broadcast_ss(tap_at(l, 2, a, j));

        for (int p = 0; p < P; p++)
            acc[p] = _mm256_fmadd_ps(_mm256_loadu_ps(at + a * plane + 8 * p), tz, acc[p]);
    }
    for (int p = 0; p < P; p++) {
        __m256i which = W <= 4 ? _mm256_set_epi32(2 * p + 1, 2 * p + 1, 2 * p + 1,
                                                  2 * p + 1, 2 * p, 2 * p, 2 * p, 2 * p)
                               : _mm256_set1_epi32(p);

        sum = _mm256_fmadd_ps(acc[p], _mm256_permutevar8x32_ps(tx, which), sum);
    }
    return _mm256_mul_ps(sum, ty);
}

SPI_INLINE void interp_columns(const int W, const struct spi_taps *t,
                               const struct spi_patch *p, const struct spi_columns *box,
                               const int cell[3], float *out)
{
    const __m256i first = W <= 4 ? _mm256_set_epi32(3, 2, 1, 0, 3, 2, 1, 0)
                                 : _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    _Alignas(64) int32_t at[SPI_PATCH_MAX], shift[SPI_PATCH_MAX];
    struct lanes l;
    __m256 tx[SPI_PATCH_MAX], ty[SPI_PATCH_MAX];

    lanes_of(W, t, p, &l);
    taps_by_point(W, l.tap[0], tx);
    taps_by_point(W, l.tap[1], ty);
    columns_of(W, &l, box, cell, at, shift);
    for (int k = 0; k < 4; k++) {
        __m256 v[4];

        for (int i = 0; i < 4; i++) {
            int j = 4 * k + i;
            /* what wraps is a zero tap: shift <= lanes - W */
            __m256i place =
                _mm256_and_si256(_mm256_sub_epi32(first, _mm256_set1_epi32(shift[j])),
                                 _mm256_set1_epi32(COLUMN_LANES(W) - 1));

            v[i] = columns(W, &l, tx[j], _mm256_permutevar8x32_ps(ty[j], place), j,
                           box->data + at[j], box->plane);
        }
        put4(v, p->n - 4 * k, out + 4 * k);
    }
}

/* Two taps' worth a vector: [x][component], from cell c0 on; cells below 0 or beyond 7 are
 * not met, or hold zero taps after wrapping (interp_lanes.h: SLOT_STEP). */
SPI_INLINE __m256 rows_of(__m256 tx, int c0, __m256 both)
{
    __m256i at =
        _mm256_add_epi32(_mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0), _mm256_set1_epi32(c0));

    return _mm256_mul_ps(_mm256_permutevar8x32_ps(tx, at), both);
}

SPI_INLINE __m256 pair(const float *val)
{
    return _mm256_castpd_ps(_mm256_broadcast_sd((const double *)(const void *)val));
}

/* row[] += tz ty tx[], V vectors */
SPI_INLINE void add_rows(const int W, const int V, const struct lanes *l, int j,
                         const __m256 *tx, float *to, ptrdiff_t row, ptrdiff_t plane)
{
    __m256 ty[SPI_TAPS_MAX];

    for (int b = 0; b < W; b++)
        ty[b] = _mm256_broadcast_ss(tap_at(l, 1, b, j));
    for (int a = 0; a < W; a++, to += plane) {
        __m256 add[2], tz = _mm256_broadcast_ss(tap_at(l, 2, a, j));
        float *at = to;

        for (int v = 0; v < V; v++)
            add[v] = _mm256_mul_ps(tx[v], tz);
#pragma GCC unroll 8
        for (int b = 0; b < W; b++, at += row)
            for (int v = 0; v < V; v++)
                _mm256_storeu_ps(at + 8 * v, _mm256_fmadd_ps(add[v], ty[b],
                                                             _mm256_loadu_ps(at + 8 * v)));
    }
}

SPI_INLINE void spread(const int W, const struct spi_taps *t, const struct spi_patch *p,
                       const float (*val)[2], const struct spi_rows *g)
{
    struct lanes l;
    __m256 tx[SPI_PATCH_MAX], add[2];
    ptrdiff_t row = g->row, plane = g->plane;

    lanes_of(W, t, p, &l);
    taps_by_point(W, l.tap[0], tx);
    for (int j = 0; j < p->n; j++) {
        for (int v = 0; v < 2; v++)
            add[v] = rows_of(tx[j], 4 * v, pair(val[j]));
        add_rows(W, W <= 4 ? 1 : 2, &l, j, add,
                 g->at + l.first[2][j] * plane + l.first[1][j] * row + 2 * l.first[0][j],
                 row, plane);
    }
}

SPI_INLINE void spread_slots(const int W, const struct spi_taps *t,
                             const struct spi_patch *p, const float (*val)[2],
                             const struct spi_slots *box, const int cell[3])
{
    _Alignas(64) int32_t at[SPI_PATCH_MAX], shift[SPI_PATCH_MAX];
    struct lanes l;
    __m256 tx[SPI_PATCH_MAX], add[2];
    ptrdiff_t row = box->row, plane = box->plane;
    float *data = box->data;

    lanes_of(W, t, p, &l);
    taps_by_point(W, l.tap[0], tx);
    slots_of(W, &l, box, cell, at, shift);
    for (int j = 0; j < p->n; j++) {
        /* up to w = 6 a slot is one or two vectors; wider windows begin anywhere in theirs
         */
        for (int v = 0; v < 2; v++)
            add[v] = rows_of(tx[j], W <= 6 ? 4 * v - shift[j] : 4 * v, pair(val[j]));
        add_rows(W, W <= 4 ? 1 : 2, &l, j, add, data + at[j] + (W <= 6 ? 0 : 2 * shift[j]),
                 row, plane);
    }
}

void spi_interp_avx2(const struct spi_taps *t, const struct spi_patch *p,
                     const struct spi_rows_in *g, float *out)
{
    BY_WIDTH(interp, t, p, g, out)
}

void spi_interp_columns_avx2(const struct spi_taps *t, const struct spi_patch *p,
                             const struct spi_columns *b, const int cell[3], float *out)
{
    BY_WIDTH(interp_columns, t, p, b, cell, out)
}

void spi_spread_avx2(const struct spi_taps *t, const struct spi_patch *p,
                     const float (*val)[2], const struct spi_rows *g)
{
    BY_WIDTH(spread, t, p, val, g)
}

void spi_spread_slots_avx2(const struct spi_taps *t, const struct spi_patch *p,
                           const float (*val)[2], const struct spi_slots *b,
                           const int cell[3])
{
    BY_WIDTH(spread_slots, t, p, val, b, cell)
}

#else
typedef int spi_no_avx2; /* a translation unit is not empty */
#endif
