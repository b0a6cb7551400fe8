/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: correlations of images with templates, doc/math.md (R6). */

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
