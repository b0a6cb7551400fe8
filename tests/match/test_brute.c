/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Brute-force matching against direct sums in double, and against matching on rings, for
 * every row of the table of likelihoods. */
#include <string.h>

#include "match/brute.h"
#include "match/score.h"
#include "math/sphere.h"
#include "slice/slice_pixels.h"
#include "slice/templates.h"
#include "stage_test.h"
#include "tap.h"

/* n voxels of dx hold the autocorrelation (66 A of radius); q_max dx = 0.36 < 1/2 */
enum { N = 24, SIDE = 25, NP = SIDE * SIDE, IMAGES = 60 };
static const double tol = 1e-4, dx = 6, diameter = 62, q_min = 0.012, q_max = 0.06,
                    wavelength = 7.75;

struct scene {
    struct spi_detector det;
    struct spi_rings rings;
    struct spi_pixel_list l;
    spi_nufft *plan;
    float *grid, A[N * N * N], images[IMAGES][NP], inv_var[NP];
    double quat[IMAGES][4];
    struct spi_brute_images packed;
};

static spi_err scene_init(struct scene *s)
{
    spi_packed *kept = NULL;
    spi_err err;

    random_quats(11, IMAGES, s->quat);
    blob_autocorrelation(N, dx, 4, 1, s->A);
    SPI_TRY(err = curved_detector(&s->det, SIDE, q_max, wavelength), out);
    SPI_TRY(err = spi_rings_init(&s->rings, diameter, wavelength, q_min, q_max, 1.3), out);
    /* the same pixels as on the rings */
    SPI_TRY(err = spi_pixel_list_init(&s->l, &s->det, q_min, s->rings.q[s->rings.R - 1]),
            out);
    SPI_TRY(err = spi_nufft_new(N, dx, tol, &s->plan), out);
    SPI_TRY(err = spi_nufft_grid_new(s->plan, 1, &s->grid), out);
    SPI_TRY(err = spi_nufft_prepare(s->plan, s->A, s->grid), out);
    SPI_TRY(err = spi_packed_new(s->plan, s->grid, &kept), out);
    SPI_TRY(err = spi_slice_pixels(&s->l, IMAGES, NP, (const double(*)[4])s->quat, NULL,
                                   s->plan, kept, s->images[0]),
            out);
    err = spi_brute_images_init(&s->packed, &s->l, IMAGES, NP, s->images[0]);
    for (int64_t p = 0; p < s->l.n; p++) /* rises outwards, as 1 / variance does */
        s->inv_var[p] = s->l.kappa[p] * s->l.kappa[p];
out:
    spi_packed_free(kept);
    return err;
}

static void scene_clear(struct scene *s)
{
    spi_brute_images_clear(&s->packed);
    free(s->grid);
    spi_nufft_free(s->plan);
    spi_pixel_list_clear(&s->l);
    spi_rings_clear(&s->rings);
    spi_detector_clear(&s->det);
}

/* ---- against the twin --------------------------------------------------------------- */

/* An error of T of relative size e (l2, transform_bound; some pixels have more, their share
 * of the sums less) changes (B2) by less than 4 e of itself: C and B are known to e and 2
 * e. (B1) is a difference of numbers of the size |K|^2 + |g T|^2, each known to 2 e.  In
 * (B3) a pixel's logarithm moves by e mean(T) / T <= 50 e, T being floored at 2 % of the
 * mean, and its float sum by gamma of the log2(P) levels of a blocked sum times sum K
 * |log|. */
static double twin_bound(const struct spi_brute *b, const struct spi_brute_images *im,
                         int k, double want)
{
    double e = transform_bound(tol, N), u = gamma_f32(16);

    if (b->like->positive)
        return im->count[k] * 50 * e + u * fabs(want);
    if (b->like->rings)
        return (4 * e + 4 * u) * fabs(want);
    return (2 * e + 4 * u) * 2 * (im->norm2[k] + fabs(want));
}

static void against_twin(const struct scene *s, const struct spi_likelihood *like)
{
    enum { ORIENTATIONS = 3, SOME = 2 };
    struct spi_brute b;
    struct spi_brute_images some = {SOME, s->packed.row, s->packed.count, s->packed.norm2};
    double quat[ORIENTATIONS][4], worst = 0, nearest = INFINITY;
    double want[SOME][ORIENTATIONS], T[NP];
    float score[SOME][ORIENTATIONS];
    struct spi_brute_best best[SOME];

    memcpy(quat[0], s->quat[0], sizeof quat[0]); /* the right one of image 0 */
    random_quats(12, ORIENTATIONS - 1, quat + 1);
    for (int k = 0; k < SOME; k++) {
        best[k] = spi_brute_best_none;
        for (int o = 0; o < ORIENTATIONS; o++)
            score[k][o] = -INFINITY;
    }
    if (spi_brute_init(&b, like, &s->l, s->inv_var, 0.01) ||
        spi_brute_match(&b, s->plan, s->grid, 0, ORIENTATIONS, (const double(*)[4])quat,
                        &some, best, 1, ORIENTATIONS, score[0])) {
        OK(0, "%s", spi_err_message());
        return;
    }
    for (int k = 0; k < SOME; k++)
        for (int o = 0; o < ORIENTATIONS; o++)
            spi_brute_ref(&b, N, dx, s->A, quat[o], s->images[k], T, &want[k][o]);
    for (int k = 0; k < SOME; k++)
        for (int o = 0; o < ORIENTATIONS; o++) {
            double bound = twin_bound(&b, &some, k, want[k][o]), v = (double)score[k][o];

            worst = fmax(worst, fabs(v - want[k][o]) / bound);
            nearest = fmin(nearest, fabs(v - want[k][(o + 1) % ORIENTATIONS]) / bound);
        }
    OK(worst <= 1, "%s: error / bound = %.3f", like->name, worst);
    OK(nearest > 1, "%s: another orientation is told apart, %.1f bounds away at least",
       like->name, nearest);
    OK(best[0].at == 0 && fabs((double)best[0].fluence - 1) < 4 * transform_bound(tol, N),
       "%s: image 0 is found, fluence %.5f", like->name, (double)best[0].fluence);
    spi_brute_clear(&b);
}

