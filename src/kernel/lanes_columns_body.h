/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: blocks of 16 x 16, rows <-> columns. */

#if LANES > 4
/* v[i] lane j <-> v[j] lane i: halves, quarters, ... exchanged. */
INLINE void NAME(transpose)(vec v[LANES])
{
    ivec lane;

#pragma GCC unroll 16
    for (int l = 0; l < LANES; l++)
        lane[l] = l;
#pragma GCC unroll 4
    for (int s = LANES / 2; s; s /= 2) {
        ivec far = (lane & s) != 0;
        ivec low = lane + (far & (LANES - s)), high = low + s;

#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            if (!(i & s)) {
                vec a = v[i], b = v[i + s];

                v[i] = __builtin_shuffle(a, b, low);
                v[i + s] = __builtin_shuffle(a, b, high);
            }
    }
}

/* dst[c * stride + i] = src[i][c], c and i < 16. */
INLINE void NAME(block)(const float *const *src, int at, float *dst, long stride)
{
    for (int i0 = 0; i0 < SPI_LANES; i0 += LANES)
        for (int c0 = 0; c0 < SPI_LANES; c0 += LANES) {
            vec v[LANES];

#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++)
                v[i] = UV(src[i0 + i] + at + c0);
            NAME(transpose)(v);
#pragma GCC unroll 16
            for (int c = 0; c < LANES; c++)
                V(dst + (c0 + c) * stride + i0) = v[c];
        }
}
#else
INLINE void NAME(block)(const float *const *src, int at, float *dst, long stride)
{
    for (int c = 0; c < SPI_LANES; c++)
        for (int i = 0; i < SPI_LANES; i++)
            dst[c * stride + i] = src[i][at + c];
}
#endif

INLINE void NAME(repeat_last)(int n, const float *const *row, const float **all)
{
    for (int i = 0; i < SPI_LANES; i++)
        all[i] = row[i < n ? i : n - 1];
}

static void NAME(columns)(int n, int width, const float *const *row, float *out)
{
    const float *all[SPI_LANES];
    int a = 0;

    NAME(repeat_last)(n, row, all);
    for (; a + SPI_LANES <= width; a += SPI_LANES)
        NAME(block)(all, a, out + (long)a * SPI_LANES, SPI_LANES);
    for (; a < width; a++)
        for (int i = 0; i < SPI_LANES; i++)
            out[a * SPI_LANES + i] = all[i][a];
}
