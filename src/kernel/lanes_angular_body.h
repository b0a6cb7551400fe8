/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: from harmonics to angles, doc/math.md (R7), (R9). */

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
