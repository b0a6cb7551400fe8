/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/model.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/interp_complex.h"
#include "math/fft.h"
#include "math/rot.h"
#include "sim/radial.h"

enum { PASSES_MAX = SPI_RADIAL_MAX / 4 };
static const double bytes_max = 8.0 * 1024 * 1024 * 1024;

struct spi_model {
    struct spi_radial radial;
    bool use_b;
    double q_max, half_extent; /* of the box around the atoms, A */
    double period;             /* grid step is 1 / period */
    double centre[3];
    struct spi_window window;
    int comp, passes; /* complex values per grid point and number of grids */
    struct spi_half_space_grid grid[PASSES_MAX]; /* data owned */
    size_t points;                               /* of one grid */
};

/* ---- size of everything ------------------------------------------------------------- */

static void find_box(const struct spi_structure *s, struct spi_model *m)
{
    double lo[3] = {INFINITY, INFINITY, INFINITY},
           hi[3] = {-INFINITY, -INFINITY, -INFINITY};

    for (int64_t i = 0; i < s->n; i++) {
        const double x[3] = {s->atom[i].x, s->atom[i].y, s->atom[i].z};

        for (int k = 0; k < 3; k++) {
            lo[k] = fmin(lo[k], x[k]);
            hi[k] = fmax(hi[k], x[k]);
        }
    }
    m->half_extent = 0;
    for (int k = 0; k < 3; k++) {
        m->centre[k] = (lo[k] + hi[k]) / 2;
        m->half_extent = fmax(m->half_extent, (hi[k] - lo[k]) / 2);
    }
}

/* The window is made for grids of twice the modes: atoms within a quarter of the period. */
static spi_err lay_out(struct spi_model *m, int *n_fine)
{
    int half, w;

    spi_window_init(&m->window, 1e-5);
    w = m->window.w;
    m->period = 4 * fmax(m->half_extent, 2);

    double reach = ceil(m->q_max * m->period) + w / 2 + 1, fine = 4 * reach + 2;
    double rank = m->radial.rank, grid = reach * 2 * reach * 2 * reach;

    if (fine * fine * fine * 8 + grid * (rank + 3) * 8 > bytes_max)
        return spi_fail(
            SPI_EINVAL,
            "model: %.0f A to |q| = %.3g 1/A needs %.1f GiB; at most 8 are used: "
            "lower the resolution",
            2 * m->half_extent, m->q_max,
            (fine * fine * fine * 8 + grid * (rank + 3) * 8) / 0x1p30);
    half = (int)reach;
    *n_fine = spi_fft_good_size(2 * (2 * half + 1));
    m->comp = m->radial.rank <= 2 ? 2 : 4;
    m->passes = (m->radial.rank + m->comp - 1) / m->comp;
    for (int p = 0; p < m->passes; p++)
        m->grid[p] = (struct spi_half_space_grid){.nx = half + 1 + w / 2,
                                                  .n = 2 * half + 1,
                                                  .x0 = w / 2,
                                                  .c0 = half,
                                                  .comp = m->comp};
    m->points = (size_t)m->grid[0].nx * (size_t)m->grid[0].n * (size_t)m->grid[0].n;
    return SPI_OK;
}

/* ---- atoms to grid, (S8) ------------------------------------------------------------ */

/* Transform of the window at xi cycles per grid unit, by the midpoint rule after
 * x = (w/2) sin(a): as spi_window_transform, with the nodes made once. */
enum { NODES = 60 };

struct quadrature {
    double x[NODES], weight[NODES];
};

static void quadrature_init(const struct spi_window *win, struct quadrature *qu)
{
    for (int i = 0; i < NODES; i++) {
        double a = SPI_PI / 2 * (i + 0.5) / NODES; /* half of the symmetric interval */

        qu->x[i] = 2 * SPI_PI * win->w / 2.0 * sin(a);
        qu->weight[i] =
            win->w * cos(a) * exp(win->beta * (cos(a) - 1)) * SPI_PI / 2 / NODES;
    }
}

