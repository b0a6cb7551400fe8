/* SPDX-License-Identifier: GPL-3.0-or-later */
/* interp_avx512.c, of kernel/interp.h: the variant for AVX-512. */
#include "kernel/interp.h"

#ifdef SPI_X86_VARIANTS
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi2")

#include <immintrin.h>
#include <string.h>

#define LANE_BYTES 64
#include "kernel/interp_lanes.h"
#include "kernel/sum_quads_avx512.h"

/* ---- taps: from one point a lane to one point a quad -------------------------------- */

/* Four taps of 16 points -> quad[j % 4][j / 4]: the four taps of point j together. */
SPI_INLINE void to_quads(__m512 a, __m512 b, __m512 c, __m512 d, __m512 quad[4])
{
    __m512 ab0 = _mm512_unpacklo_ps(a, b), ab1 = _mm512_unpackhi_ps(a, b);
    __m512 cd0 = _mm512_unpacklo_ps(c, d), cd1 = _mm512_unpackhi_ps(c, d);

#define PD(x) _mm512_castps_pd(x)
    quad[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(PD(ab0), PD(cd0)));
    quad[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(PD(ab0), PD(cd0)));
    quad[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(PD(ab1), PD(cd1)));
    quad[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(PD(ab1), PD(cd1)));
}

struct quads {
    __m512 q[2][4]; /* taps 0-3, 4-7 */
};

SPI_INLINE void quads_of(const int W, const float (*tap)[SPI_PATCH_MAX], struct quads *to)
{
    __m512 t[8];

    for (int c = 0; c < 8; c++)
        t[c] = c < W ? _mm512_load_ps(tap[c]) : _mm512_setzero_ps();
    to_quads(t[0], t[1], t[2], t[3], to->q[0]);
    if (W > 4)
        to_quads(t[4], t[5], t[6], t[7], to->q[1]);
}

SPI_INLINE const float *quad_at(const struct quads *q, int half, int j)
{
    return (const float *)&q->q[half][j % 4] + 4 * (j / 4);
}

/* Lanes 0-7: the taps of point j; 8-15: zeros. */
SPI_INLINE __m512 taps_of_point(const int W, const struct quads *qx, int j)
{
    __m512 t = _mm512_zextps128_ps512(_mm_load_ps(quad_at(qx, 0, j)));

    if (W > 4)
        t = _mm512_mask_broadcast_f32x4(t, 0x00f0, _mm_load_ps(quad_at(qx, 1, j)));
    return t;
}

/* ---- sums over the lanes of 16 vectors ---------------------------------------------- */

/* Lane 4 q + i: the sum of quad q of v[i]. */
SPI_INLINE __m512 add4(const __m512 *v)
{
    __m512 a =
        _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    __m512 b =
        _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));

    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(PD(a), PD(b))),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(PD(a), PD(b))));
}

/* The low quads of four vectors side by side. */
SPI_INLINE __m512 quads_together(const __m512 *v)
{
    __m512 a = _mm512_insertf32x4(v[0], _mm512_castps512_ps128(v[1]), 1);

    a = _mm512_insertf32x4(a, _mm512_castps512_ps128(v[2]), 2);
    return _mm512_insertf32x4(a, _mm512_castps512_ps128(v[3]), 3);
}

/* ---- interpolation ------------------------------------------------------------------ */

/* The products of one point, W <= 4: their sum over the lanes is its value.  One row a
 * vector: putting rows together costs more than it spares. */
SPI_INLINE __m128 point4(const int W, const struct lanes *l, const struct quads *qx, int j,
                         const float *at, ptrdiff_t row, ptrdiff_t plane)
{
    __m128 acc[4], sum = _mm_setzero_ps();

    for (int b = 0; b < W; b++)
        acc[b] = _mm_setzero_ps();
    for (int a = 0; a < W; a++) {
        __m128 tz = _mm_broadcast_ss(&l->tap[2][a][j]);

        for (int b = 0; b < W; b++)
            acc[b] = _mm_fmadd_ps(_mm_loadu_ps(at + a * plane + b * row), tz, acc[b]);
    }
    for (int b = 0; b < W; b++)
        sum = _mm_fmadd_ps(acc[b], _mm_broadcast_ss(&l->tap[1][b][j]), sum);
    return _mm_mul_ps(sum, _mm_load_ps(quad_at(qx, 0, j)));
}

