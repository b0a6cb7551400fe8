/* Orientation matching: kernels, exhaustive and coarse-to-fine search against brute force.
 *
 *   bench_match kernels | search [IMAGES] | anneal | equal [IMAGES] | all
 *
 * JSON lines.  One thread, its CPU time (other work on the machine does not count, but does
 * take cache and clock).  A particle of 149 A made of blobs, curved Ewald sphere (7.75 A),
 * noise-free images of 128 x 128 pixels to 12 A at the edge. */
#include <cblas.h>
#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/lanes.h"
#include "kernel/softmax.h"
#include "match/brute.h"
#include "match/search.h"
#include "math/rot.h"
#include "math/sphere.h"
#include "math/volume.h"
#include "merge/normal.h"
#include "merge/views.h"
#include "nufft/nufft.h"
#include "slice/templates.h"

static const double diameter_A = 149, wavelength_A = 7.75, degree = SPI_PI / 180;

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(spi_err err)
{
    if (err) {
        fprintf(stderr, "bench_match: %s\n", spi_err_message());
        exit(1);
    }
}

/* Seconds of one run of `body`: in batches of 1, 2, 4, ... until a batch takes 0.1 s. */
#define SECONDS(s, body)                      \
    do {                                      \
        double t0_ = 0, t1_ = 0;              \
        long n_ = 1;                          \
        for (; t1_ - t0_ < 0.1; n_ *= 2) {    \
            t0_ = cpu_s();                    \
            for (long i_ = 0; i_ < n_; i_++)  \
                body;                         \
            t1_ = cpu_s();                    \
        }                                     \
        (s) = (t1_ - t0_) / ((double)n_ / 2); \
    } while (0)

/* ---- the scene ----------------------------------------------------------------------- */

struct scene {
    double q_max;
    struct spi_detector det;
    struct spi_rings rings;
    struct spi_ring_map map;
    struct spi_volume A;
    spi_nufft *plan;
    float *grid;
    struct spi_pixel_list pixels;
};

/* Blobs in an ellipsoid, axes as fractions of the diameter. */
struct blobs {
    int n;
    double sigma_A, axis[3];
};
static const struct blobs particle = {120, 4, {0.4, 0.33, 0.27}},
                          random_start = {12, 14.9, {0.35, 0.35, 0.35}};

/* Their autocorrelation. */
static void make_model(struct scene *s, const struct blobs *blobs)
{
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, (uint64_t)blobs->n);
    struct spi_volume rho;
    int n;
    double dx;

    spi_merge_grid(diameter_A, s->q_max, &n, &dx);
    must(spi_volume_init(&rho, n, dx));
    for (int b = 0; b < blobs->n; b++) {
        const double *axis = blobs->axis;
        double c[3], r2;

        do {
            r2 = 0;
            for (int i = 0; i < 3; i++) {
                c[i] = 2 * spi_rng_uniform(&rng) - 1;
                r2 += c[i] * c[i];
            }
        } while (r2 > 1);
        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) {
                    double u = (x - n / 2) * dx - c[0] * axis[0] * diameter_A,
                           v = (y - n / 2) * dx - c[1] * axis[1] * diameter_A,
                           w = (z - n / 2) * dx - c[2] * axis[2] * diameter_A;

                    rho.data[spi_volume_index(&rho, z, y, x)] += (float)exp(
                        -(u * u + v * v + w * w) / (2 * blobs->sigma_A * blobs->sigma_A));
                }
    }
    must(spi_volume_autocorrelate(&rho, &s->A));
    spi_volume_clear(&rho);
    must(spi_nufft_new(s->A.n, s->A.step, 1e-3, &s->plan));
    must(spi_nufft_grid_new(s->plan, 1, &s->grid));
    must(spi_nufft_prepare(s->plan, s->A.data, s->grid));
}

static void make_detector(struct scene *s, int side)
{
    double h = wavelength_A / 2, half = (side - 1) / 2.0;

    must(spi_detector_init(&s->det, 1, side, side));
    s->det.wavelength_A = wavelength_A;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            double *q = s->det.q + 3 * (y * side + x);

            q[0] = (x - half) / half * s->q_max;
            q[1] = (y - half) / half * s->q_max;

            double t2 = q[0] * q[0] + q[1] * q[1]; /* |q|^2 = t^2 + (lambda |q|^2 / 2)^2 */

            q[2] = -(1 - sqrt(1 - 4 * h * h * t2)) / (2 * h);
        }
}

static void scene_init(struct scene *s, double resolution_A, int side, double oversampling)
{
    *s = (struct scene){.q_max = 1 / resolution_A};
    make_model(s, &particle);
    make_detector(s, side);
    must(spi_rings_init(&s->rings, diameter_A, wavelength_A, 1 / diameter_A, s->q_max,
                        oversampling));
    must(spi_ring_map_init(&s->map, &s->rings, &s->det));
    must(spi_pixel_list_init(&s->pixels, &s->det, 1 / diameter_A, s->q_max));
}

static void model_of_scene_clear(struct scene *s)
{
    spi_volume_clear(&s->A);
    spi_nufft_free(s->plan);
    free(s->grid);
}

static void scene_clear(struct scene *s)
{
    spi_detector_clear(&s->det);
    spi_rings_clear(&s->rings);
    spi_ring_map_clear(&s->map);
    model_of_scene_clear(s);
    spi_pixel_list_clear(&s->pixels);
}

/* Images of random orientations (of a grid, if given), without noise or with as many
 * photons: pixels [n][n_pixels] (or NULL), ring harmonics h. */
struct images {
    int64_t n;
    double (*quat)[4];
    float *pixels;
    float complex *h;
    const float complex **row;
    double ingest_s; /* resampling and harmonics, per image */
};

