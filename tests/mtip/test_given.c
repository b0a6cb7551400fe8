/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Orientations of images, given a model: from coarse to fine against exhaustively, images
 * without noise against the truth, and what may not matter: engine, workers, units, the other
 * images of the file.
 *
 * Both ways compare with the same kernels; model slices are made in other groups, which turns
 * last bits.  That pruning loses nothing is a measurement. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mtip/given.h"
#include "scene.h"
#include "tap.h"
#include "task/engine.h"

enum { IMAGES = 40 };

static char dir[2048], path[4096];
static double truth[IMAGES][4];
static struct spi_volume A;

/* What the images of a file are. */
struct kind {
    int n;
    bool photons;        /* drawn, in a file of photons */
    double gain;         /* > 0: photons times it, in a file of intensities */
    double factor;       /* of intensities */
    int blank, copy, of; /* > 0: an image without signal; an image that repeats another */
    double light;        /* of another source, times light_of */
    double spread;       /* of the fluences, which the light does not follow */
};

/* As bright as the particle near the edge of the detector: a smooth part, and a stripe. */
static float light_of(const struct spi_detector *det, int p)
{
    const double *q = det->q + 3 * p;
    double x = q[0] / 0.06, y = q[1] / 0.06;
    double level = 0.1 / (1 + x * x + y * y) + (p / SCENE_SIDE == 8 ? 0.02 : 0);

    return det->bad[p] ? 0 : (float)(100 * level * (double)det->geometry[p]);
}

static double fluence_of(int k, double spread)
{
    return 1 + spread * (k % 5 - 2); /* mean 1 */
}

static float pixel_of(const struct kind *kind, struct spi_rng *rng, float counts)
{
    if (kind->photons)
        return (float)spi_rng_poisson(rng, (double)counts);
    if (kind->gain > 0)
        return (float)(kind->gain * (double)spi_rng_poisson(rng, (double)counts));
    return (float)(kind->factor * (double)counts);
}

static spi_err make_images(const struct kind *kind)
{
    struct spi_detector det;
    struct spi_images_writer *w;
    spi_err err = scene_detector(&det);
    struct spi_images_spec spec = {.n_images = kind->n,
                                   .kind = kind->photons ? SPI_PHOTONS : SPI_INTENSITIES,
                                   .max_photons = 65535,
                                   .detector = &det,
                                   .provenance_json = "{}"};

    if (err || (err = spi_images_create(path, &spec, &w)))
        return err;
    for (int k = 0; k < kind->n && !err; k++) {
        int k_of = kind->copy > 0 && k == kind->copy ? kind->of : k;
        struct spi_rng rng = spi_rng_stream(4, SPI_RNG_TEST, (uint64_t)k_of);
        struct spi_image_truth t = {.quat = truth[k_of]};
        float image[SCENE_PIXELS];
        double R[9], M[9];

        spi_rot_random(&rng, truth[k_of]);
        spi_rot_matrix(truth[k_of], R);
        for (int c = 0; c < 9; c++)
            M[c] = R[c % 3 * 3 + c / 3];
        scene_image(&det, M, 100, image);
        for (int p = 0; p < SCENE_PIXELS && kind->light > 0; p++)
            image[p] = (float)fluence_of(k, kind->spread) * image[p] +
                       (float)kind->light * light_of(&det, p);
        for (int p = 0; p < SCENE_PIXELS; p++)
            image[p] =
                kind->blank > 0 && k == kind->blank ? 0 : pixel_of(kind, &rng, image[p]);
        err = spi_images_append(w, 1, image, &t);
    }
    spi_detector_clear(&det);
    return err ? err : spi_images_finish_take(w);
}

/* How they are matched. */
struct how {
    const char *engine, *like;
    int workers;
    bool exhaustive, refine, brute;
    double finer, gain, signal_min;
    double q_max; /* 0: scene_q_max */
    double model; /* factor of the model */
    double light; /* times light_of is told; 0: nothing */
};

static const struct how plain = {.engine = "serial",
                                 .like = "poisson",
                                 .workers = 1,
                                 .finer = 1,
                                 .signal_min = -1,
                                 .model = 1};

