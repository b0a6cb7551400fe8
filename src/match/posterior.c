#include "match/posterior.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/softmax.h"
#include "math/rot.h"
#include "math/sphere.h"

enum { IMAGES_FOR_BETA = 32 };
static const double least_weight = 1e-3;

/* Mean over the first images of the entropy at beta. */
static double mean_entropy(const struct spi_scores *s, int n, const float *max, double beta)
{
    double total = 0;

    for (int k = 0; k < n; k++) {
        int64_t from = s->first[k] * s->Na, count = (s->first[k + 1] - s->first[k]) * s->Na;
        double sum, sum_x;

        spi_exp_sums(count, s->LL + from, max[k], (float)beta, &sum, &sum_x);
        total += log(sum) - beta * sum_x / sum;
    }
    return total / n;
}

float spi_posterior_beta(const struct spi_scores *s, double perplexity, float guess)
{
    int n = s->n_images < IMAGES_FOR_BETA ? s->n_images : IMAGES_FOR_BETA;
    float max[IMAGES_FOR_BETA];
    double want = log(perplexity), lo = log(1e-9), hi = 0;

    for (int k = 0; k < n; k++)
        max[k] =
            spi_max((s->first[k + 1] - s->first[k]) * s->Na, s->LL + s->first[k] * s->Na);
    if (mean_entropy(s, n, max, 1) >= want)
        return 1;
    if (guess > 0) { /* bracket around the last generation's value */
        double x = fmax(lo, fmin(hi, log((double)guess))), step = 0.1;
        bool softer = mean_entropy(s, n, max, exp(x)) > want;

        while (x > lo && x < hi) {
            double next = fmax(lo, fmin(hi, softer ? x + step : x - step));

            if ((mean_entropy(s, n, max, exp(next)) > want) != softer) {
                lo = fmin(x, next);
                hi = fmax(x, next);
                break;
            }
            x = next;
            step *= 2;
        }
    }
    while (hi - lo > 0.01) {
        double mid = (lo + hi) / 2;

        if (mean_entropy(s, n, max, exp(mid)) > want)
            lo = mid;
        else
            hi = mid;
    }
    return (float)exp((lo + hi) / 2);
}

static spi_err room(struct spi_posterior *p, int64_t pairs, int64_t entries)
{
    int64_t cap = p->cap_entries;
    spi_err err = spi_grow((void **)&p->pair, sizeof *p->pair, p->n_pairs,
                           p->n_pairs + pairs, &p->cap_pairs, "posterior");

    if (!err)
        err = spi_grow((void **)&p->angle, sizeof *p->angle, p->n_entries,
                       p->n_entries + entries, &cap, "posterior");
    if (!err)
        err = spi_grow((void **)&p->weight, sizeof *p->weight, p->n_entries,
                       p->n_entries + entries, &p->cap_entries, "posterior");
    return err;
}

/* Keep what is above the threshold of one image; returns the kept weight. */
static spi_err sparse_image(const struct spi_scores *s, int k, float max, float beta,
                            float least, float *buffer, struct spi_posterior *p,
                            double *kept, float *entropy)
{
    spi_err err;
    int Na = s->Na;
    double sum, sum_x;
    int64_t from = s->first[k], n = s->first[k + 1] - from;

    spi_exp_sums(n * Na, s->LL + from * Na, max, beta, &sum, &sum_x);
    *entropy = (float)(log(sum) - (double)beta * sum_x / sum);
    *kept = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *LL = s->LL + (from + i) * Na;
        int64_t start = p->n_entries;

        if (expf(beta * (spi_max(Na, LL) - max)) < least * (float)sum)
            continue;
        if ((err = room(p, 1, Na)))
            return err;
        spi_exp_weights(Na, LL, max, beta, (float)(1 / sum), buffer);
        for (int a = 0; a < Na; a++)
            if (buffer[a] >= least) {
                p->angle[p->n_entries] = (uint16_t)a;
                p->weight[p->n_entries++] = buffer[a];
                *kept += (double)buffer[a];
            }
        p->pair[p->n_pairs++] =
            (struct spi_posterior_pair){.image = k,
                                        .dir = s->dir ? s->dir[from + i] : (int32_t)i,
                                        .first = start,
                                        .count = (int32_t)(p->n_entries - start)};
    }
    return SPI_OK;
}

/* Vertex of the parabola through (-1, l), (0, c), (1, r): offset within +-1/2. */
static float vertex(float l, float c, float r)
{
    float curve = l - 2 * c + r;

    return curve < 0 ? fmaxf(-0.5F, fminf(0.5F, 0.5F * (l - r) / curve)) : 0;
}