static double window_transform(const struct quadrature *qu, double xi)
{
    double sum = 0;

    for (int i = 0; i < NODES; i++)
        sum += qu->weight[i] * cos(qu->x[i] * xi);
    return sum;
}

/* Each atom's occupancy over the slicing window's transform at its place. */
static void strengths(const struct spi_structure *s, const struct spi_model *m, double *out)
{
    struct quadrature qu;

    quadrature_init(&m->window, &qu);
    for (int64_t i = 0; i < s->n; i++) {
        const double x[3] = {s->atom[i].x, s->atom[i].y, s->atom[i].z};

        out[i] = (double)s->atom[i].occupancy;
        for (int k = 0; k < 3; k++)
            out[i] /= window_transform(&qu, (x[k] - m->centre[k]) / m->period);
    }
}

static void spread_atom(const struct spi_window *win, int n, const double u[3],
                        const float value[2], float complex *fine)
{
    double tap[3][SPI_W_MAX];
    size_t at[3][SPI_W_MAX];

    for (int k = 0; k < 3; k++) {
        int first = (int)floor(u[k]) - win->w / 2 + 1;

        for (int c = 0; c < win->w; c++) {
            tap[k][c] = spi_window_value(win, first + c - u[k]);
            at[k][c] = (size_t)((first + c + n) % n); /* |u| <= n/4 */
        }
    }
    for (int c = 0; c < win->w; c++)
        for (int b = 0; b < win->w; b++) {
            float *row = (float *)(fine + (at[2][c] * (size_t)n + at[1][b]) * (size_t)n);
            float k = (float)(tap[2][c] * tap[1][b]);

            for (int a = 0; a < win->w; a++) {
                float t = k * (float)tap[0][a];

                row[2 * at[0][a]] += t * value[0];
                row[2 * at[0][a] + 1] += t * value[1];
            }
        }
}

/* Two radial functions at once, as real and imaginary part. */
static spi_err transform_pair(const struct spi_structure *s, const struct spi_model *m,
                              const struct spi_window *win, const double *strength, int b,
                              int n, float complex *fine)
{
    double scale = n / m->period;

    memset(fine, 0, (size_t)n * (size_t)n * (size_t)n * sizeof *fine);
    for (int64_t i = 0; i < s->n; i++) {
        const struct spi_atom *a = &s->atom[i];
        const double *alpha = spi_radial_alpha(&m->radial, a, m->use_b);
        double u[3] = {(a->x - m->centre[0]) * scale, (a->y - m->centre[1]) * scale,
                       (a->z - m->centre[2]) * scale};
        float value[2] = {(float)(strength[i] * alpha[b]),
                          (float)(strength[i] * alpha[b + 1])}; /* 0 beyond the rank */

        spread_atom(win, n, u, value, fine);
    }
    return spi_fft3_c2c(n, -1, fine);
}

/* H = G_b + i G_(b+1) of two real densities: G_b = (H(k) + conj H(-k)) / 2 and so on;
 * `inv` holds the inverse of the spreading window's transform at k = 0, 1, ... */
static void take_pair(const struct spi_model *m, const float complex *fine, int n,
                      const double *inv, int c, const struct spi_half_space_grid *g,
                      float *data)
{
    for (int z = -g->c0; z <= g->c0; z++)
        for (int y = -g->c0; y <= g->c0; y++)
            for (int x = -g->x0; x < g->nx - g->x0; x++) {
                size_t at = ((size_t)((z + n) % n) * (size_t)n + (size_t)((y + n) % n)) *
                                (size_t)n +
                            (size_t)((x + n) % n);
                size_t mirror =
                    ((size_t)((n - z) % n) * (size_t)n + (size_t)((n - y) % n)) *
                        (size_t)n +
                    (size_t)((n - x) % n);
                float complex h = fine[at], h2 = conjf(fine[mirror]);
                float k = (float)(inv[abs(z)] * inv[abs(y)] * inv[abs(x)]) / 2;
                float complex even = k * (h + h2), odd = k * (h - h2) / (float complex)I;
                float *to =
                    data +
                    2 * (size_t)m->comp *
                        (((size_t)(z + g->c0) * (size_t)g->n + (size_t)(y + g->c0)) *
                             (size_t)g->nx +
                         (size_t)(x + g->x0)) +
                    2 * c;

                to[0] = crealf(even);
                to[1] = cimagf(even);
                to[2] = crealf(odd);
                to[3] = cimagf(odd);
            }
}

