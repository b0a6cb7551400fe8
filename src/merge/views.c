/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/views.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "kernel/clones.h"
#include "math/rot.h"
#include "math/sphere.h"

/* Samples of the directions spread at once (64 MB): their points share bricks of the grid.
 */
enum { SAMPLES_AT_ONCE = 1 << 23 };
enum { AHEAD = 4 }; /* pairs */

/* What a thread needs: for one direction, and for the averages of a tile. */
struct scratch {
    float complex *den;         /* [harmonics] */
    float *num_s, *den_s;       /* [samples] */
    float (*one)[2];            /* [samples] values of the direction */
    float complex *Phat, *Hhat; /* [M], M a multiple of SPI_RING_ALIGN */
    float complex *room;        /* [harmonics] of the image in hand */
    float complex *num;         /* [SPI_VIEW_TILE][harmonics] */
    float *H;                   /* [SPI_VIEW_TILE][Na] */
    const float complex *h;     /* of the image in hand; NULL: none */
    int64_t image;
    int32_t dir[SPI_VIEW_TILE]; /* -1: no image yet */
};

/* Directions on their way to the grid, in their order, each with the copies of a point
 * group; those of one transform are made at once, by several threads. */
struct spreader {
    const struct spi_rings *g;
    const struct spi_ring_map *map;
    const spi_nufft *plan;
    float *grid2;
    double weight; /* sum of what was spread */
    int R, M;
    int64_t nd;
    int copies;               /* of a direction: elements of the point group, or 1 */
    const double (*group)[9]; /* [copies], or NULL: none */
    const spi_points *points; /* samples of the untilted detector */
    spi_points *own;          /* if they were not given */
    int threads;
    int Na;
    struct spi_rooms scratch;
    int at_once;       /* copies spread at once */
    double (*view)[9]; /* [at_once] detector -> object */
    float (*val)[2];   /* [at_once][samples] */
    int64_t from, to;  /* copies in view and val */
    struct spi_failure failure;
};

static void spreader_free(struct spreader *s)
{
    spi_rooms_clear(&s->scratch);
    spi_points_free(s->own);
    free(s->view);
    free(s->val);
}

/* Copies spread at once, of n: as many as memory likes, in equal groups. */
static int copies_at_once(int64_t n, int64_t samples)
{
    int64_t most = samples < SAMPLES_AT_ONCE ? SAMPLES_AT_ONCE / samples : 1;
    int64_t groups = (n + most - 1) / most;

    return groups > 0 ? (int)((n + groups - 1) / groups) : 1;
}

/* The next array of `bytes` behind *at; base NULL: only *at moves on. */
static void *lay(char *base, size_t *at, size_t bytes)
{
    size_t here = (*at + 63) / 64 * 64;

    *at = here + bytes;
    return base ? base + here : NULL;
}

/* A thread's scratch and its arrays, one behind another, in the memory at `base`; returns
 * their bytes. */
static size_t lay_out(const struct spreader *s, char *base, struct scratch *to)
{
    size_t samples = (size_t)s->g->at[s->R], H = (size_t)s->g->h_at[s->R];
    size_t M = (size_t)s->M, at = sizeof *to;

    to->den = lay(base, &at, H * sizeof *to->den);
    to->num_s = lay(base, &at, samples * sizeof *to->num_s);
    to->den_s = lay(base, &at, samples * sizeof *to->den_s);
    to->one = lay(base, &at, samples * sizeof *to->one);
    to->Phat = lay(base, &at, M * sizeof *to->Phat);
    to->Hhat = lay(base, &at, M * sizeof *to->Hhat);
    to->room = lay(base, &at, H * sizeof *to->room);
    to->num = lay(base, &at, SPI_VIEW_TILE * H * sizeof *to->num);
    to->H = lay(base, &at, SPI_VIEW_TILE * (size_t)s->Na * sizeof *to->H);
    return at;
}

/* NULL: there is no memory. */
static struct scratch *scratch_of(struct spreader *s, int rank)
{
    char *at = spi_rooms_of(&s->scratch, rank);
    struct scratch *scratch = (struct scratch *)(void *)at;

    if (!at)
        spi_failure_note(&s->failure, SPI_ENOMEM);
    else if (!scratch->den)
        lay_out(s, at, scratch);
    return scratch;
}

