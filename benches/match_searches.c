/* SPDX-License-Identifier: GPL-3.0-or-later */
/* match_searches.c, of benches/bench_match.h: whole searches beside brute force. */
#include "bench_match.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mtip/given.h"

/* ---- searches ----------------------------------------------------------------------- */

/* Every image against every direction of a band; returns seconds per image. */
static double exhaustive(const struct scene *s, const struct images *im,
                         const struct spi_band *band, struct spi_views views,
                         const struct model *m, double (*found)[4], double *posterior_s)
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
            spi_band_pack(band, &s->rings, im->row[k0 + i], NULL,
                          records + (int64_t)i * band->floats);
            counts[i] = spi_ring_counts(&s->rings, band->R, im->row[k0 + i]);
        }

        struct spi_score_input in = {.band = band,
                                     .views = views,
                                     .like = &spi_likelihood_poisson,
                                     .templates = m->templates,
                                     .table = m->table,
                                     .n_images = n,
                                     .records = records,
                                     .counts = counts};

        must(spi_score_peaks(&in, 0, &scores));
        t1 = cpu_s();
        must(spi_posterior_make(&scores, &views, 1, 1, m->S, NULL, &post));
        *posterior_s += (cpu_s() - t1) / (double)im->n;
        for (int i = 0; i < n; i++)
            spi_view_quat(&views, post.best[i].dir, (double)post.best[i].angle,
                          found[k0 + i]);
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
    must(spi_brute_init(&b, &spi_likelihood_poisson, &s->pixels, NULL, s->rings.dq));
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

/* A file of images, and what `spinifel match` makes of it. */
struct fine {
    char path[64], scratch[80];
    struct spi_graph *graph;
    struct spi_images *images;
    struct spi_settings set;
    struct spi_data data;
    double ingest_s; /* an image */
};

static void fine_init(struct fine *f, const struct scene *s, int64_t n)
{
    struct spi_data_spec spec = {.diameter_A = diameter_A,
                                 .q_min = 1 / diameter_A,
                                 .q_max = s->q_max,
                                 .set = &f->set,
                                 .one_set = true,
                                 .scratch = f->scratch};
    double t0;

    *f = (struct fine){.graph = NULL};
    snprintf(f->path, sizeof f->path, "bench_match.%ld.h5", (long)getpid());
    snprintf(f->scratch, sizeof f->scratch, "%s.rings", f->path);
    spi_settings_default(&f->set);
    images_file(s, n, f->path);
    must(spi_graph_new("serial", 1, NULL, &f->graph));
    must(spi_images_open(f->path, &f->images));
    spec.images = f->images;
    t0 = cpu_s();
    must(spi_data_init(&f->data, f->graph, &spec));
    f->ingest_s = (cpu_s() - t0) / (double)n;
    (void)spi_graph_seconds(f->graph, "ingest");
}

static void fine_clear(struct fine *f)
{
    spi_data_clear(&f->data);
    spi_images_close(f->images);
    spi_graph_free(f->graph);
    unlink(f->path);
}

/* The steps of mtip/given.h; seconds of matching an image, and of all model slices. */
static double coarse_to_fine(const struct scene *s, struct fine *f, double finer,
                             double (*found)[4], double *slice_s)
{
    struct spi_given given;
    struct spi_orientations o;
    double seconds, t0 = cpu_s();

    must(spi_given_init(&given, &(struct spi_given_spec){.data = &f->data,
                                                         .A = &s->A,
                                                         .set = &f->set,
                                                         .like = &spi_likelihood_poisson,
                                                         .q_max = s->q_max,
                                                         .finer = finer,
                                                         .graph = f->graph}));
    must(spi_given_match(&given, false, &o));
    t0 = cpu_s() - t0;
    memcpy(found, o.quat, (size_t)o.n * sizeof *found);
    *slice_s = spi_graph_seconds(f->graph, "slice"); /* wall clock, as the next */
    seconds = spi_graph_seconds(f->graph, "match");
    *slice_s *= t0 / (*slice_s + seconds);
    seconds = (t0 - *slice_s) / (double)o.n;
    spi_orientations_clear(&o);
    spi_given_clear(&given);
    return seconds;
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

void search(int64_t n)
{
    struct scene s;
    struct images im;
    struct spi_band band;
    struct model m;
    struct fine f;
    static const char *const op[2][2] = {
        {"coarse-to-fine", "coarse-to-fine with ingest"},
        {"coarse-to-fine, half cells", "coarse-to-fine, half cells, with ingest"}};
    double(*found)[4], (*found2)[4], *error, brute, t, orientations, posterior_s, cell;
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

    struct spi_views views = spi_views_for(&s.rings, &band, 1);

    cell = views.cell;
    orientations = (double)views.nd * views.Na;
    brute = t * orientations;
    printf("{\"op\":\"brute\",\"pixels\":%lld,\"nd\":%lld,\"Na\":%d,\"ms_per_image\":%.1f,"
           "\"orientations_per_s\":%.3g,\"GF_per_s\":%.1f,\"note\":\"768 images x 128 "
           "orientations measured, the rest by proportion; model images not counted\"}\n",
           (long long)s.pixels.n, (long long)views.nd, views.Na, 1e3 * brute, 1 / t,
           2e-9 * (double)s.pixels.n / t);
    printf("{\"op\":\"ingest (pixels to ring harmonics, once)\",\"ms_per_image\":%.4f}\n",
           1e3 * im.ingest_s);

    model_init(&m, &s, &band, views, &spi_likelihood_poisson);
    printf("{\"op\":\"templates, all at full resolution\",\"seconds\":%.2f}\n", m.seconds);

    struct images some = im;

    some.n = few;
    t = exhaustive(&s, &some, &band, views, &m, found, &posterior_s);
    for (int64_t k = 0; k < few; k++)
        error[k] = angle_deg(found[k], im.quat[k]);
    print_search("exhaustive", &band, views, few, t, orientations, brute, error);
    printf("{\"op\":\"posterior of the exhaustive search\",\"share_of_time\":%.4f}\n",
           posterior_s / t);
    model_clear(&m);

    fine_init(&f, &s, n);
    for (int finer = 1; finer <= 2; finer++) {
        double slice_s;

        t = coarse_to_fine(&s, &f, finer, found2, &slice_s);
        views = spi_views_for(&s.rings, &band, finer);
        for (int with = 0; with < 2; with++) {
            for (int64_t k = 0; k < n; k++)
                error[k] = angle_deg(found2[k], im.quat[k]);
            print_search(op[finer - 1][with], &band, views, n, t + with * f.ingest_s,
                         orientations, brute, error);
        }
        for (int64_t k = same = same_dir = 0; k < few; k++) {
            /* the angle is refined from the same scores */
            same_dir += finer == 1 && angle_deg(found[k], found2[k]) < 1e-2;
            same += angle_deg(found[k], found2[k]) < cell / degree;
        }
        printf("{\"op\":\"pruning\",\"images\":%lld,\"same_orientation\":%.4f,"
               "\"within_a_cell\":%.4f,\"models_s\":%.2f}\n",
               (long long)few, finer == 1 ? (double)same_dir / (double)few : 0,
               (double)same / (double)few, slice_s);
    }
    fine_clear(&f);
    free(found), free(found2), free(error);
    spi_band_clear(&band);
    images_clear(&im);
    scene_clear(&s);
}
