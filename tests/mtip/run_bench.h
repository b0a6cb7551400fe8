/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images of the test scene in a file, settings of a run that takes seconds, an engine. */
#ifndef SPI_TESTS_RUN_BENCH_H
#define SPI_TESTS_RUN_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/images.h"
#include "mtip/mtip.h"
#include "scene.h"
#include "tap.h"

enum { IMAGES = 96 };

static char dir[2048], path[4096];

static spi_err make_images(void)
{
    struct spi_detector det;
    struct spi_images_writer *w;
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, 0);
    spi_err err = scene_detector(&det);
    struct spi_images_spec spec = {.n_images = IMAGES,
                                   .kind = SPI_PHOTONS,
                                   .max_photons = 65535,
                                   .detector = &det,
                                   .provenance_json = "{}"};

    if (err || (err = spi_images_create(path, &spec, &w)))
        return err;
    for (int k = 0; k < IMAGES && !err; k++) {
        float image[SCENE_PIXELS];
        double quat[4], R[9], M[9];
        struct spi_image_truth t = {.quat = quat};

        spi_rot_random(&rng, quat);
        spi_rot_matrix(quat, R);
        for (int c = 0; c < 9; c++)
            M[c] = R[c % 3 * 3 + c / 3];
        scene_image(&det, M, 100, image);
        for (int p = 0; p < SCENE_PIXELS; p++)
            image[p] = (float)spi_rng_poisson(&rng, (double)image[p]);
        err = spi_images_append(w, 1, image, &t);
    }
    spi_detector_clear(&det);
    return err ? err : spi_images_finish_take(w);
}

static inline void small_settings(struct spi_settings *set)
{
    spi_settings_default(set);
    set->N_inits = set->N_inits_max = 2;
    set->N_generations_init = 2;
    set->N_images_init = 20;
    set->N_images_heldout = 8;
    set->block_images = 16;
    set->perplexity_start = 1e-3;
    set->N_cg = 8;
    set->halves_cc = set->halves_cc_stop =
        0; /* the starts are taken as good: frequency marching and final refinement follow */
    snprintf(set->recipe, sizeof set->recipe, "5 ER");
}

/* An engine with the images in it. */
struct bench {
    struct spi_graph *graph;
    struct spi_images *images;
    struct spi_data data;
    struct spi_settings set;
};

/* Half sets of these images. */
static struct spi_data_spec bench_spec(const struct bench *b, struct spi_images *images)
{
    static char scratch[4096];

    snprintf(scratch, sizeof scratch, "%s/rings.bin", dir);
    return (struct spi_data_spec){.images = images,
                                  .diameter_A = scene_D,
                                  .q_min = 0.02,
                                  .q_max = scene_q_max,
                                  .set = &b->set,
                                  .scratch = scratch};
}

static spi_err bench_init(const char *engine, int workers, struct bench *b)
{
    spi_err err;

    *b = (struct bench){0};
    if ((err = spi_graph_new(engine, workers, NULL, &b->graph)) ||
        (err = spi_images_open(path, &b->images)))
        return err;
    spi_settings_default(&b->set);

    struct spi_data_spec spec = bench_spec(b, b->images);

    return spi_data_init(&b->data, b->graph, &spec);
}

static void bench_clear(struct bench *b)
{
    spi_data_clear(&b->data);
    spi_images_close(b->images);
    spi_graph_free(b->graph);
}

/* A folder of this test with the images in it. */
static int bench_folder(const char *name)
{
    const char *tmp = getenv("SPI_TEST_TMP");

    snprintf(dir, sizeof dir, "%s/%s.%ld", tmp ? tmp : "/tmp", name, (long)getpid());
    snprintf(path, sizeof path, "%s/images.h5", dir);
    if (mkdir(dir, 0700) || make_images()) {
        OK(0, "%s", spi_err_message());
        return -1;
    }
    return 0;
}

#endif