/* ---- against rings ------------------------------------------------------------------ */

struct ring_match {
    struct spi_ring_map map;
    struct spi_band band;
    struct spi_views views;
    float *templates, *table, *S, *records, *counts, *inv_var;
    struct spi_scores scores;
};

static spi_err ring_match_init(struct ring_match *r, const struct scene *s)
{
    spi_err err;

    const struct spi_rings *g = &s->rings;

    SPI_TRY(err = spi_ring_map_init(&r->map, g, &s->det), out);
    SPI_TRY(err = spi_band_init(&r->band, g, g->R), out);
    r->views = spi_views_for(g, &r->band, 1);

    size_t nd = (size_t)r->views.nd, Na = (size_t)r->views.Na;

    r->templates = calloc(nd * (size_t)r->band.floats, sizeof(float));
    r->table = calloc(nd * Na, sizeof(float));
    r->S = calloc(nd * Na, sizeof(float));
    r->records = calloc((size_t)(IMAGES * r->band.floats), sizeof(float));
    r->counts = calloc(IMAGES, sizeof(float));
    r->inv_var = calloc((size_t)g->R, sizeof(float));
    for (int i = 0; i < g->R; i++)
        r->inv_var[i] = (float)(g->q[i] * g->q[i] / (g->q[g->R - 1] * g->q[g->R - 1]));
out:
    return err;
}

static void ring_match_clear(struct ring_match *r)
{
    spi_ring_map_clear(&r->map);
    spi_band_clear(&r->band);
    free(r->templates);
    free(r->table);
    free(r->S);
    free(r->records);
    free(r->counts);
    free(r->inv_var);
}

/* Scores of all images at all orientations on rings. */
static spi_err ring_scores(struct ring_match *r, const struct scene *s,
                           const struct spi_likelihood *like)
{
    const struct spi_rings *g = &s->rings;
    struct spi_template_spec spec = {.rings = g,
                                     .band = &r->band,
                                     .map = &r->map,
                                     .views = r->views,
                                     .like = like,
                                     .inv_var = like->weighted ? r->inv_var : NULL};
    float *samples = calloc((size_t)g->at[g->R], sizeof *samples);
    float complex *h = calloc((size_t)g->h_at[g->R], sizeof *h);
    spi_err err;

    SPI_TRY(err = spi_templates_make(&spec, s->plan, s->grid, NULL, 0, r->views.nd,
                                     r->templates, r->table, r->S),
            out);
    for (int k = 0; k < IMAGES; k++) {
        spi_ring_resample(&r->map, g, s->images[k], samples);
        SPI_TRY(err = spi_ring_analyse(g, g->R, samples, h), out);
        spi_band_pack(&r->band, g, h, NULL, r->records + k * r->band.floats);
        r->counts[k] = 0;
        for (int i = 0; i < g->at[g->R]; i++)
            r->counts[k] += samples[i];
    }

    struct spi_score_input in = {.band = &r->band,
                                 .views = r->views,
                                 .like = like,
                                 .templates = r->templates,
                                 .table = r->table,
                                 .n_images = IMAGES,
                                 .records = r->records,
                                 .counts = r->counts};

    err = spi_score_all(&in, &r->scores);
out:
    free(samples);
    free(h);
    return err;
}

static void view_matrix(const struct spi_views *v, int64_t at, double R[9])
{
    double quat[4];

    spi_view_quat(v, at / v->Na, 2 * SPI_PI * (double)(at % v->Na) / v->Na, quat);
    spi_rot_matrix(quat, R);
}

/* The best of `n` scores. */
static int64_t arg_max(int64_t n, const float *x)
{
    int64_t at = 0;

    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[at])
            at = i;
    return at;
}

