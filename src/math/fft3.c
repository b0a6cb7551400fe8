/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fft3.c, of math/fft.h: transforms of cubes. */
#include <assert.h>
#include <complex.h>
#include <stdbool.h>
#include <string.h>

#include "base/parallel.h"
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
    float complex *a, *b; /* [n][n], scratch */
};

/* Numbers of a face, up to the next cache line. */
static size_t face_of(int n)
{
    return ((size_t)n * (size_t)n + 7) / 8 * 8;
}

size_t spi_fft3_scratch_bytes(int n)
{
    return 2 * face_of(n) * sizeof(float complex);
}

static struct cube cube_of(int n, void *scratch)
{
    float complex *a = scratch;

    assert(n % 2 == 0);
    return (struct cube){.n = n,
                         .h = n / 2 + 1,
                         .pitch = (size_t)(n / 2 + 2) / 2 * 2,
                         .a = a,
                         .b = a + face_of(n)};
}

/* ---- passes ------------------------------------------------------------------------- */

spi_err spi_fft3_plane_r2c(int n, const float *real, float complex *half, void *scratch)
{
    struct cube c = cube_of(n, scratch);
    spi_err err;

    spi_two_reals_pack(n, real, (float *)c.a);
    SPI_TRY(err = spi_fft_lines(SPI_FFT_FWD, n, n / 2, 0, c.a, c.b), out);
    spi_two_reals_untangle(n, (const float *)c.b, (float *)c.a);
    err = spi_fft_lines(SPI_FFT_FWD_OUT, n, c.h, c.h, c.a, half);
out:
    return err;
}

spi_err spi_fft3_plane_c2r(int n, float complex *half, float *real, void *scratch)
{
    struct cube c = cube_of(n, scratch);
    spi_err err;

    SPI_TRY(err = spi_fft_lines(SPI_FFT_BWD_IN, n, c.h, c.h, half, c.a), out);
    spi_two_reals_tangle(n, (const float *)c.a, (float *)c.b);
    SPI_TRY(err = spi_fft_lines(SPI_FFT_BWD, n, n / 2, 0, c.b, c.a), out);
    spi_two_reals_unpack(n, (const float *)c.a, real);
out:
    return err;
}

spi_err spi_fft3_across(int n, bool forward, int y, float complex *half, void *scratch)
{
    struct cube c = cube_of(n, scratch);
    size_t h = (size_t)c.h, plane = (size_t)n * h;
    float complex *row = half + (size_t)y * h;
    spi_err err;

    for (size_t z = 0; z < (size_t)n; z++)
        memcpy(c.a + z * c.pitch, row + z * plane, h * sizeof *row);
    err = spi_fft_lines(forward ? SPI_FFT_FWD_IN : SPI_FFT_BWD_IN, n, c.h, (int)c.pitch,
                        c.a, c.b);
    if (!err)
        spi_transpose_lines(n, c.h, c.b, (size_t)n, row, plane);
    return err;
}

/* ---- all of a cube ------------------------------------------------------------------ */

enum { SERIAL_BELOW = 64 }; /* numbers an axis; not worth a thread */

struct whole {
    int n;
    bool forward;
    float *real;
    float complex *half;
    struct spi_rooms scratch;
    struct spi_failure failure;
};

/* Phase 0 and 1: planes, then faces across them; backward the other way round. */
static void item(void *ctx, int rank, int64_t number)
{
    struct whole *w = ctx;
    size_t n = (size_t)w->n, i = (size_t)number % n;
    bool planes = ((size_t)number < n) == w->forward;
    float *real = w->real + i * n * n;
    float complex *half = w->half + i * n * (n / 2 + 1);
    void *scratch = spi_rooms_of(&w->scratch, rank);
    spi_err err = scratch ? SPI_OK : SPI_ENOMEM;

    if (!err && !planes)
        err = spi_fft3_across(w->n, w->forward, (int)i, w->half, scratch);
    else if (!err && w->forward)
        err = spi_fft3_plane_r2c(w->n, real, half, scratch);
    else if (!err)
        err = spi_fft3_plane_c2r(w->n, half, real, scratch);
    spi_failure_note(&w->failure, err);
}

static spi_err transform(int n, bool forward, float *real, float complex *half)
{
    const int64_t first[] = {0, n, 2 * (int64_t)n};
    struct whole w = {.n = n, .forward = forward, .real = real, .half = half};
    int threads = n < SERIAL_BELOW ? 1 : SPI_THREADS_MAX;
    spi_err err = spi_rooms_init(&w.scratch, threads, spi_fft3_scratch_bytes(n), "fft");

    if (err)
        return err;
    spi_parallel_phases(threads, 2, first, item, &w);
    spi_rooms_clear(&w.scratch);
    return spi_failure_end(&w.failure);
}

spi_err spi_fft3_r2c(int n, float *real, float complex *half)
{
    return transform(n, true, real, half);
}

spi_err spi_fft3_c2r(int n, float complex *half, float *real)
{
    return transform(n, false, real, half);
}