/* Orientations of the images in the file; cell: rad between directions, may be NULL. */
static spi_err match(const struct how *how, struct spi_orientations *o, double *cell)
{
    double q_max = how->q_max > 0 ? how->q_max : scene_q_max;
    char scratch[4200];
    struct spi_graph *graph = NULL;
    struct spi_images *images = NULL;
    struct spi_settings set;
    struct spi_volume model = {0};
    struct spi_data data = {0};
    struct spi_given given = {.spec = {.data = NULL}};
    float background[SCENE_PIXELS];
    spi_err err;

    *o = (struct spi_orientations){0};
    spi_settings_default(&set);
    set.init_qD = 2.4; /* 0.06 1/A: three levels */
    set.signal_min = how->signal_min;
    snprintf(scratch, sizeof scratch, "%s/scratch", dir);
    SPI_TRY(err = spi_graph_new(how->engine, how->workers, NULL, &graph), out);
    SPI_TRY(err = spi_images_open(path, &images), out);
    SPI_TRY(err = spi_volume_copy(&A, &model), out);
    for (size_t i = 0; i < spi_volume_count(&A); i++)
        model.data[i] *= (float)how->model;

    for (int p = 0; p < SCENE_PIXELS; p++)
        background[p] = (float)how->light * light_of(spi_images_detector(images), p);

    struct spi_data_spec spec = {.images = images,
                                 .background = how->light > 0 ? background : NULL,
                                 .gain = how->gain,
                                 .diameter_A = scene_D,
                                 .q_min = 0.02,
                                 .q_max = q_max,
                                 .set = &set,
                                 .one_set = true,
                                 .scratch = scratch};

    SPI_TRY(err = spi_data_init(&data, graph, &spec), out);
    SPI_TRY(err = spi_given_init(
                &given,
                &(struct spi_given_spec){.data = &data,
                                         .A = &model,
                                         .set = &set,
                                         .like = spi_likelihood_named(how->like, data.kind),
                                         .q_max = q_max,
                                         .finer = how->finer,
                                         .graph = graph}),
            out);
    SPI_TRY(err = how->brute ? spi_given_brute(&given, 1e6, o)
                             : spi_given_match(&given, how->exhaustive, o),
            out);
    if (how->refine)
        SPI_TRY(err = spi_given_refine(&given, o), out);
    (void)spi_given_fluences(&given, o);
    if (cell)
        *cell = given.views.cell;
out:
    spi_given_clear(&given);
    spi_data_clear(&data);
    spi_volume_clear(&model);
    spi_images_close(images);
    spi_graph_free(graph);
    return err;
}

static double angle(const double a[4], const double b[4])
{
    double P[9], Q[9];

    spi_rot_matrix(a, P);
    spi_rot_matrix(b, Q);
    return spi_rot_angle_between(P, Q);
}

static double worst_error(const struct spi_orientations *o)
{
    double worst = 0;

    for (int64_t k = 0; k < o->n; k++)
        worst = fmax(worst, angle(o->quat + 4 * k, truth[k]));
    return worst;
}

/* Of two answers, that the bits of what both have are the same. */
static bool same(const struct spi_orientations *a, const struct spi_orientations *b)
{
    size_t n = (size_t)a->n;

    return a->n == b->n && n > 0 &&
           memcmp(a->quat, b->quat, n * 4 * sizeof *a->quat) == 0 &&
           memcmp(a->score, b->score, n * sizeof *a->score) == 0 &&
           memcmp(a->margin, b->margin, n * sizeof *a->margin) == 0 &&
           memcmp(a->fluence, b->fluence, n * sizeof *a->fluence) == 0 &&
           (!a->entropy || memcmp(a->entropy, b->entropy, n * sizeof *a->entropy) == 0);
}

/* ---- without noise ------------------------------------------------------------------ */

