/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/geometry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "match/friedel.h"
#include "math/positive.h"

enum {
    ROT = 3,
    ALONG = 8
}; /* turns; all that moves a pixel: these, two shells, distance, panel */

/* Weak: what the images do not show stays 0. */
static const double before_stretch = 0.1, before_shell = 0.1, before_px = 5;

/* ---- how pixels move ------------------------------------------------------------------ */

/* dq by the place `at` of a pixel on the flat detector, along both of its axes. */
static void slopes(double wavelength, const double at[2], double by[2][3])
{
    const double step = 1e-4 / wavelength; /* 1e-4 rad: the error is of its square */

    for (int c = 0; c < 2; c++) {
        double there[2] = {at[0], at[1]}, ahead[3], behind[3];

        there[c] = at[c] + step;
        spi_flat_q(wavelength, there, ahead);
        there[c] = at[c] - step;
        spi_flat_q(wavelength, there, behind);
        for (int k = 0; k < 3; k++)
            by[c][k] = (ahead[k] - behind[k]) / (2 * step);
    }
}

static spi_err pixel_pitch(const struct spi_detector *det, double *pixel)
{
    double(*at)[2] = NULL;
    spi_err err = SPI_NEW(at, det->n_pixels, "geometry");

    for (int64_t p = 0; p < det->n_pixels && !err; p++)
        (void)spi_detector_flat(det, p, at[p]);
    if (!err)
        err = spi_friedel_pixel(det, (const double(*)[2])at, pixel);
    free(at);
    return err;
}

spi_err spi_geometry_moves_init(struct spi_geometry_moves *m,
                                const struct spi_detector *det,
                                const struct spi_pixel_list *list)
{
    int64_t of_panel = (int64_t)det->ny * det->nx;
    float least = 1;
    spi_err err;

    *m = (struct spi_geometry_moves){.n = list->n,
                                     .panels = det->panels,
                                     .unknowns = SPI_GEOMETRY_PANELS + 2 * det->panels};
    SPI_TRY(err = pixel_pitch(det, &m->pixel_invA), fail);
    SPI_TRY(err = SPI_NEW(m->panel, list->n, "geometry"), fail);
    SPI_TRY(err = SPI_NEW(m->by, list->n, "geometry"), fail);
    SPI_TRY(err = SPI_NEW(m->shell, list->n, "geometry"), fail);
    for (int64_t i = 0; i < list->n; i++)
        least = fminf(least, list->kappa[i]);
    for (int64_t i = 0; i < list->n; i++) {
        int64_t p = list->pixel[i];
        double at[2], by[2][3];

        m->panel[i] = (int32_t)(p / of_panel);
        m->shell[i] =
            (SPI_GEOMETRY_SHELLS - 1) * (list->kappa[i] - least) / fmaxf(1 - least, 1e-6F);
        if (!spi_detector_flat(det, p, at))
            continue;
        slopes(det->wavelength_A, at, by);
        for (int k = 0; k < 3; k++) {
            m->by[i][0][k] = -(float)(at[0] * by[0][k] + at[1] * by[1][k]);
            m->by[i][1][k] = (float)(m->pixel_invA * by[0][k]);
            m->by[i][2][k] = (float)(m->pixel_invA * by[1][k]);
        }
    }
    return SPI_OK;
fail:
    spi_geometry_moves_clear(m);
    return err;
}

void spi_geometry_moves_clear(struct spi_geometry_moves *m)
{
    free(m->panel);
    free(m->by);
    free(m->shell);
    *m = (struct spi_geometry_moves){0};
}

/* ---- the slope of the mean --------------------------------------------------------------- */

static int bin_of(const struct spi_geometry_moves *m, int64_t p)
{
    return (int)fminf(m->shell[p] * SPI_GEOMETRY_BINS / (SPI_GEOMETRY_SHELLS - 1),
                      SPI_GEOMETRY_BINS - 1);
}

/* 1 / T, or the inverse variance. */
static double weight_of(const struct spi_refine *r, int64_t p, double T)
{
    return r->like->weighted ? (double)r->inv_var[p] : 1 / T;
}