static void images_init(struct images *im, const struct scene *s, int64_t n, bool keep,
                        const struct spi_views *grid, double photons)
{
    struct spi_rng rng = spi_rng_stream(6, SPI_RNG_TEST, 1);
    int64_t P = s->det.n_pixels, H = s->rings.h_at[s->rings.R];
    float *T, *image, *samples;
    double t0;

    *im = (struct images){.n = n};
    must(SPI_NEW(im->quat, n, "images"));
    must(SPI_NEW(im->h, n * H, "images"));
    must(SPI_NEW(im->row, n, "images"));
    must(SPI_NEW(T, s->pixels.n, "images"));
    must(SPI_NEW(image, P, "images"));
    must(SPI_NEW(samples, s->rings.at[s->rings.R], "images"));
    if (keep)
        must(SPI_NEW(im->pixels, n * P, "images"));
    for (int64_t k = 0; k < n; k++) {
        double sum = 0;

        if (grid)
            spi_view_quat(grid, spi_rng_below(&rng, (uint32_t)grid->nd),
                          2 * SPI_PI * spi_rng_below(&rng, (uint32_t)grid->Na) / grid->Na,
                          im->quat[k]);
        else
            spi_rot_random(&rng, im->quat[k]);
        must(spi_pixel_values(&s->pixels, 1, (const double(*)[4])im->quat + k, s->plan,
                              s->grid, T));
        for (int64_t p = 0; p < s->pixels.n; p++)
            sum += fmax((double)T[p], 0);
        for (int64_t p = 0; p < s->pixels.n; p++) {
            double mean = (photons > 0 ? photons : 1e5) * fmax((double)T[p], 0) / sum;

            image[s->pixels.pixel[p]] =
                photons > 0 ? (float)spi_rng_poisson(&rng, mean) : (float)mean;
        }
        if (keep)
            memcpy(im->pixels + k * P, image, (size_t)P * sizeof *image);
        t0 = cpu_s();
        spi_ring_resample(&s->map, &s->rings, image, samples);
        im->row[k] = im->h + k * H;
        must(spi_ring_analyse(&s->rings, s->rings.R, samples, im->h + k * H));
        im->ingest_s += (cpu_s() - t0) / (double)n;
    }
    free(T);
    free(image);
    free(samples);
}

static void images_clear(struct images *im)
{
    free(im->quat);
    free(im->pixels);
    free(im->h);
    free(im->row);
}

/* Templates of all directions. */
struct model {
    float *templates, *table, *S;
    double seconds;
};

/* Rows of n directions, list[i] each. */
static void model_of(struct model *m, const struct scene *s, const struct spi_band *band,
                     struct spi_views views, enum spi_score_kind kind,
                     const float *ring_scale, int64_t n, const int32_t *list)
{
    float one[256];
    struct spi_template_spec spec = {.rings = &s->rings,
                                     .band = band,
                                     .map = &s->map,
                                     .views = views,
                                     .kind = kind,
                                     .ring_scale = ring_scale,
                                     .inv_var = one};
    double t0 = cpu_s();

    for (int r = 0; r < 256; r++)
        one[r] = 1;
    must(SPI_NEW(m->templates, n * band->floats, "model"));
    must(SPI_NEW(m->table, n * views.Na, "model"));
    must(SPI_NEW(m->S, n * views.Na, "model"));
    must(spi_templates_make(&spec, s->plan, s->grid, list, 0, n, m->templates, m->table,
                            m->S));
    m->seconds = cpu_s() - t0;
}

/* Rows of the directions that are used (NULL: all). */
static void model_init(struct model *m, const struct scene *s, const struct spi_band *band,
                       struct spi_views views, enum spi_score_kind kind,
                       const uint8_t *used, int32_t *row)
{
    int32_t *list;
    int64_t n = 0;

    must(SPI_NEW(list, views.nd, "model"));
    for (int32_t d = 0; d < views.nd; d++)
        if (!used || used[d]) {
            if (row)
                row[d] = (int32_t)n;
            list[n++] = d;
        }
    model_of(m, s, band, views, kind, NULL, n, list);
    free(list);
}

static void model_clear(struct model *m)
{
    free(m->templates);
    free(m->table);
    free(m->S);
}

/* Angle between two orientations, degrees. */
static double angle_deg(const double a[4], const double b[4])
{
    double dot = fabs(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]);

    return 2 * acos(dot < 1 ? dot : 1) / degree;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Error of n found orientations against the truth: median and 99 %; sorts. */
static void print_errors(int64_t n, double *error)
{
    qsort(error, (size_t)n, sizeof *error, by_value);
    printf("\"error_median_deg\":%.3f,\"error_99_percent_deg\":%.3f", error[n / 2],
           error[n * 99 / 100]);
}

/* ---- kernels ---------------------------------------------------------------------------
 */

static double peak_flops(const struct spi_lanes *v)
{
    double s, t = 0;

    SECONDS(s, t += (double)v->peak(1000000));
    return t == 0 ? 0 : 12 * 2 * v->fma_lanes * 1e6 / s;
}

static double sgemm_flops(int m, int n, int k)
{
    float *a, *b, *c;
    double s;

    must(SPI_NEW(a, (int64_t)m * k, "sgemm"));
    must(SPI_NEW(b, (int64_t)n * k, "sgemm"));
    must(SPI_NEW(c, (int64_t)m * n, "sgemm"));
    SECONDS(s, cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, k, b, k,
                           0, c, n));
    free(a);
    free(b);
    free(c);
    return 2.0 * m * n * k / s;
}

