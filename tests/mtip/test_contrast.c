/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether the images hold a particle: speckle does, noise about a picture that does not
 * change does not, and a background lowers the contrast by its share. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rng.h"
#include "math/rot.h"
#include "mtip/contrast.h"
#include "tap.h"

enum { SIDE = 48, N = SIDE * SIDE, IMAGES = 200, WAVES = 40 };
static const double D = 100, lambda = 1, edge = 0.08;

/* Speckles of a particle of diameter D, another in each image. */
static void speckle(uint64_t image, const double *q, double share, double *to)
{
    struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, image);
    double at[WAVES][3];

    for (int w = 0; w < WAVES; w++)
        for (int c = 0; c < 3; c++)
            at[w][c] = c < 2 ? 0.7 * D * (spi_rng_uniform(&rng) - 0.5)
                             : 2 * SPI_PI * spi_rng_uniform(&rng);
    for (int p = 0; p < N; p++) {
        double re = 0, im = 0, r2 = q[3 * p] * q[3 * p] + q[3 * p + 1] * q[3 * p + 1];

        for (int w = 0; w < WAVES; w++) {
            double x =
                2 * SPI_PI * (at[w][0] * q[3 * p] + at[w][1] * q[3 * p + 1]) + at[w][2];

            re += cos(x);
            im += sin(x);
        }
        to[p] = 5 * exp(-300 * r2) * (share + (1 - share) * (re * re + im * im) / WAVES);
    }
}

/* A file of images: light(p) of each, Poisson noise; `gain` > 0: as intensities. */
static spi_err write_set(const char *path, double share, bool still, double gain)
{
    struct spi_detector det;
    struct spi_images_writer *w = NULL;
    double light[N];
    float pixels[N];
    spi_err err;

    SPI_TRY(err = spi_detector_init(&det, 1, SIDE, SIDE), out);
    det.wavelength_A = lambda;
    for (int p = 0; p < N; p++) {
        double *q = det.q + 3 * p;

        q[0] = (p % SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[1] = (p / SIDE - (SIDE - 1) / 2.0) * edge / (SIDE / 2);
        q[2] = -lambda * (q[0] * q[0] + q[1] * q[1]) / 2;
    }

    struct spi_images_spec spec = {.n_images = IMAGES,
                                   .kind = gain > 0 ? SPI_INTENSITIES : SPI_PHOTONS,
                                   .max_photons = 60000,
                                   .detector = &det,
                                   .provenance_json = "{}"};

    SPI_TRY(err = spi_images_create(path, &spec, &w), out);
    for (int k = 0; k < IMAGES && !err; k++) {
        struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, (uint64_t)k);
        double quat[4] = {1, 0, 0, 0};
        struct spi_image_truth truth = {.quat = quat};

        speckle(still ? 0 : (uint64_t)k, det.q, share, light);
        for (int p = 0; p < N; p++)
            pixels[p] = (float)((gain > 0 ? gain : 1) * spi_rng_poisson(&rng, light[p]));
        err = spi_images_append(w, 1, pixels, &truth);
    }
    err = err ? err : spi_images_finish_take(w);
out:
    spi_detector_clear(&det);
    return err;
}

static spi_err measure(double share, bool still, double gain, struct spi_contrast *c)
{
    const char *tmp = getenv("SPI_TEST_TMP");
    struct spi_images *images = NULL;
    struct spi_graph *graph = NULL;
    struct spi_data data = {0};
    struct spi_settings set;
    char dir[4000], path[4096], scratch[4096];
    spi_err err;

    spi_settings_default(&set);
    snprintf(dir, sizeof dir, "%s/contrast.%ld", tmp ? tmp : ".", (long)getpid());
    snprintf(path, sizeof path, "%s.h5", dir);
    SPI_TRY(err = write_set(path, share, still, gain), out);
    SPI_TRY(err = spi_images_open(path, &images), out);
    SPI_TRY(err = spi_graph_new("serial", 1, NULL, &graph), out);
    snprintf(scratch, sizeof scratch, "%s.rings", dir);
    SPI_TRY(err = spi_data_init(&data, graph,
                                &(struct spi_data_spec){.images = images,
                                                        .diameter_A = D,
                                                        .q_min = 0.01,
                                                        .q_max = edge,
                                                        .set = &set,
                                                        .scratch = scratch}),
            out);
    err = spi_contrast_measure(&data, edge, c);
out:
    if (err)
        OK(0, "%s", spi_err_message());
    spi_data_clear(&data);
    spi_graph_free(graph);
    spi_images_close(images);
    unlink(path);
    return err;
}

int main(void)
{
    static const double least = 0.01; /* the default */
    struct spi_contrast alone, half, adu, noise;

    if (measure(0, false, 0, &alone) || measure(0.5, false, 0, &half) ||
        measure(0, false, 37.5, &adu) || measure(0, true, 0, &noise))
        return tap_done();
    /* sinc^2(0.7 D edge / 24) of neighbours, times 1 - 1 / WAVES; the fluence that each
     * image is given takes 1 in some 100 speckles */
    OK(alone.n == 11 && alone.n_images == IMAGES && fabs(alone.all - 0.81) < 0.04,
       "a particle alone: %.3f +- %.3f", alone.all, alone.sigma);
    OK(fabs(half.all / alone.all - 0.25) < 0.03, "half of the light the same in all: %.3f",
       half.all);
    OK(fabs(adu.all / alone.all - 1) < 0.2, /* shells weigh otherwise */
       "37.5 a photon: %.3f", adu.all);
    OK(fabs(noise.all) < 4 * noise.sigma + 0.002, "one picture in all images: %.4f +- %.4f",
       noise.all, noise.sigma);
    OK(spi_contrast_check(&alone, least) == SPI_OK &&
           spi_contrast_check(&half, least) == SPI_OK &&
           spi_contrast_check(&adu, least) == SPI_OK,
       "these may hold a particle");
    OK(spi_contrast_check(&noise, least) == SPI_ENOCONV, "%s", spi_err_message());
    spi_contrast_clear(&alone);
    spi_contrast_clear(&half);
    spi_contrast_clear(&adu);
    spi_contrast_clear(&noise);
    return tap_done();
}
