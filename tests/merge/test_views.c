/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Averaged images per view direction, (V1) and (V2), against their sums in double, and what
 * is spread against direct sums of the result. */
#include <complex.h>
#include <string.h>

#include "math/sphere.h"
#include "math/symmetry.h"
#include "merge/views.h"
#include "scene.h"
#include "tap.h"

enum { IMAGES = 7, N = 12, PAIRS = 80, ENTRIES_MAX = 6 };

static struct spi_rings g;
static struct spi_detector det;
static struct spi_ring_map map;
static float complex *records;
static float *samples;

static const float complex *record_of(const void *images, int64_t i, int R,
                                      float complex *h)
{
    (void)R;
    (void)h;
    return (const float complex *)images + i * g.h_at[g.R];
}

/* 80 pairs in 3 directions: more than one batch of 64 in the first. */
struct pairs {
    struct spi_view_pair pair[PAIRS];
    uint16_t angle[PAIRS][ENTRIES_MAX];
    float weight[PAIRS][ENTRIES_MAX];
    float fluence[IMAGES];
    struct spi_view_weights weights;
};

static void make(struct spi_rng *rng, int Na, struct pairs *p)
{
    p->weights = (struct spi_view_weights){p->angle[0], p->weight[0]};
    for (int k = 0; k < IMAGES; k++)
        p->fluence[k] = (float)(0.5 + spi_rng_uniform(rng));
    for (int i = 0; i < PAIRS; i++) {
        int count = 1 + (int)spi_rng_below(rng, ENTRIES_MAX), k = 7 * i % PAIRS;

        /* a tile's directions in any order, 70 pairs of the first */
        p->pair[i] = (struct spi_view_pair){.image = spi_rng_below(rng, IMAGES),
                                            .dir = k < 70   ? 2
                                                   : k < 77 ? 5
                                                            : 9,
                                            .first = i * ENTRIES_MAX,
                                            .count = count};
        for (int e = 0; e < count; e++) {
            p->angle[i][e] = (uint16_t)spi_rng_below(rng, (uint32_t)Na);
            p->weight[i][e] = (float)spi_rng_uniform(rng);
        }
    }
}

static void load_images(struct spi_rng *rng)
{
    float image[SCENE_PIXELS];

    records = spi_alloc((size_t)(IMAGES * g.h_at[g.R]), sizeof *records, "r");
    samples = spi_alloc((size_t)(IMAGES * g.at[g.R]), 4, "s");
    for (int k = 0; k < IMAGES; k++) {
        double quat[4], M[9];

        spi_rot_random(rng, quat);
        spi_rot_matrix(quat, M);
        scene_image(&det, M, 30, image);
        spi_ring_resample(&map, &g, image, samples + k * g.at[g.R]);
        if (spi_ring_analyse(&g, g.R, samples + k * g.at[g.R], records + k * g.h_at[g.R]))
            OK(0, "%s", spi_err_message());
    }
}

/* Coefficients of ring samples: f(phi) = Re sum_m c_m exp(i m phi), |m| <= m_max. */
static void harmonics(int r, const float *f, double complex *c)
{
    for (int m = 0; m <= g.m_max[r]; m++) {
        c[m] = 0;
        for (int j = 0; j < g.n[r]; j++)
            c[m] += (m ? 2.0 : 1.0) / g.n[r] * (double)f[j] *
                    cexp(CMPLX(0, -2 * SPI_PI * m * j / g.n[r]));
    }
}

static double value(int m_max, const double complex *c, double phi)
{
    double sum = 0;

    for (int m = 0; m <= m_max; m++)
        sum += creal(c[m] * cexp(CMPLX(0, m * phi)));
    return sum;
}

/* The averaged image of one direction, literally; sign = -1: (V1), (V2). */
static void average(const struct pairs *p, int dir, int Na, int r, double sign, double *num,
                    double *den)
{
    double complex live[128], K[128];

    memset(num, 0, (size_t)g.n[r] * sizeof *num);
    memset(den, 0, (size_t)g.n[r] * sizeof *den);
    harmonics(r, map.live + g.at[r], live);
    for (int i = 0; i < PAIRS; i++) {
        const struct spi_view_pair *v = p->pair + i;

        if (v->dir != dir)
            continue;
        harmonics(r, samples + v->image * g.at[g.R] + g.at[r], K);
        for (int e = 0; e < v->count; e++)
            for (int j = 0; j < g.n[r]; j++) {
                double w = (double)p->weight[i][e],
                       psi = 2 * SPI_PI * j / g.n[r] +
                             sign * 2 * SPI_PI * p->angle[i][e] / Na;

                num[j] += w * value(g.m_max[r], K, psi);
                den[j] += (double)p->fluence[v->image] * w * value(g.m_max[r], live, psi);
            }
    }
}

