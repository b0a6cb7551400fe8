/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The parts of bench_match: a scene of known orientations, and what is measured on it. */
#ifndef SPI_BENCHES_MATCH_H
#define SPI_BENCHES_MATCH_H

#include <complex.h>

#include "likelihood/rows.h"
#include "match/brute.h"
#include "match/posterior.h"
#include "math/rot.h"
#include "math/volume.h"
#include "nufft/nufft.h"
#include "slice/templates.h"

enum { BLOCK = 96 }; /* images at once */
static const double diameter_A = 149, wavelength_A = 7.75, degree = SPI_PI / 180;

/** Of this thread. */
double cpu_s(void);
/** End with a word if err. */
void must(spi_err err);

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

/* ---- match_scene.c ------------------------------------------------------------------ */

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

/** Blobs in an ellipsoid, axes as fractions of the diameter. */
struct blobs {
    int n;
    double sigma_A, axis[3];
};

/** Images of random orientations (of a grid, if given), without noise or with as many
 * photons: pixels [n][n_pixels] (or NULL), ring harmonics h. */
struct images {
    int64_t n;
    double (*quat)[4];
    float *pixels;
    float complex *h;
    const float complex **row;
    double ingest_s; /* resampling and harmonics, per image */
};

/** Templates of all directions. */
struct model {
    float *templates, *table, *S;
    double seconds;
};

/** s->A, plan and grid: the autocorrelation of blobs. */
void make_model(struct scene *s, const struct blobs *blobs);
void scene_init(struct scene *s, double resolution_A, int side, double oversampling);
void model_of_scene_clear(struct scene *s);
void scene_clear(struct scene *s);
void images_init(struct images *im, const struct scene *s, int64_t n, bool keep,
                 const struct spi_views *grid, double photons);
void images_clear(struct images *im);
/** A file of n images without noise, of the random orientations of images_init. */
void images_file(const struct scene *s, int64_t n, const char *path);
/** Rows of n directions, list[i] each. */
void model_of(struct model *m, const struct scene *s, const struct spi_band *band,
              struct spi_views views, const struct spi_likelihood *like,
              const float *ring_scale, int64_t n, const int32_t *list);
/** Rows of all directions. */
void model_init(struct model *m, const struct scene *s, const struct spi_band *band,
                struct spi_views views, const struct spi_likelihood *like);
void model_clear(struct model *m);
/** Angle between two orientations, degrees. */
double angle_deg(const double a[4], const double b[4]);
/** Error of n found orientations against the truth: median and 99 %; sorts. */
void print_errors(int64_t n, double *error);

/* ---- what is measured --------------------------------------------------------------- */

/** match_kernels.c: each kernel, against the peak of the machine. */
void all_kernels(void);
/** match_searches.c: n images, exhaustively and from coarse to fine, against brute force.
 */
void search(int64_t n);
/** match_generation.c: one generation of a start (`start`) or of frequency marching;
 * `every`: all orientations keep weight. */
void anneal(double perplexity_share, bool start, bool every);
/** match_equal.c: the answer of rings beside that of brute force on the same grid. */
void equal(int64_t n, const struct spi_likelihood *like, bool on_grid);

#endif
