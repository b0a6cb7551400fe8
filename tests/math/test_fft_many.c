/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transforms of lines against the sum.  Bound: relative l2 error 4 u log2(n) + 4 u for
 * FFTW's algorithms of composite and prime n (its own error is about 0.4 u sqrt(log2 n)).
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "math/fft.h"
#include "math/fft_many.h"
#include "tap.h"

enum { MAX = 48, STRIDE = 8 };

static double error(int n, int sign, int step, const double complex *in,
                    const double complex *out)
{
    double diff = 0, norm = 0;

    for (int k = 0; k < n; k++) {
        double complex sum = 0;

        for (int x = 0; x < n; x++)
            sum += in[x * step] * cexp(CMPLX(0, sign * 2 * acos(-1) * (k * x % n) / n));
        diff += pow(cabs(sum - out[k * step]), 2);
        norm += pow(cabs(sum), 2);
    }
    return sqrt(diff / norm);
}

/* volatile: gcc 12 at -O2 skips the rounding of (double)(float) in complex numbers */
static double float_normal(struct spi_rng *rng)
{
    volatile float v = (float)spi_rng_normal(rng);

    return (double)v;
}

static void one(int n, int sign)
{
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, (uint64_t)n);
    float complex *a = spi_alloc(MAX * STRIDE, sizeof *a, "test");
    float complex *b = spi_alloc(MAX * STRIDE, sizeof *b, "test");
    double complex *x = spi_alloc(MAX * STRIDE, sizeof *x, "test");
    double complex *y = spi_alloc(MAX * STRIDE, sizeof *y, "test");
    spi_fft_many_f32 *row, *columns;
    spi_fft_many_f64 *row64, *columns64;
    double log2n = log2(n), worst = 0, worst64 = 0;

    for (int i = 0; i < n * STRIDE; i++) {
        x[i] = CMPLX(float_normal(&rng), float_normal(&rng));
        a[i] = (float complex)x[i];
    }
    if (spi_fft_many_row_f32(n, sign, &row) ||
        spi_fft_many_columns_f32(n, 5, STRIDE, sign, &columns) ||
        spi_fft_many_row_f64(n, sign, &row64) ||
        spi_fft_many_columns_f64(n, 5, STRIDE, sign, &columns64)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    spi_fft_many_run_f32(row, a, b);
    for (int i = 0; i < n; i++)
        y[i] = b[i];
    worst = error(n, sign, 1, x, y);
    spi_fft_many_run_f64(row64, x, y);
    worst64 = error(n, sign, 1, x, y);

    double complex first = y[0];

    spi_fft_many_run_f32(columns, a, a);
    for (int c = 0; c < STRIDE; c++) {
        for (int i = 0; i < n; i++)
            y[i * STRIDE + c] = a[i * STRIDE + c];
        if (c < 5)
            worst = fmax(worst, error(n, sign, STRIDE, x + c, y + c));
        else
            OK(y[c] == x[c], "column %d is not touched", c);
    }
    for (int i = 0; i < n * STRIDE; i++)
        y[i] = x[i];
    spi_fft_many_run_f64(columns64, y, y);
    for (int c = 0; c < 5; c++)
        worst64 = fmax(worst64, error(n, sign, STRIDE, x + c, y + c));
    worst /= 4 * 0x1p-24 * (log2n + 1);
    worst64 /= 4 * 0x1p-53 * (log2n + 1) + 1e-15 /* the sum itself, n terms */;
    OK(worst <= 1 && worst64 <= 1, "n %d sign %d: %.2f and %.2f of the bound", n, sign,
       worst, worst64);
    y[0] = first * (1 + 1e-3);
    OK(error(n, sign, 1, x, y) > 1e-6 || n == 1, "n %d: a wrong value is noticed", n);
    spi_fft_many_free_f32(row);
    spi_fft_many_free_f32(columns);
    spi_fft_many_free_f64(row64);
    spi_fft_many_free_f64(columns64);
    free(a);
    free(b);
    free(x);
    free(y);
}

int main(void)
{
    one(1, 1);
    one(2, -1);
    one(36, 1);
    one(37, -1);
    one(48, 1);
    spi_fft_cleanup();
    return tap_done();
}
