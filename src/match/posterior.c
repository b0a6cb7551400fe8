/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/posterior.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/lanes.h"
#include "kernel/softmax.h"
#include "math/rot.h"
#include "math/sphere.h"

static const double least_weight = 1e-3, dropped_most = 5e-3;
/* Of beta, relative: Newton's method errs by its square afterwards. */
static const double last_step = 0.08;

/* Sums over image k of exp(beta x) x^i, x = LL - max, i = 0, 1, 2; e (or NULL) takes the
 * exponentials, row by row.  A row whose best is so low that all rows like it together are
 * below 2^-24 of the sum (which is at least 1) adds nothing, and its e are not set. */
static void exp_sums(const struct spi_scores *s, int k, float max, double beta, float *e,
                     double sum[3])
{
    const struct spi_lanes *kernel = spi_lanes_best();
    int64_t from = s->first[k], n = s->first[k + 1] - from;
    double least = (double)max - (log((double)n * s->Na) + 24 * log(2)) / beta;

    sum[0] = sum[1] = sum[2] = 0;
    for (int64_t i = from, end; i < from + n; i = end + 1) {
        double part[3] = {0};

        for (end = i; end < from + n && (double)s->row_top[end] >= least;)
            end++; /* rows i ... end-1 lie together and count */
        if (end == i)
            continue;
        kernel->exponentials((end - i) * s->Na, s->LL + i * s->Na, max, (float)beta,
                             e ? e + (i - from) * s->Na : NULL, part);
        for (int j = 0; j < 3; j++)
            sum[j] += part[j];
    }
}

/* Means over the first n images: of the entropy at beta, and of -dH / dbeta. */
struct mean_entropy {
    double H, fall;
};

static struct mean_entropy entropy_at(const struct spi_scores *s, int n, const float *max,
                                      double beta)
{
    struct mean_entropy mean = {0};

    for (int k = 0; k < n; k++) {
        double sum[3], x;

        exp_sums(s, k, max[k], beta, NULL, sum);
        x = sum[1] / sum[0];
        mean.H += (log(sum[0]) - beta * x) / n;
        mean.fall += beta * (sum[2] / sum[0] - x * x) / n;
    }
    return mean;
}

/* Where beta may lie if LL were normally distributed; of the first image. */
static double first_guess(const struct spi_scores *s, const float *max, double want)
{
    double sum[3], x;

    exp_sums(s, 0, max[0], 0, NULL, sum);
    x = sum[1] / sum[0];
    return want * sqrt(2 / (sum[2] / sum[0] - x * x));
}

/* Newton's method for g = sqrt(log n - H) of the first n images, nearly a straight line in
 * beta, within bounds (M5). */
static double beta_of(const struct spi_scores *s, int n, const float *max, double log_n,
                      double perplexity, double beta)
{
    enum { STEPS = 50 };
    double lo = 1e-9, hi = INFINITY, want = sqrt(fmax(0, log_n - log(perplexity)));

    for (int step = 0; step < STEPS; step++) {
        struct mean_entropy at;
        double g, next;

        beta = fmax(lo, fmin(1, beta));
        at = entropy_at(s, n, max, beta);
        if (at.H >= log(perplexity) && beta >= 1)
            return 1;
        *(at.H > log(perplexity) ? &lo : &hi) = beta;
        g = sqrt(fmax(0, log_n - at.H));
        next = fmin(1, beta + (want - g) * 2 * g / at.fall);
        if (!(next > lo && next < hi))
            next = sqrt(lo * fmin(1, hi));
        if (fabs(log(next / beta)) <= last_step)
            return next;
        beta = next;
    }
    return beta;
}

float spi_posterior_beta(const struct spi_scores *s, double perplexity, float guess)
{
    enum { FEW = SPI_IMAGES_FOR_BETA / 2 }; /* to come near */
    int n = s->n_images < SPI_IMAGES_FOR_BETA ? s->n_images : SPI_IMAGES_FOR_BETA;
    float max[SPI_IMAGES_FOR_BETA];
    double log_n = 0, log_few = 0, beta = (double)guess;

    for (int k = 0; k < n; k++) {
        int64_t rows = s->first[k + 1] - s->first[k];

        max[k] = spi_max(rows, s->row_top + s->first[k]);
        log_n += log((double)rows * s->Na) / n;
        log_few += k < FEW ? log((double)rows * s->Na) / FEW : 0;
    }
    if (log(perplexity) >= log_n)
        return 1e-9F;
    if (!(beta > 0))
        beta = first_guess(s, max, sqrt(log_n - log(perplexity)));
    if (n > FEW)
        beta = beta_of(s, FEW, max, log_few, perplexity, beta);
    return (float)beta_of(s, n, max, log_n, perplexity, beta);
}

