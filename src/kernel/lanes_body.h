/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes.c once for each instruction set: LANES floats in a vector, IMAGES of a
 * group at once (2 IMAGES accumulators must fit the registers), NAME(function). */
/* clang-format off */
#define vec NAME(vec)
#define uvec NAME(uvec)
#define ivec NAME(ivec)
#define bvec NAME(bvec)
#define hvec NAME(hvec)
/* clang-format on */
typedef float vec __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t bvec __attribute__((vector_size(4 * LANES)));
typedef uint16_t hvec __attribute__((vector_size(2 * LANES), may_alias));
typedef float uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define V(p)  (*(vec *)(p))
#define CV(p) (*(const vec *)(p))
#define UV(p) (*(const uvec *)(p))

/* ---- a block of 16 x 16: columns of rows -------------------------------------------- */

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

/* ---- correlation (R6) --------------------------------------------------------------- */

static void NAME(panel)(const struct spi_band *b, int n, const float *const *record,
                        float *panel)
{
    const float *all[SPI_LANES];

    NAME(repeat_last)(n, record, all);
    for (int m0 = 0; m0 < b->M; m0 += SPI_LANES) {
        int width = b->M - m0 < SPI_LANES ? b->M - m0 : SPI_LANES;
        float *to[SPI_LANES]; /* where ring r of each harmonic goes, if it has it */

        for (int c = 0; c < width; c++) {
            to[c] = panel - 2L * SPI_LANES * (b->first[m0 + c] - b->first[m0]);
            panel += 2L * SPI_LANES * (b->R - b->first[m0 + c]);
        }
        for (int r = b->first[m0]; r < b->R; r++)
            for (int part = 0; part < 2; part++) {
                _Alignas(64) float t[SPI_LANES * SPI_LANES];

                NAME(block)(all, spi_band_at(b, r, m0) + part * SPI_LANES, t, SPI_LANES);
                for (int c = 0; c < width && b->first[m0 + c] <= r; c++)
                    memcpy(to[c] + SPI_LANES * (2L * (r - b->first[m0]) + part),
                           t + SPI_LANES * c, SPI_LANES * sizeof *t);
            }
    }
}

/* k rings of one harmonic: N images against LANES templates. */
INLINE void NAME(micro)(const int N, int k, const float *panel, const float *group,
                        float *C, long stride)
{
    vec re[SPI_GROUP], im[SPI_GROUP];

#pragma GCC unroll 12
    for (int i = 0; i < N; i++)
        re[i] = im[i] = (vec){0};
    for (int r = 0; r < k; r++) {
        vec lr = CV(panel), li = CV(panel + SPI_LANES);

        __builtin_prefetch(panel + 64 * SPI_LANES); /* from the second-level cache */
        __builtin_prefetch(panel + 65 * SPI_LANES);
#pragma GCC unroll 12
        for (int i = 0; i < N; i++) {
            re[i] += group[2 * i] * lr;
            im[i] += group[2 * i] * li;
        }
#pragma GCC unroll 12
        for (int i = 0; i < N; i++) {
            re[i] += group[2 * i + 1] * li;
            im[i] -= group[2 * i + 1] * lr;
        }
        panel += 2 * SPI_LANES;
        group += 2 * SPI_GROUP;
    }
#pragma GCC unroll 12
    for (int i = 0; i < N; i++) {
        V(C + i * stride) = re[i];
        V(C + i * stride + SPI_LANES) = im[i];
    }
}

INLINE void NAME(harmonic)(const int N, int n, int k, const float *panel,
                           const float *group, float *C, long stride)
{
    for (int h = 0; h < SPI_LANES; h += LANES)
        for (int i = 0; i < n; i += N)
            NAME(micro)(N, k, panel + h, group + 2 * i, C + i * stride + h, stride);
}

