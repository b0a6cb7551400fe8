/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: from angles to harmonics, doc/math.md (M9), by the passes
 * of lanes_angular_body.h. */

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
