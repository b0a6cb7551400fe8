/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/fft.h"

#include <fftw3.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/fft_plans.h"

enum kind {
    C2C3_FWD,
    C2C3_BWD,
    R2C1,
    C2R1,
    C2C2_FWD,
    C2C2_BWD,
    R2C1_COLUMNS,
    C2R1_COLUMNS,
    LINES /* and the kinds of fft_plans.h */
};

struct entry {
    int kind, n, rows, row;
    fftwf_plan plan;
    struct entry *next;
};

enum { BUCKETS = 256 };

static struct entry *cache[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static fftwf_plan make_lines(enum spi_fft_layout kind, int n, int lines, int row, void *a,
                             void *b)
{
    bool in = kind == SPI_FFT_FWD_IN || kind == SPI_FFT_BWD_IN,
         out = kind == SPI_FFT_FWD_OUT;
    bool back = kind == SPI_FFT_BWD || kind == SPI_FFT_BWD_IN;

    return fftwf_plan_many_dft(1, &n, lines, a, NULL, in ? row : 1, in ? 1 : n, b, NULL,
                               out ? row : 1, out ? 1 : n,
                               back ? FFTW_BACKWARD : FFTW_FORWARD,
                               FFTW_ESTIMATE | FFTW_PRESERVE_INPUT);
}

static fftwf_plan make(int kind, int n, int rows, int row, void *a, void *b)
{
    unsigned keep = FFTW_ESTIMATE | FFTW_PRESERVE_INPUT, eat = FFTW_ESTIMATE;
    int h = n / 2 + 1;

    if (kind >= LINES)
        return make_lines((enum spi_fft_layout)(kind - LINES), n, rows, row, a, b);
    switch ((enum kind)kind) {
    case C2C3_FWD:
        return fftwf_plan_dft_3d(n, n, n, a, a, FFTW_FORWARD, eat);
    case C2C3_BWD:
        return fftwf_plan_dft_3d(n, n, n, a, a, FFTW_BACKWARD, eat);
    case R2C1:
        return fftwf_plan_many_dft_r2c(1, &n, rows, a, NULL, 1, n, b, NULL, 1, h, keep);
    case C2R1:
        return fftwf_plan_many_dft_c2r(1, &n, rows, a, NULL, 1, h, b, NULL, 1, n, eat);
    case C2C2_FWD:
        return fftwf_plan_dft_2d(n, n, a, a, FFTW_FORWARD, eat);
    case C2C2_BWD:
        return fftwf_plan_dft_2d(n, n, a, a, FFTW_BACKWARD, eat);
    case R2C1_COLUMNS:
        return fftwf_plan_many_dft_r2c(1, &n, rows, a, NULL, rows, 1, b, NULL, rows, 1,
                                       keep);
    case C2R1_COLUMNS:
        return fftwf_plan_many_dft_c2r(1, &n, rows, a, NULL, rows, 1, b, NULL, rows, 1,
                                       eat);
    case LINES:
        break;
    }
    return NULL;
}

static struct entry **bucket(int kind, int n, int rows, int row)
{
    return &cache[((unsigned)kind + 31U * (unsigned)n + 167U * (unsigned)rows +
                   59U * (unsigned)row) %
                  BUCKETS];
}

/* Entries do not change once they are in the cache: no lock is needed to look. */
static struct entry *find(int kind, int n, int rows, int row)
{
    struct entry *e = __atomic_load_n(bucket(kind, n, rows, row), __ATOMIC_ACQUIRE);

    while (e && (e->kind != kind || e->n != n || e->rows != rows || e->row != row))
        e = e->next;
    return e;
}

/* ESTIMATE does not touch the arrays, so planning may use the caller's. */
static spi_err plan_for(int kind, int n, int rows, int row, void *a, void *b,
                        fftwf_plan *out)
{
    spi_err err = SPI_OK;
    struct entry *e = find(kind, n, rows, row);

    if (e) {
        *out = e->plan;
        return SPI_OK;
    }
    pthread_mutex_lock(&lock);
    e = find(kind, n, rows, row); /* another thread may have been faster */
    if (!e) {
        e = spi_alloc(1, sizeof *e, "fft plan");
        if (e)
            e->plan = make(kind, n, rows, row, a, b);
        if (!e || !e->plan) {
            free(e);
            e = NULL;
            err = spi_no_memory("plan of an FFT", 0);
        } else {
            struct entry **first = bucket(kind, n, rows, row);

            e->kind = kind, e->n = n, e->rows = rows, e->row = row, e->next = *first;
            __atomic_store_n(first, e, __ATOMIC_RELEASE);
        }
    }
    *out = e ? e->plan : NULL;
    pthread_mutex_unlock(&lock);
    return err;
}

static spi_err r2c(enum kind kind, int n, int rows, float *real, float complex *half)
{
    fftwf_plan p;
    spi_err err = plan_for(kind, n, rows, 0, real, half, &p);

    if (!err)
        fftwf_execute_dft_r2c(p, real, (fftwf_complex *)half);
    return err;
}

static spi_err c2r(enum kind kind, int n, int rows, float complex *half, float *real)
{
    fftwf_plan p;
    spi_err err = plan_for(kind, n, rows, 0, half, real, &p);

    if (!err)
        fftwf_execute_dft_c2r(p, (fftwf_complex *)half, real);
    return err;
}

static spi_err c2c(enum kind kind, int n, int rows, float complex *x)
{
    fftwf_plan p;
    spi_err err = plan_for(kind, n, rows, 0, x, x, &p);

    if (!err)
        fftwf_execute_dft(p, (fftwf_complex *)x, (fftwf_complex *)x);
    return err;
}

spi_err spi_fft_lines(enum spi_fft_layout kind, int n, int lines, int row,
                      float complex *in, float complex *out)
{
    fftwf_plan p;
    spi_err err = plan_for(LINES + (int)kind, n, lines, row, in, out, &p);

    if (!err)
        fftwf_execute_dft(p, (fftwf_complex *)in, (fftwf_complex *)out);
    return err;
}

spi_err spi_fft3_c2c(int n, int sign, float complex *x)
{
    return c2c(sign < 0 ? C2C3_FWD : C2C3_BWD, n, 1, x);
}

spi_err spi_fft2_c2c(int n, int sign, float complex *x)
{
    return c2c(sign < 0 ? C2C2_FWD : C2C2_BWD, n, 1, x);
}

spi_err spi_fft1_r2c(int n, int rows, float *real, float complex *half)
{
    return r2c(R2C1, n, rows, real, half);
}

spi_err spi_fft1_c2r(int n, int rows, float complex *half, float *real)
{
    return c2r(C2R1, n, rows, half, real);
}

spi_err spi_fft1_columns_r2c(int n, int columns, float *real, float complex *half)
{
    return r2c(R2C1_COLUMNS, n, columns, real, half);
}

spi_err spi_fft1_columns_c2r(int n, int columns, float complex *half, float *real)
{
    return c2r(C2R1_COLUMNS, n, columns, half, real);
}

int spi_fft_good_size(int least)
{
    for (int n = least < 2 ? 2 : least + least % 2;; n += 2) {
        int rest = n;

        for (int p = 2; p <= 7; p++)
            while (rest % p == 0)
                rest /= p;
        if (rest == 1)
            return n;
    }
}

void spi_fft_lock(void)
{
    pthread_mutex_lock(&lock);
}

void spi_fft_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void spi_fft_cleanup(void)
{
    pthread_mutex_lock(&lock);
    for (int b = 0; b < BUCKETS; b++)
        while (cache[b]) {
            struct entry *e = cache[b];

            cache[b] = e->next;
            fftwf_destroy_plan(e->plan);
            free(e);
        }
    fftwf_cleanup();
    fftw_cleanup();
    pthread_mutex_unlock(&lock);
}