static void NAME(tile)(const struct spi_band *b, const float *panel, int n,
                       const float *group, float *C)
{
    long stride = spi_pairs_floats(b);

    for (int m = 0; m < b->M; m++) {
        int k = b->R - b->first[m];

        if (IMAGES == SPI_GROUP && n <= SPI_GROUP - 4) /* a last group */
            NAME(harmonic)(SPI_GROUP - 4, n, k, panel, group, C, stride);
        else
            NAME(harmonic)(IMAGES, n, k, panel, group, C, stride);
        panel += 2L * SPI_LANES * k;
        group += 2L * SPI_GROUP * k;
        C += 2 * SPI_LANES;
    }
}

/* One image against N templates, harmonics in the lanes; out: [block][re, im][lane]. */
INLINE void NAME(few)(const int N, const struct spi_band *b, const float *c,
                      const float *const *L, float *out, long stride)
{
    for (int m0 = 0, k = 0; m0 < b->M; m0 += SPI_LANES, k++)
        for (int h = 0; h < SPI_LANES; h += LANES) {
            vec re[4], im[4];

#pragma GCC unroll 4
            for (int j = 0; j < N; j++)
                re[j] = im[j] = (vec){0};
            for (int at = b->off[k] + h; at < b->off[k + 1]; at += 2 * SPI_LANES) {
                vec cr = CV(c + at), ci = CV(c + at + SPI_LANES);

#pragma GCC unroll 4
                for (int j = 0; j < N; j++) {
                    vec lr = CV(L[j] + at), li = CV(L[j] + at + SPI_LANES);

                    re[j] += cr * lr;
                    im[j] += cr * li;
                    re[j] += ci * li;
                    im[j] -= ci * lr;
                }
            }
#pragma GCC unroll 4
            for (int j = 0; j < N; j++) {
                V(out + j * stride + 2L * SPI_LANES * k + h) = re[j];
                V(out + j * stride + 2L * SPI_LANES * k + SPI_LANES + h) = im[j];
            }
        }
}

static void NAME(pairs)(const struct spi_band *b, int n, const float *const *image,
                        const float *const *record, float *work, float *C)
{
    int blocks = (b->M + SPI_LANES - 1) / SPI_LANES;
    long stride = 2L * SPI_LANES * blocks;
    const float *row[SPI_LANES];

    for (int i = 0; i < n;) {
        if (i + 4 <= n && image[i + 3] == image[i] && image[i + 2] == image[i] &&
            image[i + 1] == image[i]) {
            NAME(few)(4, b, image[i], record + i, work + i * stride, stride);
            i += 4;
        } else {
            NAME(few)(1, b, image[i], record + i, work + i * stride, stride);
            i++;
        }
    }
    for (int i = 0; i < SPI_LANES; i++)
        row[i] = work + (i < n ? i : n - 1) * stride;
    for (int k = 0; k < blocks; k++)
        for (int part = 0; part < 2; part++) {
            _Alignas(64) float t[SPI_LANES * SPI_LANES];
            int width = b->M - k * SPI_LANES;
            float *to = C + 2L * SPI_LANES * SPI_LANES * k + part * SPI_LANES;

            if (width >= SPI_LANES) {
                NAME(block)(row, (2 * k + part) * SPI_LANES, to, 2 * SPI_LANES);
                continue;
            }
            NAME(block)(row, (2 * k + part) * SPI_LANES, t, SPI_LANES);
            for (int c = 0; c < width; c++)
                memcpy(to + 2 * SPI_LANES * c, t + SPI_LANES * c, SPI_LANES * sizeof *t);
        }
}

/* ---- angles (R7), (R9) -------------------------------------------------------------- */

#define STEP (2 * SPI_LANES) /* floats from one complex number of a lane to the next */

/* Z_k and Z_{H-k} of the header. */
INLINE void NAME(half_length)(const struct spi_angular *t, const float *C, float *Z)
{
    int H = t->Na / 2;

    V(Z) = CV(C);
    V(Z + SPI_LANES) = CV(C);
    for (int k = 1; 2 * k <= H; k++) {
        const float *p = C + k * STEP, *q = C + (H - k) * STEP, *w = t->twiddle + 2 * k;
        vec zero = {0}, ar = k < t->M ? CV(p) : zero,
            ai = k < t->M ? CV(p + SPI_LANES) : zero;
        vec br = H - k < t->M ? CV(q) : zero, bi = H - k < t->M ? CV(q + SPI_LANES) : zero;
        vec sr = ar + br, si = ai - bi, dr = ar - br, di = ai + bi;
        vec tr = w[0] * dr - w[1] * di, ti = w[0] * di + w[1] * dr;

        V(Z + k * STEP) = sr + tr;
        V(Z + k * STEP + SPI_LANES) = si + ti;
        V(Z + (H - k) * STEP) = sr - tr;
        V(Z + (H - k) * STEP + SPI_LANES) = ti - si;
    }
}