/* W > 4: rows of eight, two in a vector. */
SPI_INLINE __m512 point8(const int W, const struct lanes *l, const struct quads *qx, int j,
                         const float *at, ptrdiff_t row, ptrdiff_t plane)
{
    enum { PAIRS = 4 };
    const int P = (W + 1) / 2;
    __m512 acc[PAIRS], sum = _mm512_setzero_ps();

    for (int p = 0; p < P; p++)
        acc[p] = _mm512_setzero_ps();
    for (int a = 0; a < W; a++) {
        __m512 tz = _mm512_set1_ps(l->tap[2][a][j]);

        for (int p = 0; p < P; p++) {
            const float *from = at + a * plane + 2 * p * row;
            __m512 v = _mm512_zextps256_ps512(_mm256_loadu_ps(from));

            if (2 * p + 1 < W)
                v = _mm512_mask_broadcast_f32x8(v, 0xff00, _mm256_loadu_ps(from + row));
            acc[p] = _mm512_fmadd_ps(v, tz, acc[p]);
        }
    }
    for (int p = 0; p < P; p++) {
        __m512 ty = _mm512_set1_ps(l->tap[1][2 * p][j]);

        if (2 * p + 1 < W)
            ty = _mm512_mask_broadcastss_ps(ty, 0xff00,
                                            _mm_load_ss(&l->tap[1][2 * p + 1][j]));
        sum = _mm512_fmadd_ps(acc[p], ty, sum);
    }

    __m512 tx = _mm512_broadcast_f32x4(_mm_load_ps(quad_at(qx, 0, j)));

    tx = _mm512_mask_broadcast_f32x4(tx, 0xf0f0, _mm_load_ps(quad_at(qx, 1, j)));
    return _mm512_mul_ps(sum, tx);
}

SPI_INLINE void interp(const int W, const struct spi_taps *t, const struct spi_patch *p,
                       const struct spi_rows_in *g, float *out)
{
    struct lanes l;
    struct quads qx;
    __m512 r[4], sums;

    lanes_of(W, t, p, &l);
    quads_of(W, l.tap[0], &qx);

    vi at = VI(l.first[2]) * (int32_t)g->plane + VI(l.first[1]) * (int32_t)g->row +
            VI(l.first[0]);
    const float *from[SPI_PATCH_MAX];

    for (int j = 0; j < SPI_PATCH_MAX; j++)
        from[j] = g->at + ((const int32_t *)&at)[j];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m512 v[4];

#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int j = W <= 4 ? 4 * i + k : 4 * k + i;

            v[i] = W <= 4 ? _mm512_zextps128_ps512(
                                point4(W, &l, &qx, j, from[j], g->row, g->plane))
                          : point8(W, &l, &qx, j, from[j], g->row, g->plane);
        }
        /* quad i: point 4 i + k; or sums of quads of four points */
        r[k] = W <= 4 ? quads_together(v) : add4(v);
    }
    sums = W <= 4 ? add4(r) : sum_quads(r);
    _mm512_mask_storeu_ps(out, (__mmask16)((1U << p->n) - 1), sums);
}

/* Lane [x][y] of a point's plane times its taps on x, y; W <= 4. */
SPI_INLINE __m512 column4(const int W, const struct lanes *l, const struct quads *qx,
                          const struct quads *qy, int j, int shift, const float *at,
                          ptrdiff_t plane)
{
    const __m512i each = _mm512_set_epi32(3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0);
    const __m512i spread = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    __m512 acc = _mm512_mul_ps(_mm512_loadu_ps(at), _mm512_set1_ps(l->tap[2][0][j]));

    for (int a = 1; a < W; a++)
        acc = _mm512_fmadd_ps(_mm512_loadu_ps(at + a * plane),
                              _mm512_set1_ps(l->tap[2][a][j]), acc);

    __m512 tx = _mm512_castps128_ps512(_mm_load_ps(quad_at(qx, 0, j)));
    __m512 ty = _mm512_broadcast_f32x4(_mm_load_ps(quad_at(qy, 0, j)));

    if (W < 4) /* what wraps is a zero tap: shift <= 4 - W */
        ty = _mm512_permutevar_ps(ty, _mm512_sub_epi32(each, _mm512_set1_epi32(shift)));
    return _mm512_mul_ps(acc, _mm512_mul_ps(_mm512_permutexvar_ps(spread, tx), ty));
}