/* Room for all pairs and entries there can be (15 more: spi_keep_weights).  Untouched pages
 * of it are not yet memory. */
static spi_err make_room(const struct spi_scores *s, struct spi_posterior *p)
{
    int64_t pairs = s->first[s->n_images], entries = pairs * s->Na + 15;
    spi_err err;

    SPI_TRY(err = SPI_NEW_UNSET(p->pair, pairs, "posterior"), out);
    SPI_TRY(err = SPI_NEW_UNSET(p->angle, entries, "posterior"), out);
    SPI_TRY(err = SPI_NEW_UNSET(p->weight, entries, "posterior"), out);
out:
    return err;
}

static spi_err shrink(void **p, size_t bytes)
{
    void *less = spi_alloc_unset(bytes, 1, "posterior");

    if (!less)
        return SPI_ENOMEM;
    memcpy(less, *p, bytes);
    free(*p);
    *p = less;
    return SPI_OK;
}

/* A posterior lives until all images are merged: give back what it does not need, unless
 * that is little. */
static spi_err give_back(const struct spi_scores *s, struct spi_posterior *p)
{
    size_t n = (size_t)p->n_entries;
    spi_err err = SPI_OK;

    if (2 * p->n_entries > s->first[s->n_images] * s->Na)
        return SPI_OK;
    SPI_TRY(err = shrink((void **)&p->pair, (size_t)p->n_pairs * sizeof *p->pair), out);
    SPI_TRY(err = shrink((void **)&p->angle, n * sizeof *p->angle), out);
    SPI_TRY(err = shrink((void **)&p->weight, n * sizeof *p->weight), out);
out:
    return err;
}

/* Keep what is above the threshold of one image, scaled to a sum of 1; model: the sum of
 * P S.  S: rows of expected counts, see spi_posterior_make; e: room for all rows. */
static void sparse_image(const struct spi_scores *s, int k, float max, float beta,
                         float least, const float *S, const int32_t *row, float *e,
                         struct spi_posterior *p, float *model, float *entropy)
{
    int Na = s->Na;
    float limit, low;
    double sum[3], kept = 0, sum_S = 0;
    int64_t from = s->first[k], n = s->first[k + 1] - from, entry0 = p->n_entries;

    exp_sums(s, k, max, (double)beta, e, sum);
    *entropy = (float)(log(sum[0]) - (double)beta * sum[1] / sum[0]);
    limit = least * (float)sum[0];
    low = max + logf(limit) / beta;
    for (int64_t i = 0; i < n; i++) {
        int32_t dir = s->dir ? s->dir[from + i] : (int32_t)i;
        int64_t start = p->n_entries;

        if (s->row_top[from + i] < low)
            continue;
        p->n_entries += spi_keep_weights(
            Na, e + i * Na, limit, S ? S + (row ? row[dir] : dir) * (int64_t)Na : NULL,
            p->angle + start, p->weight + start, &kept, &sum_S);
        p->pair[p->n_pairs++] =
            (struct spi_posterior_pair){.image = k,
                                        .dir = s->name ? s->name[dir] : dir,
                                        .first = start,
                                        .count = (int32_t)(p->n_entries - start)};
    }
    if (kept > 0)
        spi_scale(p->n_entries - entry0, (float)(1 / kept), p->weight + entry0);
    *model = S ? (kept > 0 ? (float)(sum_S / kept) : 0) : 1;
}

/* Vertex of the parabola through (-1, l), (0, c), (1, r): offset within +-1/2. */
static float vertex(float l, float c, float r)
{
    float curve = l - 2 * c + r;

    return curve < 0 ? fmaxf(-0.5F, fminf(0.5F, 0.5F * (l - r) / curve)) : 0;
}

/* ---- directions --------------------------------------------------------------------- */

/* The directions an image was compared with and the largest LL of each. */
struct tops {
    int64_t n;
    const float *value;      /* [n], borrowed */
    const int32_t *dir;      /* [n], borrowed; NULL: i */
    const int32_t *name;     /* of dir, borrowed; NULL: dir itself */
    float *x, *y, *z, *left; /* [most], owned: of each direction; values not yet dropped */
    bool made;               /* x, y, z of all directions are there */
};

/* Rows of the image that has most. */
static int64_t most_rows(const struct spi_scores *s)
{
    int64_t most = 0;

    for (int k = 0; k < s->n_images; k++)
        if (s->first[k + 1] - s->first[k] > most)
            most = s->first[k + 1] - s->first[k];
    return most;
}

