/* SPDX-License-Identifier: GPL-3.0-or-later */
/* grid_f16_avx2.c, of kernel/grid_f16.h: the variant for AVX2. */
#include "kernel/grid_f16.h"

#ifdef SPI_X86_VARIANTS
#pragma GCC target("avx2,fma,bmi2,f16c")

#include <immintrin.h>

#include "kernel/clones.h"

#define LANE_BYTES 32
typedef __m256 vf;
typedef int32_t vi __attribute__((vector_size(LANE_BYTES), may_alias));

#define lo(a, b) _mm256_unpacklo_ps(a, b)
#define hi(a, b) _mm256_unpackhi_ps(a, b)

SPI_INLINE __m256 lo2(__m256 a, __m256 b)
{
    return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}

SPI_INLINE __m256 hi2(__m256 a, __m256 b)
{
    return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}

typedef int32_t pick;

SPI_INLINE int32_t pick_of(int32_t shift)
{
    return shift;
}

SPI_INLINE __m256 two_columns(const uint16_t *from)
{
    return _mm256_cvtph_ps(_mm_unpacklo_epi64(_mm_loadu_si64(from),
                                              _mm_loadu_si64(from + SPI_GRID_F16_LANES)));
}

SPI_INLINE void cells(const uint16_t *from, int32_t shift, __m256 v[2])
{
    v[0] = two_columns(from + shift);
    v[1] = two_columns(from + shift + 2 * SPI_GRID_F16_LANES);
}

SPI_INLINE __m256 each_x(const float *tap, int r)
{
    return _mm256_permutevar_ps(_mm256_broadcast_ps((const __m128 *)(const void *)tap),
                                _mm256_add_epi32(_mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0),
                                                 _mm256_set1_epi32(2 * r)));
}

SPI_INLINE __m256 all_y(const float *tap)
{
    return _mm256_broadcast_ps((const __m128 *)(const void *)tap);
}

SPI_INLINE void add_quads(const __m256 r[4], float *out)
{
    for (int k = 0; k < 4; k++)
        _mm_store_ps(out + 4 * k, _mm_add_ps(_mm256_castps256_ps128(r[k]),
                                             _mm256_extractf128_ps(r[k], 1)));
}

#include "kernel/grid_f16_body.h"

void spi_grid_f16_interp_avx2(const struct spi_taps *t, const struct spi_grid_f16 *h, int n,
                              const float *const u[3], float *out)
{
    BY_NARROW_WIDTH(interp, t, h, n, u, out)
}

void spi_grid_f16_gradient_avx2(const struct spi_taps *t, const struct spi_grid_f16 *h,
                                int n, const float *const u[3], float *const out[4])
{
    BY_NARROW_WIDTH(gradient, t, h, n, u, out)
}

#else
typedef int spi_no_avx2_grid_f16; /* a translation unit is not empty */
#endif
