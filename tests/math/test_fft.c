/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transforms against their sums; centred volumes; sizes. */
#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "math/fft.h"
#include "math/volume.h"
#include "tap.h"

enum { N = 10, H = N / 2 + 1, COUNT = N * N * N };
static const double two_pi = 6.283185307179586477;

/* A transform of M points in float: relative l2 error below 4 log2(M) u (Higham,
 * section 24.1, with small primes); an element is off by at most that times the l2 norm of
 * the result. */
static double bound_of(double norm)
{
    return 4 * 3 * log2(N) * 0x1p-24 * norm;
}

static void check_3d(struct spi_rng *rng)
{
    float *x = spi_alloc(COUNT, 4, "x"), *y = spi_alloc(COUNT, 4, "y");
    float complex *h = spi_alloc(N * N * H, 8, "h"), *c = spi_alloc(COUNT, 8, "c");
    double worst = 0, worst_c = 0, worst_back = 0, norm = 0, wrong = 0;

    for (int i = 0; i < COUNT; i++) {
        y[i] = x[i] = (float)spi_rng_normal(rng);
        c[i] = x[i];
        norm += (double)x[i] * (double)x[i];
    }
    double bound = bound_of(sqrt(COUNT * norm));

    if (spi_fft3_r2c(N, x, h) || spi_fft3_c2c(N, -1, c))
        OK(0, "%s", spi_err_message());
    OK(memcmp(x, y, COUNT * 4) == 0, "the input is kept");
    for (int k = 0; k < N; k += 3)
        for (int j = 0; j < N; j++)
            for (int i = 0; i < H; i++) {
                double complex sum = 0;

                for (int p = 0; p < COUNT; p++) {
                    int t = k * (p / (N * N)) + j * (p / N % N) + i * (p % N);

                    sum += (double)x[p] * cexp(CMPLX(0, -two_pi * (t % N) / N));
                }
                worst = fmax(worst, cabs((double complex)h[(k * N + j) * H + i] - sum));
                worst_c = fmax(worst_c, cabs((double complex)c[(k * N + j) * N + i] - sum));
                wrong =
                    fmax(wrong, cabs(conj((double complex)h[(k * N + j) * H + i]) - sum));
            }
    OK(worst <= bound && worst_c <= bound, "3-D: error / bound = %.4f, %.4f", worst / bound,
       worst_c / bound);
    OK(wrong > bound, "the other sign is noticed");
    if (spi_fft3_c2r(N, h, y) || spi_fft3_c2c(N, 1, c))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < COUNT; i++) {
        worst_back = fmax(worst_back, fabs((double)(y[i] - COUNT * x[i])));
        worst_back = fmax(worst_back, cabs((double complex)(c[i] - COUNT * x[i])));
    }
    OK(worst_back <= 2 * bound_of(COUNT * sqrt(norm)), "and back");
    free(x), free(y), free(h), free(c);
}

/* A cube that is worth threads: the same bits for any number of them. */
static void check_threads(struct spi_rng *rng)
{
    enum { L = 64, LH = L / 2 + 1 };
    static float x[L * L * L], back[2][L * L * L];
    static float complex half[2][L * L * LH];
    int differ = 0, equal = 0;

    for (int i = 0; i < L * L * L; i++)
        x[i] = (float)spi_rng_normal(rng);
    for (int k = 0; k < 2; k++) {
        float *real = spi_alloc(L * L * L, 4, "x");
        float complex *h = spi_alloc((size_t)L * L * LH, 8, "h");

        memcpy(real, x, sizeof x);
        spi_threads_admit(k ? 3 : 1);
        OK(spi_fft3_r2c(L, real, h) == SPI_OK, "forward");
        memcpy(half[k], h, sizeof *half);
        OK(spi_fft3_c2r(L, h, real) == SPI_OK, "back");
        spi_threads_admit(k ? -3 : -1);
        memcpy(back[k], real, sizeof *back);
        free(real), free(h);
    }
    OK(memcmp(half[0], half[1], sizeof *half) == 0 &&
           memcmp(back[0], back[1], sizeof *back) == 0,
       "1 and 3 threads: the same bits");
    for (int i = 0; i < L * L * L; i++) {
        differ += fabsf(back[0][i] / (L * L * L) - x[i]) > 1e-5F * fabsf(x[i]) + 1e-5F;
        equal += back[0][i] == x[i];
    }
    OK(differ == 0 && equal == 0, "and back to the input, times their number");
}