static void check_search(void)
{
    struct spi_orientations levels, all, fine, brute, coarse;
    struct how how = plain;
    double cell;
    int found = 0, alike = 0;

    NEED(!make_images(&(struct kind){.n = IMAGES, .factor = 1}));
    NEED(!match(&how, &levels, &cell));
    how.exhaustive = true;
    NEED(!match(&how, &all, NULL));
    for (int k = 0; k < IMAGES; k++) {
        /* the sums of (M1) and their table are each some roundings of their size off */
        double last = 16 * 0x1p-24 * fabs((double)all.score[k]);

        /* the angle's parabola: LL falls by more than 20 `last` within a step */
        found += angle(levels.quat + 4 * k, all.quat + 4 * k) < 0.05 * cell &&
                 fabs((double)(levels.score[k] - all.score[k])) <= last &&
                 (double)levels.margin[k] >= (double)all.margin[k] - 2 * last &&
                 all.margin[k] > 0;
    }
    OK(found == IMAGES, "coarse to fine: %d of %d orientations as in the exhaustive search",
       found, IMAGES);
    /* no direction is farther than 0.7 of a cell from the grid; the likelihood is not
     * round, and may prefer one twice as far; the angle is refined */
    OK(worst_error(&levels) < 1.4 * cell, "errors below %.2f degrees, cells of %.2f",
       worst_error(&levels) * 180 / SPI_PI, cell * 180 / SPI_PI);
    how.exhaustive = false;
    how.finer = 2;
    NEED(!match(&how, &fine, NULL));
    OK(worst_error(&fine) < 0.7 * cell, "half cells: errors below %.2f degrees",
       worst_error(&fine) * 180 / SPI_PI);
    OK(!same(&levels, &fine), "another grid is noticed");
    how = plain;
    how.q_max = 0.08; /* fewer pairs for brute force, whose grid is the same */
    NEED(!match(&how, &coarse, &cell));
    how.brute = true;
    NEED(!match(&how, &brute, NULL));
    for (int k = 0; k < IMAGES; k++)
        alike += angle(coarse.quat + 4 * k, brute.quat + 4 * k) < 1.5 * cell;
    OK(alike == IMAGES, "pixel by pixel: %d of %d are within 1.5 cells", alike, IMAGES);
    OK(!brute.entropy && coarse.entropy, "brute force knows no entropy");
    spi_orientations_clear(&levels);
    spi_orientations_clear(&all);
    spi_orientations_clear(&fine);
    spi_orientations_clear(&coarse);
    spi_orientations_clear(&brute);
}

/* ---- a background ------------------------------------------------------------------- */

static double worst_fluence(const struct spi_orientations *o, double spread)
{
    double worst = 0;

    for (int k = 0; k < IMAGES; k++)
        worst = fmax(worst, fabs((double)o->fluence[k] - fluence_of(k, spread)));
    return worst;
}

/* Images without noise, of the particle and another source.  The light's profile is linear
 * from pixel to pixel, good to 1 %; fluences that differ by 4 % pass
 * for one.  (Q24) allows for a counting noise that these images do not have: fluences that
 * differ by 40 % come out closer to each other by a sixth, which turns images by 0.01. */
static void check_background(void)
{
    static const struct {
        double spread, error, fluence; /* rad */
    } with[] = {{0.02, 0.005, 0.005}, {0.2, 0.0125, 0.01}};
    struct spi_orientations told, found, coarse, brute;
    struct how how;
    double cell;

    for (int i = 0; i < 2; i++) {
        double spread = with[i].spread, error;
        int alike = 0;

        how = plain;
        NEED(!make_images(
            &(struct kind){.n = IMAGES, .factor = 1, .light = 1, .spread = spread}));
        how.light = 1;
        how.refine = true;
        NEED(!match(&how, &told, NULL));
        error = worst_error(&told);
        OK(error < with[i].error, "fluences to %.0f %%: errors below %.3f degrees",
           200 * spread, error * 180 / SPI_PI);
        OK(worst_fluence(&told, spread) < with[i].fluence,
           "fluences of the particle: off by less than %.4f", worst_fluence(&told, spread));
        how.engine = "threads";
        how.workers = 3;
        NEED(!match(&how, &found, NULL));
        OK(same(&told, &found), "3 workers: the same bits");
        spi_orientations_clear(&found);
        how.light = 0;
        NEED(!match(&how, &found, NULL));
        OK(worst_error(&found) > 4 * error, "not told: errors up to %.3f degrees",
           worst_error(&found) * 180 / SPI_PI);
        OK(worst_fluence(&found, spread) > 2 * with[i].fluence,
           "and fluences off by up to %.4f", worst_fluence(&found, spread));
        how = plain;
        how.light = 1;
        how.q_max = 0.08;
        NEED(!match(&how, &coarse, &cell));
        how.brute = true;
        NEED(!match(&how, &brute, NULL));
        for (int k = 0; k < IMAGES; k++)
            alike += angle(coarse.quat + 4 * k, brute.quat + 4 * k) < 1.5 * cell;
        OK(alike == IMAGES, "pixel by pixel: %d of %d are within 1.5 cells", alike, IMAGES);
        spi_orientations_clear(&told);
        spi_orientations_clear(&found);
        spi_orientations_clear(&coarse);
        spi_orientations_clear(&brute);
    }
    how.brute = false;
    how.light = 1e3;
    OK(match(&how, &told, NULL) == SPI_EFORMAT &&
           strstr(spi_err_message(), "more than the images have"),
       "%s", spi_err_message());
}