struct bench {
    const struct spi_lanes *v;
    const struct spi_band *band;
    struct spi_angular angular;
    double peak;
    int nd; /* templates */
    float *records, *panel, *group, *C, *work, *x, *table;
    const float *image[SPI_LANES], *record[SPI_LANES];
};

static void row(const struct bench *b, const char *op, double pairs, double flop, double s)
{
    double rate = flop * pairs / s;

    printf("{\"op\":\"%s\",\"variant\":\"%s\",\"R\":%d,\"M\":%d,\"Na\":%d,"
           "\"ns_per_pair\":%.1f,\"orientations_per_s\":%.3g,\"flop_per_pair\":%.0f,"
           "\"GF_per_s\":%.1f,\"peak_GF_per_s\":%.0f,\"share_of_peak\":%.2f}\n",
           op, b->v->name, b->band->R, b->band->M, b->angular.Na, 1e9 * s / pairs,
           pairs * b->angular.Na / s, flop, rate / 1e9, b->peak / 1e9, rate / b->peak);
}

static void bench_kernels(struct bench *b)
{
    const struct spi_lanes *v = b->v;
    const struct spi_band *band = b->band;
    long stride = spi_pairs_floats(band);
    double harmonics = (double)spi_panel_floats(band) / (2 * SPI_LANES), s, s0, Na,
           pairs = (double)SPI_GROUP * b->nd;
    _Alignas(64) float top[SPI_LANES];

    /* one group of images against nd templates: panels come from memory as in a search */
    SECONDS(
        s0, for (int d = 0; d < b->nd; d += SPI_LANES) {
            for (int i = 0; i < SPI_LANES; i++)
                b->record[i] = b->records + (int64_t)(d + i) * band->floats;
            v->panel(band, SPI_LANES, b->record, b->panel);
        });
    row(b, "pack templates (once for all images of a block)", b->nd, 0, s0);
    SECONDS(s, for (int d = 0; d < b->nd; d += SPI_LANES)
                   v->tile(band, b->panel, SPI_GROUP, b->group, b->C));
    row(b, "correlate", pairs, 8 * harmonics, s);
    SECONDS(s, for (int i = 0; i < SPI_GROUP; i++)
                   v->angular(&b->angular, b->C + i * stride, b->work, b->x));
    row(b, "angular", (double)SPI_GROUP * SPI_LANES, b->angular.flops, s);
    Na = b->angular.Na;
    row(b, "angular, as the flops of the matrix product it replaces",
        (double)SPI_GROUP * SPI_LANES, 4 * band->M * (Na / 2 + 1), s);
    SECONDS(s, v->top(SPI_FORM_DIFFERENCE, (int)Na, b->x, b->table, 3, top));
    row(b, "score and maximum", SPI_LANES, 3 * Na, s);
    for (int i = 0; i < SPI_LANES; i++)
        b->image[i] = b->records;
    SECONDS(
        s, for (int d = 0; d < b->nd; d += SPI_LANES) {
            for (int i = 0; i < SPI_LANES; i++)
                b->record[i] = b->records + (int64_t)(d + i) * band->floats;
            v->pairs(band, SPI_LANES, b->image, b->record, b->work, b->C);
        });
    row(b, "correlate, local (templates from the cache levels they fit)", b->nd,
        8 * harmonics, s);
}

static void kernels(double resolution_A)
{
    struct spi_rings g;
    struct spi_band band;
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    must(spi_rings_init(&g, diameter_A, wavelength_A, 1 / diameter_A, 1 / resolution_A,
                        1.3));
    must(spi_band_init(&band, &g, g.R));
    for (int i = 0; i < spi_lanes_count; i++) {
        struct bench b = {.v = &spi_lanes_variants[i], .band = &band, .nd = 128};
        int Na = spi_views_for(&g, &band, 1).Na;
        int64_t floats = (int64_t)b.nd * band.floats;
        const float *image[SPI_GROUP];

        if (!b.v->available())
            continue;
        must(spi_angular_init(&b.angular, band.M, Na));
        must(SPI_NEW(b.records, floats, "bench"));
        must(SPI_NEW(b.panel, spi_panel_floats(&band), "bench"));
        must(SPI_NEW(b.group, spi_group_floats(&band), "bench"));
        must(SPI_NEW(b.C, SPI_GROUP * spi_pairs_floats(&band), "bench"));
        must(SPI_NEW(b.work, 4 * (Na + SPI_LANES) * SPI_LANES, "bench"));
        must(SPI_NEW(b.x, Na * SPI_LANES, "bench"));
        must(SPI_NEW(b.table, Na * SPI_LANES, "bench"));
        for (int64_t k = 0; k < floats; k++)
            b.records[k] = (float)spi_rng_normal(&rng);
        for (int k = 0; k < SPI_GROUP; k++)
            image[k] = b.records + (int64_t)k * band.floats;
        spi_group_pack(&band, image, b.group);
        b.peak = peak_flops(b.v);
        bench_kernels(&b);
        spi_angular_clear(&b.angular);
        free(b.records), free(b.panel), free(b.group), free(b.C), free(b.work), free(b.x);
        free(b.table);
    }
    spi_band_clear(&band);
    spi_rings_clear(&g);
}

static void all_kernels(void)
{
    kernels(28);
    kernels(19);
    kernels(12);
    printf(
        "{\"op\":\"sgemm, one thread\",\"m\":256,\"n\":64,\"k\":12832,\"GF_per_s\":%.1f}\n",
        sgemm_flops(256, 64, 12832) / 1e9);
}

/* ---- searches --------------------------------------------------------------------------
 */

enum { BLOCK = 96 };

