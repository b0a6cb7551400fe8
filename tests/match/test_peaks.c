/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Scores of which only the peaks are kept, and soft weights, against the scores of all pairs.
 *
 * What is compared is computed by the same kernels in the same order, so equality is exact.
 */
#include <complex.h>
#include <stdio.h>
#include <string.h>

#include "likelihood/rows.h"
#include "match/posterior.h"
#include "nufft/nufft.h"
#include "scene.h"
#include "slice/templates.h"
#include "tap.h"

enum { IMAGES = 40 };

static struct spi_rings g;
static struct spi_detector det;
static struct spi_ring_map map;
static spi_nufft *plan;
static float *grid;
static float complex *h;
static const float complex *row[IMAGES];

static void must(spi_err err)
{
    if (err)
        OK(0, "%s", spi_err_message());
}

static void make_images(void)
{
    struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, 0);
    float image[SCENE_PIXELS], *samples = spi_alloc((size_t)g.at[g.R], 4, "s");

    h = spi_alloc((size_t)(IMAGES * g.h_at[g.R]), sizeof *h, "h");
    for (int k = 0; k < IMAGES; k++) {
        double quat[4], M[9];

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, M);
        scene_image(&det, M, 100, image);
        spi_ring_resample(&map, &g, image, samples);
        row[k] = h + k * g.h_at[g.R];
        must(spi_ring_analyse(&g, g.R, samples, h + k * g.h_at[g.R]));
    }
    free(samples);
}

/* Templates of all directions of a level. */
struct model {
    float *templates, *table, *S;
};

static struct model model_of(const struct spi_band *b, struct spi_views v)
{
    struct spi_template_spec spec = {
        .rings = &g, .band = b, .map = &map, .views = v, .like = &spi_likelihood_poisson};
    struct model m = {spi_alloc((size_t)(v.nd * b->floats), 4, "t"),
                      spi_alloc((size_t)(v.nd * v.Na), 4, "t"),
                      spi_alloc((size_t)(v.nd * v.Na), 4, "S")};

    must(spi_templates_make(&spec, plan, grid, NULL, 0, v.nd, m.templates, m.table, m.S));
    return m;
}

static void model_free(struct model *m)
{
    free(m->templates), free(m->table), free(m->S);
}

/* All images against all directions of a band. */
static struct spi_score_input input_of(const struct spi_band *b, struct spi_views v,
                                       const struct model *m, float *records, float *counts)
{
    for (int k = 0; k < IMAGES; k++) {
        spi_band_pack(b, &g, row[k], NULL, records + (int64_t)k * b->floats);
        counts[k] = spi_ring_counts(&g, b->R, row[k]);
    }
    return (struct spi_score_input){.band = b,
                                    .views = v,
                                    .like = &spi_likelihood_poisson,
                                    .templates = m->templates,
                                    .table = m->table,
                                    .n_images = IMAGES,
                                    .records = records,
                                    .counts = counts};
}

/* Kept rows are those within the drop, with the same bits; so are all tops. */
static void check_peaks(const struct spi_scores *all, const struct spi_score_input *in,
                        double drop)
{
    struct spi_scores s;
    int rows = 0, same = 1, tops = 1;
    int64_t nd = in->views.nd;

    must(spi_score_peaks(in, drop, &s));
    for (int k = 0; k < IMAGES; k++) {
        float best = -INFINITY;
        int64_t i = s.first[k];

        for (int64_t d = 0; d < nd; d++)
            best = fmaxf(best, all->row_top[k * nd + d]);
        for (int64_t d = 0; d < nd; d++) {
            float top = all->row_top[k * nd + d];

            tops &= s.top[k * nd + d] == top;
            if ((double)top < (double)best - drop)
                continue;
            same &= i < s.first[k + 1] && s.dir[i] == d && s.row_top[i] == top &&
                    memcmp(s.LL + i * s.Na, all->LL + (k * nd + d) * s.Na,
                           (size_t)s.Na * 4) == 0;
            i++;
            rows++;
        }
        same &= i == s.first[k + 1];
    }
    OK(same && tops, "within %g of the best: %d of %lld rows, the same bits", drop, rows,
       (long long)(IMAGES * nd));
    OK(drop > 0 ? rows > 2 * IMAGES : rows == IMAGES, "the drop decides how many are kept");
    spi_scores_clear(&s);
}

