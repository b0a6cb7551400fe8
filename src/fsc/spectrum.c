/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fsc/spectrum.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/sample.h"
#include "math/fft.h"

enum { W = SPI_SAMPLE_W };

/* A map much finer than q_max asks for: keep the box, drop the frequencies beyond 1.5 q_max
 * (a spectrum between nodes is a sum of sinc tails; the margin keeps theirs small). */
static spi_err coarsen(const struct spi_volume *map, double q_max, struct spi_volume *out)
{
    int n = map->n, m = spi_fft_good_size((int)ceil(3 * q_max * n * map->step) + 2);
    size_t h = (size_t)n / 2 + 1, hm = (size_t)m / 2 + 1;
    float complex *fine = NULL, *coarse = NULL;
    float scale = 1 / ((float)m * (float)m * (float)m); /* the sum over voxels is kept */
    spi_err err;

    *out = (struct spi_volume){0};
    if (m > 3 * n / 4)
        return spi_volume_copy(map, out);
    SPI_TRY(err = SPI_NEW(fine, (size_t)n * (size_t)n * h, "spectrum"), out);
    SPI_TRY(err = SPI_NEW(coarse, (size_t)m * (size_t)m * hm, "spectrum"), out);
    SPI_TRY(err = spi_volume_init(out, m, map->step * n / m), out);
    SPI_TRY(err = spi_fft3_r2c(n, map->data, fine), out);
    for (int z = -m / 2 + 1; z < m / 2; z++)
        for (int y = -m / 2 + 1; y < m / 2; y++) {
            size_t from = ((size_t)((z + n) % n) * (size_t)n + (size_t)((y + n) % n)) * h;
            size_t to = ((size_t)((z + m) % m) * (size_t)m + (size_t)((y + m) % m)) * hm;

            for (int x = 0; x < m / 2; x++)
                coarse[to + (size_t)x] = fine[from + (size_t)x] * scale;
        }
    /* the centre, voxel n/2, is voxel m/2 of the coarse grid: a shift of half the box in
     * both, no phase to apply */
    err = spi_fft3_c2r(m, coarse, out->data);
out:
    free(coarse);
    free(fine);
    if (err)
        spi_volume_clear(out);
    return err;
}

/* padded[m^3], FFT order = map / window's transform. */
static void pad(const struct spi_volume *map, int m, const double *inverse_hat,
                float *padded)
{
    int n = map->n;

    for (int z = 0; z < n; z++)
        for (int y = 0; y < n; y++) {
            size_t to = ((size_t)((z - n / 2 + m) % m) * (size_t)m +
                         (size_t)((y - n / 2 + m) % m)) *
                        (size_t)m;
            const float *row = map->data + spi_volume_index(map, z, y, 0);
            double zy = inverse_hat[z] * inverse_hat[y];

            for (int x = 0; x < n; x++)
                padded[to + (size_t)((x - n / 2 + m) % m)] =
                    (float)(zy * inverse_hat[x] * (double)row[x]);
        }
}

/* The cube of nodes around q = 0; the spectrum is periodic and conjugate-even. */
static void keep_cube(int m, const float complex *half, struct spi_spectrum *s)
{
    int c = s->side / 2;
    size_t h = (size_t)m / 2 + 1, at = 0;

    for (int z = -c; z < c; z++)
        for (int y = -c; y < c; y++)
            for (int x = -c; x < c; x++) {
                int kz = (z % m + m) % m, ky = (y % m + m) % m, kx = (x % m + m) % m;
                float complex v;

                if (kx <= m / 2)
                    v = half[((size_t)kz * (size_t)m + (size_t)ky) * h + (size_t)kx];
                else
                    v = conjf(
                        half[((size_t)((m - kz) % m) * (size_t)m + (size_t)((m - ky) % m)) *
                                 h +
                             (size_t)(m - kx)]);
                s->f[at++] = crealf(v);
                if (s->parts == 2)
                    s->f[at++] = cimagf(v);
            }
}

