/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/views.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/clones.h"
#include "math/rot.h"
#include "math/sphere.h"

/* Samples of the directions spread at once (64 MB): their points share bricks of the grid.
 */
enum { SAMPLES_AT_ONCE = 1 << 23 };
enum { AHEAD = 4 }; /* pairs */

/* Averaged images on their way to the grid. */
struct spreader {
    const struct spi_rings *g;
    const struct spi_ring_map *map;
    const spi_nufft *plan;
    float *grid2;
    double weight; /* sum of what was spread */
    int R, M;
    int64_t nd;
    int n_group; /* elements of a point group; 0 or 1: none */
    const double (*group)[9];
    float complex *den;       /* [harmonics] */
    float *num_s, *den_s;     /* [samples] */
    const spi_points *points; /* samples of the untilted detector */
    spi_points *own;          /* if they were not given */
    float (*one)[2];          /* [samples] values of one direction */
    int at_once;              /* directions spread at once */
    double (*view)[9];        /* [at_once] detector -> object */
    float (*val)[2];          /* [at_once][samples] */
    int waiting;              /* directions in view and val */
};

/* The averages of a tile. */
struct scratch {
    float *phasor;              /* [Na][2 M] cos, -sin of 2 pi m a / Na */
    float complex *Phat, *Hhat; /* [M], M a multiple of SPI_RING_ALIGN */
    float complex *room;        /* [harmonics] of the image in hand */
    const float complex *h;     /* of it; NULL: none */
    int64_t image;
    int32_t dir[SPI_VIEW_TILE]; /* -1: no image yet */
    float complex *num;         /* [SPI_VIEW_TILE][harmonics] */
    float *H;                   /* [SPI_VIEW_TILE][Na] */
    int M;
};

static void spreader_free(struct spreader *s)
{
    free(s->den);
    free(s->num_s);
    free(s->den_s);
    spi_points_free(s->own);
    free(s->one);
    free(s->view);
    free(s->val);
}

static void scratch_free(struct scratch *s)
{
    free(s->phasor);
    free(s->Phat);
    free(s->Hhat);
    free(s->room);
    free(s->num);
    free(s->H);
}

/* Directions spread at once, of n: as many as memory likes, in equal groups. */
static int directions_at_once(int64_t n, int64_t samples)
{
    int64_t most = samples < SAMPLES_AT_ONCE ? SAMPLES_AT_ONCE / samples : 1;
    int64_t groups = (n + most - 1) / most;

    return groups > 0 ? (int)((n + groups - 1) / groups) : 1;
}