/* W > 4: columns of eight, two in a vector. */
SPI_INLINE __m512 column8(const int W, const struct lanes *l, const struct quads *qx,
                          const struct quads *qy, int j, int shift, const float *at,
                          ptrdiff_t plane)
{
    enum { PAIRS = 4 };
    const int P = (W + 1) / 2;
    const __m512i twice = _mm512_set_epi32(7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i halves = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512 acc[PAIRS], sum = _mm512_setzero_ps(), tx = taps_of_point(W, qx, j);

    for (int p = 0; p < P; p++)
        acc[p] = _mm512_setzero_ps();
    for (int a = 0; a < W; a++) {
        __m512 tz = _mm512_set1_ps(l->tap[2][a][j]);

        for (int p = 0; p < P; p++)
            acc[p] = _mm512_fmadd_ps(_mm512_loadu_ps(at + a * plane + 16 * p), tz, acc[p]);
    }
    for (int p = 0; p < P; p++)
        sum = _mm512_fmadd_ps(
            acc[p],
            _mm512_permutexvar_ps(_mm512_add_epi32(halves, _mm512_set1_epi32(2 * p)), tx),
            sum);
    /* lanes 8-15 of the taps are zero: what wraps below 0 is nothing */
    return _mm512_mul_ps(
        sum, _mm512_permutexvar_ps(_mm512_sub_epi32(twice, _mm512_set1_epi32(shift)),
                                   taps_of_point(W, qy, j)));
}

SPI_INLINE void interp_columns(const int W, const struct spi_taps *t,
                               const struct spi_patch *p, const struct spi_columns *box,
                               const int cell[3], float *out)
{
    _Alignas(64) int32_t at[SPI_PATCH_MAX], shift[SPI_PATCH_MAX];
    struct lanes l;
    struct quads qx, qy;
    __m512 r[4];

    lanes_of(W, t, p, &l);
    quads_of(W, l.tap[0], &qx);
    quads_of(W, l.tap[1], &qy);
    columns_of(W, &l, box, cell, at, shift);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m512 v[4];

#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int j = 4 * k + i;

            v[i] =
                W <= 4
                    ? column4(W, &l, &qx, &qy, j, shift[j], box->data + at[j], box->plane)
                    : column8(W, &l, &qx, &qy, j, shift[j], box->data + at[j], box->plane);
        }
        r[k] = add4(v);
    }
    _mm512_mask_storeu_ps(out, (__mmask16)((1U << p->n) - 1), sum_quads(r));
}

/* ---- spreading ---------------------------------------------------------------------- */

SPI_INLINE __m512 pair(const float *val)
{
    double both;

    memcpy(&both, val, sizeof both);
    return _mm512_castpd_ps(_mm512_set1_pd(both));
}

#define TWICE _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0)

/* The taps of point j on y, each in all lanes. */
SPI_INLINE void rows_of(const int W, const struct lanes *l, int j, __m512 ty[SPI_TAPS_MAX])
{
    for (int b = 0; b < W; b++)
        ty[b] = _mm512_set1_ps(l->tap[1][b][j]);
}

#define LOW(v) _mm512_castps512_ps256(v)