/* ---- what may not matter ------------------------------------------------------------ */

static void check_engines(void)
{
    static const struct {
        const char *engine;
        int workers;
    } with[] = {
        {"threads", 1}, {"threads", 3}, {"threads", 16}, {"starpu", 2}, {"copies", 1}};
    struct spi_orientations first[2], other;

    NEED(!make_images(&(struct kind){.n = IMAGES, .photons = true}));
    for (int i = 0; i < 2; i++) {
        struct how how = plain;

        how.exhaustive = i;
        how.refine = true;
        NEED(!match(&how, &first[i], NULL));
        for (size_t e = 0; e < sizeof with / sizeof *with; e++) {
            if (spi_engine_find(with[e].engine)->why_not)
                continue;
            how.engine = with[e].engine;
            how.workers = with[e].workers;
            NEED(!match(&how, &other, NULL));
            OK(same(&first[i], &other), "%s, %s, %d workers: the same bits",
               i ? "exhaustive" : "levels", with[e].engine, with[e].workers);
            spi_orientations_clear(&other);
        }
    }
    OK(!same(&first[0], &first[1]), "margins of another search are noticed");
    spi_orientations_clear(&first[0]);
    spi_orientations_clear(&first[1]);
}

/* Units of images and of the model: powers of two, so that rounding is the same. */
static void check_units(void)
{
    struct spi_orientations photons, one, other;
    struct how how = plain;

    NEED(!make_images(&(struct kind){.n = IMAGES, .photons = true}));
    NEED(!match(&how, &photons, NULL));
    NEED(!make_images(&(struct kind){.n = IMAGES, .gain = 32}));
    how.gain = 32;
    NEED(!match(&how, &other, NULL));
    OK(same(&photons, &other), "32 units a photon: as of photons");
    spi_orientations_clear(&other);
    how.gain = 0;
    NEED(!match(&how, &other, NULL));
    OK(!same(&photons, &other), "a gain that is not told is noticed");
    spi_orientations_clear(&other);
    how = plain;
    how.like = "auto"; /* gaussian */
    NEED(!make_images(&(struct kind){.n = IMAGES, .factor = 1}));
    NEED(!match(&how, &one, NULL));
    how.model = 0x1p40;
    NEED(!make_images(&(struct kind){.n = IMAGES, .factor = 0x1p-40}));
    NEED(!match(&how, &other, NULL));
    OK(same(&one, &other), "tiny intensities, a huge model: the same bits");
    spi_orientations_clear(&other);
    how.like = "gaussian";
    how.model = 1;
    NEED(!match(&how, &other, NULL));
    OK(same(&one, &other), "auto is gaussian where values are no photons");
    spi_orientations_clear(&other);
    how.like = "poisson";
    NEED(!match(&how, &other, NULL));
    OK(!same(&one, &other), "and not poisson");
    spi_orientations_clear(&other);
    spi_orientations_clear(&one);
    spi_orientations_clear(&photons);
}

