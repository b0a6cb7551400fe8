/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/volume.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/fft.h"
#include "math/rot.h"

spi_err spi_volume_init(struct spi_volume *v, int n, double step)
{
    *v = (struct spi_volume){0};
    if (n < 2 || n > 2048)
        return spi_fail(SPI_EINVAL, "volume: side is %d voxels; need 2..2048", n);
    v->n = n;
    v->step = step;
    return SPI_NEW(v->data, spi_volume_count(v), "volume");
}

spi_err spi_volume_copy(const struct spi_volume *from, struct spi_volume *to)
{
    spi_err err = spi_volume_init(to, from->n, from->step);

    if (!err)
        memcpy(to->data, from->data, spi_volume_count(from) * sizeof *to->data);
    return err;
}

void spi_volume_clear(struct spi_volume *v)
{
    free(v->data);
    *v = (struct spi_volume){0};
}

void spi_volume_roll(int n, const float *from, float *to)
{
    size_t h = (size_t)n / 2, m = (size_t)n, bytes = h * sizeof *to;

    for (size_t z = 0; z < m; z++)
        for (size_t y = 0; y < m; y++) {
            const float *row = from + (z * m + y) * m;
            float *out = to + ((z + h) % m * m + (y + h) % m) * m;

            memcpy(out + h, row, bytes);
            memcpy(out, row + h, bytes);
        }
}

/* to = scale * sum_x from(x) cos(2 pi k.x / n), both centred. */
static spi_err even_transform(const struct spi_volume *from, double scale, double step,
                              struct spi_volume *to)
{
    spi_err err;
    int n = from->n;
    size_t h = (size_t)n / 2 + 1, m = (size_t)n;
    float *rolled = NULL;
    float complex *half = NULL;

    SPI_TRY(err = spi_volume_init(to, n, step), out);
    SPI_TRY(err = SPI_NEW(rolled, m * m * m, "transform"), out);
    SPI_TRY(err = SPI_NEW(half, m * m * h, "transform"), out);
    spi_volume_roll(n, from->data, rolled);
    SPI_TRY(err = spi_fft3_r2c(n, rolled, half), out);
    for (size_t z = 0; z < m; z++)
        for (size_t y = 0; y < m; y++)
            for (size_t x = 0; x < m; x++) {
                float v = x < h ? crealf(half[(z * m + y) * h + x])
                                : crealf(half[((m - z) % m * m + (m - y) % m) * h + m - x]);

                rolled[(z * m + y) * m + x] = (float)scale * v;
            }
    spi_volume_roll(n, rolled, to->data);
out:
    free(half);
    free(rolled);
    if (err)
        spi_volume_clear(to);
    return err;
}

spi_err spi_volume_fourier_even(const struct spi_volume *A, struct spi_volume *W)
{
    return even_transform(A, 1, 1 / (A->n * A->step), W);
}

spi_err spi_volume_fourier_even_inverse(const struct spi_volume *W, struct spi_volume *A)
{
    return even_transform(W, 1 / ((double)W->n * W->n * W->n), 1 / (W->n * W->step), A);
}

spi_err spi_volume_autocorrelate(const struct spi_volume *rho, struct spi_volume *A)
{
    int n = rho->n;
    size_t count = spi_volume_count(rho),
           half = (size_t)n * (size_t)n * (size_t)(n / 2 + 1);
    float *x = NULL;
    float complex *F = NULL;
    spi_err err;

    SPI_TRY(err = spi_volume_init(A, n, rho->step), out);
    SPI_TRY(err = SPI_NEW(x, count, "autocorrelation"), out);
    SPI_TRY(err = SPI_NEW(F, half, "autocorrelation"), out);
    memcpy(x, rho->data, count * sizeof *x);
    SPI_TRY(err = spi_fft3_r2c(n, x, F), out);
    for (size_t i = 0; i < half; i++)
        F[i] = (crealf(F[i]) * crealf(F[i]) + cimagf(F[i]) * cimagf(F[i])) / (float)count;
    SPI_TRY(err = spi_fft3_c2r(n, F, x), out);
    spi_volume_roll(n, x, A->data);
out:
    free(x);
    free(F);
    return err;
}

spi_err spi_volume_cut(struct spi_volume *v, double q_pass, double q_stop)
{
    int n = v->n, h = n / 2 + 1;
    size_t count = spi_volume_count(v), half = (size_t)n * (size_t)n * (size_t)h, i = 0;
    float complex *F = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(F, half, "cut"), out);
    SPI_TRY(err = spi_fft3_r2c(n, v->data, F), out);
    for (int z = 0; z < n; z++)
        for (int y = 0; y < n; y++)
            for (int x = 0; x < h; x++, i++) {
                double kz = z < h ? z : z - n, ky = y < h ? y : y - n, kx = x;
                double q = sqrt(kx * kx + ky * ky + kz * kz) / (n * v->step);
                double t = q <= q_pass   ? 0
                           : q >= q_stop ? 1
                                         : (q - q_pass) / (q_stop - q_pass);
                double pass = t < 1 ? cos(SPI_PI / 2 * t) : 0;

                F[i] *= (float)(pass * pass / (double)count);
            }
    err = spi_fft3_c2r(n, F, v->data);
out:
    free(F);
    return err;
}