static spi_err check_map(const struct spi_volume *map)
{
    size_t count = spi_volume_count(map);

    if (map->n < 4 || map->n % 2 || !(map->step > 0))
        return spi_fail(SPI_EINVAL,
                        "map: side is %d, step %g; need an even side from 4, step > 0",
                        map->n, map->step);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(map->data[i]))
            return spi_fail(SPI_EINVAL, "map: voxel %zu is %g; need finite values", i,
                            (double)map->data[i]);
    return SPI_OK;
}

static spi_err build(const struct spi_volume *map, double q_max, int parts,
                     struct spi_spectrum *s)
{
    spi_err err;
    int n = map->n, m = spi_fft_good_size(2 * n);
    size_t cube = (size_t)m * (size_t)m;
    float *padded = NULL;
    float complex *half = NULL;
    double *inverse_hat = NULL;

    *s = (struct spi_spectrum){.parts = parts, .dq = 1 / (m * map->step), .q_reach = q_max};
    s->side = 2 * ((int)ceil(q_max / s->dq) + W / 2 + 1);
    SPI_TRY(err = spi_kb_init(W, (double)m / n, &s->kb), out);
    SPI_TRY(err = SPI_NEW(inverse_hat, n, "spectrum"), out);
    SPI_TRY(err = SPI_NEW(padded, cube * (size_t)m, "spectrum"), out);
    SPI_TRY(err = SPI_NEW(half, cube * ((size_t)m / 2 + 1), "spectrum"), out);
    SPI_TRY(err =
                SPI_NEW(s->f, (size_t)s->side * (size_t)s->side * (size_t)(s->side * parts),
                        "spectrum"),
            out);
    for (int i = 0; i < n; i++)
        inverse_hat[i] = 1 / spi_kb_hat(&s->kb, (double)(i - n / 2) / m);
    pad(map, m, inverse_hat, padded);
    SPI_TRY(err = spi_fft3_r2c(m, padded, half), out);
    keep_cube(m, half, s);
out:
    free(half);
    free(padded);
    free(inverse_hat);
    if (err)
        spi_spectrum_clear(s);
    return err;
}

spi_err spi_spectrum_of_density(const struct spi_volume *map, double q_max,
                                struct spi_spectrum *s)
{
    struct spi_volume coarse = {0};
    spi_err err;

    *s = (struct spi_spectrum){0};
    SPI_TRY(err = check_map(map), out);
    SPI_TRY(err = coarsen(map, q_max, &coarse), out);
    err = build(&coarse, q_max, 2, s);
out:
    spi_volume_clear(&coarse);
    return err;
}

spi_err spi_spectrum_of_intensity(const struct spi_volume *intensity, double q_max,
                                  struct spi_spectrum *s)
{
    struct spi_volume A = {0};
    spi_err err;

    *s = (struct spi_spectrum){0};
    SPI_TRY(err = check_map(intensity), out);
    SPI_TRY(err = spi_volume_fourier_even_inverse(intensity, &A), out);
    err = build(&A, q_max, 1, s);
out:
    spi_volume_clear(&A);
    return err;
}

void spi_spectrum_clear(struct spi_spectrum *s)
{
    spi_kb_clear(&s->kb);
    free(s->f);
    *s = (struct spi_spectrum){0};
}

void spi_spectrum_sample(const struct spi_spectrum *s, const double R[9], int64_t n,
                         const float (*q)[3], float *out)
{
    struct spi_sample_grid grid = {.side = s->side,
                                   .parts = s->parts,
                                   .f = s->f,
                                   .rows = SPI_KB_ROWS,
                                   .table = s->kb.table};
    float M[9]; /* R^T, to nodes */

    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 3; i++)
            M[3 * k + i] = (float)(R[3 * i + k] / s->dq);
    spi_sample(&grid, M, n, q, out);
}