/* Every image against every direction of a band; returns seconds per image. */
static double exhaustive(const struct scene *s, const struct images *im,
                         const struct spi_band *band, struct spi_views views,
                         const struct model *m, double (*found)[4], int32_t *dir,
                         double *posterior_s)
{
    float *records, counts[BLOCK];
    double t0 = cpu_s(), t1;

    *posterior_s = 0;

    must(SPI_NEW(records, (int64_t)BLOCK * band->floats, "bench"));
    for (int64_t k0 = 0; k0 < im->n; k0 += BLOCK) {
        int n = im->n - k0 < BLOCK ? (int)(im->n - k0) : BLOCK;
        struct spi_scores scores;
        struct spi_posterior post;

        for (int i = 0; i < n; i++) {
            double sum = 0;

            spi_band_pack(band, &s->rings, im->row[k0 + i], NULL,
                          records + (int64_t)i * band->floats);
            for (int r = 0; r < band->R; r++)
                sum += (double)crealf(im->row[k0 + i][s->rings.h_at[r]]);
            counts[i] = (float)sum;
        }

        struct spi_score_input in = {.band = band,
                                     .views = views,
                                     .kind = SPI_SCORE_POISSON,
                                     .templates = m->templates,
                                     .table = m->table,
                                     .n_images = n,
                                     .records = records,
                                     .counts = counts};

        must(spi_score_peaks(&in, 0, &scores));
        t1 = cpu_s();
        must(spi_posterior_make(&scores, &views, 1, 1, m->S, NULL, &post));
        *posterior_s += (cpu_s() - t1) / (double)im->n;
        for (int i = 0; i < n; i++) {
            spi_view_quat(&views, post.best[i].dir, (double)post.best[i].angle,
                          found[k0 + i]);
            dir[k0 + i] = post.best[i].dir;
        }
        spi_posterior_clear(&post);
        spi_scores_clear(&scores);
    }
    free(records);
    return (cpu_s() - t0) / (double)im->n;
}

/* Seconds of n images against `orientations`, pixel by pixel. */
static double brute_s(const struct scene *s, const struct images *im, int64_t n,
                      int orientations)
{
    struct spi_rng rng = spi_rng_stream(7, SPI_RNG_TEST, 0);
    struct spi_brute b;
    struct spi_brute_images images;
    struct spi_brute_best *best;
    double(*quat)[4], t0;

    must(SPI_NEW(quat, orientations, "brute"));
    must(SPI_NEW(best, n, "brute"));
    for (int i = 0; i < orientations; i++)
        spi_rot_random(&rng, quat[i]);
    for (int64_t k = 0; k < n; k++)
        best[k] = spi_brute_best_none;
    must(spi_brute_init(&b, SPI_BRUTE_POISSON, &s->pixels, NULL, s->rings.dq));
    must(spi_brute_images_init(&images, &s->pixels, n, s->det.n_pixels, im->pixels));
    t0 = cpu_s();
    must(spi_brute_match(&b, s->plan, s->grid, 0, orientations, (const double(*)[4])quat,
                         &images, best, 1, 0, NULL));
    t0 = cpu_s() - t0;
    spi_brute_images_clear(&images);
    spi_brute_clear(&b);
    free(best);
    free(quat);
    return t0;
}

/* Seconds of one pair; the model images, which many images share, are not counted. */
static double brute_pair(const struct scene *s, const struct images *im)
{
    enum { MANY = 768, FEW = 256, ORIENTATIONS = 128 };
    double few = brute_s(s, im, FEW, ORIENTATIONS);

    return (brute_s(s, im, MANY, ORIENTATIONS) - few) / ((MANY - FEW) * ORIENTATIONS);
}

struct fine {
    struct spi_search s;
    struct model model[SPI_SEARCH_LEVELS];
    int32_t *row[SPI_SEARCH_LEVELS];
    double model_s, near_s;
};

static double coarse_to_fine(const struct scene *s, const struct images *im, double finer,
                             struct fine *f, double (*found)[4], int32_t *dir)
{
    int32_t *candidates;
    int64_t *order;
    double seconds = 0, t0;
    uint8_t *used = NULL;

    *f = (struct fine){0};
    must(SPI_NEW(candidates, im->n * SPI_SEARCH_KEEP, "bench"));
    must(SPI_NEW(order, im->n, "bench"));
    must(spi_search_init(&f->s, &s->rings, SPI_SCORE_POISSON, 5 / diameter_A, finer));
    for (int l = 0; l < f->s.n; l++) {
        struct spi_search_level *level = &f->s.level[l];

        t0 = cpu_s();
        if (l > 0) {
            uint8_t *before = used;

            spi_search_near(&f->s, l, 0, level[-1].views.nd, NULL);
            free(before);
            must(SPI_NEW(used, level->views.nd, "bench"));
            spi_search_mark(&f->s, l, im->n, candidates, used);
        }
        f->near_s += cpu_s() - t0;
        must(SPI_NEW(f->row[l], level->views.nd, "bench"));
        model_init(&f->model[l], s, &level->band, level->views, SPI_SCORE_POISSON, used,
                   f->row[l]);
        f->model_s += f->model[l].seconds;
        level->templates = f->model[l].templates;
        level->table = f->model[l].table;
        level->S = f->model[l].S;
        level->row = f->row[l];
        t0 = cpu_s();
        for (int64_t k0 = 0; k0 < im->n; k0 += BLOCK) {
            int n = im->n - k0 < BLOCK ? (int)(im->n - k0) : BLOCK;
            bool last = l == f->s.n - 1;
            const float complex *h[BLOCK];
            int32_t *cand[BLOCK];
            struct spi_best best[BLOCK];
            float fluence[BLOCK];

            if (l == 0) {
                must(spi_search_coarse(&f->s, n, im->row + k0,
                                       candidates + k0 * SPI_SEARCH_KEEP));
                continue;
            }
            for (int i = 0; i < n; i++) {
                h[i] = im->row[order[k0 + i]];
                cand[i] = candidates + order[k0 + i] * SPI_SEARCH_KEEP;
            }
            must(spi_search_fine(&f->s, l, n, h, cand, last ? best : NULL, fluence));
            for (int i = 0; i < n && last; i++) {
                spi_view_quat(&level->views, best[i].dir, (double)best[i].angle,
                              found[order[k0 + i]]);
                dir[order[k0 + i]] = best[i].dir;
            }
        }
        if (l == 0)
            must(spi_search_order(&f->s, im->n, candidates, order));
        printf("{\"op\":\"level %d\",\"R\":%d,\"nd\":%lld,\"Na\":%d,\"us_per_image\":%.2f,"
               "\"model_s\":%.2f}\n",
               l, level->band.R, (long long)level->views.nd, level->views.Na,
               1e6 * (cpu_s() - t0) / (double)im->n, f->model[l].seconds);
        seconds += cpu_s() - t0;
    }
    free(used);
    free(candidates);
    free(order);
    return seconds / (double)im->n;
}

