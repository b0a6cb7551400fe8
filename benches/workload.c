/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "workload.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/clones.h"
#include "math/rot.h"
#include "nufft/nufft.h"

enum { SIDE = 128, CHUNK = 512 };

static spi_err detector(float (*q)[3])
{
    int32_t *order = NULL;
    float(*in_order)[3] = NULL;
    spi_err err;

    double corner = 0, step = tan(0.2) / (SIDE / 2);

    for (int pass = 0; pass < 2; pass++) /* first how far the corner is, then the scale */
        for (int i = 0; i < WORKLOAD_PIXELS; i++) {
            double x = (i % SIDE - SIDE / 2 + 0.5) * step;
            double y = ((double)(i / SIDE) - SIDE / 2 + 0.5) * step;
            double r = sqrt(x * x + y * y + 1), z = 1 / r - 1;
            double scale = pass ? 0.475 / corner : 1;

            corner = pass ? corner : fmax(corner, sqrt(2 * (1 - 1 / r)));
            q[i][0] = (float)(scale * x / r);
            q[i][1] = (float)(scale * y / r);
            q[i][2] = (float)(scale * z);
        }
    SPI_TRY(err = SPI_NEW(order, WORKLOAD_PIXELS, "workload"), out);
    SPI_TRY(err = SPI_NEW(in_order, WORKLOAD_PIXELS, "workload"), out);
    SPI_TRY(err = spi_points_order(WORKLOAD_PIXELS, (const float(*)[3])q, order), out);
    for (int i = 0; i < WORKLOAD_PIXELS; i++)
        memcpy(in_order[i], q[order[i]], sizeof q[0]);
    memcpy(q, in_order, WORKLOAD_PIXELS * sizeof q[0]);
out:
    free(order);
    free(in_order);
    return err;
}

void workload_point(const struct workload *w, int64_t i, bool rounded, double x[3])
{
    const double *M = w->M[i / WORKLOAD_PIXELS];
    const float *q = w->q[i % WORKLOAD_PIXELS];

    for (int k = 0; k < 3; k++)
        x[k] = rounded ? (double)w->x[k][i]
                       : 2 * SPI_PI *
                             (M[3 * k] * (double)q[0] + M[3 * k + 1] * (double)q[1] +
                              M[3 * k + 2] * (double)q[2]);
}

spi_err workload_init(int64_t images, struct workload *w)
{
    spi_err err;

    *w = (struct workload){.images = images, .n = images * WORKLOAD_PIXELS};
    SPI_TRY(err = SPI_NEW(w->q, WORKLOAD_PIXELS, "workload"), out);
    SPI_TRY(err = SPI_NEW(w->M, images, "workload"), out);
    SPI_TRY(err = SPI_NEW(w->c, w->n, "workload"), out);
    for (int k = 0; k < 3; k++)
        SPI_TRY(err = SPI_NEW(w->x[k], w->n, "workload"), out);
    SPI_TRY(err = detector(w->q), out);
    for (int64_t i = 0; i < images; i++) {
        struct spi_rng rng = spi_rng_stream(1, SPI_RNG_ORIENTATION, (uint64_t)i);
        double quat[4];

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, w->M[i]);
        for (int64_t j = i * WORKLOAD_PIXELS; j < (i + 1) * WORKLOAD_PIXELS; j++) {
            double x[3];

            workload_point(w, j, false, x);
            for (int k = 0; k < 3; k++)
                w->x[k][j] = (float)x[k];

            float re = (float)(2 * spi_rng_uniform(&rng) - 1);

            w->c[j] = CMPLXF(re, (float)(2 * spi_rng_uniform(&rng) - 1));
        }
    }
out:
    if (err)
        workload_clear(w);
    return err;
}

void workload_clear(struct workload *w)
{
    free(w->q);
    free(w->M);
    free(w->c);
    for (int k = 0; k < 3; k++)
        free(w->x[k]);
    *w = (struct workload){0};
}

spi_err workload_modes(int m, float complex **modes)
{
    struct spi_rng rng = spi_rng_stream(2, SPI_RNG_TEST, (uint64_t)m);
    int64_t n = (int64_t)m * m * m;
    spi_err err = SPI_NEW(*modes, n, "workload");

    for (int64_t i = 0; !err && i < n; i++) {
        float re = (float)(2 * spi_rng_uniform(&rng) - 1);

        (*modes)[i] = CMPLXF(re, (float)(2 * spi_rng_uniform(&rng) - 1));
    }
    return err;
}

