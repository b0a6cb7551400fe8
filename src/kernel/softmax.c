#include "kernel/softmax.h"

#include <math.h>
#include <string.h>

#include "kernel/clones.h"

/* exp(x), x <= 0: 2^i exp(f), |f| <= ln(2)/2, exp(f) by its Taylor polynomial of degree 6
 * (remainder (0.3466)^7 / 7! = 1.2e-7 of at least 0.7).  f = x - i ln 2 with ln 2 in two
 * parts, of which the first times i is exact: the error does not grow with |x|. */
SPI_INLINE float exp_neg(float x)
{
    float y = x * 1.44269504F;

    y = y < -126 ? -126 : y;

    float r = y + 12582912.0F, i = r - 12582912.0F; /* 1.5 * 2^23: to the nearest integer */
    int32_t bits;

    memcpy(&bits, &r, sizeof bits);

    float f = (x - i * 0.693359375F) + i * 2.12194440e-4F;
    float p =
        1 +
        f * (1 + f * (0.5F + f * (1.0F / 6 +
                                  f * (1.0F / 24 + f * (1.0F / 120 + f * (1.0F / 720))))));
    int32_t power = (bits - 0x4B400000 + 127) << 23;
    float two_i;

    memcpy(&two_i, &power, sizeof two_i);
    return x < -87 ? 0 : p * two_i;
}

SPI_CLONES float spi_max(int64_t n, const float *x)
{
    float m = x[0];

#pragma omp simd reduction(max : m)
    for (int64_t i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

int64_t spi_arg_max(int64_t n, const float *x)
{
    float m = spi_max(n, x);
    int64_t i = 0;

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

SPI_CLONES void spi_exp_sums(int64_t n, const float *x, float max, float beta, double *sum,
                             double *sum_x)
{
    double s = 0, sx = 0;

    for (int64_t from = 0; from < n; from += 1024) { /* float partial sums of 1024 terms */
        int64_t to = from + 1024 < n ? from + 1024 : n;
        float ps = 0, psx = 0;

#pragma omp simd reduction(+ : ps, psx)
        for (int64_t i = from; i < to; i++) {
            float d = x[i] - max, e = exp_neg(beta * d);

            ps += e;
            psx += e * d;
        }
        s += (double)ps;
        sx += (double)psx;
    }
    *sum = s;
    *sum_x = sx;
}

SPI_CLONES void spi_exp_weights(int64_t n, const float *x, float max, float beta,
                                float scale, float *out)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        out[i] = scale * exp_neg(beta * (x[i] - max));
}

int spi_keep_weights(int n, const float *w, float least, const float *S, uint16_t *place,
                     float *kept, double *sum, double *sum_S)
{
    int count = 0;
    double s = 0, sS = 0;

    for (int i = 0; i < n; i++) { /* without branches: about half may be kept */
        place[count] = (uint16_t)i;
        kept[count] = w[i];
        count += w[i] >= least;
    }
    for (int i = 0; i < count; i++) {
        s += (double)kept[i];
        sS += (double)kept[i] * (S ? (double)S[place[i]] : 1);
    }
    *sum += s;
    *sum_S += sS;
    return count;
}

SPI_CLONES void spi_scale(int64_t n, float scale, float *x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= scale;
}