/* For n directions. */
static spi_err spreader_new(const struct spi_view_spec *sp, int64_t n,
                            const spi_nufft *plan, float *grid2, struct spreader *s)
{
    size_t samples = (size_t)sp->rings->at[sp->R];
    struct scratch none;
    spi_err err;

    *s = (struct spreader){.g = sp->rings,
                           .map = sp->map,
                           .plan = plan,
                           .grid2 = grid2,
                           .points = sp->points,
                           .R = sp->R,
                           .nd = sp->views.nd,
                           .copies = sp->n_group > 1 ? sp->n_group : 1,
                           .group = sp->n_group > 1 ? sp->group : NULL,
                           .threads = sp->threads,
                           .Na = sp->views.Na};
    s->at_once = copies_at_once(n * s->copies, (int64_t)samples);
    s->M = spi_ring_padded(s->g->m_max[s->R - 1] + 1);
    SPI_TRY(err = spi_rooms_init(&s->scratch, s->threads, lay_out(s, NULL, &none), "merge"),
            fail);
    if (!s->points) {
        SPI_TRY(err = spi_ring_points(s->g, s->R, s->plan, &s->own), fail);
        s->points = s->own;
    }
    SPI_TRY(err = SPI_NEW(s->view, s->at_once, "merge"), fail);
    SPI_TRY(err = SPI_NEW_UNSET(s->val, (size_t)s->at_once * samples, "merge"), fail);
    return SPI_OK;
fail:
    spreader_free(s);
    return err;
}