void spi_geometry_slopes_add(const struct spi_refine *r, const struct spi_geometry_moves *m,
                             const double M[9], struct spi_geometry_slopes *sums)
{
    const struct spi_pixel_list *l = r->pixels;
    float u[3][SPI_POINTS], W[4][SPI_POINTS];

    for (int64_t p = 0; p < l->n; p += SPI_POINTS) {
        int n = l->n - p < SPI_POINTS ? (int)(l->n - p) : SPI_POINTS;

        spi_refine_model(r, p, n, M, u, W);
        for (int j = 0; j < n; j++) {
            int bin = bin_of(m, p + j);
            double T = fmax((double)W[0][j], (double)r->least[p + j]);
            double w = (double)l->geometry[p + j] * weight_of(r, p + j, T);
            double along = 0, q = (double)l->kappa[p + j] * l->q_max;

            for (int c = 0; c < 3 && W[0][j] > r->least[p + j]; c++) /* dT / d |q| */
                along += (double)u[c][j] * (double)W[1 + c][j] / q;
            sums->weight[bin] += w;
            sums->slope[bin] += w * along;
        }
    }
}

void spi_geometry_slopes_at(const struct spi_geometry_slopes *sums,
                            const struct spi_geometry_moves *m, float *slope)
{
    for (int64_t p = 0; p < m->n; p++) {
        int bin = bin_of(m, p);

        slope[p] =
            sums->weight[bin] > 0 ? (float)(sums->slope[bin] / sums->weight[bin]) : 0;
    }
}

/* ---- one image ------------------------------------------------------------------------ */

/* (Q3) with the unknowns beside the turns, which come first: n = ROT + unknowns. */
struct image_sums {
    int n;
    double N, fit, model;
    double *K1, *g1, *g2; /* [n], [n], [n][n], of which rows >= columns are filled */
};

/* A pixel, and what moves it: dT by the unknowns `of`. */
struct one_pixel {
    double K, g, T, a; /* a: 1 / T, or the inverse variance */
    int of[ALONG];
    double by[ALONG];
};

static void add_pixel(const struct one_pixel *x, struct image_sums *s)
{
    double Ka = x->K * x->a, gTa = x->g * x->T * x->a, ga = x->g * x->a;

    s->N += x->K;
    s->fit += Ka * x->T;
    s->model += gTa * x->T;
    for (int i = 0; i < ALONG; i++) {
        double *row = s->g2 + (ptrdiff_t)x->of[i] * s->n, y = ga * x->by[i];

        s->K1[x->of[i]] += Ka * x->by[i];
        s->g1[x->of[i]] += gTa * x->by[i];
        for (int d = 0; d <= i; d++)
            row[x->of[d]] += y * x->by[d];
    }
}

static double dot3(const float by[3], const double G[3])
{
    return (double)by[0] * G[0] + (double)by[1] * G[1] + (double)by[2] * G[2];
}

/* What moves pixel p of the list, whose T has the slope G in the laboratory; the turns are
 * there. */
static void move_pixel(const struct spi_geometry_moves *m, const struct spi_pixel_list *l,
                       int64_t p, const double G[3], struct one_pixel *x)
{
    int node = (int)fminf(m->shell[p], SPI_GEOMETRY_SHELLS - 2);
    double part = (double)m->shell[p] - node, wider = dot3(l->q[p], G);

    x->of[3] = ROT + node;
    x->by[3] = (1 - part) * wider;
    x->of[4] = ROT + node + 1;
    x->by[4] = part * wider;
    x->of[5] = ROT + SPI_GEOMETRY_STRETCH;
    x->by[5] = dot3(m->by[p][0], G);
    for (int c = 0; c < 2; c++) {
        x->of[6 + c] = ROT + SPI_GEOMETRY_PANELS + 2 * m->panel[p] + c;
        x->by[6 + c] = dot3(m->by[p][1 + c], G);
    }
}

/* All pixels of an image. */
static void sum_pixels(const struct spi_refine *r, const struct spi_geometry_moves *m,
                       const float *K, const float *mean_slope, const double M[9],
                       struct image_sums *s)
{
    const struct spi_pixel_list *l = r->pixels;
    double scale = spi_nufft_scale(r->plan);
    float u[3][SPI_POINTS], W[4][SPI_POINTS];