static struct spi_best find_best(const struct spi_scores *s, const struct spi_views *v,
                                 int k)
{
    int Na = s->Na, at = 0;
    int64_t where = s->first[k];
    float top = -INFINITY, second = -INFINITY;
    double n0[3], near = cos(2 * v->cell);

    assert(s->first[k + 1] > s->first[k]);
    for (int64_t i = s->first[k]; i < s->first[k + 1]; i++) {
        float m = spi_max(Na, s->LL + i * Na);

        if (m > top)
            top = m, where = i;
    }

    const float *LL = s->LL + where * Na;
    int32_t dir = s->dir ? s->dir[where] : (int32_t)(where - s->first[k]);

    while (at < Na - 1 && LL[at] != top)
        at++;
    spi_sphere_point(v->nd, dir, n0);
    for (int64_t i = s->first[k]; i < s->first[k + 1]; i++) {
        float m = spi_max(Na, s->LL + i * Na);
        double n[3];

        if (m <= second)
            continue;
        spi_sphere_point(v->nd, s->dir ? s->dir[i] : i - s->first[k], n);
        if (n[0] * n0[0] + n[1] * n0[1] + n[2] * n0[2] < near)
            second = m;
    }

    float shift = vertex(LL[(at + Na - 1) % Na], LL[at], LL[(at + 1) % Na]);

    return (struct spi_best){.dir = dir,
                             .angle =
                                 (float)(2 * SPI_PI * ((double)at + (double)shift) / Na),
                             .score = top,
                             .margin = isinf(second) ? 0 : top - second};
}

spi_err spi_posterior_make(const struct spi_scores *s, const struct spi_views *views,
                           float beta, double perplexity, const float *S,
                           const int32_t *row, struct spi_posterior *out)
{
    spi_err err;
    float *buffer = NULL, least = (float)(least_weight / perplexity);

    *out = (struct spi_posterior){.n_images = s->n_images};
    SPI_TRY(err = SPI_NEW(buffer, s->Na, "posterior"), out);
    SPI_TRY(err = SPI_NEW(out->best, s->n_images, "posterior"), out);
    SPI_TRY(err = SPI_NEW(out->model_sum, s->n_images, "posterior"), out);
    for (int k = 0; k < s->n_images; k++) {
        int64_t pair0 = out->n_pairs, entry0 = out->n_entries;
        double kept, model = 0;

        out->best[k] = find_best(s, views, k);
        SPI_TRY(err = sparse_image(s, k, out->best[k].score, beta, least, buffer, out,
                                   &kept, &out->best[k].entropy),
                out);
        for (int64_t e = entry0; e < out->n_entries; e++)
            out->weight[e] = (float)((double)out->weight[e] / kept);
        for (int64_t i = pair0; S && i < out->n_pairs; i++) {
            const struct spi_posterior_pair *p = out->pair + i;
            const float *Sn = S + (row ? row[p->dir] : p->dir) * (int64_t)s->Na;

            for (int64_t e = p->first; e < p->first + p->count; e++)
                model += (double)out->weight[e] * (double)Sn[out->angle[e]];
        }
        out->model_sum[k] = S ? (float)model : 1;
    }
out:
    free(buffer);
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

struct ranked {
    float score;
    int32_t dir;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->dir < y->dir ? -1 : x->dir > y->dir;
}

spi_err spi_best_directions(const struct spi_scores *s, const struct spi_views *views,
                            int keep, int32_t *dirs)
{
    double apart = cos(1.5 * views->cell);

    for (int k = 0; k < s->n_images; k++) {
        int64_t n = s->first[k + 1] - s->first[k];
        struct ranked *list;
        spi_err err = SPI_NEW(list, n, "candidates");
        double kept[32][3];
        int found = 0;

        if (err)
            return err;
        for (int64_t i = 0; i < n; i++)
            list[i] = (struct ranked){spi_max(s->Na, s->LL + (s->first[k] + i) * s->Na),
                                      s->dir ? s->dir[s->first[k] + i] : (int32_t)i};
        qsort(list, (size_t)n, sizeof *list, by_score);
        for (int64_t i = 0; i < n && found < keep && found < 32; i++) {
            double p[3];
            bool far = true;

            spi_sphere_point(views->nd, list[i].dir, p);
            for (int j = 0; j < found && far; j++)
                far = p[0] * kept[j][0] + p[1] * kept[j][1] + p[2] * kept[j][2] < apart;
            if (!far)
                continue;
            memcpy(kept[found], p, sizeof p);
            dirs[k * keep + found++] = list[i].dir;
        }
        for (; found < keep; found++)
            dirs[k * keep + found] = -1;
        free(list);
    }
    return SPI_OK;
}