/* [Na][2 M] cos, -sin of 2 pi m a / Na. */
static spi_err make_phasor(int Na, int M, float **phasor)
{
    size_t two_M = 2 * (size_t)M;
    spi_err err = SPI_NEW(*phasor, (size_t)Na * two_M, "merge");

    for (int a = 0; a < Na && !err; a++)
        for (int m = 0; m < M; m++) {
            double x = 2 * SPI_PI * ((long)m * a % Na) / Na;

            (*phasor)[(size_t)a * two_M + 2 * (size_t)m] = (float)cos(x);
            (*phasor)[(size_t)a * two_M + 2 * (size_t)m + 1] = (float)-sin(x);
        }
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
static void add_pair(const struct spi_view_spec *sp, const float *phasor, int M,
                     const struct spi_view_pair *p, int slot, struct scratch *s)
{
    const struct spi_view_weights w = weights_of(sp, p);
    int Na = sp->views.Na, two_M = 2 * M;
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
    memset(s->Phat, 0, (size_t)M * sizeof *s->Phat);
    for (int e = 0; e < p->count; e++) {
        add_scaled(two_M, w.weight[e], phasor + (int64_t)w.angle[e] * two_M,
                   (float *)s->Phat);
        H[w.angle[e]] += phi * w.weight[e];
    }
    spi_ring_add_rotated(sp->rings, sp->R, s->Phat, s->h, num);
}

/* ---- directions -> grid ------------------------------------------------------------- */

/* t->one at R_n q and, with a point group, at all S R_n q (Y4): the copies that are
 * spread now. */
static void place(struct spreader *s, const struct scratch *t, int64_t number, int64_t dir)
{
    int64_t samples = s->g->at[s->R];
    double n[3], Rn[9];

    spi_sphere_point(s->nd, dir, n);
    spi_rot_to_direction(n, Rn);
    for (int i = 0; i < s->copies; i++) {
        int64_t at = number * s->copies + i - s->from;

        if (at < 0 || at >= s->to - s->from)
            continue;
        memcpy(s->val + at * samples, t->one, (size_t)samples * sizeof *t->one);
        if (s->group)
            spi_rot_mul(s->group[i], Rn, s->view[at]);
        else
            memcpy(s->view[at], Rn, sizeof Rn);
    }
}

/* Whether a copy of this direction is spread now. */
static bool is_due(const struct spreader *s, int64_t number)
{
    return (number + 1) * s->copies > s->from && number * s->copies < s->to;
}

/* The averaged image of the direction of this number: num, and den from t->Hhat_m =
 * sum phi exp(-i m a) (V2). */
static void put_direction(struct spreader *s, struct scratch *t, int64_t number,
                          int64_t dir, const float complex *num)
{
    const struct spi_rings *g = s->g;
    spi_err err;

    memset(t->den, 0, (size_t)g->h_at[s->R] * sizeof *t->den);
    spi_ring_add_rotated(g, s->R, t->Hhat, s->map->live_h, t->den);
    SPI_TRY(err = spi_ring_synthesise(g, s->R, num, t->num_s), out);
    SPI_TRY(err = spi_ring_synthesise(g, s->R, t->den, t->den_s), out);
    for (int r = 0; r < s->R; r++) {
        float kappa = (float)(g->q[r] / g->q[s->R - 1]);

        for (int j = g->at[r]; j < g->at[r + 1]; j++) {
            bool measured = t->den_s[j] > 0; /* the edge of a mask rings below zero */

            t->one[j][0] = measured ? kappa * t->num_s[j] : 0;
            t->one[j][1] = measured ? kappa * t->den_s[j] : 0;
        }
    }
    place(s, t, number, dir);
out:
    spi_failure_note(&s->failure, err);
}

/* The weights of the directions whose first copy is spread now, one after another. */
static void add_weights(struct spreader *s)
{
    int64_t samples = s->g->at[s->R], first = (s->from + s->copies - 1) / s->copies;

    for (int64_t at = first * s->copies; at < s->to; at += s->copies)
        for (int64_t j = 0; j < samples; j++)
            s->weight +=
                (double)s->copies * (double)s->val[(at - s->from) * samples + j][1];
}

/* Items make the directions first[i] ... first[i + 1] - 1 by put_direction, those that are
 * due. */
static spi_err spread(struct spreader *s, int64_t items, const int64_t *first,
                      spi_parallel_fn *make, void *ctx)
{
    int64_t all = first[items] * s->copies, begin = 0, end = 0;
    spi_err err = SPI_OK;

    for (s->from = 0; s->from < all && !err; s->from = s->to) {
        s->to = s->from + s->at_once < all ? s->from + s->at_once : all;
        while (first[begin + 1] * s->copies <= s->from)
            begin++;
        for (end = begin; end < items && first[end] * s->copies < s->to;)
            end++;

        const int64_t range[2] = {begin, end};

        spi_parallel_phases(s->threads, 1, range, make, ctx);
        SPI_TRY(err = spi_failure_end(&s->failure), out);
        add_weights(s);
        err = spi_nufft_spread(s->points, s->grid2, s->to - s->from,
                               (const double(*)[9])s->view, (const float(*)[2])s->val);
    }
out:
    return err;
}

/* ---- pairs -------------------------------------------------------------------------- */

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

/* Pairs in tiles of their directions. */
struct pairs {
    const struct spi_view_spec *sp;
    const struct spi_view_pair *pair;
    struct spreader *to;
    int64_t tiles;
    int64_t *at, *first; /* [tiles + 1] pairs, directions */
    float *phasor;
};

/* The directions of a tile that are due; those of a tile that two transforms share are made
 * twice. */
static void make_tile(void *ctx, int rank, int64_t tile)
{
    const struct pairs *p = ctx;
    const struct spi_view_spec *sp = p->sp;
    struct scratch *s = scratch_of(p->to, rank);
    const struct spi_view_pair *pair = p->pair + p->at[tile];
    int64_t n = p->at[tile + 1] - p->at[tile], number = p->first[tile];
    int Na = sp->views.Na, two_M = 2 * p->to->M;

    if (!s)
        return;
    s->h = NULL;
    for (int i = 0; i < SPI_VIEW_TILE; i++)
        s->dir[i] = -1;
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            ask_for(sp, pair + i + AHEAD);
        add_pair(sp, p->phasor, p->to->M, pair + i,
                 (int)(place_of(sp, pair + i) % SPI_VIEW_TILE), s);
    }
    for (int i = 0; i < SPI_VIEW_TILE; i++) {
        if (s->dir[i] < 0)
            continue;
        if (is_due(p->to, number)) {
            cblas_sgemv(CblasRowMajor, CblasTrans, Na, two_M, 1, p->phasor, two_M,
                        s->H + (int64_t)i * Na, 1, 0, (float *)s->Hhat, 1);
            put_direction(p->to, s, number, s->dir[i],
                          s->num + (int64_t)i * sp->rings->h_at[sp->R]);
        }
        number++;
    }
}

