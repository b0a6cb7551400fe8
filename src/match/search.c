/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/search.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/sphere.h"

/* Cells of the coarser grid around each candidate: no direction is farther than 0.7 of a
 * cell from a grid point, so the best is within 0.7 of the right candidate; the rest is for
 * noise and for what the next rings change. */
static const double reach = 1.2, reach_same_rings = 0.8, largest_step = 1.4;

/* ---- levels ------------------------------------------------------------------------- */

static spi_err add_level(struct spi_search *s, double q, double finer)
{
    const struct spi_rings *g = s->rings;
    struct spi_search_level *l = &s->level[s->n], *before = s->n ? l - 1 : NULL;
    spi_err err;

    if (s->n == SPI_SEARCH_LEVELS)
        return spi_fail(SPI_EINVAL, "coarse to fine: more than %d levels",
                        SPI_SEARCH_LEVELS);
    if ((err = spi_band_init(&l->band, g, spi_rings_upto(g, q))))
        return err;
    s->n++;
    l->views = spi_views_for(g, &l->band, finer);
    l->keep = before ? 3 : SPI_SEARCH_KEEP;
    if (before) {
        l->radius =
            before->views.cell * (before->band.R == l->band.R ? reach_same_rings : reach);
        err = SPI_NEW(l->near, before->views.nd * SPI_SEARCH_NEAR, "search");
    }
    return err;
}

spi_err spi_search_init(struct spi_search *s, const struct spi_rings *g,
                        const struct spi_likelihood *like, double q_start, double finer)
{
    double q_max = g->q[g->R - 1];
    int steps = q_max > q_start ? (int)ceil(log(q_max / q_start) / log(largest_step)) : 0;
    spi_err err = SPI_OK;

    *s = (struct spi_search){.rings = g, .like = like};
    for (int i = 0; i <= steps && !err; i++)
        err = add_level(s, q_max * pow(q_start / q_max, steps ? 1 - (double)i / steps : 0),
                        finer < 1 ? finer : 1);
    for (double f = 1; f < finer && !err;) {
        f = 2 * f < finer ? 2 * f : finer;
        err = add_level(s, q_max, f);
    }
    if (err)
        spi_search_clear(s);
    return err;
}

void spi_search_clear(struct spi_search *s)
{
    for (int l = 0; l < s->n; l++) {
        spi_band_clear(&s->level[l].band);
        free(s->level[l].near);
    }
    *s = (struct spi_search){0};
}

/* ---- neighbours --------------------------------------------------------------------- */

void spi_search_near(const struct spi_search *s, int l, int64_t first, int64_t n,
                     const uint8_t *used)
{
    const struct spi_search_level *level = &s->level[l];

    for (int64_t d = first; d < first + n; d++) {
        int32_t *near = level->near + d * SPI_SEARCH_NEAR;
        double dir[3];
        int found;

        if (used && !used[d])
            continue;
        spi_sphere_point(s->level[l - 1].views.nd, d, dir);
        found = spi_sphere_near(level->views.nd, dir, level->radius, SPI_SEARCH_NEAR, near);
        if (found < SPI_SEARCH_NEAR)
            near[found] = -1;
    }
}

void spi_search_mark(const struct spi_search *s, int l, int64_t n,
                     const int32_t *candidates, uint8_t *used)
{
    const struct spi_search_level *level = &s->level[l];

    for (int64_t i = 0; i < n * SPI_SEARCH_KEEP; i++) {
        const int32_t *near = level->near + (int64_t)candidates[i] * SPI_SEARCH_NEAR;

        for (int j = 0; candidates[i] >= 0 && j < SPI_SEARCH_NEAR && near[j] >= 0; j++)
            used[near[j]] = 1;
    }
}

/* ---- order -------------------------------------------------------------------------- */

spi_err spi_search_order(const struct spi_search *s, int64_t n, const int32_t *candidates,
                         int64_t *order)
{
    int64_t nd = s->level[0].views.nd, *at = NULL;
    int32_t *near = NULL, *rank = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(near, nd, "search"), out);
    SPI_TRY(err = SPI_NEW(rank, nd, "search"), out);
    SPI_TRY(err = SPI_NEW(at, nd + 1, "search"), out);
    SPI_TRY(err = spi_sphere_order(nd, 2 * s->level[0].views.cell, near), out);
    for (int32_t i = 0; i < nd; i++)
        rank[near[i]] = i;
    for (int64_t k = 0; k < n; k++)
        at[rank[candidates[k * SPI_SEARCH_KEEP]] + 1]++;
    for (int64_t d = 0; d < nd; d++)
        at[d + 1] += at[d];
    for (int64_t k = 0; k < n; k++)
        order[at[rank[candidates[k * SPI_SEARCH_KEEP]]]++] = k;
out:
    free(near);
    free(rank);
    free(at);
    return err;
}

