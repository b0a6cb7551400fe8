/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/brute.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "math/sphere.h"

enum { TILE = 64, IMAGES = 256 }; /* orientations, images in one product */

const struct spi_brute_best spi_brute_best_none = {.at = -1, .score = -INFINITY};

/* ---- what is shared ----------------------------------------------------------------- */

spi_err spi_brute_init(struct spi_brute *b, const struct spi_likelihood *like,
                       const struct spi_pixel_list *l, const float *inv_var, double shell_q)
{
    spi_err err;

    *b = (struct spi_brute){
        .like = like, .pixels = l, .inv_var = like->weighted ? inv_var : NULL};
    if (!(shell_q > 0))
        return spi_fail(SPI_EINVAL, "brute matching: shells of %g 1/A; need more than 0",
                        shell_q);
    if ((err = SPI_NEW(b->shell, l->n, "shells")))
        return err;
    for (int64_t p = 0; p < l->n; p++) {
        b->shell[p] = (int32_t)((double)l->kappa[p] * l->q_max / shell_q);
        if (b->shell[p] >= b->n_shells)
            b->n_shells = b->shell[p] + 1;
    }
    return SPI_OK;
}

void spi_brute_clear(struct spi_brute *b)
{
    free(b->shell);
    *b = (struct spi_brute){0};
}

spi_err spi_brute_images_init(struct spi_brute_images *im, const struct spi_pixel_list *l,
                              int64_t n, int64_t n_pixels, const float *images)
{
    spi_err err;

    *im = (struct spi_brute_images){.n = n};
    SPI_TRY(err = SPI_NEW(im->row, n * l->n, "images"), fail);
    SPI_TRY(err = SPI_NEW(im->count, n, "images"), fail);
    SPI_TRY(err = SPI_NEW(im->norm2, n, "images"), fail);
    for (int64_t k = 0; k < n; k++)
        for (int64_t p = 0; p < l->n; p++) {
            float K = images[k * n_pixels + l->pixel[p]];

            im->row[k * l->n + p] = K;
            im->count[k] += (double)K;
            im->norm2[k] += (double)K * (double)K;
        }
    return SPI_OK;
fail:
    spi_brute_images_clear(im);
    return err;
}

void spi_brute_images_clear(struct spi_brute_images *im)
{
    free(im->row);
    free(im->count);
    free(im->norm2);
    *im = (struct spi_brute_images){0};
}

/* ---- model images ------------------------------------------------------------------- */

struct scratch {
    float *L;              /* [TILE][pixels] what the images are multiplied with */
    float *C;              /* [IMAGES][TILE] */
    double *mean, *weight; /* [shells] */
    double table[TILE];    /* (B4) */
    double S[TILE];
};

/* T floored at 2 % of the mean of its shell. */
static void apply_floor(const struct spi_brute *b, struct scratch *s, float *T)
{
    static const double floor_of_mean = 0.02;
    int64_t n = b->pixels->n;

    for (int i = 0; i < b->n_shells; i++)
        s->mean[i] = s->weight[i] = 0;
    for (int64_t p = 0; p < n; p++) {
        s->mean[b->shell[p]] += (double)T[p];
        s->weight[b->shell[p]] += 1;
    }
    for (int i = 0; i < b->n_shells; i++) /* afterwards: the floor */
        s->mean[i] = s->mean[i] > 0 ? floor_of_mean * s->mean[i] / s->weight[i] : 1e-30;
    for (int64_t p = 0; p < n; p++)
        if (!((double)T[p] > s->mean[b->shell[p]]))
            T[p] = (float)s->mean[b->shell[p]];
}

/* T -> the row that images are multiplied with, its table, S. */
static void condition(const struct spi_brute *b, struct scratch *s, float *T, double *table,
                      double *S)
{
    const float *g = b->pixels->geometry;
    int64_t n = b->pixels->n;

    *S = 0;
    if (b->like->positive)
        apply_floor(b, s, T);
    for (int64_t p = 0; p < n; p++)
        *S += (double)(g[p] * T[p]);
    *table = b->like->pixels(n, g, b->inv_var, *S, T);
}