/* Weights from the peaks are those from all scores but for what the sum lost. */
static void check_posterior(const struct spi_scores *all, const struct spi_score_input *in,
                            const struct model *m)
{
    const double perplexity = 3, n = (double)in->views.nd * in->views.Na;
    float beta = 0.5F * spi_posterior_beta(all, perplexity, 0);
    struct spi_scores few;
    struct spi_posterior a, b;
    double worst = 0, entropy = 0;
    int same = 1;
    int32_t far[IMAGES * 5], near[IMAGES * 5];

    must(spi_score_peaks(in, spi_posterior_drop(beta, perplexity, n), &few));
    must(spi_posterior_make(all, &in->views, beta, perplexity, m->S, NULL, &a));
    must(spi_posterior_make(&few, &in->views, beta, perplexity, m->S, NULL, &b));
    for (int k = 0; k < IMAGES; k++) {
        worst = fmax(worst, fabs((double)(b.model_sum[k] / a.model_sum[k]) - 1));
        same &= a.best[k].dir == b.best[k].dir && a.best[k].angle == b.best[k].angle &&
                a.best[k].score == b.best[k].score && a.best[k].margin == b.best[k].margin;
        entropy = fmax(entropy, fabs((double)(a.best[k].entropy - b.best[k].entropy)));
    }
    OK(few.first[IMAGES] < all->first[IMAGES], "%lld of %lld rows are kept",
       (long long)few.first[IMAGES], (long long)all->first[IMAGES]);
    OK(same, "the same best orientations and margins");
    /* a share d of the weights, spread over n, is lost: d (ln n + 1 - ln d) nats at most */
    double d = 1e-3 / perplexity, most = d * (log(n) + 1 - log(d));

    OK(entropy <= most, "entropy: %.4f nats apart, at most %.4f", entropy, most);
    /* the sum decides what is kept: it is short by at most 1e-3 / p (posterior.h), which
     * may keep weights up to that much below 1e-3 / p: n (1e-3 / p)^2 in all, S within 2 x
     */
    double bound = 2 * n * (1e-3 / perplexity) * (1e-3 / perplexity) + 1e-5;

    OK(worst <= bound, "expected counts: error / bound = %.3f", worst / bound);
    must(spi_best_directions(all, &in->views, 5, far));
    must(spi_best_directions(&few, &in->views, 5, near));
    OK(memcmp(far, near, sizeof far) == 0, "the same candidates");
    spi_posterior_clear(&a);
    spi_posterior_clear(&b);
    spi_scores_clear(&few);
}

/* The weights of image k as (M8) has them, [nd][Na], and (M4) from all scores, in double.
 */
static void soft_weights(const struct spi_soft *soft, int64_t nd, int k, double *P)
{
    for (int64_t d = 0; d < nd; d++) {
        int64_t at = (d / SPI_LANES * soft->n_images + k) * SPI_LANES, lane = d % SPI_LANES;

        for (int a = 0; a < soft->Na; a++)
            P[d * soft->Na + a] = (double)soft->scale[at + lane] *
                                  soft->q[at * soft->Na + a * SPI_LANES + lane];
    }
}

static void exact_weights(const struct spi_scores *all, int k, double beta, double *P)
{
    int64_t n = (all->first[k + 1] - all->first[k]) * all->Na;
    const float *LL = all->LL + all->first[k] * all->Na;
    double top = -INFINITY, Z = 0;

    for (int64_t i = 0; i < n; i++)
        top = fmax(top, (double)LL[i]);
    for (int64_t i = 0; i < n; i++)
        Z += P[i] = exp(beta * ((double)LL[i] - top));
    for (int64_t i = 0; i < n; i++)
        P[i] /= Z;
}

static bool same_best(const struct spi_best *a, const struct spi_best *b)
{
    return a->dir == b->dir && a->angle == b->angle && a->score == b->score &&
           a->margin == b->margin;
}

/* All weights, 16 bits each, against those of (M4): what is dropped, what is rounded.
 *
 * Relative: sums of Na and of 16 terms of a few roundings, the polynomial's 2.9e-6, the
 * argument of the exponential, |beta d| < 100, rounded three times.  Beside that half a
 * step of 1/65535 of the largest weight of its direction, altogether Na / 2 steps. */