    for (int64_t p = 0; p < l->n; p += SPI_POINTS) {
        int n = l->n - p < SPI_POINTS ? (int)(l->n - p) : SPI_POINTS;

        spi_refine_model(r, p, n, M, u, W);
        for (int j = 0; j < n; j++) {
            double T = fmax((double)W[0][j], (double)r->least[p + j]), G[3] = {0, 0, 0};
            double U[3] = {(double)u[0][j], (double)u[1][j], (double)u[2][j]};
            double D[3] = {(double)W[1][j], (double)W[2][j], (double)W[3][j]};
            struct one_pixel x = {.K = (double)K[p + j],
                                  .g = (double)l->geometry[p + j],
                                  .T = T,
                                  .a =
                                      r->like->weighted ? (double)r->inv_var[p + j] : 1 / T,
                                  .of = {0, 1, 2}};

            if (!(W[0][j] > r->least[p + j])) /* the floor does not move */
                D[0] = D[1] = D[2] = 0;
            for (int c = 0; c < 3;
                 c++) /* dT / dq in the laboratory, less that of the mean */
                G[c] = scale * (M[c] * D[0] + M[3 + c] * D[1] + M[6 + c] * D[2]) -
                       (double)(mean_slope[p + j] * l->q[p + j][c] /
                                (l->kappa[p + j] * (float)l->q_max));
            for (int c = 0; c < ROT; c++)
                x.by[c] = U[(c + 1) % 3] * D[(c + 2) % 3] - U[(c + 2) % 3] * D[(c + 1) % 3];
            move_pixel(m, l, p + j, G, &x);
            add_pixel(&x, s);
        }
    }
}

/* The equations of an image: turns first, then the unknowns. */
struct equations {
    int n;         /* ROT + unknowns */
    double *b, *F; /* [n], [n][n] */
};

/* (Q4) of all unknowns. */
static void combine(const struct spi_refine *r, const struct image_sums *s,
                    const struct equations *e)
{
    double model = fmax(s->model, 1e-30), k, c;

    r->like->slopes(r->like->fluence(s->fit, model, s->N), &k, &c);
    for (int i = 0; i < e->n; i++) {
        e->b[i] = k * s->K1[i] - c * s->g1[i];
        for (int d = 0; d <= i; d++)
            e->F[i * e->n + d] = e->F[d * e->n + i] =
                c * (s->g2[i * e->n + d] - s->g1[i] * s->g1[d] / model);
    }
}

/* F - F_i. F_..^-1 F_.j of the unknowns after the first `of`, which are eliminated: in
 * place, in the rows and columns behind them. */
static spi_err eliminate(int n, int of, double *b, double *F)
{
    int left = n - of;
    double *A = NULL, *X = NULL, trace = 0;
    spi_err err;

    SPI_TRY(err = SPI_NEW(A, of * of, "geometry"), out);
    SPI_TRY(err = SPI_NEW(X, of * (left + 1), "geometry"), out);
    for (int i = 0; i < of; i++) {
        trace += F[i * n + i];
        for (int d = 0; d < of; d++)
            A[i * of + d] = F[i * n + d];
        X[i] = b[i];
        for (int d = 0; d < left; d++)
            X[(1 + d) * of + i] = F[i * n + of + d];
    }
    for (int i = 0; i < of; i++)
        A[i * of + i] += 1e-9 * trace + 1e-300;
    if (!spi_positive_solve(of, A, left + 1, X))
        memset(X, 0, (size_t)of * (size_t)(left + 1) * sizeof *X);
    for (int i = 0; i < left; i++)
        for (int k = 0; k < of; k++) {
            double f = F[(of + i) * n + k];

            b[of + i] -= f * X[k];
            for (int d = 0; d < left; d++)
                F[(of + i) * n + of + d] -= f * X[(1 + d) * of + k];
        }
out:
    free(A);
    free(X);
    return err;
}