static void fine_clear(struct fine *f)
{
    for (int l = 0; l < f->s.n; l++) {
        model_clear(&f->model[l]);
        free(f->row[l]);
    }
    spi_search_clear(&f->s);
}

static void print_search(const char *op, const struct spi_band *band,
                         struct spi_views views, int64_t images, double s,
                         double orientations, double brute, double *error)
{
    printf("{\"op\":\"%s\",\"R\":%d,\"nd\":%lld,\"Na\":%d,\"images\":%lld,"
           "\"ms_per_image\":%.4f,\"images_per_s\":%.4g,\"orientations_per_s\":%.3g,"
           "\"times_faster_than_brute\":%.1f,",
           op, band->R, (long long)views.nd, views.Na, (long long)images, 1e3 * s, 1 / s,
           orientations / s, brute / s);
    print_errors(images, error);
    printf("}\n");
}

static void search(int64_t n)
{
    struct scene s;
    struct images im;
    struct spi_band band;
    struct model m;
    struct fine f;
    double(*found)[4], (*found2)[4], *error, brute, t, orientations, posterior_s;
    int32_t *dir, *dir2;
    int64_t few = n < 960 ? n : 960, same = 0, same_dir = 0;

    scene_init(&s, 12, 128, 1.3);
    images_init(&im, &s, 768, true, NULL, 0);
    t = brute_pair(&s, &im);
    images_clear(&im);
    images_init(&im, &s, n, false, NULL, 0);
    must(spi_band_init(&band, &s.rings, s.rings.R));
    must(SPI_NEW(found, n, "bench"));
    must(SPI_NEW(found2, n, "bench"));
    must(SPI_NEW(error, n, "bench"));
    must(SPI_NEW(dir, n, "bench"));
    must(SPI_NEW(dir2, n, "bench"));

    struct spi_views views = spi_views_for(&s.rings, &band, 1);

    orientations = (double)views.nd * views.Na;
    brute = t * orientations;
    printf("{\"op\":\"brute\",\"pixels\":%lld,\"nd\":%lld,\"Na\":%d,\"ms_per_image\":%.1f,"
           "\"orientations_per_s\":%.3g,\"GF_per_s\":%.1f,\"note\":\"768 images x 128 "
           "orientations measured, the rest by proportion; model images not counted\"}\n",
           (long long)s.pixels.n, (long long)views.nd, views.Na, 1e3 * brute, 1 / t,
           2e-9 * (double)s.pixels.n / t);
    printf("{\"op\":\"ingest (pixels to ring harmonics, once)\",\"ms_per_image\":%.4f}\n",
           1e3 * im.ingest_s);

    model_init(&m, &s, &band, views, SPI_SCORE_POISSON, NULL, NULL);
    printf("{\"op\":\"templates, all at full resolution\",\"seconds\":%.2f}\n", m.seconds);

    struct images some = im;

    some.n = few;
    t = exhaustive(&s, &some, &band, views, &m, found, dir, &posterior_s);
    for (int64_t k = 0; k < few; k++)
        error[k] = angle_deg(found[k], im.quat[k]);
    print_search("exhaustive", &band, views, few, t, orientations, brute, error);
    printf("{\"op\":\"posterior of the exhaustive search\",\"share_of_time\":%.4f}\n",
           posterior_s / t);
    model_clear(&m);

    for (int finer = 1; finer <= 2; finer++) {
        t = coarse_to_fine(&s, &im, finer, &f, found2, dir2);
        for (int64_t k = 0; k < n; k++)
            error[k] = angle_deg(found2[k], im.quat[k]);
        print_search(finer == 1 ? "coarse-to-fine" : "coarse-to-fine, half cells", &band,
                     f.s.level[f.s.n - 1].views, n, t, orientations, brute, error);
        for (int64_t k = 0; k < n; k++)
            error[k] = angle_deg(found2[k], im.quat[k]);
        print_search(finer == 1 ? "coarse-to-fine with ingest"
                                : "coarse-to-fine, half cells, with ingest",
                     &band, f.s.level[f.s.n - 1].views, n, t + im.ingest_s, orientations,
                     brute, error);
        for (int64_t k = same = same_dir = 0; k < few; k++) {
            same_dir += finer == 1 && dir[k] == dir2[k];
            same += angle_deg(found[k], found2[k]) < views.cell / degree;
        }
        printf("{\"op\":\"pruning\",\"images\":%lld,\"same_direction\":%.4f,"
               "\"within_a_cell\":%.4f,\"models_s\":%.2f,\"neighbours_s\":%.2f}\n",
               (long long)few, finer == 1 ? (double)same_dir / (double)few : 0,
               (double)same / (double)few, f.model_s, f.near_s);
        fine_clear(&f);
    }
    free(found), free(found2), free(error), free(dir), free(dir2);
    spi_band_clear(&band);
    images_clear(&im);
    scene_clear(&s);
}