static void check_soft(const struct spi_scores *all, const struct spi_score_input *in,
                       const struct model *m, double perplexity)
{
    int64_t nd = in->views.nd, n = nd * in->views.Na;
    float beta = spi_posterior_beta(all, perplexity, 0);
    double *P = spi_alloc((size_t)n, 8, "P"), *exact = spi_alloc((size_t)n, 8, "P");
    double relative = gamma_f32(in->views.Na + 40) + 2.9e-6 + 4e-7 + 300 * 0x1p-24;
    double worst = 0, apart = 0, most_lost = 0, sums = 0, model = 0, entropy = 0, other = 0;
    struct spi_soft soft;
    struct spi_scores scores;
    struct spi_posterior a, b;
    int same = 1, tiles = 0;
    int32_t far[IMAGES * 5], near[IMAGES * 5];

    must(spi_soft_init(&soft, IMAGES, nd, in->views.Na));
    must(spi_score_soft(in, beta, m->S, &soft, &scores));
    must(spi_posterior_soft(&scores, &in->views, beta, &soft, &a));
    must(spi_posterior_make(all, &in->views, beta, perplexity, m->S, NULL, &b));
    for (int k = 0; k < IMAGES; k++) {
        double lost = 0, sum = 0, S = 0, gap = 0, next = 0;

        soft_weights(&soft, nd, k, P);
        exact_weights(all, k, (double)beta, exact);
        for (int64_t d = 0; d < nd; d++) {
            bool dropped =
                soft.scale[(d / SPI_LANES * IMAGES + k) * SPI_LANES + d % SPI_LANES] == 0;

            for (int i = 0; i < in->views.Na; i++)
                lost += dropped ? exact[d * in->views.Na + i] : 0;
            tiles += dropped && d % SPI_LANES == 0;
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t d = i / in->views.Na;
            double half =
                0.5 *
                (double)
                    soft.scale[(d / SPI_LANES * IMAGES + k) * SPI_LANES + d % SPI_LANES];
            double want = half > 0 ? exact[i] / (1 - lost) : 0;

            worst = fmax(worst, fabs(P[i] - want) / (half + relative * want + 1e-30));
            next = fmax(next,
                        fabs(P[i] - exact[(i + 1) % n]) / (half + relative * want + 1e-30));
            sum += P[i];
            S += want * (double)m->S[i];
            gap += fabs(P[i] - exact[i]);
        }
        apart = fmax(apart, gap);
        most_lost = fmax(most_lost, lost);
        sums = fmax(sums, fabs(sum - 1));
        other = fmax(other, next);
        model = fmax(model, fabs((double)a.model_sum[k] / S - 1));
        entropy = fmax(entropy, fabs((double)(a.best[k].entropy - b.best[k].entropy)));
        same &= same_best(a.best + k, b.best + k);
    }
    double rounding = in->views.Na / 131070.0;

    OK(worst <= 1, "perplexity %g, 16 bits: error / bound = %.3f", perplexity, worst);
    OK(other > 1, "the weight of another angle is noticed");
    OK(most_lost <= 5e-3 && tiles > IMAGES, "%.1e dropped, %d tiles of %lld", most_lost,
       tiles, (long long)(IMAGES * soft.tiles));
    OK(apart <= 1e-2 + rounding + relative, "all together %.1e from (M4)", apart);
    OK(sums <= rounding + relative, "they add to 1: error %.1e", sums);
    OK(model <= 2 * relative, "expected counts: error / bound = %.3f",
       model / (2 * relative));
    /* sums good to `relative`, log Z and beta <LL> below 20 of them */
    OK(entropy <= 22 * relative + 22 * gamma_f32(1026), "entropy: %.1e nats apart",
       entropy);
    OK(same, "the same best orientations and margins");
    must(spi_best_directions(all, &in->views, 5, far));
    must(spi_best_directions(&scores, &in->views, 5, near));
    OK(memcmp(far, near, sizeof far) == 0, "the same candidates");
    spi_posterior_clear(&a);
    spi_posterior_clear(&b);
    spi_scores_clear(&scores);
    spi_soft_clear(&soft);
    free(P), free(exact);
}