static spi_err tops_new(const struct spi_scores *s, struct tops *t)
{
    int64_t rows = most_rows(s), most = rows > s->nd ? rows : s->nd;
    spi_err err;

    *t = (struct tops){0};
    SPI_TRY(err = SPI_NEW(t->x, most, "directions"), out);
    SPI_TRY(err = SPI_NEW(t->y, most, "directions"), out);
    SPI_TRY(err = SPI_NEW(t->z, most, "directions"), out);
    SPI_TRY(err = SPI_NEW(t->left, most, "directions"), out);
out:
    return err;
}

static void tops_free(struct tops *t)
{
    free(t->x);
    free(t->y);
    free(t->z);
    free(t->left);
}

static int32_t name_of(const struct tops *t, int64_t i)
{
    int32_t dir = t->dir ? t->dir[i] : (int32_t)i;

    return t->name ? t->name[dir] : dir;
}

/* Image k; where all images have all directions their places are found once. */
static void tops_of(const struct spi_scores *s, const struct spi_views *v, int k,
                    struct tops *t)
{
    int64_t from = s->first[k];

    t->n = s->top ? s->nd : s->first[k + 1] - from;
    t->value = s->top ? s->top + k * s->nd : s->row_top + from;
    t->dir = s->top || !s->dir ? NULL : s->dir + from;
    t->name = s->name;
    memcpy(t->left, t->value, (size_t)t->n * sizeof *t->left);
    for (int64_t i = 0; i < t->n && !t->made; i++) {
        double p[3];

        spi_sphere_point(v->nd, name_of(t, i), p);
        t->x[i] = (float)p[0];
        t->y[i] = (float)p[1];
        t->z[i] = (float)p[2];
    }
    t->made = !t->dir;
}

/* Take direction i out, and those within `angle` of it. */
static void tops_drop(struct tops *t, int64_t i, double angle)
{
    float axis[3] = {t->x[i], t->y[i], t->z[i]};

    spi_drop_near(t->n, t->x, t->y, t->z, axis, (float)cos(angle), t->left);
    t->left[i] = -INFINITY;
}

static struct spi_best find_best(const struct spi_scores *s, const struct spi_views *v,
                                 int k, struct tops *t)
{
    int Na = s->Na;
    int64_t from = s->first[k];

    assert(s->first[k + 1] > from);

    int64_t where = from + spi_arg_max(s->first[k + 1] - from, s->row_top + from);
    const float *LL = s->LL + where * Na;
    int32_t dir = s->dir ? s->dir[where] : (int32_t)(where - from);
    int at = (int)spi_arg_max(Na, LL);
    float shift = vertex(LL[(at + Na - 1) % Na], LL[at], LL[(at + 1) % Na]), second;

    tops_of(s, v, k, t);
    tops_drop(t, s->top ? dir : where - from, 2 * v->cell);
    second = spi_max(t->n, t->left);
    return (struct spi_best){.dir = s->name ? s->name[dir] : dir,
                             .angle =
                                 (float)(2 * SPI_PI * ((double)at + (double)shift) / Na),
                             .score = LL[at],
                             .margin = isinf(second) ? 0 : LL[at] - second};
}

double spi_posterior_drop(float beta, double perplexity, double n)
{
    return log(n * perplexity / least_weight) / (double)beta;
}

spi_err spi_posterior_make(const struct spi_scores *s, const struct spi_views *views,
                           float beta, double perplexity, const float *S,
                           const int32_t *row, struct spi_posterior *out)
{
    spi_err err;
    float *e = NULL, least = (float)(least_weight / perplexity);
    struct tops tops = {0};

    *out = (struct spi_posterior){.n_images = s->n_images};
    SPI_TRY(err = tops_new(s, &tops), out);
    SPI_TRY(err = SPI_NEW_UNSET(e, most_rows(s) * s->Na, "posterior"), out);
    SPI_TRY(err = make_room(s, out), out);
    SPI_TRY(err = SPI_NEW(out->best, s->n_images, "posterior"), out);
    SPI_TRY(err = SPI_NEW(out->model_sum, s->n_images, "posterior"), out);
    for (int k = 0; k < s->n_images; k++) {
        out->best[k] = find_best(s, views, k, &tops);
        sparse_image(s, k, out->best[k].score, beta, least, S, row, e, out,
                     &out->model_sum[k], &out->best[k].entropy);
    }
    err = give_back(s, out);
out:
    free(e);
    tops_free(&tops);
    if (err)
        spi_posterior_clear(out);
    return err;
}

/* ---- where most orientations count -------------------------------------------------- */

/* Of one image: relative weights and scores of the directions, weights of tiles. */
struct soft_image {
    int64_t directions; /* with those that fill the last tile */
    float *e, *x, *mass, *mass_S;
};