/* y_j = sum_i x_i exp(2 pi i ij / radix). */
INLINE void NAME(dft2)(const vec *x, vec *y)
{
    y[0] = x[0] + x[2];
    y[1] = x[1] + x[3];
    y[2] = x[0] - x[2];
    y[3] = x[1] - x[3];
}

INLINE void NAME(dft3)(const vec *x, vec *y)
{
    const float s = 0.866025403784438647F;
    vec sr = x[2] + x[4], si = x[3] + x[5], dr = s * (x[2] - x[4]), di = s * (x[3] - x[5]);
    vec mr = x[0] - 0.5F * sr, mi = x[1] - 0.5F * si;

    y[0] = x[0] + sr;
    y[1] = x[1] + si;
    y[2] = mr - di;
    y[3] = mi + dr;
    y[4] = mr + di;
    y[5] = mi - dr;
}

INLINE void NAME(dft4)(const vec *x, vec *y)
{
    vec ar = x[0] + x[4], ai = x[1] + x[5], br = x[0] - x[4], bi = x[1] - x[5];
    vec cr = x[2] + x[6], ci = x[3] + x[7], dr = x[2] - x[6], di = x[3] - x[7];

    y[0] = ar + cr;
    y[1] = ai + ci;
    y[2] = br - di;
    y[3] = bi + dr;
    y[4] = ar - cr;
    y[5] = ai - ci;
    y[6] = br + di;
    y[7] = bi - dr;
}

INLINE void NAME(dft5)(const vec *x, vec *y)
{
    const float c1 = 0.309016994374947424F, c2 = -0.809016994374947424F,
                s1 = 0.951056516295153572F, s2 = 0.587785252292473129F;
    vec ar = x[2] + x[8], ai = x[3] + x[9], br = x[4] + x[6], bi = x[5] + x[7];
    vec dr = x[2] - x[8], di = x[3] - x[9], er = x[4] - x[6], ei = x[5] - x[7];
    vec pr = x[0] + c1 * ar + c2 * br, pi = x[1] + c1 * ai + c2 * bi;
    vec qr = x[0] + c2 * ar + c1 * br, qi = x[1] + c2 * ai + c1 * bi;
    vec ur = s1 * dr + s2 * er, ui = s1 * di + s2 * ei;
    vec vr = s2 * dr - s1 * er, vi = s2 * di - s1 * ei;

    y[0] = x[0] + ar + br;
    y[1] = x[1] + ai + bi;
    y[2] = pr - ui;
    y[3] = pi + ur;
    y[4] = qr - vi;
    y[5] = qi + vr;
    y[6] = qr + vi;
    y[7] = qi - vr;
    y[8] = pr + ui;
    y[9] = pi - ur;
}

INLINE vec NAME(of_float)(const void *x, long at)
{
    return CV((const float *)x + at);
}

INLINE vec NAME(of_steps)(const void *q, long at)
{
    return __builtin_convertvector(
        __builtin_convertvector(*(const hvec *)((const uint16_t *)q + at), ivec), vec);
}

/* One pass (Stockham): s interleaved sequences of length l become s * radix of l / radix.
 */
