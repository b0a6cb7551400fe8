/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/refine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/clones.h"
#include "kernel/refine.h"
#include "math/rot.h"

enum { EVALUATIONS = 8 };
/* Of a cell: the first radius; a step so short is the last, and what it gains is not looked
 * at but predicted; one so short is not made. */
static const double first_radius = 1, last_step = 0.1, no_step = 0.01;
/* Five times that of the templates: below it the logarithm is steep, and the likelihood of
 * a few photons in dark pixels has local maxima (measured: doc/decisions/011). */
static const double floor_of_mean = 0.1;

/* ---- what the images share ---------------------------------------------------------- */

spi_err spi_refine_set_init(struct spi_refine_set *s, const struct spi_detector *det,
                            const struct spi_rings *g, int R, const double *ring_mean,
                            const float *ring_signal, const struct spi_likelihood *like,
                            const float *ring_inv_var, const spi_nufft *plan,
                            const float *grid)
{
    float *ring = NULL;
    spi_err err;

    *s = (struct spi_refine_set){0};
    if (!(g->q[R - 1] * spi_nufft_spacing(plan) <= 0.5))
        return spi_fail(SPI_EINVAL,
                        "refinement: rings to q = %g 1/A, the model ends at %g 1/A",
                        g->q[R - 1], 0.5 / spi_nufft_spacing(plan));
    SPI_TRY(err = spi_pixel_list_init(&s->pixels, det, g->q[0], g->q[R - 1]), fail);
    SPI_TRY(err = SPI_NEW(s->least, s->pixels.n, "refinement"), fail);
    SPI_TRY(err = SPI_NEW(ring, R, "refinement"), fail);
    for (int r = 0; r < R; r++)
        ring[r] = ring_mean[r] > 0 ? (float)(floor_of_mean * ring_mean[r]) : 1e-30F;
    spi_pixel_list_from_rings(&s->pixels, g, R, ring, s->least);
    if (ring_signal) {
        SPI_TRY(err = SPI_NEW(s->signal, s->pixels.n, "refinement"), fail);
        SPI_TRY(err = SPI_NEW(s->rest, s->pixels.n, "refinement"), fail);
        spi_pixel_list_from_rings(&s->pixels, g, R, ring_signal, s->signal);
        for (int r = 0; r < R; r++)
            ring[r] = (float)((1 - (double)ring_signal[r]) * ring_mean[r]);
        spi_pixel_list_from_rings(&s->pixels, g, R, ring, s->rest);
    }
    if (like->weighted) {
        SPI_TRY(err = SPI_NEW(s->inv_var, s->pixels.n, "refinement"), fail);
        spi_pixel_list_from_rings(&s->pixels, g, R, ring_inv_var, s->inv_var);
    }
    SPI_TRY(err = spi_packed_new(plan, grid, &s->model), fail);
    s->r = (struct spi_refine){.pixels = &s->pixels,
                               .plan = plan,
                               .model = s->model,
                               .signal = s->signal,
                               .rest = s->rest,
                               .least = s->least,
                               .like = like,
                               .inv_var = s->inv_var,
                               .cell = 1 / (2 * g->diameter_A * g->q[R - 1])};
    free(ring);
    return SPI_OK;
fail:
    free(ring);
    spi_refine_set_clear(s);
    return err;
}

void spi_refine_set_clear(struct spi_refine_set *s)
{
    spi_pixel_list_clear(&s->pixels);
    spi_packed_free(s->model);
    free(s->signal);
    free(s->rest);
    free(s->least);
    free(s->inv_var);
    *s = (struct spi_refine_set){0};
}

/* ---- the likelihood ----------------------------------------------------------------- */

/* Fine-grid positions of up to SPI_POINTS pixels. */
SPI_CLONES static void rotate(const float (*restrict q)[3], int n, const float m[9],
                              float (*restrict u)[SPI_POINTS])
{
#pragma omp simd
    for (int j = 0; j < n; j++) {
        float x = q[j][0], y = q[j][1], z = q[j][2];

        u[0][j] = m[0] * x + m[1] * y + m[2] * z;
        u[1][j] = m[3] * x + m[4] * y + m[5] * z;
        u[2][j] = m[6] * x + m[7] * y + m[8] * z;
    }
}

SPI_CLONES static void filter(int n, const float *restrict signal,
                              const float *restrict rest, float (*restrict W)[SPI_POINTS])
{
#pragma omp simd
    for (int j = 0; j < n; j++) {
        W[0][j] = signal[j] * W[0][j] + rest[j];
        W[1][j] *= signal[j];
        W[2][j] *= signal[j];
        W[3][j] *= signal[j];
    }
}

SPI_CLONES static double sum_of(int64_t n, const float *K)
{
    double sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t p = 0; p < n; p++)
        sum += (double)K[p];
    return sum;
}

/* (Q4): score, gradient and Fisher matrix from the sums. */
static void combine(const struct spi_likelihood *like, double N,
                    const struct spi_likelihood_sums *s, struct spi_refine_point *at)
{
    double model = fmax(s->model, 1e-30), k, g;

    at->fluence = like->fluence(s->fit, model, N);
    at->score = like->pair(s->fit, like->table(model), N, 0); /* K2 is a constant */
    like->slopes(at->fluence, &k, &g);
    for (int c = 0, i = 0; c < 3; c++) {
        at->gradient[c] = k * s->K1[c] - g * s->g1[c];
        for (int d = c; d < 3; d++, i++)
            at->fisher[i] = g * (s->g2[i] - s->g1[c] * s->g1[d] / model);
    }
}

