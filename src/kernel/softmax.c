#include "kernel/softmax.h"

#include <math.h>
#include <string.h>

#include "kernel/clones.h"

/* exp(x), x <= 0: 2^i exp(f), |f| <= ln(2)/2, exp(f) by the polynomial of degree 5 that
 * begins with 1 + f and has the least largest relative error, 1.1e-7.  f = x - i ln 2 with
 * ln 2 in two parts, of which the first times i is exact: the error does not grow with |x|.
 */
SPI_INLINE float exp_neg(float x)
{
    const float to_integer = 12582912; /* 1.5 * 2^23 */

    x = x > -87.3F ? x : -87.3F; /* > -126 ln 2 */

    float r = x * 1.44269504F + to_integer, i = r - to_integer;
    float f = (x - i * 0.693359375F) + i * 2.12194440e-4F;
    float p = 1 + f * (1 + f * (0.4999923F +
                                f * (0.16667114F + f * (0.041890156F + f * 0.008312521F))));
    uint32_t bits, power;

    memcpy(&bits, &p, sizeof bits);
    memcpy(&power, &r, sizeof power);
    bits += power << 23; /* the exponent, of which r has the low bits */
    memcpy(&p, &bits, sizeof p);
    return p;
}

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

/* e NULL: they are not kept. */
SPI_INLINE void exponentials(int64_t n, const float *x, float max, float beta, float *e,
                             double sum[3])
{
    double s = 0, sx = 0, sxx = 0;

    for (int64_t from = 0; from < n; from += 1024) { /* float partial sums of 1024 terms */
        int64_t to = from + 1024 < n ? from + 1024 : n;
        float ps = 0, psx = 0, psxx = 0;

#pragma omp simd reduction(+ : ps, psx, psxx)
        for (int64_t i = from; i < to; i++) {
            float d = x[i] - max, f = exp_neg(beta * d), fd = f * d;

            if (e)
                e[i] = f;
            ps += f;
            psx += fd;
            psxx += fd * d;
        }
        s += (double)ps;
        sx += (double)psx;
        sxx += (double)psxx;
    }
    sum[0] = s;
    sum[1] = sx;
    sum[2] = sxx;
}

SPI_CLONES void spi_exp_sums(int64_t n, const float *x, float max, float beta,
                             double sum[3])
{
    exponentials(n, x, max, beta, NULL, sum);
}

SPI_CLONES void spi_exp_values(int64_t n, const float *x, float max, float beta, float *e,
                               double sum[3])
{
    exponentials(n, x, max, beta, e, sum);
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
    __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 limit = _mm512_set1_ps(least), s = _mm512_setzero_ps(), sS = s;
    int count = 0;

    for (int i = 0; i < n; i += 16) {
        __mmask16 there = n - i < 16 ? (__mmask16)((1U << (n - i)) - 1) : 0xFFFF;
        __m512 v = _mm512_maskz_loadu_ps(there, w + i);
        __mmask16 k = _mm512_mask_cmp_ps_mask(there, v, limit, _CMP_GE_OQ);

        _mm512_storeu_ps(kept + count, _mm512_maskz_compress_ps(k, v));
        _mm256_storeu_si256((__m256i *)(void *)(place + count),
                            _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(k, at)));
        s = _mm512_mask_add_ps(s, k, s, v);
        if (S)
            sS = _mm512_mask3_fmadd_ps(v, _mm512_maskz_loadu_ps(k, S + i), sS, k);
        at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
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
