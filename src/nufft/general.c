/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nufft/general.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "nufft/general_grid.h"

enum { MODES_MAX = 1 << 20, THREADS_MAX = 256 };
static const double SIGMA_MIN = 1.25, SIGMA_MAX = 2.05;
static const double ALLOW = 1.1; /* (U8): a hair that often saves the next larger FFT */

spi_err spi_nu_check(const struct spi_nu_spec *spec, double tol_min)
{
    if (spec->dim != 2 && spec->dim != 3)
        return spi_fail(SPI_EINVAL, "nufft: %d dimensions; need 2 or 3", spec->dim);
    for (int d = 0; d < spec->dim; d++)
        if (spec->modes[d] < 1 || spec->modes[d] > MODES_MAX)
            return spi_fail(SPI_EINVAL, "nufft: %d modes on axis %c; need 1..%d",
                            spec->modes[d], "xyz"[d], MODES_MAX);
    if (!(spec->tol >= tol_min * 0.999 && spec->tol <= 0.1001))
        return spi_fail(SPI_EINVAL, "nufft: tolerance %g; need %g..0.1", spec->tol,
                        tol_min);
    if (spec->n_threads < 1 || spec->n_threads > THREADS_MAX)
        return spi_fail(SPI_EINVAL, "nufft: %d threads; need 1..%d", spec->n_threads,
                        THREADS_MAX);
    return SPI_OK;
}

/* Smallest even n >= least that FFTW transforms fast: no prime above 7, at most two 3s (27
 * and its multiples run at a third of the speed), and above 64 a multiple of 8. */
static int good_size(double least)
{
    int step = least > 64 ? 8 : 2;

    for (int n = ((int)ceil(least) + step - 1) / step * step;; n += step) {
        int rest = n;

        for (int i = 0; i < 2 && rest % 3 == 0; i++)
            rest /= 3;
        for (int p = 2; p <= 7; p++)
            while (p != 3 && rest % p == 0)
                rest /= p;
        if (rest == 1)
            return n;
    }
}

/* Nanoseconds of a transform by width and fine grid, from measurements on one machine: only
 * the ratio of the two terms matters. */
static double cost(const struct spi_nu_spec *spec, int real_bytes, int64_t n, int w,
                   const int *fine)
{
    double grid = 1, rows = spec->dim == 3 ? w * w : w;
    double vectors = ceil(2 * w * real_bytes / 64.0);

    for (int d = 0; d < spec->dim; d++)
        grid *= fine[d];
    return (double)n * (8 + 0.8 * rows * vectors) + grid * 1.0 * real_bytes;
}

/* One window that might do. */
struct candidate {
    double sigma; /* asked; the axes have at least that */
    double beta, cost;
    int fine[3];
    bool proved; /* its error is at most tol */
};

static void size_up(const struct spi_nu_spec *spec, int real_bytes, int64_t n, int w,
                    struct candidate *c)
{
    for (int d = 0; d < 3; d++)
        c->fine[d] = d < spec->dim ? good_size(fmax(2, c->sigma * spec->modes[d])) : 1;
    c->cost = cost(spec, real_bytes, n, w, c->fine);
}

/* Smallest fine points per mode of all axes, at most SIGMA_MAX. */
static double least_sigma(const struct spi_nu_spec *spec, const int *fine)
{
    double sigma = SIGMA_MAX;

    for (int d = 0; d < spec->dim; d++)
        if (spec->modes[d] > 1)
            sigma = fmin(sigma, (double)fine[d] / spec->modes[d]);
    return sigma;
}

/* The best beta of this window on these axes, and its error (U8). */
static double best_beta(const struct spi_nu_spec *spec, int w, struct candidate *c)
{
    const double pi = 3.14159265358979323846;
    double centre = pi * w * (1 - 0.5 / least_sigma(spec, c->fine)), best = INFINITY;

    for (int i = 0; i < 12; i++) {
        double beta = centre * (1 - 0.45 / (w * w) + 0.004 * (i - 7)), sum = 0;

        for (int d = 0; d < spec->dim; d++)
            sum += spi_kaiser_error2(w, beta, spec->modes[d], c->fine[d]);
        if (sum < best) {
            best = sum;
            c->beta = beta;
        }
    }
    return sqrt(best);
}

/* The cheapest window whose error is at most tol.  The estimate (U7), a little low, gives
 * each width a sigma; the cheapest is proved by (U8), or gets a finer grid and waits for
 * its turn. */
static void choose(const struct spi_nu_spec *spec, int real_bytes, int64_t n,
                   struct spi_nu_grid *g)
{
    int w_max = real_bytes == 4 ? SPI_NU_W_MAX_F32 : SPI_KAISER_W_MAX, best;
    struct candidate c[SPI_KAISER_W_MAX + 1] = {0};

