/* SPDX-License-Identifier: GPL-3.0-or-later */
/* grid_f16_avx512.c, of kernel/grid_f16.h: the variant for AVX-512. */
#include "kernel/grid_f16.h"

#ifdef SPI_X86_VARIANTS
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi2,f16c")

#include <immintrin.h>

#include "kernel/sum_quads_avx512.h"

#define LANE_BYTES 64
typedef __m512 vf;
typedef int32_t vi __attribute__((vector_size(LANE_BYTES), may_alias));

#define lo(a, b) _mm512_unpacklo_ps(a, b)
#define hi(a, b) _mm512_unpackhi_ps(a, b)

SPI_INLINE __m512 lo2(__m512 a, __m512 b)
{
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

SPI_INLINE __m512 hi2(__m512 a, __m512 b)
{
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* Where the four cells of each of four columns are. */
typedef __m512i pick;

SPI_INLINE __m512i pick_of(int32_t shift)
{
    const __m256i none =
        _mm256_set_epi16(27, 26, 25, 24, 19, 18, 17, 16, 11, 10, 9, 8, 3, 2, 1, 0);

    return _mm512_castsi256_si512(_mm256_add_epi16(none, _mm256_set1_epi16((short)shift)));
}

SPI_INLINE void cells(const uint16_t *from, __m512i p, __m512 *v)
{
    *v = _mm512_cvtph_ps(_mm512_castsi512_si256(
        _mm512_permutexvar_epi16(p, _mm512_loadu_si512((const void *)from))));
}

SPI_INLINE __m512 each_x(const float *tap, int r)
{
    const __m512i lane = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);

    (void)r;
    return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_load_ps(tap)), lane);
}

SPI_INLINE __m512 all_y(const float *tap)
{
    return _mm512_broadcast_f32x4(_mm_load_ps(tap));
}

SPI_INLINE void add_quads(const __m512 r[4], float *out)
{
    _mm512_store_ps(out, sum_quads(r));
}

#include "kernel/grid_f16_body.h"

void spi_grid_f16_interp_avx512(const struct spi_taps *t, const struct spi_grid_f16 *h,
                                int n, const float *const u[3], float *out)
{
    BY_NARROW_WIDTH(interp, t, h, n, u, out)
}

void spi_grid_f16_gradient_avx512(const struct spi_taps *t, const struct spi_grid_f16 *h,
                                  int n, const float *const u[3], float *const out[4])
{
    BY_NARROW_WIDTH(gradient, t, h, n, u, out)
}

#else
typedef int spi_no_avx512_grid_f16; /* a translation unit is not empty */
#endif