static spi_err fill(const struct spi_structure *s, struct spi_model *m, int n)
{
    struct spi_window win;
    float complex *fine = NULL;
    double *strength = NULL, *inv = NULL;
    int modes = m->grid[0].c0 + 1;
    spi_err err;

    spi_window_init(&win, 1e-6);
    SPI_TRY(err = SPI_NEW(strength, s->n, "model strengths"), out);
    SPI_TRY(err = SPI_NEW(inv, modes, "model window"), out);
    SPI_TRY(err = SPI_NEW(fine, (size_t)n * (size_t)n * (size_t)n, "model grid"), out);
    strengths(s, m, strength);
    for (int k = 0; k < modes; k++)
        inv[k] = 1 / spi_window_transform(&win, k, n);
    for (int p = 0; p < m->passes; p++) {
        float *data;

        SPI_TRY(err = SPI_NEW(data, m->points * (size_t)m->comp * 2, "model grid"), out);
        m->grid[p].data = data;
        for (int c = 0; c < m->comp && p * m->comp + c < m->radial.rank; c += 2) {
            SPI_TRY(err = transform_pair(s, m, &win, strength, p * m->comp + c, n, fine),
                    out);
            take_pair(m, fine, n, inv, c, &m->grid[p], data);
        }
    }
out:
    free(strength);
    free(inv);
    free(fine);
    return err;
}

spi_err spi_model_new(const struct spi_structure *s, const struct spi_model_options *opt,
                      struct spi_model **out)
{
    struct spi_model *m = NULL;
    int n_fine = 0;
    spi_err err;

    *out = NULL;
    if (s->n < 1)
        return spi_fail(SPI_EINVAL, "model: the structure has no atoms");
    if (!(opt->q_max_invA > 0 && opt->q_max_invA <= 12))
        return spi_fail(SPI_EINVAL, "model: |q| up to %g 1/A; need 0..12 (form factors)",
                        opt->q_max_invA);
    SPI_TRY(err = SPI_NEW(m, 1, "model"), fail);
    m->use_b = opt->use_b;
    m->q_max = opt->q_max_invA * (1 + 1e-9); /* rounding of rotated points */
    find_box(s, m);
    SPI_TRY(err = spi_radial_init(s, opt->use_b, opt->q_max_invA, &m->radial), fail);
    SPI_TRY(err = lay_out(m, &n_fine), fail);
    SPI_TRY(err = fill(s, m, n_fine), fail);
    *out = m;
    return SPI_OK;
fail:
    spi_model_free(m);
    return err;
}

void spi_model_free(struct spi_model *m)
{
    if (!m)
        return;
    for (int p = 0; p < PASSES_MAX; p++)
        free((void *)(uintptr_t)m->grid[p].data);
    spi_radial_clear(&m->radial);
    free(m);
}

double spi_model_misfit(const struct spi_model *m)
{
    return m->radial.misfit;
}

int spi_model_rank(const struct spi_model *m)
{
    return m->radial.rank;
}

int64_t spi_model_bytes(const struct spi_model *m)
{
    return (int64_t)(m->points * (size_t)m->comp * 8) * m->passes;
}

double spi_model_half_extent_A(const struct spi_model *m)
{
    return m->half_extent;
}

/* ---- slices ------------------------------------------------------------------------- */

spi_err spi_model_points_init(const struct spi_model *m, int64_t n, const double (*q)[3],
                              struct spi_model_points *out)
{
    spi_err err;