static void against_rings(const struct scene *s, const struct spi_likelihood *like)
{
    struct ring_match r = {0};
    struct spi_brute b = {0};
    struct spi_brute_best best[IMAGES], twin[IMAGES];
    int64_t all = 0;
    double(*quat)[4] = NULL, far = 0, worst = 0;
    float *score = NULL;
    int equal = 0, near = 0, chance = 0;

    if (ring_match_init(&r, s) || ring_scores(&r, s, like) ||
        spi_brute_init(&b, like, &s->l, s->inv_var, s->rings.dq)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    all = r.views.nd * r.views.Na;
    quat = calloc((size_t)all, sizeof *quat);
    score = calloc((size_t)(IMAGES * all), sizeof *score);
    for (int64_t i = 0; i < all; i++)
        spi_view_quat(&r.views, i / r.views.Na,
                      2 * SPI_PI * (double)(i % r.views.Na) / r.views.Na, quat[i]);
    for (int64_t i = 0; i < IMAGES * all; i++)
        score[i] = -INFINITY;
    for (int k = 0; k < IMAGES; k++)
        best[k] = twin[k] = spi_brute_best_none;

    /* two ranges side by side, then reduced; the whole table of scores besides */
    int64_t half = all / 2;
    spi_err err = spi_brute_match(&b, s->plan, s->grid, 0, half, (const double(*)[4])quat,
                                  &s->packed, best, 1, all, score);
    if (!err)
        err = spi_brute_match(&b, s->plan, s->grid, half, all - half,
                              (const double(*)[4])quat + half, &s->packed, twin, 1, all,
                              score + half);
    OK(!err, "%s: %d images x %lld orientations", like->name, IMAGES, (long long)all);
    spi_brute_reduce(IMAGES, twin, best);
    for (int k = 0; k < IMAGES; k++) {
        int64_t ring = arg_max(all, r.scores.LL + k * all);
        const float *row = score + k * all;
        double R[9], Q[9], truth[9], angle;

        if (best[k].at != arg_max(all, row))
            NOTE("image %d: best %lld", k, (long long)best[k].at);
        view_matrix(&r.views, ring, R);
        view_matrix(&r.views, best[k].at, Q);
        spi_rot_matrix(s->quat[k], truth);
        angle = spi_rot_angle_between(R, Q) / r.views.cell;
        equal += ring == best[k].at;
        near += angle <= 1.5;
        far = fmax(far, spi_rot_angle_between(Q, truth) / r.views.cell);
        worst = fmax(worst, angle);
        view_matrix(&r.views, best[(k + 1) % IMAGES].at, Q);
        chance += spi_rot_angle_between(R, Q) / r.views.cell <= 1.5;
    }
    /* the pixels' score of a tie or a neighbour: half a cell of the true one is 1.5 cells
     * off at most; rings interpolate, so the two methods need not round alike */
    OK(near == IMAGES && equal >= IMAGES * 9 / 10,
       "%s: %d of %d the same, the others within %.2f cells", like->name, equal, IMAGES,
       worst);
    /* no orientation is farther than a cell from the nearest of the grid in each of the
     * three angles: sqrt(3) / 2, and noise-free images have their maximum there or beside
     * it */
    OK(far <= 1.5, "%s: the truth is within %.2f cells", like->name, far);
    OK(chance <= 2, "%s: other images' orientations are told apart (%d alike)", like->name,
       chance);
    free(quat);
    free(score);
    spi_scores_clear(&r.scores);
    spi_brute_clear(&b);
    ring_match_clear(&r);
}

static void refusals(const struct scene *s)
{
    struct spi_brute b;

    OK(spi_brute_init(&b, spi_likelihoods[0], &s->l, NULL, 0) == SPI_EINVAL, "%s",
       spi_err_message());
    spi_brute_clear(&b);
}

/* The margin leaves out what lies within two cells of the best direction. */
static void margin(void)
{
    struct spi_views v = {.nd = 200, .Na = 4, .cell = sqrt(4 * SPI_PI / 200)};
    float best[200] = {0};
    double n0[3], n[3];
    int near = 0, far = 0;

    spi_sphere_point(v.nd, 77, n0);
    for (int i = 0; i < 200; i++) {
        double d;

        spi_sphere_point(v.nd, i, n);
        d = acos(fmin(1, n[0] * n0[0] + n[1] * n0[1] + n[2] * n0[2])) / v.cell;
        if (i != 77 && d < 1.9)
            near = i;
        if (d > 2.1)
            far = i;
    }
    best[77] = 9;
    best[near] = 8;
    best[far] = 5;
    OK(spi_brute_margin(&v, best, 77) == 4, "the margin passes over a neighbour");
    best[far] = 8.5F;
    OK(spi_brute_margin(&v, best, 77) == 0.5F, "and sees a rival");
    v.nd = 1;
    OK(spi_brute_margin(&v, best, 0) == 0, "one direction has no margin");
}

int main(void)
{
    static struct scene s;

    if (scene_init(&s)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    for (int i = 0; spi_likelihoods[i]; i++) {
        against_twin(&s, spi_likelihoods[i]);
        if (spi_likelihoods[i]->rings)
            against_rings(&s, spi_likelihoods[i]);
    }
    refusals(&s);
    margin();
    scene_clear(&s);
    return tap_done();
}
