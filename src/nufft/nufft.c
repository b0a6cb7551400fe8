#include "nufft/nufft.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kernel/interp.h"
#include "math/fft.h"

struct spi_nufft {
    int n, nf, side; /* modes, fine grid, fine grid with margins */
    double dx;
    struct spi_window win;
    double *deconv; /* [n], owned: 1 / window transform of mode i - n/2; 0 at Nyquist */
};

spi_err spi_nufft_new(int n, double dx, double tol, spi_nufft **out)
{
    spi_err err;
    spi_nufft *p = NULL;

    *out = NULL;
    if (n < 4 || n > 1024 || n % 2)
        return spi_fail(SPI_EINVAL,
                        "nufft: %d modes per axis; need an even number in 4..1024", n);
    if (!(tol >= 1e-6 && tol <= 0.1) || !(dx > 0))
        return spi_fail(SPI_EINVAL, "nufft: tol is %g, dx %g; need 1e-6..0.1, dx > 0", tol,
                        dx);
    SPI_TRY(err = SPI_NEW(p, 1, "nufft plan"), fail);
    p->n = n;
    p->nf = 2 * n;
    p->side = p->nf + 2 * SPI_GRID_MARGIN;
    p->dx = dx;
    spi_window_init(&p->win, tol);
    SPI_TRY(err = SPI_NEW(p->deconv, n, "nufft plan"), fail);
    for (int i = 1; i < n; i++)
        p->deconv[i] = 1 / spi_window_transform(&p->win, i - n / 2, p->nf);
    *out = p;
    return SPI_OK;
fail:
    spi_nufft_free(p);
    return err;
}

void spi_nufft_free(spi_nufft *p)
{
    if (!p)
        return;
    free(p->deconv);
    free(p);
}

double spi_nufft_scale(const spi_nufft *p)
{
    return p->nf * p->dx;
}

int spi_nufft_side(const spi_nufft *p)
{
    return p->side;
}

int spi_nufft_modes(const spi_nufft *p)
{
    return p->n;
}

const struct spi_window *spi_nufft_window(const spi_nufft *p)
{
    return &p->win;
}

spi_err spi_nufft_grid_new(const spi_nufft *p, int comp, float **grid)
{
    size_t s = (size_t)p->side;

    return SPI_NEW(*grid, s * s * s * (size_t)comp, "nufft fine grid");
}

/* Fine-grid index (FFT order) of grid point g of a side with margins, folded. */
static size_t fold(const spi_nufft *p, int g)
{
    int i = (g - p->side / 2) % p->nf;

    return (size_t)(i < 0 ? i + p->nf : i);
}

/* Zero-padded, deconvolved modes in FFT order. */
static void place_modes(const spi_nufft *p, const float *A, float *x)
{
    int n = p->n;
    size_t nf = (size_t)p->nf;

    for (int k = 1; k < n; k++)
        for (int j = 1; j < n; j++) {
            size_t row = ((size_t)((k - n / 2 + p->nf) % p->nf) * nf +
                          (size_t)((j - n / 2 + p->nf) % p->nf)) *
                         nf;
            double dkj = p->deconv[k] * p->deconv[j];

            for (int i = 1; i < n; i++)
                x[row + (size_t)((i - n / 2 + p->nf) % p->nf)] =
                    (float)(dkj * p->deconv[i]) *
                    A[((size_t)k * (size_t)n + (size_t)j) * (size_t)n + (size_t)i];
        }
}

spi_err spi_nufft_prepare(const spi_nufft *p, const float *A, float *grid)
{
    spi_err err;
    size_t nf = (size_t)p->nf, h = nf / 2 + 1, side = (size_t)p->side;
    float *x = NULL;
    float complex *half = NULL;

    SPI_TRY(err = SPI_NEW(x, nf * nf * nf, "nufft transform"), out);
    SPI_TRY(err = SPI_NEW(half, nf * nf * h, "nufft transform"), out);
    place_modes(p, A, x);
    SPI_TRY(err = spi_fft3_r2c(p->nf, x, half), out);
    for (size_t k = 0; k < side; k++)
        for (size_t j = 0; j < side; j++) {
            size_t z = fold(p, (int)k), y = fold(p, (int)j);
            const float complex *row = half + (z * nf + y) * h;
            const float complex *twin = half + ((nf - z) % nf * nf + (nf - y) % nf) * h;

            for (size_t i = 0; i < side; i++) {
                size_t u = fold(p, (int)i);

                grid[(k * side + j) * side + i] = crealf(u < h ? row[u] : twin[nf - u]);
            }
        }
out:
    free(half);
    free(x);
    return err;
}