static spi_err soft_image_new(const struct spi_soft *soft, struct soft_image *m)
{
    spi_err err;

    *m = (struct soft_image){.directions = soft->tiles * SPI_LANES};
    SPI_TRY(err = SPI_NEW(m->e, m->directions, "posterior"), out);
    SPI_TRY(err = SPI_NEW(m->x, m->directions, "posterior"), out);
    SPI_TRY(err = SPI_NEW(m->mass, soft->tiles, "posterior"), out);
    SPI_TRY(err = SPI_NEW(m->mass_S, soft->tiles, "posterior"), out);
out:
    return err;
}

static void soft_image_free(struct soft_image *m)
{
    free(m->e);
    free(m->x);
    free(m->mass);
    free(m->mass_S);
}

/* Up to which weight tiles can be dropped so that altogether at most `most` is lost, by
 * bisection on its logarithm. */
static float least_mass(int64_t tiles, const float *mass, double most)
{
    enum { STEPS = 6 };
    double lo = most / (double)tiles, hi = most;

    for (int step = 0; step < STEPS; step++) {
        double mid = sqrt(lo * hi);

        if ((double)spi_sum_below(tiles, mass, (float)mid) <= most)
            lo = mid;
        else
            hi = mid;
    }
    return (float)lo;
}

/* (M8) of image k. */
static void soften(const struct spi_scores *s, int k, float max, double beta,
                   struct soft_image *m, struct spi_soft *soft, float *model,
                   float *entropy)
{
    int64_t tiles = soft->tiles, at = k * tiles * SPI_LANES;
    const float *top = s->top + k * s->nd;
    double sum, sum_x, tops[3], kept = 0, sum_S = 0;
    float least;

    spi_lanes_best()->exponentials(s->nd, top, max, (float)beta, m->e, tops);
    for (int64_t i = 0; i < s->nd; i++)
        m->x[i] = top[i] - max;
    spi_tile_masses(tiles, SPI_LANES, m->e, m->x, soft->w + at, soft->wx + at,
                    soft->wS + at, m->mass, m->mass_S, &sum_x);
    sum = 0;
    for (int64_t t = 0; t < tiles; t++)
        sum += (double)m->mass[t];
    *entropy = (float)(log(sum) - beta * sum_x / sum);
    least = least_mass(tiles, m->mass, dropped_most * sum);
    for (int64_t t = 0; t < tiles; t++)
        if (m->mass[t] >= least) {
            kept += (double)m->mass[t];
            sum_S += (double)m->mass_S[t];
        }
    for (int64_t t = 0; t < tiles; t++) {
        float *scale = soft->scale + (t * soft->n_images + k) * SPI_LANES;
        float unit = m->mass[t] >= least ? (float)(1 / (65535 * kept)) : 0;

        for (int i = 0; i < SPI_LANES; i++)
            scale[i] = unit * m->e[t * SPI_LANES + i];
    }
    *model = (float)(sum_S / kept);
}

spi_err spi_posterior_soft(const struct spi_scores *s, const struct spi_views *views,
                           float beta, struct spi_soft *soft, struct spi_posterior *out)
{
    struct tops tops = {0};
    struct soft_image m = {0};
    spi_err err;

    *out = (struct spi_posterior){.n_images = s->n_images};
    SPI_TRY(err = tops_new(s, &tops), out);
    SPI_TRY(err = soft_image_new(soft, &m), out);
    SPI_TRY(err = SPI_NEW(out->best, s->n_images, "posterior"), out);
    SPI_TRY(err = SPI_NEW(out->model_sum, s->n_images, "posterior"), out);
    for (int k = 0; k < s->n_images; k++) {
        out->best[k] = find_best(s, views, k, &tops);
        soften(s, k, out->best[k].score, (double)beta, &m, soft, &out->model_sum[k],
               &out->best[k].entropy);
    }
out:
    tops_free(&tops);
    soft_image_free(&m);
    if (err)
        spi_posterior_clear(out);
    return err;
}

void spi_posterior_clear(struct spi_posterior *p)
{
    free(p->pair);
    free(p->angle);
    free(p->weight);
    free(p->best);
    free(p->model_sum);
    *p = (struct spi_posterior){0};
}

spi_err spi_best_directions(const struct spi_scores *s, const struct spi_views *views,
                            int keep, int32_t *dirs)
{
    struct tops t;
    spi_err err;

    SPI_TRY(err = tops_new(s, &t), out);
    for (int k = 0; k < s->n_images; k++) {
        tops_of(s, views, k, &t);
        for (int c = 0; c < keep; c++) {
            int64_t i = spi_arg_max(t.n, t.left);

            dirs[k * keep + c] = -1;
            if (isinf(t.left[i]))
                continue;
            dirs[k * keep + c] = name_of(&t, i);
            tops_drop(&t, i, 1.5 * views->cell);
        }
    }
out:
    tops_free(&t);
    return err;
}