INLINE void NAME(pass)(const int radix, void (*dft)(const vec *, vec *),
                       vec (*of)(const void *, long), int l, int s, const float *w,
                       const void *x, float *y)
{
    int m = l / radix;

    for (int q = 0; q < m; q++, w += 2 * (radix - 1))
        for (int i = 0; i < s; i++) {
            vec in[10], out[10];

#pragma GCC unroll 5
            for (int j = 0; j < radix; j++) {
                long at = (i + (long)s * (q + m * j)) * STEP;

                in[2 * j] = of(x, at);
                in[2 * j + 1] = of(x, at + SPI_LANES);
            }
            dft(in, out);
            if (q > 0)
#pragma GCC unroll 5
                for (int j = 1; j < radix; j++) {
                    float c = w[2 * j - 2], d = w[2 * j - 1];
                    vec re = out[2 * j], im = out[2 * j + 1];

                    out[2 * j] = c * re - d * im;
                    out[2 * j + 1] = c * im + d * re;
                }
#pragma GCC unroll 5
            for (int j = 0; j < radix; j++) {
                float *p = y + (i + s * (radix * q + j)) * STEP;

                V(p) = out[2 * j];
                V(p + SPI_LANES) = out[2 * j + 1];
            }
        }
}

INLINE void NAME(pass_of)(int radix, vec (*of)(const void *, long), int l, int s,
                          const float *w, const void *x, float *y)
{
    if (radix == 5)
        NAME(pass)(5, NAME(dft5), of, l, s, w, x, y);
    else if (radix == 4)
        NAME(pass)(4, NAME(dft4), of, l, s, w, x, y);
    else if (radix == 3)
        NAME(pass)(3, NAME(dft3), of, l, s, w, x, y);
    else
        NAME(pass)(2, NAME(dft2), of, l, s, w, x, y);
}

/* All passes from `from` to `out`; x and y are work, x may be `from`. */
INLINE void NAME(passes)(const struct spi_angular *t, vec (*of)(const void *, long),
                         const void *from, float *x, float *y, float *out)
{
    const float *w = t->twiddle + t->Na;

    for (int p = 0, l = t->Na / 2, s = 1; p < t->n_passes; p++) {
        int radix = t->radix[p];
        float *to = p == t->n_passes - 1 ? out : y;

        if (p == 0)
            NAME(pass_of)(radix, of, l, s, w, from, to);
        else
            NAME(pass_of)(radix, NAME(of_float), l, s, w, x, to);
        w += 2 * (l / radix) * (radix - 1);
        l /= radix;
        s *= radix;
        y = x;
        x = to;
    }
}

static void NAME(angular)(const struct spi_angular *t, const float *C, float *work,
                          float *out)
{
    long half = (long)t->Na * SPI_LANES;

    for (int h = 0; h < SPI_LANES; h += LANES) {
        NAME(half_length)(t, C + h, work + h);
        NAME(passes)(t, NAME(of_float), work + h, work + h, work + half + h, out + h);
    }
}

/* ---- scores (M1), (M2) -------------------------------------------------------------- */

/* a where the comparison holds, else 0. */
#define WHERE(condition, a) ((vec)((ivec)(a) & (condition)))

INLINE vec NAME(larger)(vec a, vec b)
{
#ifdef MAX
    return MAX(a, b);
#else
    ivec first = a > b;

    return (vec)(((ivec)a & first) | ((ivec)b & ~first));
#endif
}

INLINE vec NAME(score)(enum spi_score_form form, vec x, vec table, vec count)
{
    vec zero = {0};

    if (form == SPI_FORM_DIFFERENCE)
        return x - count * table;
    return WHERE((x > zero) & (table > zero), x * x / (2 * table));
}

INLINE void NAME(top_of)(enum spi_score_form form, int Na, const float *x,
                         const float *table, float count, float *top)
{
    for (int h = 0; h < SPI_LANES; h += LANES) {
        vec n = count - (vec){0};
        vec t0 = NAME(score)(form, CV(x + h), CV(table + h), n), t1 = t0;

        for (int a = 0; a < Na; a += 2) {
            const float *p = x + a * SPI_LANES + h, *q = table + a * SPI_LANES + h;

            t0 = NAME(larger)(NAME(score)(form, CV(p), CV(q), n), t0);
            t1 = NAME(larger)(NAME(score)(form, CV(p + SPI_LANES), CV(q + SPI_LANES), n),
                              t1);
        }
        V(top + h) = NAME(larger)(t0, t1);
    }
}