SPI_INLINE void spread(const int W, const struct spi_taps *t, const struct spi_patch *p,
                       const float (*val)[2], const struct spi_rows *g)
{
    struct lanes l;
    struct quads qx;
    ptrdiff_t row = g->row, plane = g->plane;

    lanes_of(W, t, p, &l);
    quads_of(W, l.tap[0], &qx);
    for (int j = 0; j < p->n; j++) {
        float *to = g->at + l.first[2][j] * plane + l.first[1][j] * row + 2 * l.first[0][j];
        __m512 tx = _mm512_mul_ps(_mm512_permutexvar_ps(TWICE, taps_of_point(W, &qx, j)),
                                  pair(val[j]));
        __m512 ty[SPI_TAPS_MAX];

        rows_of(W, &l, j, ty);
        for (int a = 0; a < W; a++, to += plane) {
            __m512 add = _mm512_mul_ps(tx, _mm512_set1_ps(l.tap[2][a][j]));
            __m256 hi = _mm512_extractf32x8_ps(add, 1);
            float *at = to;

#pragma GCC unroll 8
            for (int b = 0; b < W; b++, at += row) {
                /* two halves: a vector of 64 bytes would mostly cross cache lines */
                _mm256_storeu_ps(
                    at, _mm256_fmadd_ps(LOW(add), LOW(ty[b]), _mm256_loadu_ps(at)));
                if (W > 4)
                    _mm256_storeu_ps(
                        at + 8, _mm256_fmadd_ps(hi, LOW(ty[b]), _mm256_loadu_ps(at + 8)));
            }
        }
    }
}

SPI_INLINE void spread_slots(const int W, const struct spi_taps *t,
                             const struct spi_patch *p, const float (*val)[2],
                             const struct spi_slots *box, const int cell[3])
{
    const int V = W <= 6 ? 1 : 2; /* vectors of a slot */
    _Alignas(64) int32_t at[SPI_PATCH_MAX], shift[SPI_PATCH_MAX];
    struct lanes l;
    struct quads qx;
    ptrdiff_t row = box->row, plane = box->plane;
    float *data = box->data;

    lanes_of(W, t, p, &l);
    quads_of(W, l.tap[0], &qx);
    slots_of(W, &l, box, cell, at, shift);
    for (int j = 0; j < p->n; j++) {
        __m512 taps = taps_of_point(W, &qx, j), tx[2], ty[SPI_TAPS_MAX];
        float *to = data + at[j];

        /* lanes 8-15 of taps are zero: what wraps below 0 or beyond 7 is nothing */
        for (int v = 0; v < V; v++)
            tx[v] = _mm512_mul_ps(
                _mm512_permutexvar_ps(
                    _mm512_add_epi32(TWICE, _mm512_set1_epi32(8 * v - shift[j])), taps),
                pair(val[j]));
        rows_of(W, &l, j, ty);
        for (int a = 0; a < W; a++, to += plane) {
            __m512 add[2], tz = _mm512_set1_ps(l.tap[2][a][j]);
            float *slot = to;

            for (int v = 0; v < V; v++)
                add[v] = _mm512_mul_ps(tx[v], tz);
#pragma GCC unroll 8
            for (int b = 0; b < W; b++, slot += row)
                if (W <= 4)
                    _mm256_store_ps(slot, _mm256_fmadd_ps(LOW(add[0]), LOW(ty[b]),
                                                          _mm256_load_ps(slot)));
                else
                    for (int v = 0; v < V; v++)
                        _mm512_store_ps(
                            slot + 16 * v,
                            _mm512_fmadd_ps(add[v], ty[b], _mm512_load_ps(slot + 16 * v)));
        }
    }
}

void spi_interp_avx512(const struct spi_taps *t, const struct spi_patch *p,
                       const struct spi_rows_in *g, float *out)
{
    BY_WIDTH(interp, t, p, g, out)
}

void spi_interp_columns_avx512(const struct spi_taps *t, const struct spi_patch *p,
                               const struct spi_columns *b, const int cell[3], float *out)
{
    BY_WIDTH(interp_columns, t, p, b, cell, out)
}

void spi_spread_avx512(const struct spi_taps *t, const struct spi_patch *p,
                       const float (*val)[2], const struct spi_rows *g)
{
    BY_WIDTH(spread, t, p, val, g)
}

void spi_spread_slots_avx512(const struct spi_taps *t, const struct spi_patch *p,
                             const float (*val)[2], const struct spi_slots *b,
                             const int cell[3])
{
    BY_WIDTH(spread_slots, t, p, val, b, cell)
}

#else
typedef int spi_no_avx512; /* a translation unit is not empty */
#endif
