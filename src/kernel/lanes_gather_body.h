/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Included by lanes_body.h: averages of images, the way back from weights, doc/math.md
 * (M10). */

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