static double relative_l2(int64_t n, const float *got, const double *want)
{
    double diff = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        diff += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return sqrt(diff / norm);
}

/* All spread points and their values, by the formulas. */
static int64_t literal(const struct pairs *p, struct spi_views views, int R, double sign,
                       double (*q)[3], double *b, double *w)
{
    static const int dirs[3] = {2, 5, 9};
    int64_t n = 0;

    for (int d = 0; d < 3; d++) {
        double dir[3], Rn[9];

        spi_sphere_point(views.nd, dirs[d], dir);
        spi_rot_to_direction(dir, Rn);
        for (int r = 0; r < R; r++) {
            double num[256], den[256], kappa = g.q[r] / g.q[R - 1];

            average(p, dirs[d], views.Na, r, sign, num, den);
            for (int j = 0; j < g.n[r]; j++, n++) {
                double phi = 2 * SPI_PI * j / g.n[r];
                double v[3] = {g.qp[r] * cos(phi), g.qp[r] * sin(phi), g.qz[r]};

                spi_rot_apply(Rn, v, q[n]);
                b[n] = den[j] > 0 ? kappa * num[j] : 0;
                w[n] = den[j] > 0 ? kappa * den[j] : 0;
            }
        }
    }
    return n;
}

/* The same pairs by several threads: the same bits, in an empty grid; was: what they gave, and
 * the sum of the weights before and after. */
static void check_threads(const struct spi_view_spec *spec, int64_t n,
                          const struct spi_view_pair *pair, const spi_nufft *plan,
                          const float *was, double before, double after)
{
    struct spi_view_spec other = *spec;
    size_t bytes = spi_nufft_grid_floats(plan, 2) * sizeof(float);

    for (other.threads = 2; other.threads <= 4; other.threads++) {
        double sum = before;
        float *grid = NULL;

        NEED(spi_nufft_grid_new(plan, 2, &grid) == SPI_OK);
        OK(spi_views_merge(&other, n, pair, plan, grid, &sum) == SPI_OK && sum == after &&
               memcmp(grid, was, bytes) == 0,
           "%d threads: the same bits", other.threads);
        if (n > 1)
            OK(spi_views_merge(&other, n - 1, pair, plan, grid, &sum) == SPI_OK &&
                   memcmp(grid, was, bytes) != 0,
               "other pairs give others");
        free(grid);
    }
}

/* The same pairs in another order of directions, in two tiles; was: what they gave. */
static void check_places(const struct spi_view_spec *spec, const struct pairs *p,
                         const spi_nufft *plan, const float *was, double bound)
{
    struct spi_view_spec other = *spec;
    struct spi_view_pair pair[PAIRS];
    int32_t *place = spi_alloc((size_t)spec->views.nd, sizeof *place, "p");
    int64_t count = (int64_t)spi_nufft_grid_floats(plan, 2), n = 0;
    double *want = spi_alloc((size_t)count, sizeof *want, "w");
    float *grid;

    place[2] = 2 * SPI_VIEW_TILE + 9;
    place[5] = 3;
    place[9] = 2 * SPI_VIEW_TILE;
    other.place = place;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < PAIRS; i++)
            if ((p->pair[i].dir == 5) == (pass == 0))
                pair[n++] = p->pair[i];
    for (int64_t i = 0; i < count; i++)
        want[i] = (double)was[i];
    OK(spi_nufft_grid_new(plan, 2, &grid) == SPI_OK &&
           spi_views_merge(&other, n, pair, plan, grid, NULL) == SPI_OK,
       "merged in another order");

    double e = relative_l2(count, grid, want);

    OK(e > 0 && e <= bound, "the same but for rounding: %.1e of %.1e", e, bound);
    free(place), free(want), free(grid);
}

