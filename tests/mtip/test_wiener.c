/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How much of two models is signal: models whose signal and noise are known. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "mtip/wiener.h"
#include "stage_test.h"
#include "tap.h"

enum { N = 32, R_MOST = 64, STRONG = 12 }; /* the ring where noise is as strong */
static const double dx = 5, diameter = 75, q_max = 0.085;

/* Autocorrelations that are 0 beyond the diameter: of blobs, and of noise that is alike at
 * all |q|. */
static void noise(uint64_t stream, float A[N * N * N])
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, stream);

    for (int i = 0; i < N * N * N; i++) {
        int x = i % N - N / 2, y = i / N % N - N / 2, z = i / N / N - N / 2;
        double v = spi_rng_normal(&rng);

        A[i] = dx * sqrt((double)(x * x + y * y + z * z)) < diameter ? (float)v : 0;
    }
}

static void add(float *to, const float *a, double times)
{
    for (int i = 0; i < N * N * N; i++)
        to[i] += (float)times * a[i];
}

/* Variance of the transform over the shell of each ring, its mean removed. */
static void variances(const struct spi_rings *g, float *A, double *v)
{
    struct spi_volume map = {N, dx, A}, W = {0};
    double step = 1 / (N * dx);

    if (spi_volume_fourier_even(&map, &W)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int r = 0; r < g->R; r++) {
        double n = 0, sum = 0, sum2 = 0;

        for (int i = 0; i < N * N * N; i++) {
            int x = i % N - N / 2, y = i / N % N - N / 2, z = i / N / N - N / 2;
            double q = step * sqrt((double)(x * x + y * y + z * z)), w = (double)W.data[i];

            if (fabs(q - g->q[r]) <= step) {
                n += 1;
                sum += w;
                sum2 += w * w;
            }
        }
        v[r] = sum2 / n - sum / n * (sum / n);
    }
    spi_volume_clear(&W);
}

int main(void)
{
    static float S[N * N * N], n[2][N * N * N], half[2][N * N * N];
    struct spi_volume A[2] = {{N, dx, half[0]}, {N, dx, half[1]}};
    const struct spi_volume *const both[2] = {&A[0], &A[1]};
    struct spi_data data = {.n_images = 0};
    struct spi_run run = {.data = &data, .pose = {.R = {1, 0, 0, 0, 1, 0, 0, 0, 1}}};
    double of_signal[R_MOST], of_noise[R_MOST], worst = 0, least = 1, most = 0;
    float signal[R_MOST];
    int R;

    if (spi_rings_init(&data.rings, diameter, 7.75, 1 / diameter, q_max, 1.3)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    R = data.rings.R;
    blob_autocorrelation(N, dx, 4, 1, S);
    for (int h = 0; h < 2; h++)
        noise((uint64_t)h, n[h]);
    variances(&data.rings, S, of_signal);
    variances(&data.rings, n[0], of_noise);
    for (int h = 0; h < 2; h++) { /* as strong as the signal there */
        memcpy(half[h], S, sizeof S);
        add(half[h], n[h], sqrt(of_signal[STRONG] / of_noise[STRONG]));
    }
    OK(spi_wiener_find(&run, both, R, signal) == SPI_OK, "found");
    for (int r = 0; r < R; r++) {
        double noisy = of_noise[r] * of_signal[STRONG] / of_noise[STRONG],
               want = fmin(1, of_signal[r] / (of_signal[r] + noisy) / 0.95);

        worst = fmax(worst, fabs((double)signal[r] - want));
        least = fmin(least, (double)signal[r]);
        most = fmax(most, (double)signal[r]);
    }
    /* a shell has some 2 pi (q D)^2 independent values, 60 to 250 here: correlations to a
     * seventh at worst, and the shells of the reference are twice as wide */
    OK(worst < 0.3, "signal of models with noise: off by %.3f at most", worst);
    OK(most > 0.9 && least < 0.4, "signal from %.3f to %.3f", least, most);
    for (int h = 0; h < 2; h++)
        memcpy(half[h], S, sizeof S);
    worst = spi_wiener_find(&run, both, R, signal) ? INFINITY : 0;
    for (int r = 0; r < R; r++)
        worst = fmax(worst, fabs((double)signal[r] - 1));
    OK(worst < 1e-4, "the same models twice: all is signal, to %.2g", worst);
    for (int i = 0; i < N * N * N; i++)
        half[1][i] = -S[i];
    worst = spi_wiener_find(&run, both, R, signal) ? INFINITY : 0;
    for (int r = 0; r < R; r++)
        worst = fmax(worst, fabs((double)signal[r]));
    OK(worst == 0, "models that contradict each other: nothing is");
    spi_rings_clear(&data.rings);
    return tap_done();
}
