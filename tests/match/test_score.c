/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Scores of images against templates, for every row of the table of likelihoods: all pairs,
 * some pairs and the literal sums (B4).
 *
 * Bound: a score is sum_r,m of products conj(c_rm) L_rm, at most 2 R M of them, added in
 * float in any order by the matrix products and the angular transform: gamma_{2R + M + 8}
 * of the sum of absolute values (all_abs); the record's own transforms add 4 log2(n) u of
 * the same; T, read from the grid with positions rounded in two ways, is the same to 1e-5
 * (tests/slice), so log T and the log of a sum are the same to 1e-5 of the counts, (M2) to
 * 4e-5 of itself. */
#include <complex.h>
#include <string.h>

#include "match/score.h"
#include "math/sphere.h"
#include "nufft/nufft.h"
#include "scene.h"
#include "slice/templates.h"
#include "tap.h"

enum { IMAGES = 5, PAIRS = 9 };

static struct spi_rings g;
static struct spi_detector det;
static struct spi_ring_map map;
static struct spi_band band;
static spi_nufft *plan;
static float *grid;

static double all_abs(const float *record, const float *template)
{
    double sum = 0;

    for (int m = 0; m < band.M; m++)
        for (int r = band.first[m]; r < band.R; r++) {
            int at = spi_band_at(&band, r, m), im = at + SPI_LANES;

            sum += (m ? 2 : 1) * (double)((fabsf(record[at]) + fabsf(record[im])) *
                                          (fabsf(template[at]) + fabsf(template[im])));
        }
    return sum;
}

struct stage {
    struct spi_score_input in;
    float *templates, *table, *S, *records, *samples, counts[IMAGES], inv_var[64];
};

static void make(const struct spi_likelihood *like, struct stage *s)
{
    struct spi_views views = spi_views_for(&g, &band, 1);
    struct spi_template_spec spec = {.rings = &g,
                                     .band = &band,
                                     .map = &map,
                                     .views = views,
                                     .like = like,
                                     .inv_var = like->weighted ? s->inv_var : NULL};
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, 0);
    double mean[64], variance[64];
    float complex *h = spi_alloc((size_t)g.h_at[g.R], sizeof *h, "h");
    float image[SCENE_PIXELS];

    views.nd = 150; /* two tiles of 64 and a rest */
    spec.views = views;
    for (int r = 0; r < 64; r++)
        mean[r] = 1, variance[r] = 1 / (1 + (double)(r % 5) / 4);
    if (like->weighted)
        like->inv_var(64, mean, variance, s->inv_var);
    s->templates = spi_alloc((size_t)(views.nd * band.floats), 4, "t");
    s->table = spi_alloc((size_t)(views.nd * views.Na), 4, "t");
    s->S = spi_alloc((size_t)(views.nd * views.Na), 4, "S");
    s->records = spi_alloc((size_t)(IMAGES * band.floats), 4, "r");
    s->samples = spi_alloc((size_t)(IMAGES * g.at[g.R]), 4, "s");
    if (spi_templates_make(&spec, plan, grid, NULL, 0, views.nd, s->templates, s->table,
                           s->S))
        OK(0, "%s", spi_err_message());
    for (int k = 0; k < IMAGES; k++) {
        double quat[4], M[9], sum = 0;
        float *samples = s->samples + k * g.at[g.R];

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, M);
        scene_image(&det, M, 20 * (k + 1), image);
        for (int p = 0; p < SCENE_PIXELS && k % 2; p++)
            image[p] = (float)spi_rng_poisson(&rng, (double)image[p]);
        if (k == 4) /* an empty image has a flat score */
            memset(image, 0, sizeof image);
        spi_ring_resample(&map, &g, image, samples);
        if (spi_ring_analyse(&g, g.R, samples, h))
            OK(0, "%s", spi_err_message());
        spi_band_pack(&band, &g, h, NULL, s->records + k * band.floats);
        for (int i = 0; i < g.at[band.R]; i++)
            sum += (double)samples[i];
        s->counts[k] = (float)sum;
    }
    s->in = (struct spi_score_input){.band = &band,
                                     .views = views,
                                     .like = like,
                                     .templates = s->templates,
                                     .table = s->table,
                                     .n_images = IMAGES,
                                     .records = s->records,
                                     .counts = s->counts};
    free(h);
}