/* For n directions. */
static spi_err spreader_new(const struct spi_view_spec *sp, int64_t n,
                            const spi_nufft *plan, float *grid2, struct spreader *s)
{
    size_t samples = (size_t)sp->rings->at[sp->R];
    spi_err err;

    *s = (struct spreader){.g = sp->rings,
                           .map = sp->map,
                           .plan = plan,
                           .grid2 = grid2,
                           .points = sp->points,
                           .R = sp->R,
                           .nd = sp->views.nd,
                           .n_group = sp->n_group,
                           .group = sp->group};
    s->at_once =
        directions_at_once(n * (s->n_group > 1 ? s->n_group : 1), (int64_t)samples);
    s->M = spi_ring_padded(s->g->m_max[s->R - 1] + 1);
    SPI_TRY(err = SPI_NEW(s->den, s->g->h_at[s->R], "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->num_s, samples, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->den_s, samples, "merge"), fail);
    if (!s->points) {
        SPI_TRY(err = spi_ring_points(s->g, s->R, s->plan, &s->own), fail);
        s->points = s->own;
    }
    SPI_TRY(err = SPI_NEW(s->one, samples, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->view, s->at_once, "merge"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(s->val, (size_t)s->at_once * samples, "merge"), fail);
    return SPI_OK;
fail:
    spreader_free(s);
    return err;
}

static spi_err scratch_new(const struct spi_view_spec *sp, struct scratch *s)
{
    const struct spi_rings *g = sp->rings;
    spi_err err;
    int Na = sp->views.Na;

    *s = (struct scratch){.M = spi_ring_padded(g->m_max[sp->R - 1] + 1)};

    size_t two_M = 2 * (size_t)s->M;

    SPI_TRY(err = SPI_NEW(s->phasor, (size_t)Na * two_M, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->Phat, s->M, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->Hhat, s->M, "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->room, g->h_at[sp->R], "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->num, SPI_VIEW_TILE * g->h_at[sp->R], "merge"), fail);
    SPI_TRY(err = SPI_NEW(s->H, SPI_VIEW_TILE * Na, "merge"), fail);
    for (int a = 0; a < Na; a++)
        for (int m = 0; m < s->M; m++) {
            double x = 2 * SPI_PI * ((long)m * a % Na) / Na;

            s->phasor[(size_t)a * two_M + 2 * (size_t)m] = (float)cos(x);
            s->phasor[(size_t)a * two_M + 2 * (size_t)m + 1] = (float)-sin(x);
        }
    return SPI_OK;
fail:
    scratch_free(s);
    return err;
}

SPI_CLONES static void add_scaled(int n, float a, const float *restrict x,
                                  float *restrict to)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        to[i] += a * x[i];
}

/* [count] each. */
static struct spi_view_weights weights_of(const struct spi_view_spec *sp,
                                          const struct spi_view_pair *p)
{
    const struct spi_view_weights *of =
        sp->weights + (sp->block_images > 0 ? p->image / sp->block_images : 0);

    return (struct spi_view_weights){of->angle + p->first, of->weight + p->first};
}

/* num += Phat c (V1) and H += phi P of the pair's direction. */
static void add_pair(const struct spi_view_spec *sp, const struct spi_view_pair *p,
                     int slot, struct scratch *s)
{
    const struct spi_view_weights w = weights_of(sp, p);
    int Na = sp->views.Na, two_M = 2 * s->M;
    float complex *num = s->num + (int64_t)slot * sp->rings->h_at[sp->R];
    float phi = sp->fluence[p->image], *H = s->H + (int64_t)slot * Na;

    if (s->dir[slot] < 0) {
        s->dir[slot] = p->dir;
        memset(num, 0, (size_t)sp->rings->h_at[sp->R] * sizeof *num);
        memset(H, 0, (size_t)Na * sizeof *H);
    }
    if (!s->h || s->image != p->image)
        s->h = sp->harmonics(sp->images, p->image, sp->R, s->room);
    s->image = p->image;
    memset(s->Phat, 0, (size_t)s->M * sizeof *s->Phat);
    for (int e = 0; e < p->count; e++) {
        add_scaled(two_M, w.weight[e], s->phasor + (int64_t)w.angle[e] * two_M,
                   (float *)s->Phat);
        H[w.angle[e]] += phi * w.weight[e];
    }
    spi_ring_add_rotated(sp->rings, sp->R, s->Phat, s->h, num);
}

static spi_err spread_waiting(struct spreader *s)
{
    int n = s->waiting;

    s->waiting = 0;
    return spi_nufft_spread(s->points, s->grid2, n, (const double(*)[9])s->view,
                            (const float(*)[2])s->val);
}

/* s->one at R_n q and, with a point group, at all S R_n q (Y4). */
static spi_err place(struct spreader *s, int64_t dir)
{
    int64_t samples = s->g->at[s->R];
    double n[3], Rn[9];
    spi_err err = SPI_OK;

    spi_sphere_point(s->nd, dir, n);
    spi_rot_to_direction(n, Rn);
    for (int i = 0; (i == 0 || i < s->n_group) && !err; i++) {
        memcpy(s->val + s->waiting * samples, s->one, (size_t)samples * sizeof *s->one);
        if (s->n_group > 1)
            spi_rot_mul(s->group[i], Rn, s->view[s->waiting]);
        else
            memcpy(s->view[s->waiting], Rn, sizeof Rn);
        if (++s->waiting == s->at_once)
            err = spread_waiting(s);
    }
    return err;
}

/* The averaged image of a direction: num, and den from Hhat_m = sum phi exp(-i m a) (V2).
 */
static spi_err add_direction(struct spreader *s, int64_t dir, const float complex *num,
                             const float complex *Hhat)
{
    const struct spi_rings *g = s->g;
    double copies = s->n_group > 1 ? s->n_group : 1;
    spi_err err;

    memset(s->den, 0, (size_t)g->h_at[s->R] * sizeof *s->den);
    spi_ring_add_rotated(g, s->R, Hhat, s->map->live_h, s->den);
    SPI_TRY(err = spi_ring_synthesise(g, s->R, num, s->num_s), out);
    SPI_TRY(err = spi_ring_synthesise(g, s->R, s->den, s->den_s), out);
    for (int r = 0; r < s->R; r++) {
        float kappa = (float)(g->q[r] / g->q[s->R - 1]);

        for (int j = g->at[r]; j < g->at[r + 1]; j++) {
            bool measured = s->den_s[j] > 0; /* the edge of a mask rings below zero */

            s->one[j][0] = measured ? kappa * s->num_s[j] : 0;
            s->one[j][1] = measured ? kappa * s->den_s[j] : 0;
            s->weight += copies * (double)s->one[j][1];
        }
    }
    err = place(s, dir);
out:
    return err;
}

static int64_t place_of(const struct spi_view_spec *sp, const struct spi_view_pair *p)
{
    return sp->place ? sp->place[p->dir] : p->dir;
}

/* What a pair needs lies anywhere in memory: soon. */
static void ask_for(const struct spi_view_spec *sp, const struct spi_view_pair *p)
{
    const struct spi_view_weights w = weights_of(sp, p);

    __builtin_prefetch(w.angle);
    __builtin_prefetch(w.weight);
    if (sp->ahead && p[-1].image != p->image)
        sp->ahead(sp->images, p->image);
}

/* The pairs of one tile. */
static spi_err one_tile(const struct spi_view_spec *sp, int64_t n,
                        const struct spi_view_pair *pair, struct scratch *s,
                        struct spreader *to)
{
    int Na = sp->views.Na, two_M = 2 * s->M;
    spi_err err = SPI_OK;

    for (int i = 0; i < SPI_VIEW_TILE; i++)
        s->dir[i] = -1;
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            ask_for(sp, pair + i + AHEAD);
        add_pair(sp, pair + i, (int)(place_of(sp, pair + i) % SPI_VIEW_TILE), s);
    }
    for (int i = 0; i < SPI_VIEW_TILE && !err; i++) {
        if (s->dir[i] < 0)
            continue;
        cblas_sgemv(CblasRowMajor, CblasTrans, Na, two_M, 1, s->phasor, two_M,
                    s->H + (int64_t)i * Na, 1, 0, (float *)s->Hhat, 1);
        err = add_direction(to, s->dir[i], s->num + (int64_t)i * sp->rings->h_at[sp->R],
                            s->Hhat);
    }
    return err;
}

/* Tiles of the pairs, times the directions of a tile: no fewer than there are directions.
 */
static int64_t most_directions(const struct spi_view_spec *sp, int64_t n,
                               const struct spi_view_pair *pair)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        count += i == 0 || place_of(sp, pair + i) / SPI_VIEW_TILE !=
                               place_of(sp, pair + i - 1) / SPI_VIEW_TILE;
    return count * SPI_VIEW_TILE;
}

