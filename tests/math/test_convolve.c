/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The zero-padded convolution against its sum, in both precisions, whole and in parts. */
#include "math/convolve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tap.h"

enum { N = 10, COUNT = N * N * N, DOUBLED = 8 * COUNT };

static double Q[DOUBLED], x[COUNT], want[COUNT], y[COUNT], z[COUNT];

static double kernel(int k, int j, int i)
{
    return Q[((k + N) * 2 * N + j + N) * 2 * N + i + N];
}

/* Even, zero where an axis is -N; and the literal sum. */
static void make(struct spi_rng *rng)
{
    memset(Q, 0, sizeof Q);
    for (int k = 1 - N; k < N; k++)
        for (int j = 1 - N; j < N; j++)
            for (int i = 1 - N; i < N; i++) {
                double v = spi_rng_normal(rng);

                Q[((k + N) * 2 * N + j + N) * 2 * N + i + N] = v;
                Q[((N - k) * 2 * N + N - j) * 2 * N + N - i] = v;
            }
    for (int i = 0; i < COUNT; i++)
        x[i] = spi_rng_normal(rng);
    memset(want, 0, sizeof want);
    for (int a = 0; a < COUNT; a++)
        for (int b = 0; b < COUNT; b++)
            want[a] +=
                kernel(a / (N * N) - b / (N * N), a / N % N - b / N % N, a % N - b % N) *
                x[b];
}

static double norm(const double *v, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += v[i] * v[i];
    return sqrt(sum);
}

static double error(const double *got, const double *ref)
{
    static double d[COUNT];

    for (int i = 0; i < COUNT; i++)
        d[i] = got[i] - ref[i];
    return norm(d, COUNT);
}

/* Two transforms of (2N)^3 in precision u and two roundings: |error|_2 <=
 * 2 (4 log2((2N)^3) + 1) u max|Q^| |x|_2 (Higham, section 24.1); max|Q^| <= sum |Q|. */
static double bound(double u)
{
    double sum = 0;

    for (int i = 0; i < DOUBLED; i++)
        sum += fabs(Q[i]);
    return 2 * (12 * log2(2 * N) + 1) * u * sum * norm(x, COUNT);
}

static void check(bool f64)
{
    double limit = bound(f64 ? 0x1p-53 : 0x1p-24);
    spi_convolve *c, *d;

    if (spi_convolve_new(N, f64, Q, &c)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    OK(spi_convolve_apply(c, x, y) == SPI_OK && error(y, want) <= limit,
       "%s: error / bound = %.4f", f64 ? "double" : "float", error(y, want) / limit);
    if (!f64) /* float is not double: the test sees the difference between them */
        OK(error(y, want) > bound(0x1p-53), "float misses the bound of double");
    for (int i = 0; i < COUNT; i++)
        z[i] = y[i] * (1 + 4 * limit / norm(y, COUNT));
    OK(error(z, want) > limit, "a wrong product is noticed");

    /* the parts in any order of chunks, on scratch of its own, in place: the same bits */
    OK(spi_convolve_share(c, &d) == SPI_OK, "shared");
    memcpy(z, x, sizeof z);
    if (spi_convolve_planes(d, z, 7, N) || spi_convolve_planes(d, z, 0, 7) ||
        spi_convolve_columns(d, 1, 2 * N) || spi_convolve_columns(d, 0, 1) ||
        spi_convolve_back(d, z, 3, N) || spi_convolve_back(d, z, 0, 3))
        OK(0, "%s", spi_err_message());
    OK(memcmp(y, z, sizeof y) == 0, "in parts: the same bits");
    spi_convolve_free(d);
    spi_convolve_free(c);
}

/* The kernel 0 with its transform raised by 3 beyond |k| = 1: 3 x but for 7 of (2N)^3
 * modes, whose share of a random x has the mean 7 / (2N)^3 and is within 4 times that. */
static void check_beyond(void)
{
    spi_convolve *c;

    if (spi_convolve_new(N, true, NULL, &c)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    OK(spi_convolve_apply(c, x, y) == SPI_OK && norm(y, COUNT) == 0, "no kernel: zero");
    spi_convolve_add_beyond(c, 1, 3);
    if (spi_convolve_apply(c, x, y))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < COUNT; i++)
        z[i] = y[i] / 3;
    OK(error(z, x) <= sqrt(4 * 7 / pow(2 * N, 3)) * norm(x, COUNT) && error(z, x) > 0,
       "raised beyond 1: x less %.3g", error(z, x) / norm(x, COUNT));
    OK(error(y, x) > norm(x, COUNT), "a factor of 3 is noticed");
    spi_convolve_free(c);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    make(&rng);
    check(false);
    check(true);
    check_beyond();
    return tap_done();
}