static void stage_free(struct stage *s)
{
    free(s->templates), free(s->table), free(s->S), free(s->records), free(s->samples);
}

static double bound_of(const struct stage *s, int k, int d, double LL, double count_abs)
{
    double sum = all_abs(s->records + k * band.floats, s->templates + d * band.floats);
    double float_sums =
        gamma_f32(2 * band.R + band.M + 8) + 4 * log2(g.n[band.R - 1]) * 0x1p-24;

    if (s->in.like->form == SPI_FORM_DIFFERENCE)
        return float_sums * (sum + 20 * count_abs) + 2e-5 * count_abs; /* |table| < 20 */
    return 4e-5 * LL +
           2 * float_sums * sum * sqrt(2 * LL / (double)s->table[d * s->in.views.Na]);
}

static void check_against_ref(const struct stage *s, const struct spi_scores *all)
{
    const char *name = s->in.like->name;
    int Na = s->in.views.Na;
    static const int dirs[] = {63, 149};
    float(*pos)[3] = spi_alloc((size_t)g.at[g.R], sizeof *pos, "p");
    spi_points *points = NULL;
    float *T = spi_alloc((size_t)g.at[g.R], 4, "T");
    double *LL = spi_alloc((size_t)Na, 8, "LL"), worst = 0, wrong = 0;

    for (int i = 0; i < 2; i++) {
        static const double identity[1][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1}};
        double dir[3], Rn[9];
        int d = dirs[i];

        spi_sphere_point(s->in.views.nd, d, dir);
        spi_rot_to_direction(dir, Rn);
        spi_ring_positions(&g, g.R, Rn, 1, pos);
        if (spi_points_new(plan, g.at[g.R], (const float(*)[3])pos, &points) ||
            spi_nufft_slice(points, grid, 1, identity, T))
            OK(0, "%s", spi_err_message());
        spi_points_free(points);
        for (int k = 0; k < IMAGES; k += 3 - i) { /* 0 3, then 0 2 4 */
            const float *samples = s->samples + k * g.at[g.R];
            double count_abs = 0;

            for (int j = 0; j < g.at[band.R]; j++)
                count_abs += fabs((double)samples[j]);
            spi_score_ref(&g, band.R, Na, s->in.like, T, map.live,
                          s->in.like->weighted ? s->inv_var : NULL, samples, LL);
            for (int a = 0; a < Na; a++) {
                const float *got = all->LL + (all->first[k] + d) * Na;
                double bound = bound_of(s, k, d, LL[a], count_abs) + 1e-30;

                worst = fmax(worst, fabs((double)got[a] - LL[a]) / bound);
                wrong = fmax(wrong, fabs((double)got[(Na - a) % Na] - LL[a]) / bound);
            }
        }
    }
    OK(worst <= 1, "%s: all pairs against the sums: error / bound = %.3f", name, worst);
    OK(wrong > 1, "%s: the other sense of turning is noticed", name);
    free(pos), free(T), free(LL);
}

