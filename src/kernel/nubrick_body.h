/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Spread and interp for one width W, one precision and one vector length; included by
 * nubrick_isa.h with W, REAL, REAL_BYTES, COORD, SUFFIX, VECTOR_MAX defined.  GCC's vectors
 * are used instead of the vectoriser because the whole speed is in rows of w complex
 * numbers, which it does not keep in registers. */

#define ROW_BYTES (2 * W * REAL_BYTES)
#if ROW_BYTES <= 16 || VECTOR_MAX == 16
#define VECTOR 16
#elif ROW_BYTES <= 32 || VECTOR_MAX == 32
#define VECTOR 32
#else
#define VECTOR 64
#endif
#define LANES  (VECTOR / REAL_BYTES)
#define NROW   ((ROW_BYTES + VECTOR - 1) / VECTOR) /* vectors a row */
#define PAD    (W <= 2 ? 2 : W <= 4 ? 4 : W <= 8 ? 8 : 16)
#define NYZ    (2 * PAD * REAL_BYTES / VECTOR) /* vectors of y and z taps */
#define DEGREE SPI_KAISER_DEGREE(W)

#if REAL_BYTES == 4
#define LOW_HALF     0, 1, 2, 3, 4, 5, 6, 7
#define HIGH_HALF    8, 9, 10, 11, 12, 13, 14, 15
#define LOW_QUARTER  0, 1, 2, 3
#define HIGH_QUARTER 4, 5, 6, 7
#else
#define LOW_HALF     0, 1, 2, 3
#define HIGH_HALF    4, 5, 6, 7
#define LOW_QUARTER  0, 1
#define HIGH_QUARTER 2, 3
#endif
#define AHEAD 48 /* points; their values lie scattered in memory */

#define PASTE_(a, b, c) a##_##b##_##c
#define PASTE(a, b, c)  PASTE_(a, b, c)
#define NAME(a)         PASTE(a, W, SUFFIX)
#define PASTE2_(a, b)   a##_##b
#define PASTE2(a, b)    PASTE2_(a, b)
#define TYPE(a)         struct PASTE2(a, SUFFIX)
#define vec             NAME(vec)
#define uvec            NAME(uvec)
#define half            NAME(half)
#define quarter         NAME(quarter)

typedef REAL vec __attribute__((vector_size(VECTOR)));
typedef REAL half __attribute__((vector_size(32)));
typedef REAL quarter __attribute__((vector_size(16)));
typedef REAL uvec __attribute__((vector_size(VECTOR), aligned(REAL_BYTES), may_alias));

/* Taps of one point; returns the offset of its first node, in reals. */
SPI_INLINE int64_t NAME(locate)(const int depth, const TYPE(spi_nu_taps) * taps,
                                const struct spi_nu_brick *shape, const COORD *v, vec *tx,
                                vec *tyz)
{
    REAL z[3];
    int64_t i[3];

    for (int d = 0; d < 3; d++) {
#if REAL_BYTES == 4
        int32_t s = v[d] - W % 2 * (1 << (SPI_NU_FRACTION - 1));

        i[d] = (s >> SPI_NU_FRACTION) + 1;
        z[d] = 1 - (float)(s & ((1 << SPI_NU_FRACTION) - 1)) * 0x1p-25f;
#else
        REAL s = v[d] - W % 2 * 0.5;

        i[d] = (int)(s + 1);
        z[d] = 2 * ((REAL)i[d] - s) - 1;
#endif
    }
    for (int q = 0; q < NROW; q++) {
        const vec *coef = (const vec *)&taps->x[DEGREE][q * LANES];
        vec t = *coef;

        for (int p = 1; p <= DEGREE; p++)
            t = t * z[0] + *(const vec *)&taps->x[DEGREE - p][q * LANES];
        tx[q] = t;
    }
    for (int q = 0; q < NYZ; q++) {
        vec t = *(const vec *)&taps->yz[DEGREE][q * LANES], first, zz;

        for (int l = 0; l < LANES; l++)
            first[l] = q * LANES + l < PAD;
        if ((q + 1) * LANES <= PAD)
            zz = z[1] - (vec){0};
        else if (q * LANES >= PAD)
            zz = z[2] - (vec){0};
        else
            zz = z[1] * first + z[2] * (1 - first);
        for (int p = 1; p <= DEGREE; p++)
            t = t * zz + *(const vec *)&taps->yz[DEGREE - p][q * LANES];
        tyz[q] = t;
    }
    if (depth == 1)
        i[2] = 0;
    return 2 * ((i[2] * shape->rows + i[1]) * shape->row + i[0]);
}