/* Where tiles begin, and how many directions they have. */
static spi_err find_tiles(struct pairs *p, int64_t n)
{
    const struct spi_view_spec *sp = p->sp;
    int64_t last = -1, t = -1;
    unsigned seen = 0;
    spi_err err;

    for (int64_t i = 0; i < n; i++) {
        int64_t tile = place_of(sp, p->pair + i) / SPI_VIEW_TILE;

        p->tiles += i == 0 || tile != last;
        last = tile;
    }
    SPI_TRY(err = SPI_NEW(p->at, p->tiles + 1, "merge"), out);
    SPI_TRY(err = SPI_NEW(p->first, p->tiles + 1, "merge"), out);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = place_of(sp, p->pair + i), tile = at / SPI_VIEW_TILE;

        if (i == 0 || tile != last) {
            p->at[++t] = i;
            p->first[t + 1] = p->first[t];
            seen = 0;
        }
        last = tile;
        if (!(seen >> at % SPI_VIEW_TILE & 1))
            p->first[t + 1]++;
        seen |= 1U << at % SPI_VIEW_TILE;
    }
    p->at[p->tiles] = n;
out:
    return err;
}

static void pairs_free(struct pairs *p)
{
    free(p->at);
    free(p->first);
    free(p->phasor);
}

spi_err spi_views_merge(const struct spi_view_spec *sp, int64_t n,
                        const struct spi_view_pair *pair, const spi_nufft *plan,
                        float *grid2, double *weight_sum)
{
    struct spreader to = {.threads = 0};
    struct pairs p = {.sp = sp, .pair = pair, .to = &to};
    spi_err err;

    SPI_TRY(err = find_tiles(&p, n), out);
    /* no fewer than there are directions */
    SPI_TRY(err = spreader_new(sp, p.tiles * SPI_VIEW_TILE, plan, grid2, &to), out);
    SPI_TRY(err = make_phasor(sp->views.Na, to.M, &p.phasor), done);
    err = spread(&to, p.tiles, p.first, make_tile, &p);
    if (weight_sum)
        *weight_sum += to.weight;
done:
    spreader_free(&to);
out:
    pairs_free(&p);
    return err;
}

/* ---- averages ----------------------------------------------------------------------- */

/* Rows of averages that some image has weight in. */
struct rows {
    const struct spi_average *average;
    const float *sum;
    const int32_t *dir;
    float phi_scale;
    struct spreader *to;
    int64_t *row, *first; /* [n], [n + 1]: 0, 1, ... */
};

static void make_row(void *ctx, int rank, int64_t item)
{
    const struct rows *x = ctx;
    struct scratch *t = scratch_of(x->to, rank);
    int64_t row = x->row[item];

    if (!t)
        return;
    spi_average_get(x->average, x->sum, row, t->num, t->Hhat);
    for (int m = 0; m < x->to->M; m++)
        t->Hhat[m] *= x->phi_scale;
    put_direction(x->to, t, item, x->dir ? x->dir[row] : row, t->num);
}

spi_err spi_views_merge_average(const struct spi_view_spec *sp,
                                const struct spi_average *average, const float *sum,
                                int64_t n, const int32_t *dir, float phi_scale,
                                const spi_nufft *plan, float *grid2, double *weight_sum)
{
    struct spreader to;
    struct rows x = {
        .average = average, .sum = sum, .dir = dir, .phi_scale = phi_scale, .to = &to};
    struct scratch *t;
    int64_t have = 0;
    spi_err err = spreader_new(sp, n, plan, grid2, &to);

    if (err)
        return err;
    SPI_TRY(err = SPI_NEW(x.row, n, "merge"), out);
    SPI_TRY(err = SPI_NEW(x.first, n + 1, "merge"), out);
    if (!(t = scratch_of(&to, 0))) {
        err = SPI_ENOMEM;
        goto out;
    }
    for (int64_t row = 0; row < n; row++) {
        x.first[row + 1] = row + 1;
        spi_average_get(average, sum, row, t->num, t->Hhat);
        if (!(crealf(t->Hhat[0]) <= 0)) /* an image has weight here */
            x.row[have++] = row;
    }
    err = spread(&to, have, x.first, make_row, &x);
    if (weight_sum)
        *weight_sum += to.weight;
out:
    free(x.row);
    free(x.first);
    spreader_free(&to);
    return err;
}