/* All panels move alike. */
static void common_centre(const struct equations *e, struct spi_geometry_centre *centre)
{
    enum { AT = ROT + SPI_GEOMETRY_PANELS };
    double F[2][2] = {{0}};

    *centre = (struct spi_geometry_centre){{0}, {0}};
    for (int i = AT; i < e->n; i++) {
        centre->gradient[(i - AT) % 2] += e->b[i];
        for (int d = AT; d < e->n; d++)
            F[(i - AT) % 2][(d - AT) % 2] += e->F[i * e->n + d];
    }
    centre->fisher[0] = F[0][0];
    centre->fisher[1] = F[0][1];
    centre->fisher[2] = F[1][1];
}

spi_err spi_geometry_add(const struct spi_refine *r, const struct spi_geometry_moves *m,
                         const float *K, const float *mean_slope, const double M[9],
                         double *gradient, double *fisher,
                         struct spi_geometry_centre *centre)
{
    struct image_sums s = {.n = ROT + m->unknowns};
    struct equations e = {.n = ROT + m->unknowns};
    spi_err err;

    SPI_TRY(err = SPI_NEW(s.K1, s.n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(s.g1, s.n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(s.g2, s.n * s.n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(e.b, e.n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(e.F, e.n * e.n, "geometry"), out);
    sum_pixels(r, m, K, mean_slope, M, &s);
    combine(r, &s, &e);
    SPI_TRY(err = eliminate(e.n, ROT, e.b, e.F), out);
    for (int i = 0; i < m->unknowns; i++) {
        gradient[i] += e.b[ROT + i];
        for (int d = 0; d < m->unknowns; d++)
            fisher[i * m->unknowns + d] += e.F[(ROT + i) * e.n + ROT + d];
    }
    common_centre(&e, centre);
out:
    free(s.K1);
    free(s.g1);
    free(s.g2);
    free(e.b);
    free(e.F);
    return err;
}

/* ---- all images ------------------------------------------------------------------------- */

/* The equations of what is asked for, the shells eliminated. */
struct asked {
    int n;
    int *of;       /* [n] which unknown each is, owned */
    double *b, *F; /* owned */
    double *x;     /* owned: the solution */
};

static void asked_clear(struct asked *a)
{
    free(a->of);
    free(a->b);
    free(a->F);
    free(a->x);
    *a = (struct asked){0};
}

static spi_err asked_init(struct asked *a, const struct spi_geometry_sums *s, int half,
                          bool distance, bool panels)
{
    enum { SHELLS = SPI_GEOMETRY_SHELLS };
    int n = s->unknowns, count = 0;
    double *b = NULL, *F = NULL;
    spi_err err;

    *a = (struct asked){0};
    SPI_TRY(err = SPI_NEW(a->of, n, "geometry"), out);
    for (int i = 0; i < SPI_GEOMETRY_SHELLS; i++)
        a->of[count++] = i;
    if (distance)
        a->of[count++] = SPI_GEOMETRY_STRETCH;
    for (int i = SPI_GEOMETRY_PANELS; i < n && panels; i++)
        a->of[count++] = i;
    SPI_TRY(err = SPI_NEW(b, count, "geometry"), out);
    SPI_TRY(err = SPI_NEW(F, count * count, "geometry"), out);
    for (int i = 0; i < count; i++) {
        b[i] = s->gradient[half][a->of[i]];
        for (int d = 0; d < count; d++)
            F[i * count + d] = s->fisher[half][a->of[i] * n + a->of[d]];
    }
    for (int i = 0; i < SHELLS; i++)
        F[i * count + i] += 1 / (before_shell * before_shell);
    SPI_TRY(err = eliminate(count, SHELLS, b, F), out);
    a->n = count - SHELLS;
    memmove(a->of, a->of + SHELLS, (size_t)a->n * sizeof *a->of);
    SPI_TRY(err = SPI_NEW(a->b, a->n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(a->F, a->n * a->n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(a->x, a->n, "geometry"), out);
    for (int i = 0; i < a->n; i++) {
        a->b[i] = b[SHELLS + i];
        for (int d = 0; d < a->n; d++)
            a->F[i * a->n + d] = F[(SHELLS + i) * count + SHELLS + d];
    }
out:
    free(b);
    free(F);
    return err;
}

/* x, and the standard errors (NULL: not asked for), of equations with what is known
 * before. */
static spi_err solve(const struct asked *a, const double *b, const double *F, double *x,
                     double *sigma)
{
    double *G = NULL, *X = NULL;
    int columns = sigma ? a->n + 1 : 1;
    spi_err err;

    SPI_TRY(err = SPI_NEW(G, a->n * a->n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(X, a->n * columns, "geometry"), out);
    memcpy(G, F, (size_t)a->n * (size_t)a->n * sizeof *G);
    memcpy(X, b, (size_t)a->n * sizeof *X);
    for (int i = 0; i < a->n; i++) {
        double before = a->of[i] == SPI_GEOMETRY_STRETCH ? before_stretch : before_px;

        G[i * a->n + i] += 1 / (before * before);
        if (sigma)
            X[(1 + i) * a->n + i] = 1;
    }
    if (!spi_positive_solve(a->n, G, columns, X))
        memset(X, 0, (size_t)a->n * (size_t)columns * sizeof *X);
    memcpy(x, X, (size_t)a->n * sizeof *x);
    for (int i = 0; i < a->n && sigma; i++)
        sigma[i] = sqrt(fmax(0, X[(1 + i) * a->n + i]));
out:
    free(G);
    free(X);
    return err;
}

/* What the parabola of a half set gains at x. */
static double gain_at(const struct asked *a, const double *x)
{
    double gain = 0;

    for (int i = 0; i < a->n; i++) {
        double Fx = 0;

        for (int d = 0; d < a->n; d++)
            Fx += a->F[i * a->n + d] * x[d];
        gain += x[i] * (a->b[i] - Fx / 2);
    }
    return gain;
}

/* Both half sets together. */
static spi_err solve_both(const struct asked a[2], struct spi_geometry_fit *fit)
{
    int n = a[0].n;
    double *b = NULL, *F = NULL, *x = NULL, *sigma = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(b, n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(F, n * n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(x, n, "geometry"), out);
    SPI_TRY(err = SPI_NEW(sigma, n, "geometry"), out);
    for (int i = 0; i < n; i++)
        b[i] = a[0].b[i] + a[1].b[i];
    for (int i = 0; i < n * n; i++)
        F[i] = a[0].F[i] + a[1].F[i];
    SPI_TRY(err = solve(&a[0], b, F, x, sigma), out);
    for (int i = 0; i < n; i++) {
        int of = a[0].of[i];
        /* the half sets may differ by more than photons allow: their models are noisy */
        double apart = fabs(a[0].x[i] - a[1].x[i]) / 2;

        if (of == SPI_GEOMETRY_STRETCH) {
            fit->stretch = x[i];
            fit->stretch_sigma = fmax(sigma[i], apart);
        } else {
            fit->panel_px[(of - SPI_GEOMETRY_PANELS) / 2][(of - SPI_GEOMETRY_PANELS) % 2] =
                x[i];
            fit->sigma_px = fmax(fit->sigma_px, sigma[i]);
        }
    }
out:
    free(b);
    free(F);
    free(x);
    free(sigma);
    return err;
}

spi_err spi_geometry_solve(const struct spi_geometry_sums *sums, bool distance, bool panels,
                           struct spi_geometry_fit *fit)
{
    int n_panels = (sums->unknowns - SPI_GEOMETRY_PANELS) / 2;
    struct asked a[2] = {{0}, {0}};
    spi_err err;

    *fit = (struct spi_geometry_fit){0};
    SPI_TRY(err = SPI_NEW(fit->panel_px, n_panels, "geometry"), out);
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err = asked_init(&a[h], sums, h, distance, panels), out);
        SPI_TRY(err = solve(&a[h], a[h].b, a[h].F, a[h].x, NULL), out);
    }
    for (int h = 0; h < 2; h++)
        fit->gain += gain_at(&a[h], a[1 - h].x);
    SPI_TRY(err = solve_both(a, fit), out);
    for (int p = 0; p < n_panels; p++)
        fit->far_px = fmax(fit->far_px, hypot(fit->panel_px[p][0], fit->panel_px[p][1]));
out:
    for (int h = 0; h < 2; h++)
        asked_clear(&a[h]);
    if (err)
        spi_geometry_fit_clear(fit);
    return err;
}

void spi_geometry_fit_clear(struct spi_geometry_fit *fit)
{
    free(fit->panel_px);
    *fit = (struct spi_geometry_fit){0};
}