spi_err workload_even_modes(int m, float **modes)
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, (uint64_t)m);
    int64_t n = (int64_t)m * m * m, first = 0;
    spi_err err = SPI_NEW(*modes, n, "workload");

    if (err)
        return err;
    if (m % 2 == 0) /* -k of index i is n - i when planes are counted from 1 */
        first = ((int64_t)m + 1) * m + 1;
    for (int64_t i = first; i < n; i++) {
        int64_t back = n - 1 - (i - first);
        int64_t x = i % m, y = i / m % m, z = i / m / m;

        if (i > back || (m % 2 == 0 && (x == 0 || y == 0 || z == 0)))
            continue;
        (*modes)[i] = (*modes)[back] = (float)(2 * spi_rng_uniform(&rng) - 1);
    }
    return SPI_OK;
}

SPI_CLONES double complex exact_value(int m, const float complex *f, const double x[3])
{
    const float(*row)[2] = (const void *)f;
    double cosx[1024], sinx[1024], re = 0, im = 0;

    for (int i = 0; i < m; i++) {
        cosx[i] = cos((i - m / 2) * x[0]);
        sinx[i] = sin((i - m / 2) * x[0]);
    }
    for (int z = 0; z < m; z++)
        for (int y = 0; y < m; y++, row += m) {
            double a = 0, b = 0, turn = (z - m / 2) * x[2] + (y - m / 2) * x[1];
            double c = cos(turn), s = sin(turn);

#pragma omp simd reduction(+ : a, b)
            for (int i = 0; i < m; i++) {
                a += (double)row[i][0] * cosx[i] - (double)row[i][1] * sinx[i];
                b += (double)row[i][0] * sinx[i] + (double)row[i][1] * cosx[i];
            }
            re += a * c - b * s;
            im += a * s + b * c;
        }
    return CMPLX(re, im);
}

void sample_modes(int m, int (*k)[3])
{
    struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, (uint64_t)m);
    int top = (m - 1) / 2;

    for (int r = 0; r < SAMPLE_RUNS; r++) {
        int y = (int)spi_rng_below(&rng, (uint32_t)(2 * top + 1)) - top;
        int z = (int)spi_rng_below(&rng, (uint32_t)(2 * top + 1)) - top;
        int x = (int)spi_rng_below(&rng, (uint32_t)(2 * top + 2 - SAMPLE_RUN)) - top;

        for (int i = 0; i < SAMPLE_RUN; i++) {
            k[r * SAMPLE_RUN + i][0] = x + i;
            k[r * SAMPLE_RUN + i][1] = y;
            k[r * SAMPLE_RUN + i][2] = z;
        }
    }
}

/* A run of modes over a chunk of points: exp(i k.x) of the first mode, then by turns. */
SPI_CLONES static void add_run(int n, const int first[3], const double (*x)[CHUNK],
                               const double (*c)[CHUNK], double (*out)[2])
{
    double re[CHUNK], im[CHUNK], turn_re[CHUNK], turn_im[CHUNK];

    for (int j = 0; j < n; j++) {
        double phase = first[0] * x[0][j] + first[1] * x[1][j] + first[2] * x[2][j];
        double a = cos(phase), b = sin(phase);

        re[j] = c[0][j] * a - c[1][j] * b;
        im[j] = c[0][j] * b + c[1][j] * a;
        turn_re[j] = cos(x[0][j]);
        turn_im[j] = sin(x[0][j]);
    }
    for (int i = 0; i < SAMPLE_RUN; i++) {
        double a = 0, b = 0;

#pragma omp simd reduction(+ : a, b)
        for (int j = 0; j < n; j++) {
            double next = re[j] * turn_re[j] - im[j] * turn_im[j];

            a += re[j];
            b += im[j];
            im[j] = re[j] * turn_im[j] + im[j] * turn_re[j];
            re[j] = next;
        }
        out[i][0] += a;
        out[i][1] += b;
    }
}

void exact_modes(const struct workload *w, bool rounded, int sign, const int (*k)[3],
                 double complex *out)
{
    static double x[3][CHUNK], c[2][CHUNK];
    double sum[SAMPLE][2] = {{0}};

    for (int64_t first = 0; first < w->n; first += CHUNK) {
        int n = (int)(w->n - first < CHUNK ? w->n - first : CHUNK);

        for (int j = 0; j < n; j++) {
            double at[3];

            workload_point(w, first + j, rounded, at);
            for (int a = 0; a < 3; a++)
                x[a][j] = sign * at[a];
            c[0][j] = (double)crealf(w->c[first + j]);
            c[1][j] = (double)cimagf(w->c[first + j]);
        }
        for (int r = 0; r < SAMPLE; r += SAMPLE_RUN)
            add_run(n, k[r], (const double(*)[CHUNK])x, (const double(*)[CHUNK])c, sum + r);
    }
    for (int i = 0; i < SAMPLE; i++)
        out[i] = CMPLX(sum[i][0], sum[i][1]);
}