static void check_rows(struct spi_rng *rng)
{
    float *x = spi_alloc(3 * N, 4, "x"), *y = spi_alloc(3 * N, 4, "y");
    float complex *h = spi_alloc(3 * H, 8, "h"), *c = spi_alloc(N * N, 8, "c");
    double worst = 0;

    for (int i = 0; i < 3 * N; i++)
        x[i] = (float)spi_rng_normal(rng);
    if (spi_fft1_r2c(N, 3, x, h))
        OK(0, "%s", spi_err_message());
    for (int r = 0; r < 3; r++)
        for (int k = 0; k < H; k++) {
            double complex sum = 0;

            for (int i = 0; i < N; i++)
                sum += (double)x[r * N + i] * cexp(CMPLX(0, -two_pi * k * i / N));
            worst = fmax(worst, cabs((double complex)h[r * H + k] - sum));
        }
    OK(worst <= bound_of(3 * sqrt(N * N)), "rows: error %.1e", worst); /* |x_i| < 3 */
    if (spi_fft1_c2r(N, 3, h, y))
        OK(0, "%s", spi_err_message());
    worst = 0;
    for (int i = 0; i < 3 * N; i++)
        worst = fmax(worst, fabs((double)(y[i] - N * x[i])));
    OK(worst <= 2 * bound_of(3 * sqrt(N) * N), "and back: %.1e", worst);
    c[N + 2] = 1; /* a delta at (1, 2) */
    if (spi_fft2_c2c(N, -1, c))
        OK(0, "%s", spi_err_message());
    OK(cabs((double complex)c[3 * N + 4] - cexp(CMPLX(0, -two_pi * (3 + 2 * 4) / N))) <=
           bound_of(N),
       "2-D");
    free(x), free(y), free(h), free(c);
}

/* (C5): W(k) = sum_x A(x) cos(2 pi k.x / n) on centred grids, and its inverse. */
static void check_volume(struct spi_rng *rng)
{
    struct spi_volume A, W, B;
    double worst = 0, back = 0, norm = 0, shifted = 0;

    if (spi_volume_init(&A, N, 2))
        OK(0, "%s", spi_err_message());
    for (int z = 1; z < N; z++)
        for (int y = 1; y < N; y++)
            for (int x = 1; x < N; x++) {
                float v = (float)spi_rng_normal(rng);

                A.data[spi_volume_index(&A, z, y, x)] = v;
                A.data[spi_volume_index(&A, N - z, N - y, N - x)] = v;
            }
    for (int i = 0; i < COUNT; i++)
        norm += (double)A.data[i] * (double)A.data[i];
    OK(spi_volume_fourier_even(&A, &W) == SPI_OK && fabs(W.step * N * 2 - 1) < 1e-15,
       "step");
    for (int k = 0; k < COUNT; k += 7) {
        double sum = 0;

        for (int p = 0; p < COUNT; p++) {
            int t = (k / N / N - N / 2) * (p / N / N - N / 2) +
                    (k / N % N - N / 2) * (p / N % N - N / 2) +
                    (k % N - N / 2) * (p % N - N / 2);

            sum += (double)A.data[p] * cos(two_pi * (t % N) / N);
        }
        worst = fmax(worst, fabs((double)W.data[k] - sum));
        shifted = fmax(shifted, fabs((double)W.data[(k + 1) % COUNT] - sum));
    }
    double bound = bound_of(sqrt(COUNT * norm));

    OK(worst <= bound, "W of an even A: error / bound = %.4f", worst / bound);
    OK(shifted > bound, "a shift by one is noticed");
    OK(spi_volume_fourier_even_inverse(&W, &B) == SPI_OK && fabs(B.step - 2) < 1e-14,
       "inverse");
    for (int i = 0; i < COUNT; i++)
        back = fmax(back, fabs((double)(B.data[i] - A.data[i])));
    OK(back <= 2 * bound_of(sqrt(norm)), "A again: %.1e", back);
    spi_volume_clear(&A);
    spi_volume_clear(&W);
    spi_volume_clear(&B);
    OK(spi_volume_init(&A, 1, 1) == SPI_EINVAL, "%s", spi_err_message());
    spi_volume_clear(&A);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);
    int good = 1;

    check_3d(&rng);
    check_threads(&rng);
    check_rows(&rng);
    check_volume(&rng);
    for (int n = 1; n < 2000; n++) {
        int m = spi_fft_good_size(n), rest = m;

        for (int p = 2; p <= 7; p++)
            while (rest % p == 0)
                rest /= p;
        good &= m >= n && m % 2 == 0 && rest == 1 && m <= n + 140; /* the gaps below 2000 */
    }
    OK(good && spi_fft_good_size(11) == 12 && spi_fft_good_size(22) == 24, "good sizes");
    spi_fft_cleanup();
    return tap_done();
}