/* m: M in cells of the fine grid. */
static void model_at(const struct spi_refine *r, int64_t p, int n, const float m[9],
                     float u[3][SPI_POINTS], float W[4][SPI_POINTS])
{
    rotate((const float(*)[3])r->pixels->q + p, n, m, u);
    spi_packed_gradient(r->model, n, (const float(*)[SPI_POINTS])u, W);
    if (r->signal)
        filter(n, r->signal + p, r->rest + p, W);
}

static void in_cells(const struct spi_refine *r, const double M[9], float m[9])
{
    double scale = spi_nufft_scale(r->plan);

    for (int i = 0; i < 9; i++)
        m[i] = (float)(scale * M[i]);
}

void spi_refine_model(const struct spi_refine *r, int64_t p, int n, const double M[9],
                      float u[3][SPI_POINTS], float W[4][SPI_POINTS])
{
    float m[9];

    in_cells(r, M, m);
    model_at(r, p, n, m, u, W);
}

void spi_refine_at(const struct spi_refine *r, const float *K, const double M[9],
                   struct spi_refine_point *at)
{
    const struct spi_pixel_list *l = r->pixels;
    struct spi_likelihood_sums sums = {0};
    float m[9], u[3][SPI_POINTS], W[4][SPI_POINTS];

    in_cells(r, M, m);
    for (int64_t p = 0; p < l->n; p += SPI_POINTS) {
        int n = l->n - p < SPI_POINTS ? (int)(l->n - p) : SPI_POINTS;

        model_at(r, p, n, m, u, W);
        r->like->sums(n, K + p, l->geometry + p, r->least + p,
                      r->inv_var ? r->inv_var + p : NULL, (const float(*)[SPI_POINTS])u,
                      (const float(*)[SPI_POINTS])W, &sums);
    }
    combine(r->like, sum_of(l->n, K), &sums, at);
}

/* ---- the climb ---------------------------------------------------------------------- */

/* x of (F + mu I) x = b by the factors L D L'; false when F + mu I is not positive. */
static bool solve(const double F[6], double mu, const double b[3], double x[3])
{
    double d0 = F[0] + mu, l1 = F[1] / d0, l2 = F[2] / d0;
    double d1 = F[3] + mu - l1 * F[1], e = F[4] - l2 * F[1], l3 = e / d1;
    double d2 = F[5] + mu - l2 * F[2] - l3 * e;

    if (!(d0 > 0 && d1 > 0 && d2 > 0))
        return false;

    double y1 = b[1] - l1 * b[0], y2 = b[2] - l2 * b[0] - l3 * y1;

    x[2] = y2 / d2;
    x[1] = y1 / d1 - l3 * x[2];
    x[0] = b[0] / d0 - l1 * x[1] - l2 * x[2];
    return true;
}

static double norm(const double v[3])
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

/* The step of Fisher scoring no longer than `radius` (Q5): mu from 0 (or just above what
 * keeps the matrix positive) upwards.  A flat likelihood gives no step. */
static void find_step(const struct spi_refine_point *at, double radius, double w[3])
{
    double trace = at->fisher[0] + at->fisher[3] + at->fisher[5], mu = 1e-6 * trace;

    for (int i = 0; i < 60; i++, mu *= 3)
        if (solve(at->fisher, mu, at->gradient, w) && norm(w) <= radius)
            return;
    w[0] = w[1] = w[2] = 0;
}

/* Of the likelihood's parabola, gradient . w - w' F w / 2 >= 0 for the w of find_step. */
static double predicted_gain(const struct spi_refine_point *at, const double w[3])
{
    const double *g = at->gradient, *F = at->fisher;
    double Fw[3] = {F[0] * w[0] + F[1] * w[1] + F[2] * w[2],
                    F[1] * w[0] + F[3] * w[1] + F[4] * w[2],
                    F[2] * w[0] + F[4] * w[1] + F[5] * w[2]};

    return (g[0] - Fw[0] / 2) * w[0] + (g[1] - Fw[1] / 2) * w[1] +
           (g[2] - Fw[2] / 2) * w[2];
}

/* Climb from M; at: the point there.  Returns evaluations used. */
static int climb(const struct spi_refine *r, const float *K, double M[9],
                 struct spi_refine_point *at)
{
    double radius = first_radius * r->cell;
    int used = 1;

    spi_refine_at(r, K, M, at);
    while (used < EVALUATIONS) {
        struct spi_refine_point next;
        double w[3], E[9], there[9], step;

        find_step(at, radius, w);
        step = norm(w);
        if (!(step > no_step * r->cell))
            break;
        spi_rot_from_vector(w, E);
        spi_rot_mul(E, M, there);
        if (step < last_step * r->cell) {
            memcpy(M, there, sizeof there);
            at->score += predicted_gain(at, w);
            break;
        }
        spi_refine_at(r, K, there, &next);
        used++;
        if (next.score > at->score) {
            memcpy(M, there, sizeof there);
            *at = next;
        } else {
            radius = step / 4;
        }
    }
    return used;
}

spi_err spi_refine_image(const struct spi_refine *r, const float *image,
                         const double start[4], struct spi_refined *out)
{
    const struct spi_pixel_list *l = r->pixels;
    struct spi_refine_point at;
    double R[9], M[9];
    float *K = NULL;
    spi_err err = SPI_NEW(K, l->n, "refinement");

    if (err)
        return err;
    for (int64_t p = 0; p < l->n; p++)
        K[p] = image[l->pixel[p]];
    spi_rot_matrix(start, R);
    for (int i = 0; i < 9; i++)
        M[i] = R[i % 3 * 3 + i / 3];
    out->evaluations = climb(r, K, M, &at);
    for (int i = 0; i < 9; i++)
        R[i] = M[i % 3 * 3 + i / 3];
    spi_rot_quat(R, out->quat);
    out->score = at.score;
    out->fluence = at.fluence;
    free(K);
    return SPI_OK;
}