static void check_some(const struct stage *s, const struct spi_scores *all)
{
    static const int64_t first[IMAGES + 1] = {0, 2, 3, 3 + 4, PAIRS, PAIRS};
    static const int32_t dir[PAIRS] = {149, 3, 64, 5, 4, 3, 64, 0, 149};
    static const int32_t used[] = {0, 3, 4, 5, 64, 149};
    const char *name = s->in.like->name;
    int Na = s->in.views.Na, floats = band.floats;
    int32_t row[150];
    struct stage few = *s;
    struct spi_scores some, rows;
    double worst = 0, wrong = 0;

    few.templates = spi_alloc((size_t)(6 * floats), 4, "t");
    few.table = spi_alloc((size_t)(6 * Na), 4, "t");
    memset(row, 0xff, sizeof row);
    for (int i = 0; i < 6; i++) {
        row[used[i]] = i;
        memcpy(few.templates + i * floats, s->templates + used[i] * floats,
               (size_t)floats * 4);
        memcpy(few.table + i * Na, s->table + used[i] * Na, (size_t)Na * 4);
    }
    few.in.templates = few.templates;
    few.in.table = few.table;
    OK(spi_score_some(&s->in, first, dir, NULL, &some) == SPI_OK, "%s: some pairs", name);
    OK(spi_score_some(&few.in, first, dir, row, &rows) == SPI_OK, "%s: by rows", name);
    for (int k = 0; k < IMAGES; k++)
        for (int64_t i = first[k]; i < first[k + 1]; i++)
            for (int a = 0; a < Na; a++) {
                double want = (double)all->LL[(all->first[k] + dir[i]) * Na + a];
                double other = (double)all->LL[(all->first[k] + dir[i] / 2) * Na + a];
                double bound = 2 * bound_of(s, k, dir[i], want, (double)s->counts[k] * 2);

                worst = fmax(worst, fabs((double)some.LL[i * Na + a] - want) / bound);
                wrong = fmax(wrong, fabs((double)some.LL[i * Na + a] - other) / bound);
            }
    OK(worst <= 1, "%s: some pairs as of all pairs: error / bound = %.3f", name, worst);
    OK(wrong > 1, "%s: another direction is noticed", name);
    OK(memcmp(some.LL, rows.LL, (size_t)(PAIRS * Na) * 4) == 0 &&
           memcmp(some.dir, dir, sizeof dir) == 0,
       "%s: a table of used rows gives the same bits", name);
    spi_scores_clear(&some);
    spi_scores_clear(&rows);
    free(few.templates), free(few.table);
}

/* The image made at a direction and angle of the grid scores best there. */
static void check_finds(const struct stage *s)
{
    int Na = s->in.views.Na, best = 0, d = 77, a = 11;
    float complex *h = spi_alloc((size_t)g.h_at[g.R], sizeof *h, "h");
    float image[SCENE_PIXELS], *samples = spi_alloc((size_t)g.at[g.R], 4, "s"), count = 0;
    struct spi_score_input in = s->in;
    struct spi_scores one;
    double dir[3], M[9];

    spi_sphere_point(in.views.nd, d, dir);
    spi_rot_view(dir, 2 * SPI_PI * a / Na, M);
    scene_image(&det, M, 100, image);
    spi_ring_resample(&map, &g, image, samples);
    if (spi_ring_analyse(&g, g.R, samples, h))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < g.at[band.R]; i++)
        count += samples[i];
    spi_band_pack(&band, &g, h, NULL, s->records);
    in.n_images = 1;
    in.counts = &count;
    if (spi_score_all(&in, &one))
        OK(0, "%s", spi_err_message());
    for (int i = 0; i < in.views.nd * Na; i++)
        if (one.LL[i] > one.LL[best])
            best = i;
    OK(best == d * Na + a, "the image of direction %d, angle %d is found at %d, %d", d, a,
       best / Na, best % Na);
    spi_scores_clear(&one);
    free(h), free(samples);
}

static void check_row(const struct spi_likelihood *like)
{
    struct stage s;
    struct spi_scores all;

    make(like, &s);
    OK(spi_score_all(&s.in, &all) == SPI_OK && all.first[IMAGES] == IMAGES * 150, "scored");
    check_against_ref(&s, &all);
    check_some(&s, &all);
    check_finds(&s);
    spi_scores_clear(&all);
    stage_free(&s);
}

int main(void)
{
    float *A = scene_A(SCENE_N, scene_dx);

    if (scene_detector(&det) || scene_rings(&g) || spi_ring_map_init(&map, &g, &det) ||
        spi_band_init(&band, &g, g.R - 2) ||
        spi_nufft_new(SCENE_N, scene_dx, 1e-6, &plan) ||
        spi_nufft_grid_new(plan, 1, &grid) || spi_nufft_prepare(plan, A, grid)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    for (int i = 0; spi_likelihoods[i]; i++)
        if (spi_likelihoods[i]->rings)
            check_row(spi_likelihoods[i]);
    free(A);
    free(grid);
    spi_nufft_free(plan);
    spi_band_clear(&band);
    spi_ring_map_clear(&map);
    spi_rings_clear(&g);
    spi_detector_clear(&det);
    return tap_done();
}