/* ---- one generation of a start ---------------------------------------------------------
 */

enum { IMAGES = 32, BLOCKS = 12 };
enum { SCORES, SEARCH, SOFTMAX, AVERAGES, SPREADING, SCORES_ALONE };

/* A generation of all orientations: its images in blocks, and what its parts take. */
struct generation {
    struct scene scene;
    struct images im;
    struct spi_band band;
    struct spi_views views;
    struct model model;
    struct spi_soft soft;
    struct spi_average average;
    int32_t *order; /* rows -> directions */
    float *records, counts[IMAGES], phi[IMAGES * BLOCKS];
    double n, perplexity;
    float beta;
    double s[SCORES_ALONE + 1]; /* seconds */
};

/* Another model, and the factors that give its rings the means of the images'. */
static void start_again(struct scene *s, float *ring_scale)
{
    enum { DIRECTIONS = 100 };
    double is[256], want[256];

    must(
        spi_ring_means_of_model(&s->rings, s->rings.R, s->plan, s->grid, DIRECTIONS, want));
    model_of_scene_clear(s);
    make_model(s, &random_start);
    must(spi_ring_means_of_model(&s->rings, s->rings.R, s->plan, s->grid, DIRECTIONS, is));
    for (int r = 0; r < s->rings.R; r++)
        ring_scale[r] = (float)(want[r] / is[r]);
}

static void generation_init(struct generation *g, double perplexity_share, bool start)
{
    float ring_scale[256];

    *g = (struct generation){0};
    scene_init(&g->scene, 30, 64, 1.3);
    images_init(&g->im, &g->scene, IMAGES * BLOCKS, false, NULL, start ? 1e4 : 0);
    if (start)
        start_again(&g->scene, ring_scale);
    must(spi_band_init(&g->band, &g->scene.rings, g->scene.rings.R));
    g->views = spi_views_for(&g->scene.rings, &g->band, 1);
    g->n = (double)g->views.nd * g->views.Na;
    g->perplexity = fmax(4, perplexity_share * g->n);
    must(SPI_NEW(g->order, g->views.nd, "bench"));
    must(spi_sphere_order(g->views.nd, 4 * g->views.cell, g->order));
    model_of(&g->model, &g->scene, &g->band, g->views, SPI_SCORE_POISSON,
             start ? ring_scale : NULL, g->views.nd, g->order);
    must(SPI_NEW(g->records, IMAGES * g->band.floats, "bench"));
    must(spi_soft_init(&g->soft, IMAGES, g->views.nd, g->views.Na));
    must(spi_average_init(&g->average, &g->scene.rings, g->band.R, g->views.Na, g->views.nd,
                          IMAGES));
    for (int k = 0; k < IMAGES * BLOCKS; k++)
        g->phi[k] = 1;
}

static void generation_clear(struct generation *g)
{
    free(g->records);
    free(g->order);
    spi_soft_clear(&g->soft);
    spi_average_clear(&g->average);
    model_clear(&g->model);
    spi_band_clear(&g->band);
    images_clear(&g->im);
    scene_clear(&g->scene);
}

static struct spi_score_input block_of(struct generation *g, int b)
{
    const struct spi_rings *rings = &g->scene.rings;

    for (int i = 0; i < IMAGES; i++) {
        const float complex *h = g->im.row[b * IMAGES + i];
        double sum = 0;

        spi_band_pack(&g->band, rings, h, NULL, g->records + i * g->band.floats);
        for (int r = 0; r < g->band.R; r++)
            sum += (double)crealf(h[rings->h_at[r]]);
        g->counts[i] = (float)sum;
    }
    return (struct spi_score_input){.band = &g->band,
                                    .views = g->views,
                                    .kind = SPI_SCORE_POISSON,
                                    .templates = g->model.templates,
                                    .table = g->model.table,
                                    .n_images = IMAGES,
                                    .records = g->records,
                                    .counts = g->counts};
}

/* beta from the first block, all of whose scores it needs; where only some orientations
 * have weight these are scores like any other. */
static void find_beta(struct generation *g, bool every)
{
    struct spi_score_input in = block_of(g, 0);
    struct spi_scores scores;
    double t0 = cpu_s();

    must(spi_score_all(&in, &scores));
    if (!every)
        t0 = cpu_s();
    g->beta = spi_posterior_beta(&scores, g->perplexity, 0);
    spi_scores_clear(&scores);
    g->s[SEARCH] = cpu_s() - t0;
}

/* Weights of all orientations, averages of all directions. */
static void all_weights(struct generation *g)
{
    for (int b = 0; b < BLOCKS; b++) {
        struct spi_score_input in = block_of(g, b);
        struct spi_scores scores;
        struct spi_posterior post;
        double t0 = cpu_s();

        must(spi_score_peaks(&in, 0, &scores));
        spi_scores_clear(&scores);
        g->s[SCORES_ALONE] += cpu_s() - t0;
        t0 = cpu_s();
        must(spi_score_soft(&in, g->beta, g->model.S, &g->soft, &scores));
        scores.name = g->order;
        must(spi_posterior_soft(&scores, &g->views, g->beta, &g->soft, &post));
        spi_posterior_clear(&post);
        spi_scores_clear(&scores);
        g->s[SOFTMAX] += cpu_s() - t0; /* and scores */
        t0 = cpu_s();
        spi_average_add(&g->average, IMAGES, g->im.row + b * IMAGES, g->phi, g->soft.q,
                        g->soft.scale);
        g->s[AVERAGES] += cpu_s() - t0;
    }
}