spi_err spi_nufft_collect(const spi_nufft *p, const float *grid, int c, int m, float *modes)
{
    spi_err err;
    size_t nf = (size_t)p->nf, h = nf / 2 + 1, side = (size_t)p->side;
    float *x = NULL;
    float complex *half = NULL;

    SPI_TRY(err = SPI_NEW(x, nf * nf * nf, "nufft transform"), out);
    SPI_TRY(err = SPI_NEW(half, nf * nf * h, "nufft transform"), out);
    for (size_t k = 0; k < side; k++)
        for (size_t j = 0; j < side; j++) {
            float *row = x + (fold(p, (int)k) * nf + fold(p, (int)j)) * nf;
            const float *from = grid + (k * side + j) * side * 2 + c;

            for (size_t i = 0; i < side; i++)
                row[fold(p, (int)i)] += from[2 * i];
        }
    SPI_TRY(err = spi_fft3_r2c(p->nf, x, half), out);
    for (int k = 0; k < m; k++)
        for (int j = 0; j < m; j++)
            for (int i = 0; i < m; i++) {
                int off = p->n / 2 - m / 2;
                int z = (k - m / 2 + p->nf) % p->nf, y = (j - m / 2 + p->nf) % p->nf;
                int u = i - m / 2;
                /* even: the mode at -x is the same real part */
                size_t at = u >= 0
                                ? ((size_t)z * nf + (size_t)y) * h + (size_t)u
                                : ((nf - (size_t)z) % nf * nf + (nf - (size_t)y) % nf) * h +
                                      (size_t)-u;
                double d = k && j && i ? p->deconv[k + off] * p->deconv[j + off] *
                                             p->deconv[i + off]
                                       : 0;

                modes[((size_t)k * (size_t)m + (size_t)j) * (size_t)m + (size_t)i] =
                    (float)(d * (double)crealf(half[at]));
            }
out:
    free(half);
    free(x);
    return err;
}

/* ---- points, brick by brick ---------------------------------------------------------- */

enum {
    BRICK_SHIFT = 4,
    CHUNK = 256
}; /* 16^3 grid points; points handed to a kernel at once */

static int brick_axis(const spi_nufft *p, float u)
{
    return ((int)floorf(u) + p->side / 2) >> BRICK_SHIFT;
}

/* order[i]: points sorted by brick; points in the lower half are taken at -u. */
static spi_err sort_points(const spi_nufft *p, int64_t n, const float (*u)[3],
                           int32_t **order)
{
    int per_axis = (p->side >> BRICK_SHIFT) + 1;
    size_t bricks = (size_t)per_axis * (size_t)per_axis * (size_t)per_axis;
    int32_t *key = NULL, *at = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(*order, n, "nufft order"), out);
    SPI_TRY(err = SPI_NEW(key, n, "nufft order"), out);
    SPI_TRY(err = SPI_NEW(at, bricks + 1, "nufft order"), out);
    for (int64_t j = 0; j < n; j++) {
        float s = u[j][2] < 0 ? -1.0F : 1.0F;

        key[j] = (brick_axis(p, s * u[j][2]) * per_axis + brick_axis(p, s * u[j][1])) *
                     per_axis +
                 brick_axis(p, s * u[j][0]);
        at[key[j] + 1]++;
    }
    for (size_t b = 0; b < bricks; b++)
        at[b + 1] += at[b];
    for (int64_t j = 0; j < n; j++)
        (*order)[at[key[j]]++] = (int32_t)j;
out:
    free(at);
    free(key);
    return err;
}

static void gather(const float (*u)[3], int n, const int32_t *order, float (*to)[3])
{
    for (int i = 0; i < n; i++) {
        const float *from = u[order[i]];
        float s = from[2] < 0 ? -1.0F : 1.0F;

        for (int c = 0; c < 3; c++)
            to[i][c] = s * from[c];
    }
}

spi_err spi_nufft_slice(const spi_nufft *p, const float *grid, int64_t n,
                        const float (*u)[3], float *out)
{
    int32_t *order = NULL;
    spi_err err = sort_points(p, n, u, &order);

    for (int64_t i = 0; i < n && !err; i += CHUNK) {
        float pos[CHUNK][3], value[CHUNK];
        int m = n - i < CHUNK ? (int)(n - i) : CHUNK;

        gather(u, m, order + i, pos);
        spi_interp1(&p->win, p->side, grid, m, (const float(*)[3])pos, value);
        for (int k = 0; k < m; k++)
            out[order[i + k]] = value[k];
    }
    free(order);
    return err;
}

spi_err spi_nufft_spread(const spi_nufft *p, float *grid2, int64_t n, const float (*u)[3],
                         const float (*val)[2])
{
    int32_t *order = NULL;
    spi_err err = sort_points(p, n, u, &order);

    for (int64_t i = 0; i < n && !err; i += CHUNK) {
        float pos[CHUNK][3], value[CHUNK][2];
        int m = n - i < CHUNK ? (int)(n - i) : CHUNK;

        gather(u, m, order + i, pos);
        for (int k = 0; k < m; k++) {
            value[k][0] = val[order[i + k]][0];
            value[k][1] = val[order[i + k]][1];
        }
        spi_spread2(&p->win, p->side, grid2, m, (const float(*)[3])pos,
                    (const float(*)[2])value);
    }
    free(order);
    return err;
}