static void NAME(top)(enum spi_score_form form, int Na, const float *x, const float *table,
                      float count, float top[SPI_LANES])
{
    if (form == SPI_FORM_DIFFERENCE)
        NAME(top_of)(SPI_FORM_DIFFERENCE, Na, x, table, count, top);
    else
        NAME(top_of)(SPI_FORM_RATIO, Na, x, table, count, top);
}

/* Scores of one row, `width` <= LANES of them; returns the larger of `best` and each. */
INLINE vec NAME(row)(enum spi_score_form form, int width, const float *x,
                     const float *table, float count, float *out, vec best)
{
    vec tab = CV(x), s, none = count - (vec){0};

    if (width >= LANES) {
        s = NAME(score)(form, CV(x), UV(table), none);
        *(uvec *)out = s;
    } else { /* the end of the row: the first value again, so that the maximum stands */
        for (int c = 0; c < LANES; c++)
            tab[c] = table[c < width ? c : 0];
        s = NAME(score)(form, CV(x), tab, none);
        memcpy(out, &s, (size_t)width * sizeof *out);
        for (int c = width; c < LANES; c++)
            s[c] = s[0];
    }
    return NAME(larger)(s, best);
}

static void NAME(rows)(enum spi_score_form form, int Na, int n, const float *x,
                       const float *const *table, const float *count, float *const *out,
                       float *top)
{
    _Alignas(64) float t[SPI_LANES * SPI_LANES];
    const float *src[SPI_LANES];
    vec best[SPI_LANES];

    for (int i = 0; i < n; i++)
        best[i] = -__builtin_inff() - (vec){0};
    for (int a = 0; a < Na; a += SPI_LANES) {
        int width = Na - a < SPI_LANES ? Na - a : SPI_LANES;

        for (int c = 0; c < SPI_LANES; c++) /* beyond Na: anything */
            src[c] = x + (long)(c < width ? a + c : a) * SPI_LANES;
        NAME(block)(src, 0, t, SPI_LANES);
        for (int i = 0; i < n; i++)
            for (int h = 0; h < width; h += LANES)
                best[i] = NAME(row)(form, width - h, t + SPI_LANES * i + h,
                                    table[i] + a + h, count[i], out[i] + a + h, best[i]);
    }
    for (int i = 0; i < n; i++) {
        top[i] = best[i][0];
        for (int c = 1; c < LANES; c++)
            top[i] = best[i][c] > top[i] ? best[i][c] : top[i];
    }
}

#define EACH _Pragma("GCC unroll 4") for (int j = 0; j < SIDE; j++)

/* ---- weights (M4) and averages ------------------------------------------------------ */

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

/* F_k and F_{H-k} of the header from Z_k and Z_{H-k}, k <= H / 2. */
INLINE void NAME(full_length)(const struct spi_angular *t, int M, const float *Z, vec scale,
                              float *out, long stride)
{
    int H = t->Na / 2;

    for (int k = 0; 2 * k <= H; k++) {
        const float *p = Z + k * STEP, *c = Z + (k ? H - k : 0) * STEP,
                    *w = t->twiddle + 2 * k;
        vec ar = CV(p), ai = CV(p + SPI_LANES), br = CV(c), bi = CV(c + SPI_LANES);
        vec sr = ar + br, si = ai - bi, dr = ar - br, di = ai + bi;
        vec tr = w[0] * dr - w[1] * di, ti = w[0] * di + w[1] * dr;

        if (k < M) {
            V(out + k * stride) = scale * (sr - tr);
            V(out + k * stride + SPI_LANES) = scale * (ti - si);
        }
        if (H - k < M) {
            V(out + (H - k) * stride) = scale * (sr + tr);
            V(out + (H - k) * stride + SPI_LANES) = scale * (si + ti);
        }
    }
}