static const float complex *row_of(const void *rows, int64_t image)
{
    return ((const float complex *const *)rows)[image];
}

static int by_direction(const void *a, const void *b)
{
    const struct spi_view_pair *p = a, *q = b;

    return p->dir != q->dir ? (p->dir < q->dir ? -1 : 1)
                            : (p->image > q->image) - (p->image < q->image);
}

static double merge_s(struct generation *g, int64_t n, const struct spi_view_pair *pair)
{
    const struct scene *s = &g->scene;
    struct spi_view_spec spec = {.rings = &s->rings,
                                 .R = g->band.R,
                                 .map = &s->map,
                                 .views = g->views,
                                 .harmonics = row_of,
                                 .images = (const void *)g->im.row,
                                 .fluence = g->phi};
    spi_nufft *plan;
    float *grid;
    double t0;

    must(spi_nufft_new(2 * s->A.n, s->A.step, 1e-3, &plan));
    must(spi_nufft_grid_new(plan, 2, &grid));
    t0 = cpu_s();
    must(spi_views_merge(&spec, n, pair, plan, grid, NULL));
    t0 = cpu_s() - t0;
    spi_nufft_free(plan);
    free(grid);
    return t0;
}

/* Entries of some orientations, averages of pairs: of merging, what it takes more than with
 * one image a direction. */
static void some_weights(struct generation *g)
{
    struct spi_posterior post[BLOCKS];
    struct spi_view_pair *pair, *one;
    int64_t n = 0, n_one = 0;

    for (int b = 0; b < BLOCKS; b++) {
        struct spi_score_input in = block_of(g, b);
        struct spi_scores scores;
        double t0 = cpu_s();

        must(spi_score_peaks(&in, spi_posterior_drop(g->beta, g->perplexity, g->n),
                             &scores));
        scores.name = g->order;
        g->s[SCORES] += cpu_s() - t0;
        t0 = cpu_s();
        must(spi_posterior_make(&scores, &g->views, g->beta, g->perplexity, g->model.S,
                                NULL, post + b));
        g->s[SOFTMAX] += cpu_s() - t0;
        spi_scores_clear(&scores);
        n += post[b].n_pairs;
    }
    must(SPI_NEW(pair, n, "bench"));
    must(SPI_NEW(one, n, "bench"));
    n = 0;
    for (int b = 0; b < BLOCKS; b++)
        for (int64_t i = 0; i < post[b].n_pairs; i++) {
            const struct spi_posterior_pair *p = post[b].pair + i;

            pair[n++] = (struct spi_view_pair){.image = b * IMAGES + p->image,
                                               .dir = p->dir,
                                               .count = p->count,
                                               .angle = post[b].angle + p->first,
                                               .weight = post[b].weight + p->first};
        }
    qsort(pair, (size_t)n, sizeof *pair, by_direction);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || pair[i].dir != pair[i - 1].dir)
            one[n_one++] = pair[i];
    g->s[AVERAGES] = merge_s(g, n, pair); /* and spreading */
    g->s[SPREADING] = merge_s(g, n_one, one);
    free(pair);
    free(one);
    for (int b = 0; b < BLOCKS; b++)
        spi_posterior_clear(post + b);
}

/* Scores of all orientations, the temperature, the soft assignment, the averages: the least
 * of some runs: but in the first generation memory is not fresh. */
static void anneal(double perplexity_share, bool start, bool every)
{
    enum { RUNS = 9 };
    struct generation g;
    double s[SCORES_ALONE + 1], total = 0;

    generation_init(&g, perplexity_share, start);
    for (int run = 0; run < RUNS; run++) {
        memset(g.s, 0, sizeof g.s);
        find_beta(&g, every);
        (every ? all_weights : some_weights)(&g);
        for (int i = 0; i <= SCORES_ALONE; i++) {
            double us = 1e6 * g.s[i] / (IMAGES * BLOCKS);

            s[i] = run == 0 || us < s[i] ? us : s[i];
        }
    }
    s[SCORES] += s[SCORES_ALONE];
    s[SOFTMAX] -= s[SCORES_ALONE];
    s[AVERAGES] -= s[SPREADING];
    for (int i = 0; i <= AVERAGES; i++)
        total += s[i];
    printf("{\"op\":\"generation, %s, %s, perplexity %.2g of the orientations\",\"R\":%d,"
           "\"nd\":%lld,\"Na\":%d,\"images\":%d,\"us_per_image\":%.1f,\"scores\":%.1f,"
           "\"perplexity_search\":%.1f,\"softmax\":%.1f,\"averages\":%.1f,"
           "\"share_scores\":%.2f}\n",
           start ? "random model, 10^4 photons" : "true model, no noise",
           every ? "all weights" : "some weights", g.perplexity / g.n, g.band.R,
           (long long)g.views.nd, g.views.Na, IMAGES * BLOCKS, total, s[SCORES], s[SEARCH],
           s[SOFTMAX], s[AVERAGES], s[SCORES] / total);
    generation_clear(&g);
}

/* ---- the same answer -------------------------------------------------------------------
 */

/* Equal grids: rings and pixels, all orientations, at a resolution that brute force can do.
 */