static void check_merge(struct spi_rng *rng)
{
    struct spi_band band;
    struct spi_views views;
    struct pairs p;
    spi_nufft *plan;
    int R = g.R - 2;
    size_t max = 3 * (size_t)g.at[g.R], modes = N * N * N;
    float *grid, got[2][N * N * N];
    double(*q)[3] = spi_alloc(max, sizeof *q, "q"), *b = spi_alloc(max, 8, "b");
    double *w = spi_alloc(max, 8, "w"), *ref = spi_alloc(modes, 8, "m"), sum = 1, want = 1;
    double dx = 1 / (2.08 * g.q[R - 1]);

    if (spi_band_init(&band, &g, R) || spi_nufft_new(N, dx, 1e-6, &plan) ||
        spi_nufft_grid_new(plan, 2, &grid)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    views = spi_views_for(&g, &band, 1);
    make(rng, views.Na, &p);

    struct spi_view_spec spec = {.rings = &g,
                                 .R = R,
                                 .map = &map,
                                 .views = views,
                                 .harmonics = record_of,
                                 .images = records,
                                 .fluence = p.fluence,
                                 .weights = &p.weights};

    OK(spi_views_merge(&spec, PAIRS, p.pair, plan, grid, &sum) == SPI_OK, "merged");
    /* transforms: 2 tol + 2e-6 (tests/nufft).  The averages in float: P^ is a sum of 6
     * terms, num of 70 pairs, then a ring transform: gamma_{6 + 70} + 4 log2(128) u < 1e-5
     * of sums of absolute values, which here exceed the result by less than a factor of 3
     */
    double bound = 2 * 1e-6 + 2e-6 + 3e-5;

    for (double sign = -1; sign <= 1; sign += 2) {
        int64_t n = literal(&p, views, R, sign, q, b, w);

        for (int c = 0; c < 2; c++) {
            if (spi_nufft_collect(plan, grid, c, N, got[c]))
                OK(0, "%s", spi_err_message());
            spi_nufft_merge_ref(N, dx, n, (const double(*)[3])q, c ? w : b, ref);

            double e = relative_l2(N * N * N, got[c], ref);

            if (sign < 0)
                OK(e <= bound, "%s: error / bound = %.3f", c ? "(V2)" : "(V1)", e / bound);
            else
                OK(e > bound, "%s: the other sense of turning is noticed",
                   c ? "(V2)" : "(V1)");
        }
        for (int64_t i = 0; i < n && sign < 0; i++)
            want += w[i];
    }
    OK(fabs(sum / want - 1) <= bound, "sum of the weights is added: %.6f", sum / want);
    check_threads(&spec, PAIRS, p.pair, plan, grid, 1, sum);
    check_places(&spec, &p, plan, grid, 2 * 3e-5);

    memset(grid, 0, spi_nufft_grid_floats(plan, 2) * sizeof *grid);
    sum = 5;
    OK(spi_views_merge(&spec, 0, NULL, plan, grid, &sum) == SPI_OK && sum == 5,
       "no pairs at all");
    free(q), free(b), free(w), free(ref), free(grid);
    spi_nufft_free(plan);
    spi_band_clear(&band);
}

/* Rows of averages by several threads: the same bits. */
static void check_average_threads(const struct spi_view_spec *spec,
                                  const struct spi_average *average, const float *part,
                                  const int32_t *dir, const spi_nufft *plan)
{
    struct spi_view_spec by = *spec;
    size_t bytes = spi_nufft_grid_floats(plan, 2) * sizeof(float);
    float *grid[2] = {NULL, NULL};
    double sum[2] = {0};

    for (int i = 0; i < 2; i++) {
        by.threads = i ? 4 : 1;
        NEED(spi_nufft_grid_new(plan, 2, &grid[i]) == SPI_OK);
        OK(spi_views_merge_average(&by, average, part, 2 * SPI_LANES, dir, 0.25F, plan,
                                   grid[i], &sum[i]) == SPI_OK,
           "averages by %d threads", by.threads);
    }
    OK(sum[0] == sum[1] && sum[0] > 0 && memcmp(grid[0], grid[1], bytes) == 0,
       "the same bits");
    free(grid[0]);
    free(grid[1]);
}

/* Averages of all directions, summed in two parts, against the same weights as pairs; rings
 * beyond those that gave the number of angles, so that harmonics fold over.
 *
 * P^ is a matrix product there (gamma_Na), a transform here (45 u at most: 4 passes and a
 * step), and both are summed over the images, 2 products each: of sums of absolute values,
 * which exceed the result by less than a factor of 3. */
static void check_average(struct spi_rng *rng)
{
    enum { ROWS = 40, TILES = 3, FIRST = 4 };
    struct spi_band band;
    struct spi_views views;
    struct spi_average average;
    float *part[2];
    spi_nufft *plan;
    int R = g.R, n_pairs = 0, at = 0;
    size_t count;
    float *grid[3], phi[IMAGES], scaled[IMAGES];
    double dx = 1 / (2.08 * g.q[R - 1]), diff = 0, norm = 0, wrong = 0, sum[3] = {0};
    struct spi_view_pair pair[IMAGES * ROWS];
    int32_t dir[ROWS];

    if (spi_band_init(&band, &g, g.R - 3) || spi_nufft_new(N, dx, 1e-6, &plan)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    views = spi_views_for(&g, &band, 1);
    OK(g.m_max[R - 1] > views.Na / 2, "%d harmonics of %d angles", g.m_max[R - 1],
       views.Na);
    count = spi_nufft_grid_floats(plan, 2);
    for (int i = 0; i < 3; i++)
        if (spi_nufft_grid_new(plan, 2, &grid[i]))
            OK(0, "%s", spi_err_message());

    size_t steps = (size_t)(TILES * views.Na * SPI_LANES);
    uint16_t *q = spi_alloc(IMAGES * steps, sizeof *q, "q"),
             *all = spi_alloc((size_t)(ROWS * IMAGES * views.Na), 2, "a");
    float *scale = spi_alloc(IMAGES * TILES * SPI_LANES, sizeof *scale, "scale");
    float *weight = spi_alloc((size_t)(IMAGES * ROWS * views.Na), 4, "w");

    for (int a = 0; a < ROWS * IMAGES * views.Na; a++)
        all[a] = (uint16_t)(a % views.Na);
    for (int d = 0; d < ROWS; d++)
        dir[d] = 3 * d + 1;
    for (int k = 0; k < IMAGES; k++) {
        phi[k] = (float)(0.5 + spi_rng_uniform(rng));
        scaled[k] = 0.25F * phi[k];
    }
    for (int d = 0; d < ROWS; d++)
        for (int k = 0; k < IMAGES; k++) { /* tiles of the images of each part */
            int n = k < FIRST ? FIRST : IMAGES - FIRST, t = d / SPI_LANES,
                l = d % SPI_LANES;
            int i = (k < FIRST ? 0 : FIRST * TILES) + t * n + (k < FIRST ? k : k - FIRST);
            float s =
                (t + k) % 3 ? (float)spi_rng_uniform(rng) / 65535 : 0; /* none of some */
            float *w = weight + (d * IMAGES + k) * views.Na;

            scale[i * SPI_LANES + l] = s;
            for (int a = 0; a < views.Na; a++) {
                uint16_t *to = q + (i * views.Na + a) * SPI_LANES + l;

                *to = (uint16_t)spi_rng_below(rng, 65536);
                w[a] = s * *to;
            }
            if (s > 0)
                pair[n_pairs++] = (struct spi_view_pair){
                    .image = k, .first = w - weight, .dir = dir[d], .count = views.Na};
        }

    const struct spi_view_weights weights = {all, weight};
    struct spi_view_spec spec = {.rings = &g,
                                 .R = R,
                                 .map = &map,
                                 .views = views,
                                 .harmonics = record_of,
                                 .images = records,
                                 .fluence = scaled,
                                 .weights = &weights};

    OK(spi_views_merge(&spec, n_pairs, pair, plan, grid[0], &sum[0]) == SPI_OK, "pairs");
    NEED(spi_average_init(&average, &g, R, views.Na, ROWS) == SPI_OK);
    OK(average.tiles == TILES, "%d tiles", TILES);
    for (int i = 0; i < 2; i++) {
        int n = i ? IMAGES - FIRST : FIRST, from = i * FIRST;
        struct spi_average_block block;

        NEED(SPI_NEW(part[i], TILES * spi_average_floats(&average), "test") == SPI_OK);
        NEED(spi_average_block_init(&block, &average, FIRST) == SPI_OK);
        for (int k = 0; k < n; k++)
            spi_average_image(&block, k, record_of(records, from + k, R, NULL));
        spi_average_add(&block, n, phi + from, q + (size_t)from * steps,
                        scale + from * TILES * SPI_LANES, part[i]);
        spi_average_block_clear(&block);
    }
    OK(spi_views_merge_average(&spec, &average, part[0], ROWS, dir, 0.25F, plan, grid[2],
                               &sum[2]) == SPI_OK,
       "one part");
    for (int64_t i = 0; i < TILES * spi_average_floats(&average); i++)
        part[0][i] += part[1][i];
    for (; at < ROWS; at += 2 * SPI_LANES)
        OK(spi_views_merge_average(&spec, &average,
                                   part[0] + at / SPI_LANES * spi_average_floats(&average),
                                   ROWS - at < 2 * SPI_LANES ? ROWS - at : 2 * SPI_LANES,
                                   dir + at, 0.25F, plan, grid[1], &sum[1]) == SPI_OK,
           "averages from %d", at);
    for (size_t i = 0; i < count; i++) {
        double x = (double)grid[0][i];

        norm += x * x;
        diff += ((double)grid[1][i] - x) * ((double)grid[1][i] - x);
        wrong += ((double)grid[2][i] - x) * ((double)grid[2][i] - x);
    }
    double bound = 3 * gamma_f32(views.Na + 45 + 2 * 2 * IMAGES);

    check_threads(&spec, n_pairs, pair, plan, grid[0], 0, sum[0]);
    check_average_threads(&spec, &average, part[0], dir, plan);
    OK(sqrt(diff / norm) <= bound, "averages as of pairs: error / bound = %.3f",
       sqrt(diff / norm) / bound);
    OK(sqrt(wrong / norm) > bound, "a part less is noticed");
    OK(fabs(sum[1] / sum[0] - 1) <= bound, "the same sum of weights");
    for (int i = 0; i < 3; i++)
        free(grid[i]);
    free(q), free(all), free(scale), free(weight);
    free(part[0]), free(part[1]);
    spi_average_clear(&average);
    spi_nufft_free(plan);
    spi_band_clear(&band);
}

/* Spread over a point group: (Y4) is the literal sum with each position rotated by each
 * element. */
static void check_group(struct spi_rng *rng)
{
    struct spi_band band;
    struct spi_views views;
    struct pairs p;
    spi_nufft *plan;
    int R = g.R - 2, n_ops;
    size_t max = 3 * (size_t)g.at[g.R], modes = N * N * N;
    float *grid, got[N * N * N];
    double(*ops)[9], (*q)[3] = spi_alloc(max, sizeof *q, "q"), *b = spi_alloc(max, 8, "b");
    double *w = spi_alloc(max, 8, "w"), *one = spi_alloc(modes, 8, "m"), sum = 0, want = 0;
    double *ref = spi_alloc(modes, 8, "m"), (*Sq)[3] = spi_alloc(max, sizeof *q, "q");
    double dx = 1 / (2.08 * g.q[R - 1]), bound = 2 * 1e-6 + 2e-6 + 3e-5; /* as above */
    int64_t n;

    if (spi_band_init(&band, &g, R) || spi_nufft_new(N, dx, 1e-6, &plan) ||
        spi_nufft_grid_new(plan, 2, &grid) || spi_symmetry_parse("D7", &ops, &n_ops)) {
        OK(0, "%s", spi_err_message());
        return;
    }
    views = spi_views_for(&g, &band, 1);
    make(rng, views.Na, &p);

    struct spi_view_spec spec = {.rings = &g,
                                 .R = R,
                                 .map = &map,
                                 .views = views,
                                 .harmonics = record_of,
                                 .images = records,
                                 .fluence = p.fluence,
                                 .weights = &p.weights,
                                 .n_group = n_ops,
                                 .group = (const double(*)[9])ops};

    OK(spi_views_merge(&spec, PAIRS, p.pair, plan, grid, &sum) == SPI_OK, "merged");
    if (spi_nufft_collect(plan, grid, 0, N, got))
        OK(0, "%s", spi_err_message());
    n = literal(&p, views, R, -1, q, b, w);
    for (int s = 0; s < n_ops; s++) {
        for (int64_t i = 0; i < n; i++) {
            spi_rot_apply(ops[s], q[i], Sq[i]);
            want += w[i];
        }
        spi_nufft_merge_ref(N, dx, n, (const double(*)[3])Sq, b, one);
        for (size_t i = 0; i < modes; i++)
            ref[i] += one[i];
        if (s == n_ops - 2)
            OK(relative_l2(N * N * N, got, ref) > bound, "an element less is noticed");
    }
    OK(relative_l2(N * N * N, got, ref) <= bound, "(Y4) over D7: error / bound = %.3f",
       relative_l2(N * N * N, got, ref) / bound);
    OK(fabs(sum / want - 1) <= bound, "the weight of all elements is added: %.6f",
       sum / want);
    check_threads(&spec, PAIRS, p.pair, plan, grid, 0, sum);
    free(ops), free(q), free(Sq), free(b), free(w), free(one), free(ref), free(grid);
    spi_nufft_free(plan);
    spi_band_clear(&band);
}

int main(void)
{
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    if (scene_detector(&det) || scene_rings(&g) || spi_ring_map_init(&map, &g, &det)) {
        OK(0, "%s", spi_err_message());
        return tap_done();
    }
    load_images(&rng);
    check_merge(&rng);
    check_average(&rng);
    check_group(&rng);
    free(records);
    free(samples);
    spi_ring_map_clear(&map);
    spi_rings_clear(&g);
    spi_detector_clear(&det);
    return tap_done();
}