/* The other images of a file change the scale of the model, and so rounding only. */
static void check_few(void)
{
    const int few[] = {1, 3};
    struct spi_orientations all, some;
    struct how how = plain;

    NEED(!make_images(&(struct kind){.n = IMAGES, .photons = true}));
    NEED(!match(&how, &all, NULL));
    for (int i = 0; i < 2; i++) {
        double worst = 0;

        NEED(!make_images(&(struct kind){.n = few[i], .photons = true}));
        NEED(!match(&how, &some, NULL));
        for (int k = 0; k < few[i]; k++)
            worst = fmax(worst, angle(some.quat + 4 * k, all.quat + 4 * k));
        OK(some.n == few[i] && worst < 1e-3, "%d images: %.1e rad from those among %d",
           few[i], worst, IMAGES);
        spi_orientations_clear(&some);
    }
    spi_orientations_clear(&all);
}

/* ---- images that are not as they should be ------------------------------------------ */

static void check_aside(void)
{
    struct spi_orientations o[2];
    struct how how = plain;
    double sum;

    NEED(!make_images(
        &(struct kind){.n = IMAGES, .photons = true, .blank = 7, .copy = 21, .of = 20}));
    for (int i = 0; i < 2; i++) {
        how.brute = i;
        how.q_max = i ? 0.06 : 0;
        sum = 0;
        NEED(!match(&how, &o[i], NULL));
        for (int k = 0; k < IMAGES; k++)
            sum += (double)o[i].fluence[k];
        OK(!spi_orientations_has(&o[i], 7) && spi_orientations_count(&o[i]) == IMAGES - 1 &&
               isnan(o[i].score[7]) && o[i].fluence[7] == 0,
           "an image without signal has no orientation, %s", i ? "brute" : "levels");
        OK(memcmp(o[i].quat + 80, o[i].quat + 84, 4 * sizeof(double)) == 0 &&
               o[i].score[20] == o[i].score[21],
           "a copy has the orientation of what it repeats");
        /* IMAGES floats of a few roundings each */
        OK(fabs(sum / (IMAGES - 1) - 1) < gamma_f32(4), "mean fluence of the others: 1");
        spi_orientations_clear(&o[i]);
    }
    how = plain;
    how.signal_min = 1e9;
    OK(match(&how, &o[0], NULL) == SPI_EFORMAT && strstr(spi_err_message(), "signal_min"),
       "%s", spi_err_message());
}

static void check_refused(void)
{
    struct spi_orientations o;
    struct how how = plain;

    NEED(!make_images(&(struct kind){.n = 3, .photons = true}));
    how.like = "published";
    OK(match(&how, &o, NULL) == SPI_EINVAL, "%s", spi_err_message());
    how = plain;
    how.model = -1;
    OK(match(&how, &o, NULL) == SPI_EINVAL && strstr(spi_err_message(), "positive"), "%s",
       spi_err_message());
    how = plain;
    how.finer = 1e6;
    OK(match(&how, &o, NULL) == SPI_EINVAL && strstr(spi_err_message(), "too many"), "%s",
       spi_err_message());
    how = plain;
    how.q_max = 0.3;
    OK(match(&how, &o, NULL) == SPI_EINVAL && strstr(spi_err_message(), "model ends"), "%s",
       spi_err_message());
    NEED(!make_images(&(struct kind){.n = 3, .factor = 0}));
    how = plain;
    OK(match(&how, &o, NULL) == SPI_EFORMAT && strstr(spi_err_message(), "all zero"), "%s",
       spi_err_message());
}

int main(void)
{
    const char *tmp = getenv("SPI_TEST_TMP");

    A = (struct spi_volume){SCENE_N, scene_dx, scene_A(SCENE_N, scene_dx)};
    snprintf(dir, sizeof dir, "%s/given.%ld", tmp ? tmp : "/tmp", (long)getpid());
    snprintf(path, sizeof path, "%s/images.h5", dir);
    if (mkdir(dir, 0700)) {
        OK(0, "cannot make %s", dir);
        return tap_done();
    }
    check_search();
    check_background();
    check_engines();
    check_units();
    check_few();
    check_aside();
    check_refused();
    unlink(path);
    OK(rmdir(dir) == 0, "nothing is left beside the images");
    free(A.data);
    return tap_done();
}