    memset(out, 0, sizeof *out);
    out->n = n;
    SPI_TRY(err = SPI_NEW(out->q, n, "model points"), fail);
    SPI_TRY(err = SPI_NEW(out->factor, n * m->comp * m->passes, "model points"), fail);
    for (int64_t j = 0; j < n; j++) {
        double g[SPI_RADIAL_MAX], len = hypot(hypot(q[j][0], q[j][1]), q[j][2]);

        memcpy(out->q[j], q[j], sizeof out->q[j]);
        if (!(len <= m->q_max)) {
            err = spi_fail(SPI_EINVAL, "model: point %lld has |q| = %g 1/A; made up to %g",
                           (long long)j, len, m->q_max);
            goto fail;
        }
        spi_radial_values(&m->radial, len, g);
        for (int b = 0; b < m->radial.rank; b++)
            out->factor[(b / m->comp * n + j) * m->comp + b % m->comp] = (float)g[b];
    }
    return SPI_OK;
fail:
    spi_model_points_clear(out);
    return err;
}

void spi_model_points_clear(struct spi_model_points *p)
{
    free(p->q);
    free(p->factor);
    memset(p, 0, sizeof *p);
}

void spi_model_slice(const struct spi_model *m, const struct spi_model_points *points,
                     const double quat[4], float (*F)[2], float *W)
{
    double R[9], M[9];
    int64_t n = points->n;

    spi_rot_matrix(quat, R);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            M[3 * i + j] = R[3 * j + i] * m->period; /* q_mol = R^T q_lab, in grid units */
    memset(F, 0, (size_t)n * sizeof *F);
    for (int p = 0; p < m->passes; p++)
        spi_interp_complex(&m->window, &m->grid[p], M, n, (const double(*)[3])points->q,
                           points->factor + p * n * m->comp, F);
    for (int64_t j = 0; j < n; j++)
        W[j] = F[j][0] * F[j][0] + F[j][1] * F[j][1];
}

/* ---- the largest value -------------------------------------------------------------- */

/* W on the rows of points u = (x, y, z) / 2 in grid units, x >= 0, with |q| in the shell.
 */
static spi_err largest_of_plane(const struct spi_model *m, double q_min, double q_max,
                                int z, int side, double (*q)[3], float (*F)[2], float *W,
                                float *best)
{
    static const double identity[4] = {1, 0, 0, 0};
    struct spi_model_points points;
    int64_t n = 0;
    double step = 0.5 / m->period;

    for (int y = -side; y <= side; y++)
        for (int x = 0; x <= side; x++) {
            double len = step * sqrt((double)x * x + (double)y * y + (double)z * z);

            if (len < q_min - step || len > q_max)
                continue;
            q[n][0] = x * step;
            q[n][1] = y * step;
            q[n][2] = z * step;
            n++;
        }
    if (n == 0)
        return SPI_OK;

    spi_err err = spi_model_points_init(m, n, (const double(*)[3])q, &points);

    if (err)
        return err;
    spi_model_slice(m, &points, identity, F, W);
    for (int64_t j = 0; j < n; j++)
        if (W[j] > *best)
            *best = W[j];
    spi_model_points_clear(&points);
    return SPI_OK;
}

spi_err spi_model_largest(const struct spi_model *m, double q_min, double q_max, double *W)
{
    int side = (int)ceil(2 * m->q_max * m->period);
    size_t n = (size_t)(side + 1) * (size_t)(2 * side + 1);
    double(*q)[3] = NULL;
    float(*F)[2] = NULL, *w = NULL, best = 0;
    spi_err err;

    q_max = fmin(q_max, m->q_max);
    SPI_TRY(err = SPI_NEW(q, n, "model plane"), out);
    SPI_TRY(err = SPI_NEW(F, n, "model plane"), out);
    SPI_TRY(err = SPI_NEW(w, n, "model plane"), out);
    for (int z = -side; !err && z <= side; z++)
        err = largest_of_plane(m, q_min, q_max, z, side, q, F, w, &best);
    *W = (double)best * 2 * sqrt(2); /* (S9): 1 / cos^3(pi/4) */
out:
    free(q);
    free(F);
    free(w);
    return err;
}