/* ---- comparison --------------------------------------------------------------------- */

struct range {
    int64_t first; /* orientation of column 0 */
    int n;         /* columns */
    int group;
    int64_t n_groups, first_group;
};

static void improve(const struct spi_brute *b, const struct scratch *s,
                    const struct range *r, const struct spi_brute_images *im, int64_t k,
                    const float *C, struct spi_brute_best *best, float *group_best)
{
    for (int t = 0; t < r->n; t++) {
        float v =
            (float)b->like->pair((double)C[t], s->table[t], im->count[k], im->norm2[k]);

        if (v > best[k].score) {
            double fluence = s->S[t] > 0 ? im->count[k] / s->S[t] : 0;

            best[k] = (struct spi_brute_best){r->first + t, v, (float)fluence};
        }
        if (group_best) {
            float *top =
                group_best + k * r->n_groups + (r->first + t) / r->group - r->first_group;

            *top = v > *top ? v : *top;
        }
    }
}

static spi_err scratch_new(const struct spi_brute *b, struct scratch *s)
{
    spi_err err;

    *s = (struct scratch){0};
    SPI_TRY(err = SPI_NEW(s->L, TILE * b->pixels->n, "model images"), out);
    SPI_TRY(err = SPI_NEW(s->C, IMAGES * TILE, "model images"), out);
    SPI_TRY(err = SPI_NEW(s->mean, b->n_shells, "model images"), out);
    SPI_TRY(err = SPI_NEW(s->weight, b->n_shells, "model images"), out);
out:
    return err;
}

static void scratch_free(struct scratch *s)
{
    free(s->L);
    free(s->C);
    free(s->mean);
    free(s->weight);
}

spi_err spi_brute_match(const struct spi_brute *b, const spi_nufft *plan, const float *grid,
                        int64_t first, int64_t n, const double (*quat)[4],
                        const struct spi_brute_images *im, struct spi_brute_best *best,
                        int group, int64_t n_groups, float *group_best)
{
    int P = (int)b->pixels->n;
    struct scratch s;
    spi_err err;

    SPI_TRY(err = scratch_new(b, &s), out);
    for (int64_t i = 0; i < n; i += TILE) {
        struct range r = {first + i, n - i < TILE ? (int)(n - i) : TILE, group, n_groups,
                          first / group};

        SPI_TRY(err = spi_pixel_list_values(b->pixels, r.n, quat + i, plan, grid, s.L),
                out);
        for (int t = 0; t < r.n; t++)
            condition(b, &s, s.L + (int64_t)t * P, &s.table[t], &s.S[t]);
        for (int64_t k0 = 0; k0 < im->n; k0 += IMAGES) {
            int m = im->n - k0 < IMAGES ? (int)(im->n - k0) : IMAGES;

            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, r.n, P, 1,
                        im->row + k0 * P, P, s.L, P, 0, s.C, TILE);
            for (int k = 0; k < m; k++)
                improve(b, &s, &r, im, k0 + k, s.C + k * TILE, best, group_best);
        }
    }
out:
    scratch_free(&s);
    return err;
}

void spi_brute_reduce(int64_t n, const struct spi_brute_best *other,
                      struct spi_brute_best *best)
{
    for (int64_t k = 0; k < n; k++)
        if (other[k].score > best[k].score ||
            (other[k].score == best[k].score && other[k].at >= 0 &&
             other[k].at < best[k].at))
            best[k] = other[k];
}

float spi_brute_margin(const struct spi_views *views, const float *group_best, int64_t dir)
{
    double n0[3], near = cos(2 * views->cell);
    float second = -INFINITY;

    spi_sphere_point(views->nd, dir, n0);
    for (int64_t i = 0; i < views->nd; i++) {
        double n[3];

        if (group_best[i] <= second)
            continue;
        spi_sphere_point(views->nd, i, n);
        if (n[0] * n0[0] + n[1] * n0[1] + n[2] * n0[2] < near)
            second = group_best[i];
    }
    return isinf(second) ? 0 : group_best[dir] - second;
}