spi_err spi_views_merge(const struct spi_view_spec *sp, int64_t n,
                        const struct spi_view_pair *pair, const spi_nufft *plan,
                        float *grid2, double *weight_sum)
{
    struct scratch s;
    struct spreader to;
    spi_err err = scratch_new(sp, &s);

    if (err)
        return err;
    SPI_TRY(err = spreader_new(sp, most_directions(sp, n, pair), plan, grid2, &to), out);
    for (int64_t from = 0, end; from < n && !err; from = end) {
        int64_t tile = place_of(sp, pair + from) / SPI_VIEW_TILE;

        for (end = from + 1; end < n && place_of(sp, pair + end) / SPI_VIEW_TILE == tile;)
            end++;
        err = one_tile(sp, end - from, pair + from, &s, &to);
    }
    if (!err && to.waiting)
        err = spread_waiting(&to);
    if (weight_sum)
        *weight_sum += to.weight;
    spreader_free(&to);
out:
    scratch_free(&s);
    return err;
}

spi_err spi_views_merge_average(const struct spi_view_spec *sp,
                                const struct spi_average *average, const float *sum,
                                int64_t n, const int32_t *dir, float phi_scale,
                                const spi_nufft *plan, float *grid2, double *weight_sum)
{
    struct spreader to;
    float complex *num = NULL, *Hhat = NULL;
    spi_err err = spreader_new(sp, n, plan, grid2, &to);

    if (err)
        return err;
    SPI_TRY(err = SPI_NEW(num, sp->rings->h_at[sp->R], "merge"), out);
    SPI_TRY(err = SPI_NEW(Hhat, to.M, "merge"), out);
    for (int64_t row = 0; row < n && !err; row++) {
        spi_average_get(average, sum, row, num, Hhat);
        if (crealf(Hhat[0]) <= 0) /* no image has weight here */
            continue;
        for (int m = 0; m < to.M; m++)
            Hhat[m] *= phi_scale;
        err = add_direction(&to, dir ? dir[row] : row, num, Hhat);
    }
    if (!err && to.waiting)
        err = spread_waiting(&to);
    if (weight_sum)
        *weight_sum += to.weight;
out:
    free(num);
    free(Hhat);
    spreader_free(&to);
    return err;
}
