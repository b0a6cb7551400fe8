/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/softmax.h"

#include "kernel/clones.h"

SPI_CLONES float spi_max(int64_t n, const float *x)
{
    float m = x[0];

#pragma omp simd reduction(max : m)
    for (int64_t i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

/* Whether m is among the n <= 64 values. */
SPI_CLONES static int is_among(int n, const float *x, float m)
{
    int found = 0;

#pragma omp simd reduction(| : found)
    for (int i = 0; i < n; i++)
        found |= x[i] == m;
    return found;
}

int64_t spi_arg_max(int64_t n, const float *x)
{
    enum { STEP = 64 };
    float m = spi_max(n, x);
    int64_t i = 0;

    while (i + STEP < n && !is_among(STEP, x + i, m))
        i += STEP;
    while (i < n - 1 && x[i] != m)
        i++;
    return i;
}

SPI_CLONES void spi_drop_near(int64_t n, const float *restrict x, const float *restrict y,
                              const float *restrict z, const float axis[3], float cosine,
                              float *restrict value)
{
    float ax = axis[0], ay = axis[1], az = axis[2];

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        value[i] =
            ax * x[i] + ay * y[i] + az * z[i] >= cosine ? -__builtin_inff() : value[i];
}

SPI_CLONES float spi_sum_below(int64_t n, const float *x, float limit)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += x[i] < limit ? x[i] : 0;
    return sum;
}

int spi_keep_weights_ref(int n, const float *w, float least, const float *S,
                         uint16_t *place, float *kept, double *sum, double *sum_S)
{
    int count = 0;

    for (int i = 0; i < n; i++) {
        if (w[i] < least)
            continue;
        place[count] = (uint16_t)i;
        kept[count++] = w[i];
        *sum += (double)w[i];
        *sum_S += (double)w[i] * (S ? (double)S[i] : 1);
    }
    return count;
}

#ifdef SPI_KERNEL_X86
#include <immintrin.h>

/* Sixteen at a time: what is kept moves to the front of the register (compress), all of it
 * is stored, and the next sixteen go behind what was kept. */
__attribute__((target("arch=x86-64-v4"))) static int
keep_avx512(int n, const float *w, float least, const float *S, uint16_t *place,
            float *kept, double *sum, double *sum_S)
{
    __m512i at = _mm512_setr_epi32(-16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6, -5,
                                   -4, -3, -2, -1);
    __m512 limit = _mm512_set1_ps(least), s = _mm512_setzero_ps(), sS = s;
    int count = 0;

    for (int i = 0; i < n; i += 16) {
        __mmask16 there = n - i < 16 ? (__mmask16)((1U << (n - i)) - 1) : 0xFFFF;
        __m512 v = _mm512_maskz_loadu_ps(there, w + i);
        __mmask16 k = _mm512_mask_cmp_ps_mask(there, v, limit, _CMP_GE_OQ);

        at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
        if (!k) /* mostly */
            continue;
        _mm512_storeu_ps(kept + count, _mm512_maskz_compress_ps(k, v));
        _mm256_storeu_si256((__m256i *)(void *)(place + count),
                            _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(k, at)));
        s = _mm512_mask_add_ps(s, k, s, v);
        if (S)
            sS = _mm512_mask3_fmadd_ps(v, _mm512_maskz_loadu_ps(k, S + i), sS, k);
        count += __builtin_popcount(k);
    }
    *sum += (double)_mm512_reduce_add_ps(s);
    *sum_S += (double)_mm512_reduce_add_ps(S ? sS : s);
    return count;
}

int spi_keep_weights(int n, const float *w, float least, const float *S, uint16_t *place,
                     float *kept, double *sum, double *sum_S)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
               ? keep_avx512(n, w, least, S, place, kept, sum, sum_S)
               : spi_keep_weights_ref(n, w, least, S, place, kept, sum, sum_S);
}
#else
int spi_keep_weights(int n, const float *w, float least, const float *S, uint16_t *place,
                     float *kept, double *sum, double *sum_S)
{
    return spi_keep_weights_ref(n, w, least, S, place, kept, sum, sum_S);
}
#endif

SPI_CLONES void spi_tile_masses(int64_t tiles, int lanes, const float *e, const float *x,
                                const float *w, const float *wx, const float *wS,
                                float *mass, float *mass_S, double *sum_x)
{
    *sum_x = 0;
    for (int64_t t = 0; t < tiles; t++) {
        float m = 0, mS = 0, mx = 0;

#pragma omp simd reduction(+ : m, mS, mx)
        for (int64_t i = t * lanes; i < (t + 1) * lanes; i++) {
            m += e[i] * w[i];
            mS += e[i] * wS[i];
            mx += e[i] * (wx[i] + x[i] * w[i]);
        }
        mass[t] = m;
        mass_S[t] = mS;
        *sum_x += (double)mx;
    }
}

SPI_CLONES void spi_scale(int64_t n, float scale, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= scale;
}