    for (int w = SPI_KAISER_W_MIN; w <= w_max; w++) {
        c[w].sigma = SIGMA_MIN;
        while (c[w].sigma < SIGMA_MAX &&
               spi_kaiser_estimate(w, c[w].sigma) * sqrt(spec->dim) > 1.4 * spec->tol)
            c[w].sigma += 0.01;
        size_up(spec, real_bytes, n, w, &c[w]);
    }
    do {
        best = w_max;
        for (int w = SPI_KAISER_W_MIN; w < w_max; w++)
            if (c[w].sigma < SIGMA_MAX && c[w].cost < c[best].cost)
                best = w;
        /* the widest window at the finest grid serves every tolerance that is allowed */
        c[best].proved = best_beta(spec, best, &c[best]) <= ALLOW * spec->tol ||
                         (best == w_max && c[best].sigma >= SIGMA_MAX);
        if (!c[best].proved) {
            c[best].sigma += 0.02;
            size_up(spec, real_bytes, n, best, &c[best]);
        }
    } while (!c[best].proved);
    g->sigma = least_sigma(spec, c[best].fine);
    spi_kaiser_init(&g->win, best, c[best].beta);
    for (int d = 0; d < 3; d++) {
        g->axis[d].m = d < spec->dim ? spec->modes[d] : 1;
        g->axis[d].n = c[best].fine[d];
    }
}

int spi_nu_cover(const struct spi_nu_cut *a, int b)
{
    int side = 1 << a->shift, rest = a->n - (b << a->shift);

    return rest < side ? rest : side;
}

int spi_nu_extent(const struct spi_nu_grid *g, int axis, int b)
{
    /* one more: v may round up to the brick's end */
    return axis >= g->dim ? 1 : spi_nu_cover(&g->axis[axis], b) + g->win.w + 1;
}

int spi_nu_origin(const struct spi_nu_grid *g, int axis, int b)
{
    const struct spi_nu_cut *a = &g->axis[axis];
    int i = axis >= g->dim ? 0 : ((b << a->shift) - g->win.w / 2) % a->n;

    return i < 0 ? i + a->n : i;
}

/* Do the local grids of two bricks share a fine point?  (On a circle of n points.) */
static bool overlap(const struct spi_nu_grid *g, int axis, int b, int c)
{
    int n = g->axis[axis].n;
    int d = (spi_nu_origin(g, axis, b) - spi_nu_origin(g, axis, c) + n) % n;

    return d < spi_nu_extent(g, axis, c) || n - d < spi_nu_extent(g, axis, b);
}

/* The smallest colour that no earlier overlapping brick has.  Bricks overlap only with
 * their neighbours on the circle, but for small n that may be all. */
static spi_err colour(struct spi_nu_grid *g, int axis)
{
    struct spi_nu_cut *a = &g->axis[axis];
    spi_err err = SPI_NEW(a->colour, a->bricks, "nufft bricks");

    a->colours = 0;
    for (int b = 0; b < a->bricks && !err; b++) {
        int reach = ((g->win.w + 1) >> a->shift) + 2, c = 0;

        for (int i = 0; i < 2 * reach; i++) {
            int other = i < reach ? i : b - 1 - (i - reach);

            if (other >= 0 && other < b && a->colour[other] == c &&
                overlap(g, axis, b, other)) {
                c++;
                i = -1;
            }
        }
        a->colour[b] = (unsigned char)c;
        a->colours = c + 1 > a->colours ? c + 1 : a->colours;
    }
    return err;
}

spi_err spi_nu_grid_init(const struct spi_nu_spec *spec, int real_bytes, int64_t n,
                         struct spi_nu_grid *g)
{
    spi_err err = SPI_OK;
    int length[3] = {1, 1, 1};

    memset(g, 0, sizeof *g);
    g->dim = spec->dim;
    choose(spec, real_bytes, n, g);
    g->n_bricks = 1;
    for (int d = 0; d < 3 && !err; d++) {
        struct spi_nu_cut *a = &g->axis[d];

        a->shift = d >= g->dim ? 0 : g->dim == 2 ? 5 : 4;
        a->bricks = ((a->n - 1) >> a->shift) + 1;
        g->n_bricks *= a->bricks;
        err = colour(g, d);
        for (int b = 0; b < a->bricks; b++) {
            int e = spi_nu_extent(g, d, b);

            length[d] = e > length[d] ? e : length[d];
        }
    }
    if (!err && g->n_bricks > INT32_MAX)
        err = spi_fail(SPI_EINVAL, "nufft: %lld bricks of the fine grid; need at most %d",
                       (long long)g->n_bricks, INT32_MAX);
    g->local.row = length[0];
    g->local.rows = length[1];
    g->local.depth = g->dim == 3 ? g->win.w : 1;
    g->local_size = (int64_t)length[0] * length[1] * length[2] + SPI_NU_SLACK;
    return err;
}

void spi_nu_grid_clear(struct spi_nu_grid *g)
{
    for (int d = 0; d < 3; d++)
        free(g->axis[d].colour);
    memset(g, 0, sizeof *g);
}

static int mode(const struct spi_nu_cut *a, bool fft_order, int i)
{
    int half = a->m / 2;

    return !fft_order ? i - half : i < a->m - half ? i : i - a->m;
}

int spi_nu_fine_of(const struct spi_nu_cut *a, bool fft_order, int i)
{
    int k = mode(a, fft_order, i);

    return k < 0 ? k + a->n : k;
}

double spi_nu_deconvolve(const struct spi_nu_grid *g, int axis, bool fft_order, int i)
{
    const struct spi_nu_cut *a = &g->axis[axis];

    double xi = (double)mode(a, fft_order, i) / a->n;

    return axis >= g->dim ? 1 : 1 / spi_kaiser_transform(g->win.w, g->win.beta, xi);
}
