/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fft3.c, of math/fft.h: transforms of cubes. */
#include <assert.h>
#include <complex.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/two_reals.h"
#include "math/fft.h"
#include "math/fft_plans.h"

/* Cubes of n^3 reals, n even, in passes of one-dimensional transforms that read lines where
 * they lie and write them one behind another.  FFTW's own plan of a cube, if it may not
 * measure, goes through buffers and takes about twice as long (doc/limits.md).  Two
 * rows of reals are transformed as one of complex numbers. */

struct cube {
    int n, h;             /* h = n / 2 + 1 */
    size_t pitch;         /* of lines of h numbers: even, for alignment */
    float complex *a, *b; /* [n][n], scratch, owned */
};

static spi_err cube_new(int n, struct cube *c)
{
    spi_err err;

    *c = (struct cube){.n = n, .h = n / 2 + 1, .pitch = (size_t)(n / 2 + 2) / 2 * 2};
    SPI_TRY(err = SPI_NEW_UNSET(c->a, (size_t)n * (size_t)n, "fft"), out);
    err = SPI_NEW_UNSET(c->b, (size_t)n * (size_t)n, "fft");
out:
    return err;
}

static void cube_free(struct cube *c)
{
    free(c->a);
    free(c->b);
}

/* ---- passes ------------------------------------------------------------------------- */

/* Planes of reals [y][x] -> [ky][kx]. */
static spi_err planes_forward(const struct cube *c, const float *real, float complex *half)
{
    size_t n = (size_t)c->n, plane = n * (size_t)c->h;
    spi_err err = SPI_OK;

    for (size_t z = 0; z < n && !err; z++) {
        spi_two_reals_pack(c->n, real + z * n * n, (float *)c->a);
        SPI_TRY(err = spi_fft_lines(SPI_FFT_FWD, c->n, c->n / 2, 0, c->a, c->b), out);
        spi_two_reals_untangle(c->n, (const float *)c->b, (float *)c->a);
        err = spi_fft_lines(SPI_FFT_FWD_OUT, c->n, c->h, c->h, c->a, half + z * plane);
    }
out:
    return err;
}

static spi_err planes_backward(const struct cube *c, float complex *half, float *real)
{
    size_t n = (size_t)c->n, plane = n * (size_t)c->h;
    spi_err err = SPI_OK;

    for (size_t z = 0; z < n && !err; z++) {
        SPI_TRY(err =
                    spi_fft_lines(SPI_FFT_BWD_IN, c->n, c->h, c->h, half + z * plane, c->a),
                out);
        spi_two_reals_tangle(c->n, (const float *)c->a, (float *)c->b);
        SPI_TRY(err = spi_fft_lines(SPI_FFT_BWD, c->n, c->n / 2, 0, c->b, c->a), out);
        spi_two_reals_unpack(c->n, (const float *)c->a, real + z * n * n);
    }
out:
    return err;
}

/* Along z, for one y after another. */
static spi_err across_planes(const struct cube *c, bool forward, float complex *half)
{
    size_t n = (size_t)c->n, h = (size_t)c->h, plane = n * h;
    spi_err err = SPI_OK;

    for (size_t y = 0; y < n && !err; y++) {
        float complex *row = half + y * h;

        for (size_t z = 0; z < n; z++)
            memcpy(c->a + z * c->pitch, row + z * plane, h * sizeof *row);
        err = spi_fft_lines(forward ? SPI_FFT_FWD_IN : SPI_FFT_BWD_IN, c->n, c->h,
                            (int)c->pitch, c->a, c->b);
        if (!err)
            spi_transpose_lines(c->n, c->h, c->b, n, row, plane);
    }
    return err;
}

spi_err spi_fft3_r2c(int n, float *real, float complex *half)
{
    struct cube c;
    spi_err err;

    assert(n % 2 == 0);
    SPI_TRY(err = cube_new(n, &c), out);
    SPI_TRY(err = planes_forward(&c, real, half), out);
    err = across_planes(&c, true, half);
out:
    cube_free(&c);
    return err;
}

spi_err spi_fft3_c2r(int n, float complex *half, float *real)
{
    struct cube c;
    spi_err err;

    assert(n % 2 == 0);
    SPI_TRY(err = cube_new(n, &c), out);
    SPI_TRY(err = across_planes(&c, false, half), out);
    err = planes_backward(&c, half, real);
out:
    cube_free(&c);
    return err;
}
