/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: exponentials of scores and weights, doc/math.md (M4), (M8). */

#define EACH _Pragma("GCC unroll 4") for (int j = 0; j < SIDE; j++)

/* 2^t, t <= 0, of SIDE vectors, step by step for all of them: one alone is a chain of 40
 * cycles, and few chains fit a scheduler.  2^i 2^f by the polynomial of degree 4 with 1 at
 * f = 0 whose largest relative error is least, 2.9e-6. */
#ifdef SCALE_BY_POWER /* i = floor(t); 0 where 2^t is no float */
INLINE void NAME(exp2)(vec t[SIDE])
{
    static const float c[4] = {0.0134266843F, 0.0522424742F, 0.241280205F, 0.693044845F};
    vec f[SIDE], p[SIDE];

    EACH f[j] = ABOVE_FLOOR(t[j]);
    EACH p[j] = c[0] * f[j] + c[1];
    EACH p[j] = p[j] * f[j] + c[2];
    EACH p[j] = p[j] * f[j] + c[3];
    EACH p[j] = p[j] * f[j] + 1;
    EACH t[j] = SCALE_BY_POWER(p[j], t[j]);
}
#else /* i: the nearest integer; below 2^-126: that */
INLINE void NAME(exp2)(vec t[SIDE])
{
    static const float c[4] = {0.009582853F, 0.055906426F, 0.24024099F, 0.6931242F};
    const float to_integer = 12582912; /* 1.5 * 2^23 */
    vec u[SIDE], p[SIDE];

    EACH t[j] = NAME(larger)(t[j], (vec){0} - 126);
    EACH u[j] = t[j] + to_integer;
    EACH t[j] -= u[j] - to_integer;
    EACH p[j] = c[0] * t[j] + c[1];
    EACH p[j] = p[j] * t[j] + c[2];
    EACH p[j] = p[j] * t[j] + c[3];
    EACH p[j] = p[j] * t[j] + 1;
    EACH t[j] = (vec)((bvec)p[j] + ((bvec)u[j] << 23)); /* u has the exponent's bits */
}
#endif

INLINE float NAME(total)(vec v)
{
    ivec lane;

#pragma GCC unroll 16
    for (int l = 0; l < LANES; l++)
        lane[l] = l;
#pragma GCC unroll 4
    for (int s = LANES / 2; s; s /= 2)
        v += SPI_SHUFFLE(v, lane ^ s);
    return v[0];
}

/* Of SIDE vectors; the first `skip` values do not count. */
INLINE void NAME(some_exponentials)(int skip, const float *x, float max, float beta,
                                    float *e, vec sum[3])
{
    float scale = beta * 1.44269504F; /* log2(e) */
    vec d[SIDE], f[SIDE];
    ivec lane;

    EACH d[j] = UV(x + j * LANES) - max;
    EACH f[j] = scale * d[j];
    NAME(exp2)(f);
    if (e) {
        EACH *(uvec *)(e + j * LANES) = f[j];
    }
    if (skip) {
#pragma GCC unroll 16
        for (int l = 0; l < LANES; l++)
            lane[l] = l;
        EACH f[j] = WHERE(lane + j * LANES >= skip, f[j]);
    }
    EACH sum[0] += f[j];
    EACH sum[1] += f[j] *= d[j];
    EACH sum[2] += f[j] * d[j];
}

INLINE void NAME(exponentials_of)(int64_t n, const float *x, float max, float beta,
                                  float *e, double sum[3])
{
    enum { WIDTH = SIDE * LANES, PART = 1024 }; /* floats are sums of 1024 terms */
    float few[WIDTH];

    sum[0] = sum[1] = sum[2] = 0;
    for (int64_t from = 0; from < n; from += PART) {
        int64_t to = from + PART < n ? from + PART : n, i = from;
        vec part[3] = {0};

        for (; i + WIDTH <= to; i += WIDTH)
            NAME(some_exponentials)(0, x + i, max, beta, e ? e + i : NULL, part);
        if (i < to && n >= WIDTH) { /* with some that were there before */
            NAME(some_exponentials)
            ((int)(i + WIDTH - to), x + to - WIDTH, max, beta, e ? e + to - WIDTH : NULL,
             part);
        } else if (i < to) {
            size_t bytes = (size_t)n * sizeof *few;

            EACH *(uvec *)(few + j * LANES) = max - (vec){0};
            memcpy(few + WIDTH - n, x, bytes);
            NAME(some_exponentials)(WIDTH - (int)n, few, max, beta, e ? few : NULL, part);
            if (e)
                memcpy(e, few + WIDTH - n, bytes);
        }
#pragma GCC unroll 3
        for (int k = 0; k < 3; k++)
            sum[k] += (double)NAME(total)(part[k]);
    }
}

static void NAME(exponentials)(int64_t n, const float *x, float max, float beta, float *e,
                               double sum[3])
{
    if (e)
        NAME(exponentials_of)(n, x, max, beta, e, sum);
    else
        NAME(exponentials_of)(n, x, max, beta, NULL, sum);
}

/* Angles a ... a + n - 1, n <= SIDE, of LANES lanes. */
INLINE void NAME(some_weights)(enum spi_score_form form, int n, const float *x,
                               const float *table, vec count, vec top, float scale,
                               const float *S, uint16_t *q, vec sum[3])
{
    vec d[SIDE], e[SIDE];

    EACH d[j] = NAME(score)(form, CV(x + (j < n ? j : 0) * SPI_LANES),
                            CV(table + (j < n ? j : 0) * SPI_LANES), count);
    EACH e[j] = scale * (d[j] -= top);
    NAME(exp2)(e);
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) {
        sum[0] += e[j];
        sum[1] += e[j] * d[j];
        sum[2] += e[j] * CV(S + j * SPI_LANES);
        /* + 2^23: the nearest integer is in the low bits */
        *(hvec *)(q + j * SPI_LANES) =
            __builtin_convertvector((bvec)(e[j] * 65535 + 8388608), hvec);
    }
}

INLINE void NAME(weights_of)(enum spi_score_form form, int Na, const float *x,
                             const float *table, float count, const float *top, float beta,
                             const float *S, uint16_t *q, struct spi_weight_sums *sums)
{
    for (int h = 0; h < SPI_LANES; h += LANES) {
        vec n = count - (vec){0}, most = CV(top + h), sum[3] = {0};
        float scale = beta * 1.44269504F; /* log2(e) */
        int a = 0;

        for (; a + SIDE <= Na; a += SIDE) {
            long at = (long)a * SPI_LANES + h;

            NAME(some_weights)
            (form, SIDE, x + at, table + at, n, most, scale, S + at, q + at, sum);
        }
        for (int two = SIDE < 2 ? 1 : 2; a < Na; a += two) { /* Na is even */
            long at = (long)a * SPI_LANES + h;

            NAME(some_weights)
            (form, two, x + at, table + at, n, most, scale, S + at, q + at, sum);
        }
        V(sums->w + h) = sum[0];
        V(sums->wx + h) = sum[1];
        V(sums->wS + h) = sum[2];
    }
}

static void NAME(weights)(enum spi_score_form form, int Na, const float *x,
                          const float *table, float count, const float top[SPI_LANES],
                          float beta, const float *S, uint16_t *q,
                          struct spi_weight_sums *sums)
{
    if (form == SPI_FORM_DIFFERENCE)
        NAME(weights_of)(SPI_FORM_DIFFERENCE, Na, x, table, count, top, beta, S, q, sums);
    else
        NAME(weights_of)(SPI_FORM_RATIO, Na, x, table, count, top, beta, S, q, sums);
}

#undef EACH
