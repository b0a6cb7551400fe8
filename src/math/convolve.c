/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "math/convolve.h"

#include <fftw3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct spi_convolve {
    int n, N, h;     /* cube, doubled cube, n + 1 */
    size_t plane;    /* complex numbers from one z plane of `work` to the next */
    bool f64, owner; /* owner: symbol and plans are this one's */
    void *symbol;    /* [N y][N z][h x] real, transform of Q / N^3 */
    void *work;      /* [n z][N y][h x] complex, owned */
    void *plan[6];
};
enum { X_THERE, Y_THERE, Z_THERE, Z_BACK, Y_BACK, X_BACK };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* FFTW plans one at a time */

#define REAL     float
#define FFTW(x)  fftwf_##x
#define NAMED(x) x##_f32
#include "math/convolve_body.h"
#undef REAL
#undef FFTW
#undef NAMED
#define REAL     double
#define FFTW(x)  fftw_##x
#define NAMED(x) x##_f64
#include "math/convolve_body.h"

static spi_err make_work(spi_convolve *c)
{
    size_t complex_size = 2 * (c->f64 ? sizeof(double) : sizeof(float));

    c->work = spi_alloc((size_t)c->n * c->plane, complex_size, "convolution");
    return c->work ? SPI_OK : SPI_ENOMEM;
}

spi_err spi_convolve_new(int n, bool f64, const double *Q, spi_convolve **out)
{
    spi_convolve *c;
    spi_err err = SPI_NEW(c, 1, "convolution");

    *out = NULL;
    if (err)
        return err;
    *c = (spi_convolve){.n = n, .N = 2 * n, .h = n + 1, .f64 = f64, .owner = true};
    c->plane = ((size_t)c->N * (size_t)c->h + 7) / 8 * 8; /* planes aligned alike */
    SPI_TRY(err = make_work(c), fail);
    SPI_TRY(err = f64 ? make_plans_f64(c) : make_plans_f32(c), fail);
    SPI_TRY(err = f64 ? make_symbol_f64(c, Q) : make_symbol_f32(c, Q), fail);
    *out = c;
    return SPI_OK;
fail:
    spi_convolve_free(c);
    return err;
}

spi_err spi_convolve_share(const spi_convolve *from, spi_convolve **out)
{
    spi_convolve *c;
    spi_err err = SPI_NEW(c, 1, "convolution");

    *out = NULL;
    if (err)
        return err;
    *c = *from;
    c->owner = false;
    if ((err = make_work(c)) != SPI_OK)
        free(c);
    else
        *out = c;
    return err;
}

void spi_convolve_free(spi_convolve *c)
{
    if (!c)
        return;
    free(c->work);
    if (c->owner) {
        pthread_mutex_lock(&lock);
        for (int i = 0; i < 6; i++)
            if (c->plan[i] && c->f64)
                fftw_destroy_plan(c->plan[i]);
            else if (c->plan[i])
                fftwf_destroy_plan(c->plan[i]);
        pthread_mutex_unlock(&lock);
        free(c->symbol);
    }
    free(c);
}

void spi_convolve_add_beyond(spi_convolve *c, double k_max, double value)
{
    int n = c->n, N = c->N;
    double scaled = value / ((double)N * N * N);
    size_t at = 0;

    for (int y = 0; y < N; y++)
        for (int z = 0; z < N; z++)
            for (int x = 0; x <= n; x++, at++) {
                double ky = y < n ? y : y - N, kz = z < n ? z : z - N;

                if (x * (double)x + ky * ky + kz * kz <= k_max * k_max)
                    continue;
                if (c->f64)
                    ((double *)c->symbol)[at] += scaled;
                else
                    ((float *)c->symbol)[at] += (float)scaled;
            }
}

spi_err spi_convolve_planes(spi_convolve *c, const double *x, int from, int to)
{
    return c->f64 ? planes_f64(c, x, from, to) : planes_f32(c, x, from, to);
}

spi_err spi_convolve_columns(spi_convolve *c, int from, int to)
{
    return c->f64 ? columns_f64(c, from, to) : columns_f32(c, from, to);
}

spi_err spi_convolve_back(spi_convolve *c, double *y, int from, int to)
{
    return c->f64 ? back_f64(c, y, from, to) : back_f32(c, y, from, to);
}

spi_err spi_convolve_apply(spi_convolve *c, const double *x, double *y)
{
    spi_err err = spi_convolve_planes(c, x, 0, c->n);

    if (!err)
        err = spi_convolve_columns(c, 0, c->N);
    return err ? err : spi_convolve_back(c, y, 0, c->n);
}