static void equal(int64_t n, enum spi_score_kind kind, bool on_grid)
{
    bool poisson = kind == SPI_SCORE_POISSON;
    struct scene s;
    struct images im;
    struct spi_band band;
    struct model m;
    struct spi_brute b;
    struct spi_brute_images images;
    struct spi_brute_best *best;
    double(*found)[4], (*quat)[4], worst = 0, t0;
    float *records, counts[BLOCK];
    int64_t same = 0, neighbours = 0, total;

    scene_init(&s, 30, 40, 2.6);
    must(spi_band_init(&band, &s.rings, s.rings.R));

    struct spi_views views = spi_views_for(&s.rings, &band, 1);

    images_init(&im, &s, n, true, on_grid ? &views : NULL, 0);

    total = views.nd * views.Na;
    must(SPI_NEW(quat, total, "bench"));
    must(SPI_NEW(found, n, "bench"));
    must(SPI_NEW(best, n, "bench"));
    must(SPI_NEW(records, (int64_t)BLOCK * band.floats, "bench"));
    for (int64_t i = 0; i < total; i++)
        spi_view_quat(&views, i / views.Na, 2 * SPI_PI * (double)(i % views.Na) / views.Na,
                      quat[i]);
    model_init(&m, &s, &band, views, kind, NULL, NULL);
    must(spi_brute_init(&b, poisson ? SPI_BRUTE_POISSON : SPI_BRUTE_GAUSSIAN, &s.pixels,
                        NULL, s.rings.dq));
    must(spi_brute_images_init(&images, &s.pixels, n, s.det.n_pixels, im.pixels));
    for (int64_t k = 0; k < n; k++)
        best[k] = spi_brute_best_none;
    t0 = cpu_s();
    must(spi_brute_match(&b, s.plan, s.grid, 0, total, (const double(*)[4])quat, &images,
                         best, 1, 0, NULL));
    t0 = cpu_s() - t0;
    for (int64_t k0 = 0; k0 < n; k0 += BLOCK) {
        int block = n - k0 < BLOCK ? (int)(n - k0) : BLOCK;
        struct spi_scores scores;

        for (int i = 0; i < block; i++) {
            double sum = 0;

            spi_band_pack(&band, &s.rings, im.row[k0 + i], NULL, records + i * band.floats);
            for (int r = 0; r < band.R; r++)
                sum += (double)crealf(im.row[k0 + i][s.rings.h_at[r]]);
            counts[i] = (float)sum;
        }

        struct spi_score_input in = {.band = &band,
                                     .views = views,
                                     .kind = kind,
                                     .templates = m.templates,
                                     .table = m.table,
                                     .n_images = block,
                                     .records = records,
                                     .counts = counts};

        must(spi_score_peaks(&in, 0, &scores));
        for (int i = 0; i < block; i++) {
            int64_t pair = scores.first[i];
            int64_t at = scores.dir[pair] * (int64_t)views.Na +
                         spi_arg_max(views.Na, scores.LL + pair * views.Na);

            if (at == best[k0 + i].at) {
                same++;
                continue;
            }
            /* the pixels' own scores: how much is lost, compared with what the grid costs
             */
            struct spi_brute_images one = {.n = 1,
                                           .row = images.row + (k0 + i) * s.pixels.n,
                                           .count = images.count + k0 + i,
                                           .norm2 = images.norm2 + k0 + i};
            struct spi_brute_best other = spi_brute_best_none;

            must(spi_brute_match(&b, s.plan, s.grid, 0, 1, (const double(*)[4])quat + at,
                                 &one, &other, 1, 0, NULL));

            struct spi_brute_best exact = spi_brute_best_none;

            must(spi_brute_match(&b, s.plan, s.grid, 0, 1,
                                 (const double(*)[4])im.quat + k0 + i, &one, &exact, 1, 0,
                                 NULL));
            worst = fmax(worst, (double)(best[k0 + i].score - other.score) /
                                    (double)(exact.score - other.score));
            neighbours +=
                angle_deg(quat[at], quat[best[k0 + i].at]) < 1.5 * views.cell / degree;
        }
        spi_scores_clear(&scores);
    }
    printf("{\"op\":\"equal grids, %s, %s\",\"R\":%d,\"pixels\":%lld,\"nd\":%lld,\"Na\":%d,"
           "\"images\":%lld,\"same\":%lld,\"neighbours\":%lld,\"largest_loss_share\":%.3f,"
           "\"brute_s\":%.1f}\n",
           poisson ? "poisson" : "euclid",
           on_grid ? "images on the grid" : "random orientations", band.R,
           (long long)s.pixels.n, (long long)views.nd, views.Na, (long long)n,
           (long long)same, (long long)neighbours, worst, t0);
    free(found), free(quat), free(best), free(records);
    spi_brute_images_clear(&images);
    spi_brute_clear(&b);
    model_clear(&m);
    spi_band_clear(&band);
    images_clear(&im);
    scene_clear(&s);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    int64_t n = argc > 2 ? atoll(argv[2]) : 0;
    bool all = strcmp(what, "all") == 0;

    openblas_set_num_threads(1);
    spi_keep_memory();
    if (!all && strcmp(what, "kernels") && strcmp(what, "search") &&
        strcmp(what, "anneal") && strcmp(what, "equal")) {
        fprintf(stderr,
                "usage: bench_match [kernels | search | anneal | equal | all] [IMAGES]\n");
        return 2;
    }
    if (all || strcmp(what, "kernels") == 0)
        all_kernels();
    if (all || strcmp(what, "search") == 0)
        search(n > 0 ? n : 10000);
    if (all || strcmp(what, "anneal") == 0) {
        static const double share[] = {0.03, 1e-3, 2e-4, 0};

        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 4; k++)
                anneal(share[i], k < 2, k % 2 == 0);
    }
    if (all || strcmp(what, "equal") == 0) {
        for (int on_grid = 1; on_grid >= 0; on_grid--) {
            equal(n > 0 ? n : 1000, SPI_SCORE_POISSON, on_grid);
            equal(n > 0 ? n : 1000, SPI_SCORE_GAUSSIAN, on_grid);
        }
    }
    return 0;
}