SPI_INLINE void NAME(spread_some)(const int depth, const TYPE(spi_nu_taps) * taps,
                                  const struct spi_nu_brick *shape, int64_t n,
                                  const TYPE(spi_nu_point) * points, const REAL *c,
                                  REAL *brick)
{
    const int64_t row = 2 * (int64_t)shape->row, plane = row * shape->rows;

    for (int64_t j = 0; j < n; j++) {
        if (j + AHEAD < n)
            __builtin_prefetch(c + 2 * (int64_t)points[j + AHEAD].index, 0);
        vec tx[NROW], tyz[NYZ];
        REAL *base = brick + NAME(locate)(depth, taps, shape, points[j].v, tx, tyz);
        const REAL *ty = (const REAL *)tyz, *tz = ty + PAD;
        const REAL *value = c + 2 * (int64_t)points[j].index;
        vec even;

        for (int l = 0; l < LANES; l++)
            even[l] = l % 2 == 0;
        for (int q = 0; q < NROW; q++)
            tx[q] *= value[0] * even + value[1] * (1 - even);
        for (int a = 0; a < depth; a++, base += plane) {
            vec add[NROW];

            for (int q = 0; q < NROW; q++)
                add[q] = depth == 1 ? tx[q] : tx[q] * tz[a];
#ifdef SPI_KERNEL_X86
#pragma GCC unroll 8
#endif
            for (int b = 0; b < W; b++)
                for (int q = 0; q < NROW; q++) {
                    uvec *at = (uvec *)(base + b * row + q * LANES);

                    *at += add[q] * ty[b];
                }
        }
    }
}

SPI_INLINE void NAME(interp_some)(const int depth, const TYPE(spi_nu_taps) * taps,
                                  const struct spi_nu_brick *shape, int64_t n,
                                  const TYPE(spi_nu_point) * points, const REAL *brick,
                                  REAL *c)
{
    const int64_t row = 2 * (int64_t)shape->row, plane = row * shape->rows;

    for (int64_t j = 0; j < n; j++) {
        if (j + AHEAD < n)
            __builtin_prefetch(c + 2 * (int64_t)points[j + AHEAD].index, 1);
        vec tx[NROW], tyz[NYZ], sum[NROW] = {0};
        const REAL *base = brick + NAME(locate)(depth, taps, shape, points[j].v, tx, tyz);
        const REAL *ty = (const REAL *)tyz, *tz = ty + PAD;

        for (int a = 0; a < depth; a++, base += plane) {
            vec part[NROW];

#ifdef SPI_KERNEL_X86
#pragma GCC unroll 8
#endif
            for (int b = 0; b < W; b++)
                for (int q = 0; q < NROW; q++) {
                    vec r = *(const uvec *)(base + b * row + q * LANES);

                    part[q] = b ? part[q] + r * ty[b] : r * ty[b];
                }
            for (int q = 0; q < NROW; q++)
                sum[q] = depth == 1 ? part[q] : sum[q] + part[q] * tz[a];
        }
        for (int q = 0; q < NROW; q++)
            sum[q] *= tx[q];
        for (int q = 1; q < NROW; q++)
            sum[0] += sum[q];

        /* fold the vector in halves until one complex number is left */
        REAL *out = c + 2 * (int64_t)points[j].index;
#if VECTOR == 64
        half h = __builtin_shufflevector(sum[0], sum[0], LOW_HALF) +
                 __builtin_shufflevector(sum[0], sum[0], HIGH_HALF);
#elif VECTOR == 32
        vec h = sum[0];
#endif
#if VECTOR >= 32
        quarter q4 = __builtin_shufflevector(h, h, LOW_QUARTER) +
                     __builtin_shufflevector(h, h, HIGH_QUARTER);
#else
        vec q4 = sum[0];
#endif
        out[0] = q4[0];
        out[1] = q4[1];
#if REAL_BYTES == 4
        out[0] += q4[2];
        out[1] += q4[3];
#endif
    }
}

static void NAME(spread)(const TYPE(spi_nu_taps) * taps, const struct spi_nu_brick *shape,
                         int64_t n, const TYPE(spi_nu_point) * points,
                         const REAL complex *c, REAL complex *brick)
{
    if (shape->depth == 1)
        NAME(spread_some)(1, taps, shape, n, points, (const REAL *)c, (REAL *)brick);
    else
        NAME(spread_some)(W, taps, shape, n, points, (const REAL *)c, (REAL *)brick);
}

static void NAME(interp)(const TYPE(spi_nu_taps) * taps, const struct spi_nu_brick *shape,
                         int64_t n, const TYPE(spi_nu_point) * points,
                         const REAL complex *brick, REAL complex *c)
{
    if (shape->depth == 1)
        NAME(interp_some)(1, taps, shape, n, points, (const REAL *)brick, (REAL *)c);
    else
        NAME(interp_some)(W, taps, shape, n, points, (const REAL *)brick, (REAL *)c);
}

#undef ROW_BYTES
#undef VECTOR
#undef LANES
#undef NROW
#undef PAD
#undef NYZ
#undef DEGREE
#undef LOW_HALF
#undef HIGH_HALF
#undef LOW_QUARTER
#undef HIGH_QUARTER
#undef AHEAD
#undef PASTE_
#undef PASTE
#undef NAME
#undef PASTE2_
#undef PASTE2
#undef TYPE
#undef vec
#undef uvec
#undef half
#undef quarter
#undef W