/* ---- comparison --------------------------------------------------------------------- */

/* Records and counts of n images on the rings of a level. */
struct block {
    float *records, *counts;
    struct spi_score_input in;
};

static spi_err block_init(const struct spi_search *s, int l, int n,
                          const float complex *const *h, struct block *b)
{
    const struct spi_search_level *level = &s->level[l];
    const struct spi_rings *g = s->rings;
    spi_err err;

    *b = (struct block){0};
    SPI_TRY(err = SPI_NEW(b->records, (int64_t)n * level->band.floats, "images"), out);
    SPI_TRY(err = SPI_NEW(b->counts, n, "images"), out);
    for (int i = 0; i < n; i++) {
        spi_band_pack(&level->band, g, h[i], NULL,
                      b->records + (int64_t)i * level->band.floats);
        b->counts[i] = spi_ring_counts(g, level->band.R, h[i]);
    }
    b->in = (struct spi_score_input){.band = &level->band,
                                     .views = level->views,
                                     .like = s->like,
                                     .templates = level->templates,
                                     .table = level->table,
                                     .n_images = n,
                                     .records = b->records,
                                     .counts = b->counts};
out:
    return err;
}

static void block_clear(struct block *b)
{
    free(b->records);
    free(b->counts);
}

spi_err spi_search_coarse(const struct spi_search *s, int n, const float complex *const *h,
                          int32_t *candidates)
{
    struct spi_scores scores = {0};
    struct block b;
    spi_err err;

    SPI_TRY(err = block_init(s, 0, n, h, &b), out);
    SPI_TRY(err = spi_score_peaks(&b.in, 0, &scores), out);
    err = spi_best_directions(&scores, &s->level[0].views, SPI_SEARCH_KEEP, candidates);
out:
    spi_scores_clear(&scores);
    block_clear(&b);
    return err;
}

/* Directions near the candidates of each image, each once. */
static spi_err gather(const struct spi_search *s, int l, int n, int32_t *const *candidates,
                      int64_t *first, int32_t **dir)
{
    const struct spi_search_level *level = &s->level[l];
    int32_t *mark = NULL;
    int64_t count = 0;
    spi_err err;

    SPI_TRY(err = SPI_NEW(mark, level->views.nd, "search"), out);
    SPI_TRY(err = SPI_NEW(*dir, (int64_t)n * SPI_SEARCH_KEEP * SPI_SEARCH_NEAR, "search"),
            out);
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < SPI_SEARCH_KEEP && candidates[i][c] >= 0; c++) {
            const int32_t *near = level->near + (int64_t)candidates[i][c] * SPI_SEARCH_NEAR;

            for (int j = 0; j < SPI_SEARCH_NEAR && near[j] >= 0; j++)
                if (mark[near[j]] != i + 1) {
                    mark[near[j]] = i + 1;
                    (*dir)[count++] = near[j];
                }
        }
        first[i + 1] = count;
    }
out:
    free(mark);
    return err;
}

/* Best orientations and fluences of the last level. */
static spi_err store(const struct spi_search_level *level, const struct spi_scores *scores,
                     const float *counts, struct spi_best *best, float *fluence)
{
    struct spi_posterior post;
    spi_err err =
        spi_posterior_make(scores, &level->views, 1, 1, level->S, level->row, &post);

    if (err)
        return err;
    for (int i = 0; i < scores->n_images; i++) {
        best[i] = post.best[i];
        fluence[i] = post.model_sum[i] > 0 ? counts[i] / post.model_sum[i] : 0;
    }
    spi_posterior_clear(&post);
    return SPI_OK;
}

spi_err spi_search_fine(const struct spi_search *s, int l, int n,
                        const float complex *const *h, int32_t *const *candidates,
                        struct spi_best *best, float *fluence)
{
    const struct spi_search_level *level = &s->level[l];
    struct spi_scores scores = {0};
    struct block b = {0};
    int64_t *first = NULL;
    int32_t *dir = NULL, *kept = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(first, n + 1, "search"), out);
    SPI_TRY(err = SPI_NEW(kept, n * level->keep, "search"), out);
    SPI_TRY(err = block_init(s, l, n, h, &b), out);
    SPI_TRY(err = gather(s, l, n, candidates, first, &dir), out);
    SPI_TRY(err = spi_score_some(&b.in, first, dir, level->row, &scores), out);
    if (best)
        SPI_TRY(err = store(level, &scores, b.counts, best, fluence), out);
    SPI_TRY(err = spi_best_directions(&scores, &level->views, level->keep, kept), out);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < SPI_SEARCH_KEEP; c++)
            candidates[i][c] = c < level->keep ? kept[i * level->keep + c] : -1;
out:
    spi_scores_clear(&scores);
    block_clear(&b);
    free(first);
    free(dir);
    free(kept);
    return err;
}