static void NAME(spectrum)(const struct spi_angular *t, int M, const uint16_t *q,
                           const float scale[SPI_LANES], float *work, float *out,
                           long stride)
{
    int Na = t->Na;
    long half = (long)Na * SPI_LANES;

    for (int h = 0; h < SPI_LANES; h += LANES) {
        float *Z = work + (t->n_passes % 2 ? half : 0) + h;

        NAME(passes)(t, NAME(of_steps), q + h, work + h, work + half + h, Z);
        NAME(full_length)(t, M, Z, CV(scale + h) / 2, out + h, stride);
        for (int m = Na / 2 + 1; m < M; m++) { /* F_m = conj F_{Na-m} = F_{m-Na} */
            const float *p = out + abs(Na - m) * stride + h;

            V(out + m * stride + h) = CV(p);
            V(out + m * stride + SPI_LANES + h) =
                m < Na ? -CV(p + SPI_LANES) : CV(p + SPI_LANES);
        }
    }
}

/* N rings of one harmonic, and if there is phi the sum of phi P behind them. */
INLINE void NAME(gather_rings)(const int N, int n, const float *P,
                               const float *const *image, long at, const float *phi,
                               float *sum)
{
    vec re[SPI_GROUP], im[SPI_GROUP], dr = {0}, di = {0};

#pragma GCC unroll 12
    for (int r = 0; r < N; r++) {
        re[r] = CV(sum + r * STEP);
        im[r] = CV(sum + r * STEP + SPI_LANES);
    }
    for (int i = 0; i < n; i++) {
        vec pr = CV(P), pi = CV(P + SPI_LANES);
        const float *c = image[i] + at;

        __builtin_prefetch(sum + (N + 1) * STEP + i * SPI_LANES, 1); /* what comes next */
#pragma GCC unroll 12
        for (int r = 0; r < N; r++) {
            re[r] += c[2 * r] * pr;
            im[r] += c[2 * r] * pi;
        }
#pragma GCC unroll 12
        for (int r = 0; r < N; r++) {
            re[r] -= c[2 * r + 1] * pi;
            im[r] += c[2 * r + 1] * pr;
        }
        if (phi) {
            dr += phi[i] * pr;
            di += phi[i] * pi;
        }
        P += STEP;
    }
#pragma GCC unroll 12
    for (int r = 0; r < N; r++) {
        V(sum + r * STEP) = re[r];
        V(sum + r * STEP + SPI_LANES) = im[r];
    }
    if (phi) {
        V(sum + N * STEP) += dr;
        V(sum + N * STEP + SPI_LANES) += di;
    }
}

static void NAME(gather)(const struct spi_band *b, int n, const float *P, long stride,
                         const float *const *image, const float *phi, float *sum)
{
    long at = 0;

    for (int m = 0; m < b->M; m++, P += stride, sum += STEP) {
        int k = b->R - b->first[m];

        for (int N; k > 0; k -= N, at += 2L * N, sum += N * STEP) {
            N = k < IMAGES ? k : IMAGES;
            for (int h = 0; h < SPI_LANES; h += LANES)
                switch (N) {
#define CASE(j)                                                                   \
    case j:                                                                       \
        NAME(gather_rings)(j, n, P + h, image, at, k == j ? phi : NULL, sum + h); \
        break;
                    CASE(1)
                    CASE(2)
                    CASE(3)
                    CASE(4)
#if IMAGES > 4
                    CASE(5)
                    CASE(6)
#endif
#if IMAGES > 6
                    CASE(7)
                    CASE(8)
                    CASE(9)
                    CASE(10)
                    CASE(11)
                    CASE(12)
#endif
#undef CASE
                }
        }
    }
}

static float NAME(peak)(long n)
{
    vec a[12], x = {0}, y = {0};

    x += 0.999F;
    y += 0.1F;
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        a[i] = x;
    for (long k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = a[i] * x + y;
    }
    for (int i = 1; i < 12; i++)
        a[0] += a[i];
    return a[0][0];
}

#undef STEP
#undef V
#undef CV
#undef UV
#undef vec
#undef uvec
#undef ivec
#undef bvec
#undef hvec
#undef WHERE
#undef MAX
#undef LANES
#undef IMAGES
#undef SIDE
#undef EACH
#undef SCALE_BY_POWER
#undef ABOVE_FLOOR
#undef NAME
