/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fourier shell correlation, doc/math.md (F1)-(F3). */
#include <complex.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "fsc/align.h"
#include "math/fft.h"

static spi_err check_pair(const struct spi_volume *a, const struct spi_volume *b)
{
    if (a->n != b->n || fabs(a->step - b->step) > 1e-6 * fabs(a->step))
        return spi_fail(
            SPI_EINVAL,
            "fsc: maps of %d voxels of %g and of %d voxels of %g; need one grid", a->n,
            a->step, b->n, b->step);
    return SPI_OK;
}

/* Sums over the half spectrum; a voxel with 0 < kx < n/2 stands for its Friedel mate too.
 */
static void add_shells(int n, const float complex *fa, const float complex *fb,
                       int n_shells, double (*sum)[4])
{
    int h = n / 2 + 1;

    for (int z = 0; z < n; z++)
        for (int y = 0; y < n; y++)
            for (int x = 0; x < h; x++) {
                double kz = z < h ? z : z - n, ky = y < h ? y : y - n, kx = x;
                int s = (int)lround(sqrt(kx * kx + ky * ky + kz * kz)) - 1;
                size_t i = ((size_t)z * (size_t)n + (size_t)y) * (size_t)h + (size_t)x;
                double w = x > 0 && x < n / 2 ? 2 : 1;
                double complex a = (double complex)fa[i], b = (double complex)fb[i];

                if (s < 0 || s >= n_shells)
                    continue;
                sum[s][0] += w * (creal(a) * creal(b) + cimag(a) * cimag(b));
                sum[s][1] += w * (creal(a) * creal(a) + cimag(a) * cimag(a));
                sum[s][2] += w * (creal(b) * creal(b) + cimag(b) * cimag(b));
                sum[s][3] += w;
            }
}

static spi_err allocate(int n_shells, struct spi_fsc *out)
{
    spi_err err;

    *out = (struct spi_fsc){.n_shells = n_shells};
    SPI_TRY(err = SPI_NEW(out->q, n_shells, "FSC"), out);
    SPI_TRY(err = SPI_NEW(out->fsc, n_shells, "FSC"), out);
    SPI_TRY(err = SPI_NEW(out->count, n_shells, "FSC"), out);
out:
    return err;
}

spi_err spi_fsc_compute(const struct spi_volume *a, const struct spi_volume *b,
                        struct spi_fsc *out)
{
    spi_err err;
    int n = a->n, n_shells = n / 2;
    size_t half = (size_t)n * (size_t)n * ((size_t)n / 2 + 1);
    float complex *fa = NULL, *fb = NULL;
    double(*sum)[4] = NULL;

    *out = (struct spi_fsc){0};
    SPI_TRY(err = check_pair(a, b), out);
    SPI_TRY(err = SPI_NEW(fa, half, "FSC"), out);
    SPI_TRY(err = SPI_NEW(fb, half, "FSC"), out);
    SPI_TRY(err = SPI_NEW(sum, n_shells, "FSC"), out);
    SPI_TRY(err = allocate(n_shells, out), out);
    SPI_TRY(err = spi_fft3_r2c(n, a->data, fa), out);
    SPI_TRY(err = spi_fft3_r2c(n, b->data, fb), out);
    add_shells(n, fa, fb, n_shells, sum);
    for (int s = 0; s < n_shells; s++) {
        double norm = sqrt(sum[s][1] * sum[s][2]);

        out->q[s] = (s + 1) / (n * a->step);
        out->fsc[s] = norm > 0 ? sum[s][0] / norm : 0;
        out->count[s] = sum[s][3];
    }
out:
    free(sum);
    free(fb);
    free(fa);
    if (err)
        spi_fsc_clear(out);
    return err;
}

void spi_fsc_clear(struct spi_fsc *f)
{
    free(f->q);
    free(f->fsc);
    free(f->count);
    *f = (struct spi_fsc){0};
}

double spi_fsc_resolution_A(const struct spi_fsc *f, double level, double q_max,
                            bool *reached_end)
{
    int n = 0, s = 0;
    bool end = false;
    double d;

    while (n < f->n_shells && f->q[n] <= q_max * (1 + 1e-9))
        n++;
    /* two shells in a row below; the last one has no successor and counts alone */
    while (s < n && !(f->fsc[s] < level && (s + 1 == n || f->fsc[s + 1] < level)))
        s++;
    if (n == 0 || s == 0) {
        d = INFINITY;
    } else if (s == n) {
        end = true;
        d = 1 / f->q[n - 1];
    } else {
        double t = (f->fsc[s - 1] - level) / (f->fsc[s - 1] - f->fsc[s]);

        d = 1 / (f->q[s - 1] + fmax(t, 0) * (f->q[s] - f->q[s - 1]));
    }
    if (reached_end)
        *reached_end = end;
    return d;
}