/* Rows in another order, with their names: the same answers, but for the order of
 * candidates that tie. */
static void check_names(const struct spi_score_input *in, const struct model *m)
{
    int64_t nd = in->views.nd, floats = in->band->floats, Na = in->views.Na;
    struct model rotated = model_of(in->band, in->views);
    struct spi_score_input back = *in;
    struct spi_scores scores[2];
    struct spi_posterior post[2];
    int32_t *name = spi_alloc((size_t)nd, sizeof *name, "name"), dirs[2][IMAGES * 5];
    int same = 1, named = 0;
    int64_t entries = 0;

    for (int32_t d = 0; d < nd; d++) {
        name[d] = (int32_t)nd - 1 - d;
        memcpy(rotated.templates + d * floats, m->templates + name[d] * floats,
               (size_t)floats * sizeof *rotated.templates);
        memcpy(rotated.table + d * Na, m->table + name[d] * Na,
               (size_t)Na * sizeof *rotated.table);
    }
    back.templates = rotated.templates;
    back.table = rotated.table;
    for (int i = 0; i < 2; i++) {
        must(spi_score_peaks(i ? &back : in, 100, scores + i));
        scores[i].name = i ? name : NULL;
        must(spi_posterior_make(scores + i, &in->views, 0.1F, 3, NULL, NULL, post + i));
        must(spi_best_directions(scores + i, &in->views, 5, dirs[i]));
    }
    for (int k = 0; k < IMAGES; k++)
        same &= same_best(post[0].best + k, post[1].best + k);
    for (int i = 0; i < IMAGES * 5; i++) {
        const float *top = scores[0].top + i / 5 * nd;

        same &= dirs[0][i] == dirs[1][i] ||
                (dirs[0][i] >= 0 && dirs[1][i] >= 0 && top[dirs[0][i]] == top[dirs[1][i]]);
    }
    for (int64_t i = 0; i < post[1].n_pairs; i++) {
        const struct spi_posterior_pair *p = post[1].pair + i, *q = post[0].pair;

        while (q->image != p->image || q->dir != p->dir)
            if (++q == post[0].pair + post[0].n_pairs)
                break;
        named += q < post[0].pair + post[0].n_pairs && q->count == p->count &&
                 memcmp(post[0].weight + q->first, post[1].weight + p->first,
                        (size_t)p->count * sizeof(float)) == 0;
        entries += p->count;
    }
    OK(same, "rows in another order: the same best directions and candidates");
    OK(named == post[0].n_pairs && entries == post[0].n_entries && named > IMAGES,
       "the same weights of %d pairs", named);
    for (int i = 0; i < 2; i++) {
        spi_posterior_clear(post + i);
        spi_scores_clear(scores + i);
    }
    model_free(&rotated);
    free(name);
}

int main(void)
{
    float *A = scene_A(SCENE_N, scene_dx), counts[IMAGES], *records;
    struct spi_band band;
    struct spi_scores all;
    struct model m;

    if (scene_detector(&det) || scene_rings(&g) || spi_ring_map_init(&map, &g, &det) ||
        spi_band_init(&band, &g, g.R) || spi_nufft_new(SCENE_N, scene_dx, 1e-6, &plan) ||
        spi_nufft_grid_new(plan, 1, &grid) || spi_nufft_prepare(plan, A, grid)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    make_images();

    struct spi_views views = spi_views_for(&g, &band, 1);

    m = model_of(&band, views);
    records = spi_alloc((size_t)(IMAGES * band.floats), 4, "records");

    struct spi_score_input in = input_of(&band, views, &m, records, counts);

    must(spi_score_all(&in, &all));
    check_peaks(&all, &in, 0);
    check_peaks(&all, &in, 500);
    check_posterior(&all, &in, &m);
    check_soft(&all, &in, &m, 0.05 * (double)views.nd * views.Na);
    check_soft(&all, &in, &m, 3);
    check_names(&in, &m);
    spi_scores_clear(&all);
    model_free(&m);
    free(A), free(grid), free(h), free(records);
    spi_nufft_free(plan);
    spi_band_clear(&band);
    spi_ring_map_clear(&map);
    spi_rings_clear(&g);
    spi_detector_clear(&det);
    return tap_done();
}
